"""The PyTorch runtime: edgelm's own decoder on a model directory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from edgelm.model.decoder import Cache, Decoder
from edgelm.model.directory import load_model
from edgelm.runtime.tokenized import TokenizedModel
from edgelm.tokenizer.text import TextTokenizer


class TorchModel(TokenizedModel):
    backend = "torch"

    def __init__(self, model: Decoder, tokenizer: TextTokenizer, name: str = "PyTorch fp32"):
        super().__init__(tokenizer, name, model.config.context)
        self.model = model
        self.vocab_size = model.config.vocab_size

    @classmethod
    def open(cls, directory: Path, threads: int | None = None) -> "TorchModel":
        if threads:
            torch.set_num_threads(threads)
        return cls(load_model(directory), TextTokenizer(directory))

    def session(self) -> "TorchSession":
        self.check_open()
        return TorchSession(self.model)

    def close(self) -> None:
        self.closed = True
        vars(self).pop("model", None)


class TorchSession:
    def __init__(self, model: Decoder):
        self.model = model
        self.cache: Cache | None = None

    @torch.inference_mode()
    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray:
        hidden, self.cache = self.model.hidden(torch.tensor([list(ids)]), past=self.cache)
        if last_only:
            hidden = hidden[:, -1:]
        return torch.nn.functional.linear(hidden[0], self.model.model.embed_tokens.weight).float().numpy()

    def rewind(self, length: int) -> None:
        self.cache = [(k[:, :, :length], v[:, :, :length]) for k, v in self.cache or []]
