"""Run a training stage in processes of its own and kill them with SIGKILL at chosen moments.

`Stage` starts one process that imports torch once and forks a child for every run.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

DRIVER = """
import json, os, sys
from pathlib import Path
import torch, torch._dynamo  # the optimisers import it at their first step, here once for all children
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.finetune import finetune
from edgelm.pretrain import loop
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.pretrain import pretrain
from edgelm.tasks.task import load_task

if hasattr(os, "sched_setaffinity"):  # or two runs may find another number of threads to be faster
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
torch.set_num_threads(1)
loop.CHECKPOINT_EVERY_S = loop.SAVING_SHARE = 0
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        kind = TrainConfig if job["stage"] == "pretrain" else FinetuneConfig
        config = kind(**job["config"])
        try:
            if job["stage"] == "pretrain":
                pretrain(
                    Path(job["corpus"]), Path(job["tokenizer"]), Path(job["output"]), preset="nano",
                    config=config, **job.get("options", {}),
                )
            else:
                finetune(
                    Path(job["model"]), [load_task(job["task"])], Path(job["output"]), config=config,
                    replay=Path(job["corpus"]),
                )
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
LATEST_S = 60.0


class Stage:
    """Runs of one stage, one after another."""

    def __init__(self, **job: Any):
        self.job = job
        self.driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.driver.stdin is not None
        self.driver.stdin.close()
        self.driver.wait(LATEST_S)

    def start(self, output: Path) -> int:
        """Begin a run; its process id."""
        assert self.driver.stdin is not None
        self.driver.stdin.write(json.dumps({**self.job, "output": str(output)}) + "\n")
        self.driver.stdin.flush()
        return int(self._line())

    def end(self) -> int:
        """Wait for the run; its exit status, -9 if killed."""
        return int(self._line())

    def run(self, output: Path) -> bytes:
        """A whole run; the weights."""
        self.start(output)
        assert self.end() == 0
        return (output / "model.safetensors").read_bytes()

    def killed(self, output: Path, moment: str, seed: int) -> bool:
        """Run until `moment` and random milliseconds of `seed` more, then kill; False if it ended before.

        Moments: `step` once two more checkpoints are there, `save` while the next but one is being written,
        `tail` after the last step, `clear` when the model is written and checkpoints are being removed.
        """
        partial = output.with_name(f".{output.name}.partial")
        before = newest(partial)
        delay = random.Random(seed).uniform(
            0, {"step": 0.08, "save": 0.02, "tail": 0.02, "clear": 0.002}[moment]
        )
        child = self.start(output)
        until = time.monotonic() + LATEST_S
        while not self._reached(moment, partial, before) and time.monotonic() < until:
            if not alive(child):
                break
        time.sleep(delay)
        if alive(child):
            os.kill(child, signal.SIGKILL)
        status = self.end()
        assert status in (0, -signal.SIGKILL), status
        return status != 0

    def _reached(self, moment: str, partial: Path, before: int) -> bool:
        if moment == "tail":  # the last checkpoint is there
            return newest(partial) >= self.job["config"]["steps"]
        if moment == "clear":
            return (partial / "README.md").exists()
        further = newest(partial) >= before + (2 if moment == "step" else 1)
        return further and (moment == "step" or (partial / ".checkpoint.part").exists())

    def _line(self) -> str:
        assert self.driver.stdout is not None
        return self.driver.stdout.readline()


def newest(partial: Path) -> int:
    """Step of the newest checkpoint, 0 without one."""
    return max((int(one.name.split("-")[1]) for one in partial.glob("checkpoint-*")), default=0)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
