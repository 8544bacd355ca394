"""Bits per byte on held-out documents while a model trains: many short documents at a time.

The figures are those of `edgelm.evaluate.bits_per_byte`, which reads a text at a time through any runtime.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from edgelm.model.cross_entropy import cross_entropy
from edgelm.model.decoder import IGNORE, Decoder
from edgelm.pretrain.masking import hide
from edgelm.progress import Step
from edgelm.tokenizer.text import TextTokenizer

BLOCK_TOKENS = 8192  # computed at a time


class HeldOut:
    """Held-out texts as blocks of ids, ready to be scored.

    Args:
        texts: documents by language.
        context: of the model; a longer document is read in windows that each start after BOS.
        both_ways: hide tokens, the same ones each time; figures are then bits per hidden token.
    """

    def __init__(
        self, texts: dict[str, list[str]], tokenizer: TextTokenizer, context: int, both_ways: bool = False
    ):
        self.context, self.pad = context, tokenizer.eos
        self.hider = tokenizer if both_ways else None
        self.bytes = {code: sum(len(one.encode("utf-8")) for one in found) for code, found in texts.items()}
        self.blocks = {
            code: self._pack(tokenizer.encode_batch(found), tokenizer.bos) for code, found in texts.items()
        }

    @property
    def size(self) -> int:
        """Blocks in all, the unit of progress."""
        return sum(map(len, self.blocks.values()))

    def _pack(self, documents: Iterable[list[int]], bos: int) -> list[list[np.ndarray]]:
        blocks: list[list[np.ndarray]] = []
        room = 0
        for ids in documents:
            for start in range(0, len(ids), self.context):
                window = np.array([bos, *ids[start : start + self.context]])
                if len(window) - 1 > room:
                    blocks.append([])
                    room = self.context
                blocks[-1].append(window)
                room -= len(window) - 1
        return blocks

    @torch.no_grad()
    def bits_per_byte(self, model: Decoder, step: Step | None = None) -> dict[str, float]:
        """Bits per UTF-8 byte, or hidden token, of each language and their mean under `mean`."""
        training = model.training
        model.eval()
        rows = max(BLOCK_TOKENS // self.context, 1)
        found = {}
        with torch.compiler.set_stance("force_eager"):  # or each shape of a last batch is compiled
            for code, blocks in self.blocks.items():
                nats, hidden = 0.0, 0
                for start in range(0, len(blocks), rows):
                    part = blocks[start : start + rows]
                    lost, count = self._nats(model, part)
                    nats, hidden = nats + lost, hidden + count
                    if step:
                        step(len(part), code)
                units = max(hidden, 1) if self.hider else self.bytes[code]
                found[code] = round(nats / math.log(2) / units, 4)
        model.train(training)
        return {**found, "mean": round(sum(found.values()) / len(found), 4)} if found else {}

    def tensors(self, blocks: list[list[np.ndarray]]) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, targets and numbers of the documents [blocks, context], as in `Batch`."""
        shape = (len(blocks), self.context)
        tokens, targets = np.full(shape, self.pad), np.full(shape, IGNORE)
        documents = np.full(shape, -1)
        for row, block in enumerate(blocks):
            used = 0
            for number, window in enumerate(block):
                place = slice(used, used + len(window) - 1)
                tokens[row, place], targets[row, place] = window[:-1], window[1:]
                documents[row, place] = number
                used = place.stop
        return torch.from_numpy(tokens), torch.from_numpy(targets), torch.from_numpy(documents)

    def _nats(self, model: Decoder, blocks: list[list[np.ndarray]]) -> tuple[float, int]:
        """Of all targets together, and their number."""
        read, target, documents = self.tensors(blocks)
        device = model.model.norm.weight.device
        if self.hider:
            read, target = hide(read, target, self.hider, torch.Generator().manual_seed(0))
        hidden, _ = model.hidden(read.to(device), documents)
        target = target.flatten().to(device)
        weights = (target != IGNORE).float()
        nats = cross_entropy(hidden.flatten(0, 1), model.output, target.clamp(min=0), weights)
        return float(nats), int(weights.sum())
