"""`--adapter`, the LoRA adapter that goes on a GGUF file, in every command that runs a model."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import made_up
import pytest
from adapted import adapted

from edgelm import artifacts
from edgelm.runtime import load
from edgelm.runtime.conversation import Conversation

pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
pytest.importorskip("peft", reason="peft makes the adapters")

Run = Callable[..., tuple[int, str, str]]
COMMANDS = ("run", "chat", "serve", "evaluate", "bench")
FAST = ("-p", 16, "-n", 2, "-r", 1, "-t", 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, tiny_gguf: Path) -> dict[str, Path]:
    """A model that was pretrained, `base`, its GGUF file, and a finetuned one with its adapter.

    The command that exports the adapter is tested elsewhere.
    """
    from edgelm.export.adapter import read_adapter, write_adapter
    from edgelm.export.gguf import write_gguf
    from edgelm.model.directory import load_model

    folder = tmp_path_factory.mktemp("adapters")
    base = Path(shutil.copytree(tiny_model_dir, folder / "base"))
    record = {"command": "pretrain", "config": {"steps": 5, "batch": 4}, "versions": {"edgelm": "0.1"}}
    (base / artifacts.PROVENANCE).write_text(json.dumps({**record, "digest": ""}))
    write_gguf(base, folder / "model-F32.gguf", "F32")
    tuned = adapted(base, folder / "tuned", 0, rows=False)
    shape = load_model(base).config
    write_adapter(read_adapter(tuned), base, shape, folder / "adapter-F32.gguf", tuned)
    other = Path(shutil.copytree(base, folder / "other"))
    (other / "model.safetensors").write_bytes(_changed((base / "model.safetensors").read_bytes()))
    write_gguf(other, folder / "other-F32.gguf", "F32")
    return {
        "base": base,
        "tuned": tuned,
        "gguf": folder / "model-F32.gguf",
        "adapter": folder / "adapter-F32.gguf",
        "other": folder / "other-F32.gguf",
        "corpus": made_up.make_corpus(folder / "corpus"),
        "task": made_up.make_task(folder / "task"),
    }


def _changed(weights: bytes) -> bytes:
    """The same shapes, a last weight that differs a little."""
    return weights[:-4] + bytes([weights[-4] ^ 1]) + weights[-3:]


def arguments(command: str, model: Path, out: Path, files: dict[str, Path]) -> tuple[Any, ...]:
    more: dict[str, tuple[Any, ...]] = {
        "run": ("Molo", "-q"),
        "chat": ("-q",),
        "serve": ("--port", 0),
        "evaluate": ("-o", out, "--corpus", files["corpus"], "-q"),
        "bench": ("-o", out, *FAST, "-q"),
    }
    return command, model, *more[command]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("model", "adapter", "said"),
    [
        ("other", "adapter", "adapter-F32.gguf: was trained on another base. Load the base that was"),
        ("base", "adapter", "base: an adapter goes on a .gguf file. Export the base to one."),
        ("gguf", "gguf", "model-F32.gguf: is not an adapter that llama.cpp can put on this model. Give"),
        ("gguf", "missing", "missing.gguf: "),
    ],
)
def test_what_does_not_go_together_is_one_line(
    tmp_path: Path, edgelm: Run, files: dict[str, Path], command: str, model: str, adapter: str, said: str
) -> None:
    path = files.get(adapter, tmp_path / "missing.gguf")
    given = arguments(command, files[model], tmp_path / "out", files)
    code, out, err = edgelm(*given, "--adapter", path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not (tmp_path / "out").exists()


def test_run_and_chat_write_as_the_adapted_model(
    tmp_path: Path, edgelm: Run, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned, ask = load(files["tuned"]), ("--max-tokens", 20, "--temperature", 1, "--top-p", 1)
    code, out, err = edgelm("run", files["gguf"], "Molo", *ask, "--adapter", files["adapter"], "-q")
    written = "".join(tuned.generate("Molo", max_tokens=20, temperature=1, top_p=1))
    assert (code, out, err) == (0, f"Molo{written}\n", "")
    assert edgelm("run", files["gguf"], "Molo", *ask, "-q")[1] != out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Sawubona\nUnjani?\n")))
    code, out, err = edgelm("chat", files["gguf"], *ask, "--adapter", files["adapter"])
    talk = Conversation(tuned, max_tokens=20, temperature=1, top_p=1)
    expected = [f"{''.join(talk.ask(text))}\n" for text in ("Sawubona", "Unjani?")]
    assert (code, out) == (0, "".join(expected))
    assert err == ""  # the base was only pretrained; with the adapter that says nothing
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Sawubona\nUnjani?\n")))
    code, other, err = edgelm("chat", files["gguf"], *ask)
    assert (code, err.count("\n")) == (0, 1)
    assert "has learnt to continue text" in err
    assert other != out


def test_serve_answers_as_the_adapted_model(files: dict[str, Path]) -> None:
    pytest.importorskip("uvicorn", reason="the server is the extra 'serve'")
    pytest.importorskip("openai", reason="the server is tested with OpenAI's client")
    from served import start

    with start(files["gguf"], "--adapter", files["adapter"]) as server:
        found = server.client().completions.create(
            model="model-F32", prompt="Molo", max_tokens=20, seed=3, temperature=1
        )
    options: dict[str, Any] = {"max_tokens": 20, "seed": 3, "temperature": 1, "top_p": 1}
    assert found.choices[0].text == "".join(load(files["tuned"]).generate("Molo", **options))
    assert found.choices[0].text != "".join(load(files["base"]).generate("Molo", **options))


def test_evaluate_measures_the_adapted_model(tmp_path: Path, edgelm: Run, files: dict[str, Path]) -> None:
    found = {}
    for name, given in {
        "adapted": (files["gguf"], "--adapter", files["adapter"]),
        "exported": (files["base"], "--backend", "gguf", "--adapter", files["adapter"]),
        "tuned": (files["tuned"],),
        "base": (files["gguf"],),
    }.items():
        if name == "exported":
            pytest.importorskip("llama_cpp", reason="GGUF files are run with llama-cpp-python")
        out = tmp_path / name
        code, _, err = edgelm("evaluate", *given, "-o", out, "--corpus", files["corpus"], "-q")
        assert (code, err) == (0, "")
        found[name] = json.loads((out / "model" / "evaluation.json").read_text(encoding="utf-8"))
    bits = {name: one["bits_per_byte"] for name, one in found.items()}
    assert bits["adapted"] == bits["exported"] == pytest.approx(bits["tuned"], abs=2e-4)
    assert all(abs(bits["base"][code] - one) > 1e-3 for code, one in bits["tuned"].items())
    assert found["adapted"]["name"] == "GGUF F32 with adapter-F32"


def test_evaluate_takes_an_adapter_as_an_input(tmp_path: Path, edgelm: Run, files: dict[str, Path]) -> None:
    given = ("evaluate", files["gguf"], "--corpus", files["corpus"], "-o", tmp_path / "out", "-q")
    for more in ((), ("--adapter", files["adapter"])):  # not what was measured before, without
        assert edgelm(*given, *more)[0] == 0
        found = json.loads((tmp_path / "out" / "model" / artifacts.PROVENANCE).read_text(encoding="utf-8"))
        assert [Path(one).name for one in found["inputs"]][1:-1] == [Path(one).name for one in more[1:]]
    assert found["results"]["name"] == "GGUF F32 with adapter-F32"


def test_a_model_that_labels_takes_none(tmp_path: Path, edgelm: Run, files: dict[str, Path]) -> None:
    import numpy as np

    from edgelm.model.linear import LinearClassifier, save_linear

    zero = np.zeros(1, dtype=np.float32)
    model = LinearClassifier(("a", "b"), ("xx",), zero + 1, zero[None], zero, method="LinearSVC")
    save_linear(model, tmp_path / "labels")
    more = ("--adapter", files["adapter"])
    code, _, err = edgelm("evaluate", tmp_path / "labels", files["task"], "-o", tmp_path / "out", "-q", *more)
    assert code == 2
    assert err.endswith("labels: labels: no adapter goes on it. Leave --adapter out.\n")
    code, _, err = edgelm("run", tmp_path / "labels", "x", *more)
    assert code == 2
    assert "--adapter does nothing with a model that labels" in err


def test_bench_measures_the_adapted_model(
    tmp_path: Path, edgelm: Run, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgelm.bench import bench as module
    from edgelm.bench.bench import quality_texts
    from edgelm.evaluate.bits_per_byte import bits_per_byte

    names = []

    def told(real: Callable[..., Any], *given: Any, **options: Any) -> Any:
        found = real(*given, **options)
        names.append(found["name"])
        return found

    for work in ("measure_speed", "evaluate"):
        monkeypatch.setattr(module, work, partial(told, getattr(module, work)))
    more = ("--adapter", files["adapter"], "--tasks", files["task"], "-q")
    code, said, err = edgelm("bench", files["gguf"], "-o", tmp_path / "out", *FAST, *more)
    assert (code, err) == (0, "")
    assert "model-F32.gguf with adapter-F32" in said
    assert names == ["GGUF F32 with adapter-F32"] * 2
    record = json.loads((tmp_path / "out" / artifacts.PROVENANCE).read_text(encoding="utf-8"))
    assert [Path(one) for one in record["inputs"]] == [files["gguf"], files["adapter"]]
    (found,) = json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))["models"]
    assert found["bytes"] == sum(files[name].stat().st_size for name in ("gguf", "adapter"))
    texts = {"zul": quality_texts(None)["zul"]}
    expected, plain = (bits_per_byte(load(files[name]), texts)["zul"] for name in ("tuned", "base"))
    assert (
        found["bits_per_byte"]["zul"] == pytest.approx(expected, abs=2e-4) != pytest.approx(plain, abs=1e-3)
    )
