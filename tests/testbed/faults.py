"""Faults in runs of commands: what befalls them, how they end, and what the next run makes of it.

`Engine` runs in a process of its own (`Faults` starts one) that has imported everything heavy and forks a
child for every run. A trial is a command, a kind of fault and a seed, which decides what happens and when:

* `kill`: SIGKILL, at a file operation or after a time, up to three times over;
* `disk`: files may grow no further, or the disk the command works on (a small tmpfs, for root) is full;
* `call`: one open, rename, removal, new folder or fsync fails;
* `rights`: the folder of the output, what is being made, or an input may not be written or read any longer;
* `network`: there is none, and a call for one is noted;
* `damage`: a file of the input is changed, cut, emptied or removed, before or while it is read.

What is wrong with how a command takes it is a line in the trial's `defects`:

* A run that was not killed ends well, or with one line on stderr and exit code 1 or 2, and no traceback.
* What can be seen of its output is whole. It is what an undisturbed run writes, or, where an input was
  damaged, its edgelm.json has another digest than that of the undamaged input.
* The next run, once the cause is gone, ends with the bytes of an undisturbed one and leaves nothing hidden.
"""

import ctypes
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from drawing import Undisturbed, drawn
from injected import inject
from judging import Run, content, differences, hidden, judge, left_behind, said
from writing import COMMANDS, Command, write_stock

from edgelm import artifacts

IMPORTED = """
torch torch._dynamo peft sklearn.linear_model sklearn.feature_extraction.text sklearn_crfsuite
scipy.sparse sklearn.metrics sklearn.multiclass pyarrow.parquet pyarrow.compute numba onnx onnxruntime
optimum.exporters.onnx optimum.onnxruntime transformers gguf sacrebleu seqeval.metrics
rouge_score.rouge_scorer matplotlib.pyplot multiprocessing.pool rich.table edgelm.quickstart
edgelm.corpus.build edgelm.corpus.measure edgelm.corpus.minhash edgelm.corpus.tune
edgelm.corpus.langid_training edgelm.finetune.lora edgelm.finetune.auto edgelm.export.phone
edgelm.export.target edgelm.export.finish edgelm.export.onnx edgelm.export.head edgelm.export.linear
edgelm.bench.bench edgelm.pretrain.extend edgelm.cli.finetune_training edgelm.runtime.onnx
edgelm.runtime.llama
""".split()
LATEST_S = 240.0
ROOM = 1 << 30
"""Bytes of a disk that is not full."""
STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}
MOUNTS = 0x00020000  # CLONE_NEWNS


@dataclass
class Trial:
    """What was tried and what came of it; `ends` has one of `judging.ENDS` for each disturbed run."""

    command: str
    kind: str
    seed: int
    faults: list[str]
    ends: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    recovered: bool = True
    """Whether the last run ended with the bytes of an undisturbed one."""


class Engine:
    """Runs trials in `folder`, in mounts of its own where that is allowed."""

    def __init__(self, folder: Path):
        self.stock, self.work, self.aside = folder / "stock", folder / "work", folder / "aside"
        for one in (self.stock, self.work, self.aside):
            one.mkdir(parents=True)
        self.mounted = (
            hasattr(os, "geteuid")
            and os.geteuid() == 0
            and ctypes.CDLL(None).unshare(MOUNTS) == 0
            and not subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True).returncode
            and self._mount(f"size={ROOM},mode=755")
        )
        write_stock(self.stock)
        self.known: dict[str, Undisturbed] = {}

    def trial(self, name: str, kind: str, seed: int) -> Trial:
        """One trial; a fault that the seed draws is the same every time."""
        command, undisturbed = COMMANDS[name], self.undisturbed(name)
        self._lay_out(command)
        faults = drawn(name, kind, seed, undisturbed, self.work, self.mounted)
        found = Trial(name, kind, seed, [json.dumps(fault) for fault in faults])
        for fault in faults:
            run = self._disturbed(command, fault)
            end, defects = judge(run, kind, command, undisturbed, self.work)
            found.ends.append(end)
            found.defects += defects
            if "file" in fault and not hidden(Path(fault["file"])):  # a damaged cache stays
                (self.work / fault["file"]).unlink(missing_ok=True)
                shutil.copy2(self.stock / fault["file"], self.work / fault["file"])
        if kind == "network":
            found.defects += [f"called for the network: {one}" for one in run.called]
            return found
        again = self._run(command, None)
        found.recovered = again.status == 0 and content(self.work, command) == undisturbed.content
        if again.status:
            found.defects.append(f"the next run {said(again)}")
        else:
            seen = content(self.work, command)
            found.defects += differences("the next run ended", seen, undisturbed.content)
            found.defects += [f"left behind: {path}" for path in left_behind(self.work)]
        for taken in command.takes:
            if artifacts.digest_path(self.work / taken) != artifacts.digest_path(self.stock / taken):
                found.defects.append(f"the input {taken} was changed")
        return found

    def undisturbed(self, name: str) -> Undisturbed:
        """What the command does when nothing happens; its output is in the stock then."""
        if name not in self.known:
            command = COMMANDS[name]
            for needed in command.takes:
                if needed in COMMANDS:
                    self.undisturbed(needed)
            self._lay_out(command)
            before = self._used()
            run = self._run(command, {"kind": "none"})
            assert run.status == 0, f"{command.line}: {run.status} {run.stderr}"
            size, found = max(self._used() - before, 4096), content(self.work, command)
            assert found, command.line
            self.known[name] = Undisturbed(run.events, run.seconds, size, found)
            if any(name in one.takes for one in COMMANDS.values()):
                shutil.copytree(self.work / "out", self.stock / name)
        return self.known[name]

    def _lay_out(self, command: Command) -> None:
        for path in self.work.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name in command.takes:
            if (self.stock / name).is_dir():
                shutil.copytree(self.stock / name, self.work / name)
            else:
                shutil.copy2(self.stock / name, self.work / name)

    def _disturbed(self, command: Command, fault: dict[str, Any]) -> Run:
        """A run with a fault whose cause is gone afterwards, all but damage to files."""
        modes = {path: path.stat().st_mode for path in (self.work, *self.work.rglob("*"))}
        if "room" in fault:
            assert self._mount(f"remount,size={self._used() + fault['room']}")
        run = self._run(command, fault)
        if "room" in fault:
            assert self._mount(f"remount,size={ROOM}")
        for path in (self.work / one for one in fault.get("paths", ())):
            if path.exists():
                path.chmod(modes.get(path, 0o755))
        return run

    def _run(self, command: Command, fault: dict[str, Any] | None) -> Run:
        """Run a command in a child; it is waited for, what it leaves running is not."""
        told = self.aside / "told.json"
        told.unlink(missing_ok=True)
        pipes = [os.pipe() for _ in STREAMS]  # no limit of a file's size concerns them
        os.write(pipes[0][1], command.says.encode())
        os.close(pipes[0][1])
        started = time.monotonic()
        child = os.fork()
        if not child:
            self._become(command, fault or {"kind": "none"}, told, [pipes[0][0], pipes[1][1], pipes[2][1]])
        for one in (pipes[0][0], pipes[1][1], pipes[2][1]):
            os.close(one)
        status = _wait(child, started + LATEST_S)
        seconds = time.monotonic() - started
        _, stderr = (_read(pipe[0]) for pipe in pipes[1:])
        found = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
        return Run(status, seconds, stderr, found.get("events", 0), found.get("called", []))

    def _become(self, command: Command, fault: dict[str, Any], told: Path, streams: list[int]) -> None:
        """In the child: run the command and never return."""
        status: Any = 70
        try:
            os.setsid()
            os.chdir(self.work)
            for number, (name, mode) in enumerate(STREAMS.items()):
                os.dup2(streams[number], number)
                setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
            sys.argv = ["edgelm", *command.words]
            main = importlib.import_module(command.module).main
            events = inject(fault, self.work)
            try:
                main()
                status = 0
            except SystemExit as left:
                status = left.code or 0
            if fault["kind"] in ("none", "network"):
                told.write_text(json.dumps({"events": events.count, "called": events.called}))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _used(self) -> int:
        if not self.mounted:
            return sum(path.stat().st_size for path in self.work.rglob("*") if path.is_file())
        about = os.statvfs(self.work)
        return (about.f_blocks - about.f_bfree) * about.f_frsize

    def _mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "faults", self.work]
        return subprocess.run(command, capture_output=True).returncode == 0


def _wait(child: int, until: float) -> int | None:
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _read(pipe: int) -> str:
    """What there is to read, which a process that outlives the command may still be holding open."""
    os.set_blocking(pipe, False)
    parts = []
    try:
        while part := os.read(pipe, 1 << 16):
            parts.append(part)
    except BlockingIOError:
        pass
    os.close(pipe)
    return b"".join(parts).decode("utf-8", "replace")


class Faults:
    """An engine in a process of its own."""

    def __init__(self, folder: Path):
        self.process = subprocess.Popen(
            [sys.executable, __file__, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> "Faults":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)

    def trial(self, command: str, kind: str, seed: int) -> Trial:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([command, kind, seed]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the engine ended at {command} {kind} {seed}"
        return Trial(**json.loads(line))


def serve(folder: Path) -> None:
    """Answer trials that are asked for on stdin, until it ends."""
    if hasattr(os, "sched_setaffinity"):  # or two runs may find another number of threads to be faster
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in IMPORTED:
        importlib.import_module(name)
    import torch

    from edgelm import quickstart
    from edgelm.corpus import langid_training
    from edgelm.pretrain import loop

    torch.set_num_threads(1)
    loop.CHECKPOINT_EVERY_S = loop.SAVING_SHARE = 0
    langid_training.Settings = partial(langid_training.Settings, steps=20_000, features=2000)  # type: ignore
    quickstart.MAX_STEPS = quickstart.FINETUNE_STEPS = quickstart.BATCH = 2
    answers, lines = os.dup(1), sys.stdin
    engine = Engine(folder)
    for line in lines:
        found = engine.trial(*json.loads(line))
        os.write(answers, (json.dumps(asdict(found)) + "\n").encode())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
