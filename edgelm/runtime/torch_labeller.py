"""A model with a head in PyTorch, a sequence at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from edgelm.model.head_config import HeadConfig
from edgelm.model.heads import Labeller, load_labeller
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
        return cls(load_labeller(directory, head), TextTokenizer(directory))

    @torch.inference_mode()
    def logits(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        device = self.model.score.weight.device
        for ids in sequences:
            tokens = torch.tensor([list(ids)], device=device)
            found.append(self.model(tokens)[0][0].cpu().numpy())
        return found
