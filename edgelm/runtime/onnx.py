"""The ONNX runtime: a directory with `model.onnx` or `model.ort`, `config.json` and `tokenizer.json`.

Here are the graphs that optimum writes, which take the key-value cache and give it back longer; those that
keep it in place are in `onnx_shared`.
"""

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime

from edgelm.errors import BadInput
from edgelm.machine import usable_cores
from edgelm.model.config import ModelConfig, read_config
from edgelm.runtime.base import LOGITS, PORTION
from edgelm.runtime.choices import ChoiceTree, Ranked, batches, choice_tree, padded
from edgelm.runtime.graph_file import AGAIN, GRAPHS, external_files, find_graph, quantises_activations
from edgelm.runtime.onnx_shared import SharedOnnxModel, SharedOnnxSession, shares_cache
from edgelm.runtime.sampling import log_softmax
from edgelm.runtime.tokenized import TokenizedModel
from edgelm.tokenizer.text import TextTokenizer

Past = dict[str, np.ndarray]
MAPPED = ("session.use_memory_mapped_ort_model", "session.use_ort_model_bytes_for_initializers")
"""Entries that leave weights in the file, mapped into memory; those outside a graph always are."""
COPIES = 256_000_000  # bytes of a prompt's cache, copied for each path of its choices


def open_graph(
    path: Path, threads: int | None, trial: Callable[[onnxruntime.InferenceSession], np.ndarray]
) -> tuple[onnxruntime.InferenceSession, np.ndarray]:
    """Open a graph and run it once: it may not be the one that `config.json` describes.

    Returns:
        the graph and what `trial` made of it.

    Raises:
        BadInput: it cannot be opened, the trial fails, or it wants files from outside its folder.
    """
    external_files(path)
    options = onnxruntime.SessionOptions()
    cores = usable_cores()  # of which ONNX Runtime knows nothing: its own choice is the machine's
    options.intra_op_num_threads = threads or (cores if cores < (os.cpu_count() or 1) else 0)
    options.log_severity_level = 4  # what fails is raised
    if path.suffix == ".ort":
        for entry in MAPPED:
            options.add_session_config_entry(entry, "1")
    try:
        engine = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        return engine, trial(engine)
    except Exception as error:  # onnxruntime's errors have no common base
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadInput(f"is not an ONNX model that can be read ({reason})", file=path, remedy=AGAIN) from None


def open_model(directory: Path, threads: int | None = None) -> "OnnxModel | SharedOnnxModel":
    """The model in a directory.

    Raises:
        BadInput: a file is missing or damaged, or the files do not belong together.
    """
    config, tokenizer = read_config(directory), TextTokenizer(directory)
    tokenizer.check_fits(config.vocab_size, directory)
    path = find_graph(directory) or directory / GRAPHS[0]

    def trial(engine: onnxruntime.InferenceSession) -> np.ndarray:
        kind = SharedOnnxSession if shares_cache(engine) else OnnxSession
        return kind(engine, config).feed([tokenizer.bos])

    engine, _ = open_graph(path, threads, trial)
    name = f"ONNX {directory.name}"
    if shares_cache(engine):
        return SharedOnnxModel(engine, tokenizer, name, config)
    return OnnxModel(engine, tokenizer, name, config, path)


class OnnxModel(TokenizedModel):
    """`graph` is the file that `engine` runs."""

    backend = "onnx"

    def __init__(
        self, engine: onnxruntime.InferenceSession, tokenizer: TextTokenizer, name: str, config: ModelConfig,
        graph: Path,
    ):  # fmt: skip
        super().__init__(tokenizer, name, config.context)
        self.engine, self.config, self.graph = engine, config, graph
        self.vocab_size = config.vocab_size

    @cached_property
    def alone(self) -> bool:
        """Whether sequences are read one at a time, as reading several together would change the figures."""
        return quantises_activations(self.graph)

    def session(self) -> "OnnxSession":
        self.check_open()
        return OnnxSession(self.engine, self.config)

    def _batches(
        self, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[int]]:
        return super()._batches(prompts, choices) if self.alone else batches([len(one) for one in prompts])

    def _rank_together(
        self, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[Sequence[int]]]
    ) -> list[Ranked]:
        """The prompts are read, all but their last tokens without logits, then these tokens, then each path
        from root to leaf of a tree with a copy of its cache."""
        if self.alone:
            return super()._rank_together(prompts, choices)
        trees = [choice_tree(tuple(map(tuple, own))) for own in choices]
        lengths = np.array([len(prompt) - 1 for prompt in prompts])
        shape = (len(prompts), self.config.kv_heads, 0, self.config.head_dim)
        names = [one.name for one in self.engine.get_inputs() if one.name.startswith("past_key_values")]
        past = dict.fromkeys(names, np.zeros(shape, dtype=np.float32))
        seen = np.zeros((len(prompts), 0), dtype=bool)
        if lengths.any():
            ids = padded([prompt[:-1] for prompt in prompts])
            _, past = self._read(ids, 0 * lengths, seen, past, logits=False)
            seen = np.arange(ids.shape[1]) < lengths[:, None]
        first, past = self._read(np.array([prompt[-1:] for prompt in prompts]), lengths, seen, past)
        seen = np.concatenate((seen, np.ones_like(seen, shape=(len(prompts), 1))), axis=1)
        found = [(np.zeros(len(tree.target)), np.zeros(len(tree.target), dtype=bool)) for tree in trees]
        rows = []
        for owner, tree in enumerate(trees):
            _fill(*found[owner], tree, np.zeros(1, dtype=np.int64), first[owner])
            leaves = np.flatnonzero(tree.sees.sum(axis=0) == 1)
            rows += [(owner, np.flatnonzero(tree.sees[leaf])) for leaf in leaves]
        rows.sort(key=lambda row: -len(row[1]))
        longest = max(len(rows[0][1]), 1) if rows else 1
        size = sum(value[0].nbytes for value in past.values())
        together = max(min(COPIES // size, LOGITS // (longest * self.vocab_size)), 1)
        for begin in range(0, len(rows), together):
            part = rows[begin : begin + together]
            owners = np.array([owner for owner, _ in part])
            ids = padded([trees[owner].tokens[path] for owner, path in part])
            own = {name: value[owners] for name, value in past.items()}
            logits, _ = self._read(ids, lengths[owners] + 1, seen[owners], own)
            for (owner, path), row in zip(part, logits, strict=True):
                _fill(*found[owner], trees[owner], path + 1, row)
        return [tree.ranked(*own) for tree, own in zip(trees, found, strict=True)]

    def _read(
        self, ids: np.ndarray, start: np.ndarray, seen: np.ndarray, past: Past, logits: bool = True
    ) -> tuple[np.ndarray, Past]:
        """Logits [B, T, vocab_size] of ids [B, T], or none, and the cache.

        Args:
            start: position of the first id of each row [B].
            seen: which tokens of the cache a row has, bool [B, S].
        """
        inputs = {
            "input_ids": ids,
            "attention_mask": np.concatenate((seen, np.ones_like(ids)), axis=1).astype(np.int64),
            "position_ids": start[:, None] + np.arange(ids.shape[1]),
            **past,
        }
        presents = [name.replace("past_key_values", "present") for name in past]
        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True  # without logits, without the head
        found = self.engine.run(presents + ["logits"] * logits, inputs, options)
        return (found[-1] if logits else np.empty(0)), dict(zip(past, found, strict=False))

    def close(self) -> None:
        self.closed, self.held = True, None
        vars(self).pop("engine", None)


def _fill(
    scores: np.ndarray, likeliest: np.ndarray, tree: ChoiceTree, nodes: np.ndarray, logits: np.ndarray
) -> None:
    """Set what is known of the tokens after some nodes, from those nodes' logits [nodes or more, V]."""
    row = np.full(len(tree.tokens) + 1, -1)
    row[nodes] = np.arange(len(nodes))
    here = np.flatnonzero(row[tree.place] >= 0)
    own, said = row[tree.place[here]], tree.target[here]
    scores[here] = log_softmax(logits[: len(nodes)])[own, said]
    likeliest[here] = logits[own, said] == logits.max(axis=-1)[own]


class OnnxSession:
    def __init__(self, engine: onnxruntime.InferenceSession, config: ModelConfig):
        self.engine = engine
        self.wanted = {one.name for one in engine.get_inputs()}
        empty = np.zeros((1, config.kv_heads, 0, config.head_dim), dtype=np.float32)
        self.past = {name: empty for name in self.wanted if name.startswith("past_key_values")}
        self.presents = [name.replace("past_key_values", "present") for name in self.past]
        self.length, self.vocab_size = 0, config.vocab_size

    def feed(self, ids: Sequence[int], last_only: bool = False) -> np.ndarray:
        if last_only and (len(ids) > PORTION or len(ids) * self.vocab_size > LOGITS):
            for begin in range(0, len(ids) - 1, PORTION):
                self._read(ids[begin : min(begin + PORTION, len(ids) - 1)], logits=False)
            ids = ids[-1:]
        logits = self._read(ids)
        return logits[-1:] if last_only else logits

    def _read(self, ids: Sequence[int], logits: bool = True) -> np.ndarray:
        """Logits [len(ids), vocab_size], or none, for which the head is not computed."""
        end = self.length + len(ids)
        inputs = {
            "input_ids": np.asarray([ids], dtype=np.int64),
            "attention_mask": np.ones((1, end), dtype=np.int64),
            "position_ids": np.arange(self.length, end, dtype=np.int64)[None],
            **self.past,
        }
        options = None  # they cost time
        if not logits:
            options = onnxruntime.RunOptions()
            options.only_execute_path_to_fetches = True
        found = self.engine.run(
            [*self.presents, *["logits"] * logits],
            {name: value for name, value in inputs.items() if name in self.wanted},
            options,
        )
        self.past = dict(zip(self.past, found, strict=False))
        self.length = end
        return found[-1][0] if logits else np.empty(0)

    def rewind(self, length: int) -> None:
        self.past = {name: value[:, :, :length] for name, value in self.past.items()}
        self.length = length
