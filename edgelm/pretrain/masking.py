"""Learning to read both ways: hidden tokens are guessed from what stands before and after them.

A head that may look both ways gains little from it if the model below has only ever looked back. Masked next
token prediction (BehnamGhader et al., 2024, "LLM2Vec") teaches it that: attention goes both ways, and the
token before a hidden one says what it was, as it always has.
"""

from typing import Any

import torch
from torch import Tensor

from edgelm.model.decoder import IGNORE
from edgelm.pretrain.packing import Batch, Packer
from edgelm.tokenizer.special import SPARES
from edgelm.tokenizer.text import TextTokenizer

SHARE = 0.2
"""Share of the tokens that are hidden."""
MASK = f"<|spare_{SPARES - 1}|>"
"""The spare that a language's tag would take last."""


class Masked:
    """Batches of a packer with tokens hidden, which alone are targets.

    Which ones follows from the seed and the number of the batch. Special tokens are never hidden.
    """

    def __init__(self, packer: Packer, tokenizer: TextTokenizer, seed: int):
        self.packer, self.batch, self.context = packer, packer.batch, packer.context
        self.tokenizer, self.seed, self.number = tokenizer, seed, 0

    def next_batch(self) -> Batch:
        batch = self.packer.next_batch()
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + self.number)
        self.number += 1
        tokens, targets = hide(batch.tokens, batch.targets, self.tokenizer, draw)
        ends = torch.zeros_like(targets, dtype=torch.bool)
        ends[:, :-1] = batch.documents[:, :-1] != batch.documents[:, 1:]
        return batch._replace(tokens=tokens, targets=targets.masked_fill(ends, IGNORE))

    def state(self) -> dict[str, Any]:
        return {"packer": self.packer.state(), "number": self.number}

    def restore(self, state: dict[str, Any]) -> None:
        self.packer.restore(state["packer"])
        self.number = state["number"]


def hide(
    tokens: Tensor, targets: Tensor, tokenizer: TextTokenizer, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Ids with a `SHARE` of them hidden, and targets for those alone; both [B, T], as they came.

    A target stands one place before its token. A document's first token has none and may be hidden too.
    """
    first = 1 + tokenizer.id(MASK)  # special tokens have the lowest ids
    hidden = (torch.rand(tokens.shape, generator=draw) < SHARE) & (tokens >= first)
    asked = torch.zeros_like(hidden)
    asked[:, :-1] = hidden[:, 1:]
    return tokens.masked_fill(hidden, tokenizer.id(MASK)), targets.masked_fill(~asked, IGNORE)
