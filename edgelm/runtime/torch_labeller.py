"""A model with a head in PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from edgelm.model.head_config import HeadConfig
from edgelm.model.heads import Labeller, load_labeller
from edgelm.runtime.choices import batches, padded
from edgelm.runtime.labeller import HeadModel
from edgelm.tokenizer.text import TextTokenizer


class TorchLabeller(HeadModel):
    backend = "torch"

    def __init__(self, model: Labeller, tokenizer: TextTokenizer, name: str = "PyTorch fp32"):
        super().__init__(tokenizer, model.head, model.config.context, name)
        self.model = model

    @classmethod
    def open(cls, directory: Path, head: HeadConfig, threads: int | None = None) -> "TorchLabeller":
        if threads:
            torch.set_num_threads(threads)
        model, tokenizer = load_labeller(directory, head), TextTokenizer(directory)
        tokenizer.check_fits(model.config.vocab_size, directory)
        return cls(model, tokenizer)

    @torch.inference_mode()
    def logits(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        found: list[np.ndarray] = [np.empty(0)] * len(sequences)
        device = self.model.score.weight.device
        for batch in batches([len(ids) for ids in sequences]):
            lengths = torch.tensor([len(sequences[one]) for one in batch])
            tokens = torch.from_numpy(padded([sequences[one] for one in batch])).to(device)
            documents = None
            if self.head.both_ways and len(lengths.unique()) > 1:  # or the text would see what fills up
                documents = (torch.arange(tokens.shape[1]) >= lengths[:, None]).long()
            logits = self.model(tokens, documents)[0].cpu().numpy()
            for one, row in zip(batch, logits, strict=True):
                found[one] = row[: len(sequences[one])]
        return found
