"""What the readers were once found to stumble over, each by a name that says what it was."""

import json
import struct
from collections.abc import Callable
from typing import Any

import fuzz_artifacts
import fuzz_files as sound
import fuzz_http
import fuzz_models
import fuzz_onnx
import fuzz_parquet
import fuzz_yaml
import pytest
from fuzz_all import READERS
from fuzzing import DEEP, Files, check


def edited(files: Callable[[], Files], name: str, **changes: Any) -> Callable[[], Files]:
    return lambda: {name: json.dumps({**json.loads(files()[name]), **changes}).encode()}


def written(file: str, value: dict[str, Any], line: str, before: str = "") -> Callable[[], Files]:
    """A YAML file with one line of its own."""
    key = line.partition(":")[0]
    others = (f"{name}: {json.dumps(one)}" for name, one in value.items() if name != key)
    return lambda: {file: "\n".join([before, *others, line, ""]).encode()}


def language(line: str, before: str = "") -> Callable[[], Files]:
    return written("qaa.yaml", fuzz_yaml.language(), line, before)


def without_numbers(files: Files) -> Files:
    """Weights that are all NaN."""
    data = files[fuzz_models.WEIGHTS]
    begin = 8 + struct.unpack_from("<Q", data)[0]
    return {fuzz_models.WEIGHTS: data[:begin] + struct.pack("<f", float("nan")) * ((len(data) - begin) // 4)}


def parquet(name: str, broken: bool, *columns: tuple[str, list[Any]]) -> Callable[[], Files]:
    return lambda: {name: fuzz_parquet.write(list(columns), broken)}


def labels_without_json() -> Files:
    import onnx

    model = onnx.load_from_string(fuzz_onnx.linear()["model.onnx"])
    for one in model.metadata_props:
        one.value = "x"
    return {"model.onnx": model.SerializeToString()}


A, SHARD = ["a", "b", "c"], "data/zul/train-00000.parquet"
PEFT = "adapter_config.json"
BOMB = "- &a0 [x, x]\n" + "".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
REFUSED: dict[str, tuple[str, Callable[[], Files]]] = {
    "a line break in a file's name": (
        "index of weights",
        edited(fuzz_models.indexed, fuzz_models.INDEX, weight_map={"x": "a\nb"}),
    ),
    "a whole number in YAML without digits": ("language", language("prompt: !!int ''")),
    "a few lines of YAML for billions of values": (
        "task",
        lambda: {"task.yaml": f"family:\n{BOMB}name: x\n".encode()},
    ),
    "YAML that is merged into itself": ("language", language("prompt: *a8", fuzz_yaml.MERGES)),
    "a number in YAML to the base of sixty": (
        "target",
        written("target.yaml", fuzz_yaml.target(), "loss: -1" + ":59" * 5000),
    ),
    "two columns of one name": ("parquet", parquet("a.parquet", False, ("text", A), ("text", A))),
    "a time in a zone that is not known": (
        "parquet",
        parquet("a.parquet", True, ("text", A), ("id", [1, 2, 3]), ("lang", A)),
    ),
    "the same in evaluation data": (
        "evaluation parquet",
        parquet("a.parquet", True, ("text", A), ("id", [1, 2, 3]), ("lang", A)),
    ),
    "two columns of one name in a shard": ("shards", parquet(SHARD, False, ("text", A), ("text", A))),
    "a shard with numbers for texts": ("shards", parquet(SHARD, False, ("text", [1, 2, 3]))),
    "a shard with gaps for texts": ("shards", parquet(SHARD, False, ("text", ["a", None, "b"]))),
    "an epsilon that is no number": (
        "config.json",
        edited(sound.decoder, "config.json", rms_norm_eps=float("nan")),
    ),
    "an endless rotary base": ("config.json", edited(sound.decoder, "config.json", rope_theta=float("inf"))),
    "rotary angles stretched by nothing": (
        "config.json",
        edited(sound.decoder, "config.json", rope_scaling={**sound.STRETCHED, "high_freq_factor": 1.0}),
    ),
    "weights that are no numbers": ("safetensors", lambda: without_numbers(sound.decoder())),
    "weights of a head that are no numbers": ("head", lambda: without_numbers(fuzz_models.head())),
    "a pattern of a tokenizer that takes too long": (
        "patterns of tokenizers",
        lambda: fuzz_models.cut_by("(a+)+$"),
    ),
    "a schema with what is no number": (
        "grammar",
        lambda: {"kind": b"json_schema", "text": b'{"const": NaN}'},
    ),
    "n-grams of a billion characters": (
        "linear model",
        edited(sound.linear, "config.json", ngrams=[2, 10**9]),
    ),
    "n-grams without end": ("linear model", edited(sound.linear, "config.json", ngrams=[2, float("inf")])),
    "architectures that are lists": ("head", edited(fuzz_models.head, "config.json", architectures=[[]])),
    "a weight beyond all numbers": (
        "ensemble",
        edited(fuzz_models.ensemble, "config.json", weights=[10**400, 1]),
    ),
    "an adapter's config that is too deep": (
        "adapter of peft",
        lambda: {PEFT: b"[" * DEEP},
    ),
    "an adapter that is scaled by nothing": (
        "adapter of peft",
        edited(fuzz_models.adapter, PEFT, lora_alpha=0),
    ),
    "an adapter's tokens as a number": (
        "adapter of peft",
        edited(fuzz_models.adapter, PEFT, trainable_token_indices=3),
    ),
    "an adapter's pattern as a list": (
        "adapter of peft",
        edited(fuzz_models.adapter, PEFT, alpha_pattern=["x"]),
    ),
    "an adapter's pattern that is no pattern": (
        "adapter of peft",
        edited(fuzz_models.adapter, PEFT, alpha_pattern={"(": 1}),
    ),
    "an adapter's pattern that takes for ever": (
        "adapter of peft",
        edited(fuzz_models.adapter, PEFT, alpha_pattern={r"([\w.]+)+\d": 1}),
    ),
    "a file of weights with too long a name": (
        "ONNX weights elsewhere",
        lambda: fuzz_onnx.elsewhere([("location", "a" * 300)], [2]),
    ),
    "labels of a graph that are no JSON": ("ONNX linear model", labels_without_json),
    "a manifest of nothing": (
        "manifest.json",
        edited(fuzz_artifacts.corpus, "manifest.json", languages={"zul": None}),
    ),
    "a manifest whose recipe has no splits": (
        "manifest.json",
        edited(fuzz_artifacts.corpus, "manifest.json", recipe={"name": "x", "filters": []}),
    ),
    "a manifest that is too deep": ("manifest.json", lambda: {"manifest.json": b"[" * DEEP}),
}
TAKEN: dict[str, tuple[str, Callable[[], Files]]] = {
    "a card with a whole number without digits": (
        "card",
        lambda: {"README.md": b"---\nx: !!int ''\n---\n\n# A model\n"},
    ),
    "a record without settings": (
        "edgelm.json",
        edited(fuzz_artifacts.finetuned, "edgelm.json", config=None),
    ),
    "a finetuning without settings": (
        "edgelm.json",
        lambda: {"edgelm.json": b'{"digest": "0", "command": "finetune"}'},
    ),
    "a record with a task that is none": (
        "edgelm.json",
        edited(fuzz_artifacts.finetuned, "edgelm.json", config={"tasks": [{"name": 3}]}),
    ),
    "a record that is too deep": ("edgelm.json", lambda: {"edgelm.json": b"[" * DEEP}),
    "a request whose query is not UTF-8": (
        "completions",
        lambda: fuzz_http.request(b"GET", b"/nowhere?\x80", fuzz_http.HOST, b""),
    ),
    "a request for an address that is none": (
        "site server",
        lambda: {"request": b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n"},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name: str) -> None:
    reader, files = REFUSED[name]
    assert not check(READERS[reader], files())


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_taken_as_it_is(name: str) -> None:
    reader, files = TAKEN[name]
    assert check(READERS[reader], files())
