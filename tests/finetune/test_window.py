"""Models of a long context learn from sequences that a laptop has memory for."""

import json
import shutil
from pathlib import Path

import pytest

from edgelm.errors import BadInput
from edgelm.finetune.auto import finetune_auto
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.ensemble import finetune_ensemble
from edgelm.finetune.finetune import finetune
from edgelm.finetune.head import finetune_head
from edgelm.model.config import WINDOW, get_preset, read_config
from edgelm.progress import Progress
from edgelm.tasks.task import load_task

CONTEXT = 32_768
CONFIG = FinetuneConfig(steps=1, batch=1, precision="fp32", compile="off")


@pytest.fixture(scope="module")
def long(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says it has a context as models made elsewhere have."""
    folder = Path(shutil.copytree(base_model, tmp_path_factory.mktemp("long") / "model"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["max_position_embeddings"] = CONTEXT
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def tokens(folder: Path) -> int:
    """Read in the one step that there was."""
    return int(json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])["tokens"])


@pytest.mark.parametrize(("asked", "read"), [(None, WINDOW), (64, 64)])
def test_sequences_are_shorter_than_the_context(
    tmp_path: Path,
    long: Path,
    task_file: Path,
    asked: int | None,
    read: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = FinetuneConfig(steps=1, batch=1, precision="fp32", compile="off", context=asked)
    finetune(long, [load_task(task_file)], tmp_path / "full", config=config, progress=Progress())
    finetune_head(long, load_task(task_file), tmp_path / "head", config=config, progress=Progress())
    assert f"in sequences of {read:,} of 32,768 tokens" in capsys.readouterr().err
    for name in ("full", "head"):
        assert tokens(tmp_path / name) == read
        assert read_config(tmp_path / name).context == CONTEXT


def test_the_context_stays_the_limit(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    finetune(base_model, [load_task(task_file)], tmp_path / "out", config=CONFIG)
    assert tokens(tmp_path / "out") == read_config(base_model).context < WINDOW
    for asked in (0, read_config(base_model).context + 1):
        config = FinetuneConfig(steps=1, batch=1, context=asked)
        with pytest.raises(BadInput, match=rf"--context {asked} is out of range. Give between 32 and .*128"):
            finetune(base_model, [load_task(task_file)], tmp_path / "no", config=config)
        with pytest.raises(BadInput, match="out of range"):
            finetune_head(base_model, load_task(task_file), tmp_path / "no", config=config)
        for several in (finetune_ensemble, finetune_auto):
            with pytest.raises(BadInput, match="out of range"):
                several(base_model, load_task(task_file), tmp_path / "no", config=config)
    assert not (tmp_path / "no").exists()


def test_windows_by_default() -> None:
    assert get_preset("nano").window(None) == min(get_preset("nano").context, WINDOW)
    assert get_preset("nano").window(40) == 40
