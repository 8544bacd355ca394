"""`edgelm export` as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgelm.runtime import load
from edgelm.tokenizer.texts import sample_texts

Run = Callable[..., tuple[int, str, str]]


def test_exported_pruned(tmp_path: Path, edgelm: Run, model_dir: Path) -> None:
    pytest.importorskip("llama_cpp", reason="GGUF files are quantised with the extra 'gguf'")
    out, folder = tmp_path / "out", tmp_path / "text"
    folder.mkdir()
    for code in ("zul", "xho", "eng"):
        (folder / f"{code}.txt").write_text("\n\n".join(sample_texts()[code]), encoding="utf-8")
    given = ("export", model_dir, "--to", "gguf:Q8_0", "--languages", "zul,xho")
    code, _, err = edgelm(*given, "-o", out, "-q")
    assert (code, err.count("\n")) == (2, 1)
    assert "--text my-corpus" in err
    code, said, err = edgelm(*given, "--text", folder, "-o", out, "-q")
    assert (code, err) == (0, "")
    found = json.loads((out / "pruning.json").read_text(encoding="utf-8"))
    before, after = found["tokens"]
    for words in (f"{before:,}", f"{after:,}", f"{after / before - 1:+.0%}", "zul: 100.0% of held-out"):
        assert words in said
    assert all(speed > 0 for speed in found["tokens_per_second"])
    figures = json.loads((out / "verification.json").read_text(encoding="utf-8"))["gguf:Q8_0"]
    assert set(figures["languages"]) == {"zul", "xho"}
    whole, pruned = load(model_dir), load(out / "model-Q8_0.gguf")
    assert pruned.vocab_size == after
    text = sample_texts()["zul"][0]
    p, q = (model.session().feed([model.bos, *model.tokenize(text)])[-1] for model in (whole, pruned))
    kept = np.sort(np.partition(p, -5)[-5:])
    assert np.abs(np.sort(np.partition(q, -5)[-5:]) - kept).max() < 1.5 * p.std()
    pruned.close()
    for code in ("zul", "xho"):
        (folder / f"{code}.txt").write_text(sample_texts()[code][0], encoding="utf-8")
    code, said, err = edgelm(*given, "--text", folder, "-o", tmp_path / "little", "-q")
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("edgelm: warning: other text in xho, zul is cut into other tokens")


def test_what_an_adapter_or_a_head_cannot_use_is_refused(
    tmp_path: Path, edgelm: Run, tiny_model_dir: Path
) -> None:
    from edgelm.model.directory import load_model
    from edgelm.model.head_config import HeadConfig
    from edgelm.model.heads import save_labeller, with_head

    head, linear = tmp_path / "head", tmp_path / "linear"
    head.mkdir()
    labels = HeadConfig("sequence", ("a", "b"), False)
    save_labeller(with_head(load_model(tiny_model_dir), labels, 0), tiny_model_dir, head, "A head.\n")
    linear.mkdir()
    (linear / "config.json").write_text(json.dumps({"model_type": "edgelm-linear"}), encoding="utf-8")
    for model, to, option, need in (
        (tiny_model_dir, ["lora:F16", "gguf:Q8_0"], "languages", "with lora:F16"),
        (tiny_model_dir, ["lora:F16"], "text", "with lora:F16 alone"),
        (head, ["onnx:fp32"], "languages", "with a model that labels"),
        (head, ["onnx:fp32"], "text", "with a model that labels"),
        (linear, ["onnx:fp32"], "languages", "with a model that labels"),
    ):
        given = [word for name in to for word in ("--to", name)]
        value = "zul" if option == "languages" else "none"
        code, _, err = edgelm("export", model, *given, f"--{option}", value, "-o", tmp_path / "out", "-q")
        assert (code, err.count("\n")) == (2, 1)
        assert f"--{option} does nothing {need}. Leave it out." in err, (model.name, to, err)
    assert not (tmp_path / "out").exists()
