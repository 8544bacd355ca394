"""`finetune` with replay, killed by SIGKILL and run again, ends with the bytes of an undisturbed run."""

import os
from dataclasses import asdict
from pathlib import Path

import killing
import pytest

from edgelm.finetune.config import FinetuneConfig

CONFIG = FinetuneConfig(
    steps=16, batch=2, learning_rate=0.003, warmup=3, seed=7, precision="fp32", dropout=0.1
)
MOMENTS = [("save", 11), ("step", 12), ("save", 13), ("step", 14), ("tail", 15)]
"""When to kill, with the seed of the milliseconds after it."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_again_and_again(
    tmp_path: Path, base_model: Path, replay_corpus: Path, task_file: Path
) -> None:
    job = {
        "stage": "finetune",
        "corpus": str(replay_corpus),
        "model": str(base_model),
        "task": str(task_file),
    }
    with killing.Stage(**job, config=asdict(CONFIG)) as stage:
        expected = stage.run(tmp_path / "whole")
        output, partial = tmp_path / "killed", tmp_path / ".killed.partial"
        killed, steps = [], []
        for moment, seed in MOMENTS:
            if not stage.killed(output, moment, seed):
                break
            killed.append(moment)
            steps.append(killing.newest(partial))
        assert {"step", "save", "tail"} <= set(killed), killed
        assert steps == sorted(steps)  # it went on, not back
        assert stage.run(output) == expected
        # a kill while checkpoints are removed may cost the whole way again, but no more than that
        if stage.killed(tmp_path / "clearing", "clear", 16):
            assert not (tmp_path / "clearing").exists()
        assert stage.run(tmp_path / "clearing") == expected
    folders = [tmp_path / "whole", output, tmp_path / "clearing"]
    names = [{path.name for path in folder.iterdir()} for folder in folders]
    assert names[0] == names[1] == names[2]
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == (output / "metrics.jsonl").read_bytes()
