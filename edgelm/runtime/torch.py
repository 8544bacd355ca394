"""The PyTorch runtime: edgelm's own decoder on a model directory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgelm.model.decoder import Cache, Decoder, rotary
from edgelm.model.directory import load_model
from edgelm.runtime.choices import ChoiceTree, Ranked, batches, choice_tree, padded
from edgelm.runtime.tokenized import TokenizedModel
from edgelm.tokenizer.text import TextTokenizer

LOGITS = 8_000_000  # held in memory at once


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
        model, tokenizer = load_model(directory, mapped=True), TextTokenizer(directory)
        tokenizer.check_fits(model.config.vocab_size, directory)
        return cls(model, tokenizer)

    def session(self) -> "TorchSession":
        self.check_open()
        return TorchSession(self.model)

    def branches(self) -> "TorchBranches":
        self.check_open()
        return TorchBranches(self.model)

    def _batches(
        self, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[int]]:
        pairs = zip(prompts, choices, strict=True)
        return batches([len(prompt) + sum(map(len, own)) - len(own) for prompt, own in pairs])

    @torch.inference_mode()
    def _rank_together(
        self, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[Sequence[int]]]
    ) -> list[Ranked]:
        """The prompts are read once, then all nodes of all trees."""
        trees = [choice_tree(tuple(map(tuple, own))) for own in choices]
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        hidden, cache = self.model.hidden(torch.from_numpy(padded(prompts)).to(self.model.output.device))
        states = hidden[torch.arange(len(prompts)), lengths - 1][:, None]
        if any(len(tree.tokens) for tree in trees):
            states = torch.cat((states, self._read_trees(lengths, trees, cache)), dim=1)
        sizes = [1 + len(tree.tokens) for tree in trees]
        starts = np.cumsum([0, *sizes])
        scores, likeliest = self._log_likelihoods(
            torch.cat([own[:size] for own, size in zip(states, sizes, strict=True)]),
            np.concatenate([tree.place + start for tree, start in zip(trees, starts[:-1], strict=True)]),
            np.concatenate([tree.target for tree in trees]),
        )
        ends = np.cumsum([len(tree.target) for tree in trees])[:-1]
        parts = zip(trees, np.split(scores, ends), np.split(likeliest, ends), strict=True)
        return [tree.ranked(own, first) for tree, own, first in parts]

    def _read_trees(self, lengths: Tensor, trees: list[ChoiceTree], cache: Cache) -> Tensor:
        """Hidden states [B, N, hidden_size] of the nodes, each of which sees its prompt and its ancestors."""
        decoder, device = self.model, self.model.output.device
        nodes = padded([tree.tokens for tree in trees])
        known = cache[0][0].shape[2]
        sees = np.zeros((len(trees), nodes.shape[1], known + nodes.shape[1]), dtype=bool)
        sees[..., :known] = np.arange(known) < lengths.numpy()[:, None, None]
        for row, tree in zip(sees, trees, strict=True):
            row[: len(tree.tokens), known : known + len(tree.tokens)] = tree.sees
        positions = lengths[:, None] + torch.from_numpy(padded([tree.depth for tree in trees]))
        shape = decoder.config
        angles = rotary(positions.flatten().to(device), shape.head_dim, shape.rope_theta, shape.rope_divisors)
        cos, sin = (one.view(len(trees), 1, nodes.shape[1], -1) for one in angles)
        mask = torch.from_numpy(sees)[:, None].to(device)
        x = decoder.model.embed_tokens(torch.from_numpy(nodes).to(device)).to(decoder.dtype)
        for layer, past in zip(decoder.model.layers, cache, strict=True):
            x, _ = layer(x, cos, sin, mask, None, past)
        return decoder.model.norm(x)

    def _log_likelihoods(
        self, states: Tensor, place: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of each target token after its row of `states` [M, hidden_size], float64 [T]; and whether it is the
        likeliest, bool [T]."""
        found, likeliest = np.zeros(len(target)), np.zeros(len(target), dtype=bool)
        rows = max(LOGITS // self.vocab_size, 1)
        for start in range(0, len(states), rows):
            logits = F.linear(states[start : start + rows], self.model.output.to(states.dtype)).float()
            here = np.flatnonzero((place >= start) & (place < start + rows))
            own = torch.from_numpy(place[here] - start).to(logits.device)
            said = logits[own, torch.from_numpy(target[here]).to(logits.device)]
            found[here] = (said - logits.logsumexp(-1)[own]).cpu().numpy()
            likeliest[here] = (said == logits.amax(-1)[own]).cpu().numpy()
        return found, likeliest

    def close(self) -> None:
        self.closed, self.held = True, None
        vars(self).pop("model", None)


class TorchSession:
    def __init__(self, model: Decoder):
        self.model = model
        self.cache: Cache | None = None

    @torch.inference_mode()
    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray:
        tokens = torch.tensor([list(ids)], device=self.model.output.device)
        hidden, self.cache = self.model.hidden(tokens, past=self.cache)
        return _logits(self.model, hidden[0, -1:] if last_only else hidden[0])

    def rewind(self, length: int) -> None:
        self.cache = [(k[:, :, :length], v[:, :, :length]) for k, v in self.cache or []]


class TorchBranches:
    def __init__(self, model: Decoder):
        self.model = model
        self.cache: Cache | None = None

    def start(self, ids: Sequence[int]) -> np.ndarray:
        return self._read([list(ids)])

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> np.ndarray:
        self.cache = [(k[parents], v[parents]) for k, v in self.cache or []]
        return self._read([[token] for token in tokens])

    @torch.inference_mode()
    def _read(self, ids: list[list[int]]) -> np.ndarray:
        tokens = torch.tensor(ids, device=self.model.output.device)
        hidden, self.cache = self.model.hidden(tokens, past=self.cache)
        return _logits(self.model, hidden[:, -1])


def _logits(model: Decoder, states: Tensor) -> np.ndarray:
    """Of hidden states [N, hidden_size], whatever they were computed in and on: float32 [N, vocab_size]."""
    return F.linear(states, model.output.to(states.dtype)).float().cpu().numpy()
