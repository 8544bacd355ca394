import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import exported
import pytest

from edgelm.errors import BadInput
from edgelm.export.export import artifact_name, export
from edgelm.export.verify import STRINGS, bounds, verification_texts
from edgelm.languages import load_languages
from edgelm.progress import Progress, Step
from edgelm.runtime import load
from edgelm.tokenizer.special import special_tokens

EXPORT = """
import sys
from pathlib import Path
from edgelm.export.export import export
export(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
"""


def test_every_format_is_written_verified_and_loads(export_dir: Path) -> None:
    assert set(exported.FORMATS) < set(bounds())
    figures = json.loads((export_dir / "verification.json").read_text(encoding="utf-8"))
    assert tuple(figures) == exported.FORMATS
    texts = sum(len(own) + STRINGS for own in verification_texts().values())
    texts += len(special_tokens(sorted(load_languages())))  # each of them, written in a text
    for name in exported.FORMATS:
        bound, one = bounds()[name], figures[name]
        assert one["strings_with_equal_tokens"] == texts
        assert one["kl"] <= bound.kl
        assert one["logits"] <= bound.logits
        assert one["top1"] >= bound.top1
        assert one["greedy"] >= bound.greedy
        assert one["positions"] > 1000
        path = export_dir / artifact_name(name)
        assert one["bytes"] == (path if path.is_file() else path / "model.onnx").stat().st_size
        model = load(path)
        assert "".join(model.generate("Namhlanje", language="zul", temperature=0, max_tokens=8))
        model.close()
    assert figures["gguf:Q4_K_M"]["kl"] > figures["gguf:Q8_0"]["kl"] > figures["gguf:F16"]["kl"]


def test_the_folder_holds_what_the_readme_says(export_dir: Path) -> None:
    beside = {
        "config.json",
        "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    }
    expected = {"verification.json", "edgelm.json", "imatrix.gguf"}
    expected |= {artifact_name(name) for name in exported.FORMATS if name.startswith("gguf")}
    expected |= {f"onnx/{kind}/{name}" for kind in ("fp32", "int8") for name in beside}
    found = {path.relative_to(export_dir).as_posix() for path in export_dir.rglob("*") if path.is_file()}
    assert found == expected
    provenance = json.loads((export_dir / "edgelm.json").read_text(encoding="utf-8"))
    assert provenance["command"] == "export"
    assert provenance["results"] == json.loads((export_dir / "verification.json").read_text(encoding="utf-8"))


class Total(Progress):
    """Keeps how many units of work were announced."""

    @contextmanager
    def track(self, total: float, title: str) -> Iterator[Step]:
        self.total = total
        yield lambda done, note="": None


def test_again_does_nothing_and_a_format_twice_is_once(tmp_path: Path, model_dir: Path) -> None:
    output, progress = tmp_path / "out", Total()
    found = export(model_dir, output, ["gguf:F16", "gguf:F16"], progress=progress)
    assert progress.total == 1
    written = (output / "model-F16.gguf").stat().st_mtime_ns
    assert export(model_dir, output, ["gguf:F16"]) == found
    assert (output / "model-F16.gguf").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("formats", "problem"),
    [
        ([], "no format was given"),
        (["lite"], "unknown format 'lite'. Choose from: gguf:F32"),
        (["gguf:Q9"], "unknown format 'gguf:Q9'. Did you mean"),
        (["gguf:q4_k_m"], r"'gguf:q4_k_m'. Did you mean 'gguf:Q4_K_M'\? All: gguf:F32, "),
        (["gguf:Q8_0,onnx:int8"], "'gguf:Q8_0,onnx:int8'. Give --to once for each format"),
        (["gguf"], "unknown format 'gguf'"),
    ],
)
def test_bad_formats_are_named(tmp_path: Path, model_dir: Path, formats: list[str], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        export(model_dir, tmp_path / "out", formats)
    assert list(tmp_path.iterdir()) == []


def test_killed_it_leaves_nothing_that_looks_finished(tmp_path: Path, model_dir: Path) -> None:
    output, partial = tmp_path / "out", tmp_path / ".out.partial"
    for moment in ("model-F16.gguf", "verification.json"):
        process = subprocess.Popen(exported.python(EXPORT, str(model_dir), str(output), "gguf:F16"))
        until = time.monotonic() + 60
        while not (partial / moment).exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.0005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
        with pytest.raises(BadInput, match="no such model"):
            load(output / "model-F16.gguf")
    assert list(export(model_dir, output, ["gguf:F16"])) == ["gguf:F16"]
    assert not partial.exists()
    assert not (output / ".digest").exists()


def test_the_command(tmp_path: Path, model_dir: Path) -> None:
    done = subprocess.run(
        ["edgelm", "export", str(model_dir), "-o", "out", "--to", "gguf:Q8_0", "-q"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PATH": f"{Path(exported.sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    row = next(line for line in done.stdout.splitlines() if "Q8_0" in line).split()
    assert row[0] == "model-Q8_0.gguf"
    assert done.stdout.splitlines()[-1].startswith("written: out ")
    assert float(row[1]) == pytest.approx(
        (tmp_path / "out" / "model-Q8_0.gguf").stat().st_size / 1e6, abs=0.01
    )
