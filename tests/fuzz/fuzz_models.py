"""Model directories: decoders, those made elsewhere, heads, small models, adapters."""

import functools
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fuzz_files as sound
from fuzzing import (
    Files,
    Reader,
    Strategy,
    bytes_like,
    changed,
    dumps,
    edits,
    json_like,
    one_of,
)
from hypothesis import strategies as st

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def json_of(files: Callable[[], Files], name: str) -> st.SearchStrategy[bytes]:
    return json_like(lambda: json.loads(files()[name]))


def safetensors_of(files: Callable[[], Files], name: str = WEIGHTS) -> st.SearchStrategy[bytes]:
    """Weights whose header, its length or the whole is changed."""

    def with_header(changes: list[Any], length: int) -> bytes:
        data = files()[name]
        (size,) = struct.unpack_from("<Q", data)
        text = dumps(changed(json.loads(data[8 : 8 + size]), changes))
        return struct.pack("<Q", (len(text) + length) % 2**64) + text + data[8 + size :]

    lengths = st.sampled_from([0, 0, 0, 0, 1, -1, 8, 2**40, 2**63])
    return st.builds(with_header, edits, lengths) | bytes_like(lambda: files()[name])


def weights_as(files: Callable[[], Files], name: str = WEIGHTS) -> st.SearchStrategy[bytes]:
    """Sound safetensors files of other types, shapes and values."""
    import numpy as np
    from safetensors.numpy import load, save

    def make(kind: str, value: float, shape: int) -> bytes:
        found = load(files()[name])
        key = sorted(found)[shape % len(found)]
        with np.errstate(all="ignore"):
            found[key] = np.full_like(found[key], value).astype(kind)
        if shape >= 8:
            found[key] = found[key].reshape(-1) if shape < 12 else np.zeros((0,), kind)
        return bytes(save(found))

    kinds = st.sampled_from(["float32", "float16", "float64", "int8", "int64", "uint8", "bool", "complex64"])
    values = st.sampled_from([0.0, 1e38, float("nan"), float("inf"), -1.0])
    return st.builds(make, kinds, values, st.integers(0, 15))


TEXTS = ("", f"Namhlanje ekuseni 12 ḓ 👩🏾‍🌾 <|eos|> {'a' * 40}b")


def cut_by(pattern: str, behaviour: str = "Isolated", invert: bool = False) -> Files:
    """A tokenizer that cuts text by another pattern first."""
    content = json.loads(sound.foreign()["tokenizer.json"])
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behaviour, "invert": invert}
    content["pre_tokenizer"]["pretokenizers"].insert(0, split)
    return {"tokenizer.json": json.dumps(content).encode()}


def cutting() -> Strategy:
    patterns = [
        "(a+)+$",
        "(a|a)*$",
        "(.*)*x",
        "(",
        "",
        "\\p{L}+",
        "(?<=a)b",
        "\\1",
        "(?:)",
        "[",
        "\\s+(?!\\S)",
    ]
    ways = ["Isolated", "Removed", "MergedWithNext", "Contiguous", "x"]
    return st.builds(
        cut_by, st.sampled_from(patterns) | st.text(max_size=6), st.sampled_from(ways), st.booleans()
    )


def use(folder: Path) -> None:
    """Load a model that writes, and let it."""
    from edgelm.errors import BadInput
    from edgelm.runtime import load

    model = load(folder, threads=1)
    for text in TEXTS:
        "".join(model.generate(text, max_tokens=2))
        model.score(model.prompt("a"), model.tokenize(text) or [model.eos])
    with suppress(BadInput):  # it may know no chat
        model.message(model.tokenize("a"))
    model.detokenize(range(min(model.vocab_size, 400)))


def label(folder: Path) -> None:
    """Load a model that labels, and let it; one that writes is as good."""
    from edgelm.runtime import load, load_labeller
    from edgelm.runtime.answers import answer

    model = load_labeller(folder, threads=1)
    if model is None:
        load(folder, threads=1)
        return
    for text in TEXTS[1:]:
        dumps(answer(model, text))


def ensemble() -> Files:
    from edgelm.runtime.ensemble import ensemble_config

    files = {f"head/{name}": data for name, data in head().items()}
    files |= {f"linear/{name}": data for name, data in sound.linear().items()}
    return files | {"config.json": json.dumps(ensemble_config("linear", [0.5, 0.5])).encode()}


@functools.cache
def head() -> Files:
    from edgelm.model.directory import load_model
    from edgelm.model.head_config import HeadConfig
    from edgelm.model.heads import save_labeller, with_head

    made = with_head(load_model(sound.decoder_dir()), HeadConfig("sequence", ("a", "b", "c")))
    save_labeller(made, sound.decoder_dir(), sound.scratch() / "head", "# head\n")
    return sound.read_folder(sound.scratch() / "head")


@functools.cache
def adapter() -> Files:

    from adapted import adapted

    folder = adapted(sound.decoder_dir(), sound.scratch() / "adapted", 1, True)
    return sound.read_folder(folder / "adapter")


def read_peft(folder: Path) -> None:
    from edgelm.export.adapter import read_adapter

    found = read_adapter(folder)
    for name in found.matrices:
        found.delta(name)


def indexed() -> Files:
    """Weights in two files, as large models have."""
    files = dict(sound.decoder())
    weights = files.pop(WEIGHTS)
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}}
    return files | {"model-00001-of-00001.safetensors": weights, INDEX: dumps(index)}


def small(files: Callable[[], Files], lines: str) -> Strategy:
    return one_of(
        **{
            "config.json": json_of(files, "config.json"),
            WEIGHTS: safetensors_of(files) | weights_as(files),
            lines: bytes_like(lambda: files()[lines]),
        }
    )


READERS = [
    Reader(
        "config.json", sound.decoder, one_of(**{"config.json": json_of(sound.decoder, "config.json")}), use
    ),
    Reader(
        "tokenizer.json",
        sound.decoder,
        one_of(**{"tokenizer.json": json_of(sound.decoder, "tokenizer.json")}),
        use,
    ),
    Reader(
        "safetensors",
        sound.decoder,
        one_of(**{WEIGHTS: safetensors_of(sound.decoder) | weights_as(sound.decoder)}),
        use,
    ),
    Reader(
        "files of models made elsewhere",
        sound.foreign,
        one_of(
            **{
                name: json_of(sound.foreign, name)
                for name in ("tokenizer_config.json", "tokenizer.json", "config.json")
            }
        ),
        use,
    ),
    Reader("patterns of tokenizers", sound.foreign, cutting(), use),
    Reader("index of weights", indexed, one_of(**{INDEX: json_of(indexed, INDEX)}), use),
    Reader("linear model", sound.linear, small(sound.linear, "features.txt"), label),
    Reader("CRF", sound.crf, small(sound.crf, "attributes.txt"), label),
    Reader(
        "head",
        head,
        one_of(
            **{"config.json": json_of(head, "config.json"), WEIGHTS: safetensors_of(head) | weights_as(head)}
        ),
        label,
    ),
    Reader("ensemble", ensemble, one_of(**{"config.json": json_of(ensemble, "config.json")}), label),
    Reader(
        "adapter of peft",
        adapter,
        one_of(
            **{
                "adapter_config.json": json_of(adapter, "adapter_config.json"),
                "adapter_model.safetensors": safetensors_of(adapter, "adapter_model.safetensors")
                | weights_as(adapter, "adapter_model.safetensors"),
            }
        ),
        read_peft,
    ),
]
