"""Learning to read both ways: hidden tokens are guessed from what stands before and after them.

A head that may look both ways gains little from it if the model below has only ever looked back. Masked next
token prediction (BehnamGhader et al., 2024, "LLM2Vec") teaches it that: attention goes both ways, and the
token before a hidden one says what it was, as it always has.
"""

from typing import Any

import torch

from edgelm.model.decoder import IGNORE
from edgelm.pretrain.packing import Batch, Packer
from edgelm.tokenizer.special import NAMED, SPARES
from edgelm.tokenizer.text import TextTokenizer

SHARE = 0.2
"""Share of the tokens that are hidden."""
MASK = "<|spare_0|>"


class Masked:
    """Batches of a packer with tokens hidden, which alone are targets.

    Which ones follows from the seed and the number of the batch. Special tokens are never hidden.
    """

    def __init__(self, packer: Packer, tokenizer: TextTokenizer, seed: int, share: float = SHARE):
        self.packer, self.context = packer, packer.context
        self.mask, self.seed, self.share = tokenizer.id(MASK), seed, share
        self.first = 1 + tokenizer.id(f"<|spare_{SPARES - 1}|>")
        self.number = 0
        assert self.first > len(NAMED)

    def next_batch(self) -> Batch:
        batch = self.packer.next_batch()
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + self.number)
        self.number += 1
        hidden = (torch.rand(batch.tokens.shape, generator=draw) < self.share) & (batch.tokens >= self.first)
        asked = torch.zeros_like(hidden)
        asked[:, :-1] = hidden[:, 1:]  # a target stands one place before its token
        return batch._replace(
            tokens=batch.tokens.masked_fill(hidden, self.mask),
            targets=batch.targets.masked_fill(~asked, IGNORE),
        )

    def state(self) -> dict[str, Any]:
        return {"packer": self.packer.state(), "number": self.number}

    def restore(self, state: dict[str, Any]) -> None:
        self.packer.restore(state["packer"])
        self.number = state["number"]
