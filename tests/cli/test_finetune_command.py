"""`edgelm finetune` and `edgelm evaluate` as a user types them."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="task baselines need the extra 'train'")

Run = Callable[..., tuple[int, str, str]]


def test_a_cheap_model_and_its_evaluation(tmp_path: Path, edgelm: Run) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    code, said, err = edgelm(
        "finetune", "topic", "--method", "linear", "--languages", "zul", "-o", model, "-q"
    )
    assert (code, err) == (0, "")
    assert "Validation" in said
    assert "macro_f1" in said
    assert sorted(path.name for path in model.iterdir()) == [
        "README.md",
        "config.json",
        "edgelm.json",
        "features.txt",
        "model.safetensors",
    ]
    code, said, err = edgelm("evaluate", model, "topic", "-o", out, "-q")
    assert (code, err) == (0, "")
    for words in ("linear", "TF-IDF + SVM", "majority", "against the best baseline", f"{out}/results.md"):
        assert words in said
    assert {"results.md", "results.tex", "results.json"} <= {path.name for path in out.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["topic", "--method", "linear", "--steps", 9], "--steps does nothing with --method linear"),
        (["MODEL", "topic", "--both-ways"], "--both-ways does nothing with --method full"),
        (["MODEL", "topic", "--method", "head", "--replay", "x"], "--replay does nothing with --method head"),
        (["MODEL"], "no task was given"),
        (["topic", "sib200", "--method", "linear"], "--method linear takes one task at a time"),
        (["topic", "--method", "crf"], "--method crf does not suit 'topic'. Try --method linear."),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path,
    edgelm: Run,
    tiny_model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[object],
    said: str,
) -> None:
    monkeypatch.setenv("EDGELM_DATA", str(tmp_path))
    words = [tiny_model_dir if one == "MODEL" else one for one in arguments]
    code, _, err = edgelm("finetune", *words, "-o", tmp_path / "out")
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()
