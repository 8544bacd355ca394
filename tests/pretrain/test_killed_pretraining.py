"""`pretrain` killed by SIGKILL at any moment and run again ends with the bytes of an undisturbed run."""

import os
from dataclasses import asdict
from pathlib import Path

import killing
import pytest

from edgelm import artifacts
from edgelm.pretrain.config import TrainConfig

RUNS = {
    "plain": (TrainConfig(steps=14, batch=1, warmup=3, seed=7, precision="fp32", dropout=0.1), {}),
    "everything": (
        TrainConfig(
            steps=12, batch=3, warmup=3, seed=7, precision="bf16", ema=0.8, select="best", micro_batch=2
        ),
        {"validate_every": 3},
    ),
}
MOMENTS = [("step", 1), ("save", 2), ("save", 3), ("step", 4), ("tail", 5), ("tail", 6)]
"""When to kill, with the seed of the milliseconds after it."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("name", RUNS)
def test_killed_again_and_again(tmp_path: Path, corpus: Path, tokenizer_dir: Path, name: str) -> None:
    config, options = RUNS[name]
    job = {"stage": "pretrain", "corpus": str(corpus), "tokenizer": str(tokenizer_dir), "options": options}
    with killing.Stage(**job, config=asdict(config)) as stage:
        expected = stage.run(tmp_path / "whole")
        output, partial = tmp_path / "killed", tmp_path / ".killed.partial"
        killed, steps = [], []
        for moment, seed in MOMENTS if name == "plain" else MOMENTS[1::2]:
            if not stage.killed(output, moment, seed):
                break
            killed.append(moment)
            steps.append(killing.newest(partial))
        assert {"step", "save", "tail"} <= set(killed), killed
        assert steps == sorted(steps)  # it went on, not back
        assert stage.run(output) == expected
        # a kill while checkpoints are removed may cost the whole way again, but no more than that
        if stage.killed(tmp_path / "clearing", "clear", 7):
            assert not (tmp_path / "clearing").exists()
        assert stage.run(tmp_path / "clearing") == expected
    folders = [tmp_path / "whole", output, tmp_path / "clearing"]
    names = [{path.name for path in folder.iterdir()} for folder in folders]
    assert names[0] == names[1] == names[2]
    for file in ("metrics.jsonl", "README.md"):
        assert (tmp_path / "whole" / file).read_bytes() == (output / file).read_bytes()
    assert len({artifacts.digest_path(folder) for folder in folders}) == 1
    assert not partial.exists()
