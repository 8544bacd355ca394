"""`edgelm bench` and `edgelm export --target` as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Run = Callable[..., tuple[int, str, str]]


def test_tables_json_page_and_picture(tmp_path: Path, edgelm: Run, tiny_gguf: Path) -> None:
    out = tmp_path / "out"
    code, said, err = edgelm("bench", tiny_gguf, "-o", out, "-p", 32, "-n", 4, "-r", 2, "-t", "1,2", "-q")
    assert code == 0, err
    for words in (
        "pp32 tokens/s",
        "tg4 tokens/s",
        "J/token",
        "Characters a second",
        "not beaten in",
        "speed and",
    ):
        assert words in said
    figures = json.loads((out / "bench.json").read_text(encoding="utf-8"))
    assert figures["settings"] == {"prompt": 32, "new": 4, "repetitions": 2, "threads": [1, 2]}
    assert [one["threads"] for one in figures["models"][0]["latency"]] == [1, 2]
    assert (out / "bench.html").exists()
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        assert "pip install 'edgelm[bench]'" in said
    else:
        assert (out / "bench.png").exists()


def test_bench_refuses_what_it_cannot_do(tmp_path: Path, edgelm: Run, tiny_gguf: Path) -> None:
    for given, words in (
        ((tiny_gguf, "-t", "two"), "not whole numbers"),
        ((tiny_gguf, "-t", "0"), "not whole numbers"),
        ((tmp_path / "no.gguf",), "no such model"),
        ((tiny_gguf, "--text", tmp_path / "no"), "no"),
    ):
        code, _, err = edgelm("bench", *given, "-o", tmp_path / "out", "-q")
        assert (code, err.count("\n")) == (2, 1), err
        assert words in err
    assert not (tmp_path / "out").exists()


def test_a_device_chooses_the_format(tmp_path: Path, edgelm: Run, model_dir: Path) -> None:
    pytest.importorskip("llama_cpp", reason="GGUF files are quantised with the extra 'gguf'")
    target, out = tmp_path / "watch.yaml", tmp_path / "out"
    values = {
        "about": "a watch", "formats": ["gguf:Q8_0", "gguf:F16"], "choose": "quality", "threads": 1,
        "loss": 9, "size": 2_000_000, "memory": 1_000_000_000, "tokens_per_second": 1, "first_token": 9,
        "device": {"bytes_per_second": 100_000_000},
    }  # fmt: skip
    target.write_text(yaml.safe_dump(values))
    code, said, err = edgelm("export", model_dir, "--target", target, "-o", out, "-q")
    assert code == 0, err
    for words in ("For a watch", "chosen", "2 allowed", "estimated"):
        assert words in said
    assert (out / "model-Q8_0.gguf").exists()
    target.write_text(yaml.safe_dump(values | {"size": 1000}))
    code, said, err = edgelm("export", model_dir, "--target", target, "-o", tmp_path / "none", "-q")
    assert code == 1
    assert "For a watch" in said  # the table explains it here too
    assert "gguf:F16: size" in said
    assert err.splitlines()[-1].startswith("edgelm: watch: no format fits. The nearest is gguf:Q8_0: size")
    assert not (tmp_path / "none").exists()


def test_formats_or_a_device(tmp_path: Path, edgelm: Run, model_dir: Path) -> None:
    for given, words in (
        ((), "no format was given"),
        (("--target", "phone", "--to", "gguf:Q8_0"), "Leave --to out"),
        (("--target", "toaster"), "Choose from: browser, laptop, phone"),
    ):
        model = model_dir if "toaster" in given else tmp_path / "none"  # which is not looked at before
        code, _, err = edgelm("export", model, *given, "-o", tmp_path / "out", "-q")
        assert (code, err.count("\n")) == (2, 1)
        assert words in err
