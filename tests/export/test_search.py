"""Formats exported, measured and chosen for a device, with the real exporters and runtimes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgelm.errors import EdgelmError
from edgelm.export import verify
from edgelm.export.search import export_for
from edgelm.export.target import Target
from edgelm.model.config import read_config
from edgelm.runtime import load

pytest.importorskip("llama_cpp", reason="GGUF files are quantised with the extra 'gguf'")

ROOMY = Target(
    name="roomy", about="a test", formats=("gguf:Q4_K_M", "gguf:Q8_0"), choose="quality", threads=1, loss=9,
    size=1e9, memory=1e9, tokens_per_second=1, first_token=9, bytes_per_second=1e8,
    operations_per_second=1e9,
)  # fmt: skip


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("search") / "out"
    return out, export_for(model_dir, out, ROOMY)


def test_the_best_is_kept_alone_with_its_proof(chosen: tuple[Path, dict[str, Any]]) -> None:
    out, figures = chosen
    assert figures["chosen"] == "gguf:Q4_K_M"  # of random weights neither loses bits per byte
    assert sorted(one.name for one in out.iterdir()) == [
        "edgelm.json", "imatrix.gguf", "model-Q4_K_M.gguf", "target.json", "verification.json",
    ]  # fmt: skip
    assert set(json.loads((out / "verification.json").read_text())) == {"gguf:Q4_K_M"}
    assert json.loads((out / "target.json").read_text()) == figures
    load(out / figures["file"]).close()


def test_every_candidate_is_measured(chosen: tuple[Path, dict[str, Any]], model_dir: Path) -> None:
    out, figures = chosen
    best, small = figures["candidates"]  # the one with more bits first
    assert (best["format"], small["format"]) == ("gguf:Q8_0", "gguf:Q4_K_M")
    assert best["fits"]
    assert small["fits"]
    assert small["bytes"] < best["bytes"] < small["memory_bytes"]
    proof = json.loads((out / "verification.json").read_text())["gguf:Q4_K_M"]["languages"]
    lost = {code: one["bits_per_byte"] - one["bits_per_byte_before"] for code, one in proof.items()}
    assert small["bits_per_byte_lost"] == pytest.approx(sum(lost.values()) / len(lost), abs=1e-4)
    assert small["most_lost_in"][1] == max(lost.values())
    for one in (best, small):
        assert one["tokens_per_second_here"] > 1
        assert one["tokens_per_second"] == pytest.approx(1e8 / one["bytes"])
        assert one["first_token_seconds"] == pytest.approx(2 * read_config(model_dir).parameters * 64 / 1e9)


def test_nothing_fits(tmp_path: Path, model_dir: Path) -> None:
    tight = replace(ROOMY, formats=("gguf:F16", "gguf:Q8_0"), size=1_000_000)
    with pytest.raises(EdgelmError) as error:
        export_for(model_dir, tmp_path / "out", tight)
    assert error.value.exit_code == 1
    said = str(error.value)
    assert said.startswith("roomy: no format fits. The nearest is gguf:Q8_0: size")
    assert "1 allowed" in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_a_format_outside_its_bounds_is_no_candidate_but_a_row(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = verify.bounds()
    strict = {**known, "gguf:Q8_0": replace(known["gguf:Q8_0"], kl=1e-12)}
    monkeypatch.setattr(verify, "bounds", lambda: strict)
    here = replace(
        ROOMY, formats=("gguf:Q8_0", "gguf:F16"), bytes_per_second=None, operations_per_second=None
    )
    figures = export_for(model_dir, tmp_path / "out", here)
    assert figures["chosen"] == "gguf:F16"
    failed = next(one for one in figures["candidates"] if one["format"] == "gguf:Q8_0")
    assert "beyond the bounds" in failed["why_not"][0]
    assert "bytes" not in failed
    good = next(one for one in figures["candidates"] if one["fits"])
    assert good["tokens_per_second"] == pytest.approx(
        good["tokens_per_second_here"], abs=0.06
    )  # of this machine
    assert figures["speed"] == "measured here"
    assert not list((tmp_path / "out").glob("*Q8_0*"))
