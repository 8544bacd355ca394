"""Small sound files of every kind that edgelm reads, made by its own code once a process."""

import functools
import gzip
import io
import json
import lzma
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

LINES = ["Ḽiṅwe ḓuvha ṱhoho yo vha ṋamusi.", "Só ê dit: môre sê hulle nee.", "umfana uyahamba"]
PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
TOKENS = 330
STRETCHED = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its name in it."""
    files = (one for one in sorted(folder.rglob("*")) if one.is_file())
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in files}


@functools.cache
def scratch() -> Path:
    held = tempfile.TemporaryDirectory(prefix="fuzzed-")
    functools.cache(lambda: held)  # goes with the process
    _held.append(held)
    return Path(held.name)


_held: list[Any] = []


def packed(data: bytes, ending: str) -> bytes:
    if ending == ".zst":
        import zstandard

        return bytes(zstandard.compress(data))
    return bytes(PACK[ending](data))


def jsonl(*records: object) -> bytes:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records).encode()


def records() -> list[dict[str, Any]]:
    more = {"id": "d1", "language": "zul", "source": "radio", "split": "test"}
    return [{"text": text, **more} for text in LINES]


def parquet(**columns: Any) -> bytes:
    import pyarrow
    import pyarrow.parquet

    into = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), into)
    return into.getvalue()


@functools.cache
def tokenizer_dir() -> Path:
    from edgelm.tokenizer.train import save_tokenizer, train_on

    folder = scratch() / "tokenizer"
    folder.mkdir()
    save_tokenizer(train_on([*LINES, "Namhlanje ekuseni ngivuke"] * 3, TOKENS), folder)
    return folder


@functools.cache
def decoder_dir() -> Path:
    """A model directory of one layer."""
    import torch

    from edgelm.model.config import ModelConfig
    from edgelm.model.decoder import Decoder
    from edgelm.model.directory import save_model
    from edgelm.tokenizer.text import TextTokenizer

    config = ModelConfig(
        vocab_size=TextTokenizer(tokenizer_dir()).vocab_size,
        hidden_size=64,
        intermediate_size=64,
        layers=1,
        heads=1,
        kv_heads=1,
        context=256,
    )
    model = Decoder(config)
    model.init_weights(torch.Generator().manual_seed(0))
    save_model(model, tokenizer_dir(), scratch() / "decoder", "A random model for tests.\n")
    return scratch() / "decoder"


@functools.cache
def decoder() -> dict[str, bytes]:
    return read_folder(decoder_dir())


@functools.cache
def foreign() -> dict[str, bytes]:
    """The same with its special tokens named as models made elsewhere do."""
    files = dict(decoder())
    content = json.loads(files["tokenizer.json"])
    for one in content["added_tokens"]:
        if one["content"] == "<|bos|>":
            one["content"] = "<|im_start|>"
        if one["content"] == "<|end|>":
            one["content"] = "<|im_end|>"
    for old, new in (("<|bos|>", "<|im_start|>"), ("<|end|>", "<|im_end|>")):
        vocab = content["model"]["vocab"]
        if old in vocab:
            vocab[new] = vocab.pop(old)
    files["tokenizer.json"] = json.dumps(content).encode()
    said = {
        "eos_token": "<|im_end|>",
        "pad_token": {"content": "<|pad|>"},
        "bos_token": None,
        "chat_template": "{{ '<|im_start|>' + role + '<|im_end|>' }}",
    }
    files["tokenizer_config.json"] = json.dumps(said).encode()
    files.pop("chat_template.jinja", None)
    config = {**json.loads(files["config.json"]), "rope_scaling": STRETCHED}
    files["config.json"] = json.dumps(config).encode()
    return files


@functools.cache
def gguf_file() -> bytes:
    from edgelm.export.gguf import write_gguf

    write_gguf(decoder_dir(), scratch() / "model.gguf", "F16")
    return (scratch() / "model.gguf").read_bytes()


@functools.cache
def onnx() -> dict[str, bytes]:
    """The same model's graph as the exporter writes it."""
    from edgelm.export.onnx import write_onnx

    write_onnx(decoder_dir(), scratch() / "onnx")
    return read_folder(scratch() / "onnx")


@functools.cache
def linear() -> dict[str, bytes]:
    from edgelm.model.linear import LinearClassifier, save_linear

    features = (" u", "um", "fa", "a ", " h", "ham")
    draw = np.random.default_rng(0)
    weights = draw.normal(size=(len(features), 3)).astype(np.float32)
    model = LinearClassifier(
        ("a", "b", "c"),
        features,
        np.ones(len(features), np.float32),
        weights,
        np.zeros(3, np.float32),
        (2, 3),
        "topic",
        ("zul",),
        "LinearSVC, C=1",
        {"macro_f1": {"zul": 0.5}},
    )
    save_linear(model, scratch() / "linear")
    return read_folder(scratch() / "linear")


@functools.cache
def crf() -> dict[str, bytes]:
    from edgelm.model.crf import CrfTagger, save_crf

    attributes = ("0:w=umfana", "0:l=umfana", "-1:<s>", "1:</s>", "pair=umfana uyahamba", "0:p1=u")
    draw = np.random.default_rng(0)
    states = draw.normal(size=(len(attributes), 2)).astype(np.float32)
    model = CrfTagger(
        ("O", "B-PER"), attributes, states, np.zeros((2, 2), np.float32), "ner", ("zul",), "crf"
    )
    save_crf(model, scratch() / "crf")
    return read_folder(scratch() / "crf")
