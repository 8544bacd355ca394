"""Too little memory is answered with the setting to change: real allocations that the system refuses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")

LOOP = """
import os, sys, tempfile
from dataclasses import replace
from pathlib import Path
import psutil, resource, torch, torch._dynamo
sys.path.insert(0, sys.argv[1])
import small_run
from edgelm.errors import EdgelmError
from edgelm.model.config import ModelConfig
from edgelm.pretrain.loop import train
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer

torch.set_num_threads(1)
small_run.SHAPE = ModelConfig(512, 64, 256, 4, 4, 2, 4096)  # 120 MB of activations a sequence
text = TextTokenizer(Path(sys.argv[2]))
for size, recompute, mb in ((4, False, 60), (1, False, 60), (1, True, 10), (1, True, 300)):
    if os.fork() == 0:
        config = replace(small_run.CONFIG, steps=1, micro_batch=size, recompute=recompute)
        model, packer = small_run.setting(text)
        packer.context = 4096
        folder = small_run.answer(Path(tempfile.mkdtemp(dir=sys.argv[3])), config)
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + mb * 1_000_000,) * 2)
        try:
            train(model, packer, config, folder, Progress(silent=True), "")
            print("enough", flush=True)
        except EdgelmError as error:
            print(error, flush=True)
        except BaseException as error:
            print(repr(error), flush=True)
        os._exit(0)
    os.wait()
"""
COMMAND = """
import os, psutil, resource, sys, torch, torch._dynamo
import edgelm.pretrain.pretrain
from edgelm.cli import main
torch.set_num_threads(1)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + int(sys.argv.pop(1)),) * 2)
main()
"""
FEW_ARENAS = {"MALLOC_ARENA_MAX": "1", "RAYON_NUM_THREADS": "1"}  # each arena takes 64 MB of addresses


def test_the_setting_to_change(tmp_path: Path, tokenizer_dir: Path) -> None:
    testbed = Path(__file__).parents[1] / "testbed"
    found = subprocess.run(
        [sys.executable, "-c", LOOP, testbed, tokenizer_dir, tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == [
        "out of memory with 4 sequences at a time. Run again with --micro-batch 2.",
        "out of memory with one sequence at a time. Run again with --recompute.",
        "out of memory with one sequence at a time. Run again with a smaller --preset.",
        "enough",
    ], found.stderr


def pretrain_within(margin: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`edgelm pretrain` with so many bytes of addresses beyond those of its imports."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, str(margin), "pretrain", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **FEW_ARENAS},
    )


def test_the_command_says_it_in_one_line(tmp_path: Path, corpus: Path, tokenizer_dir: Path) -> None:
    found = pretrain_within(
        1_000_000_000,
        *(corpus, tokenizer_dir, "-o", tmp_path / "out", "--steps", "2", "--quiet"),
        *("--batch", "512", "--micro-batch", "512", "--precision", "fp32", "--compile", "off"),
    )
    assert found.stderr == (
        "edgelm: out of memory with 512 sequences at a time. Run again with --micro-batch 256.\n"
    )
    assert found.returncode == 1
    assert found.stdout == ""


def test_a_model_too_large_to_begin_with(tmp_path: Path, corpus: Path, tokenizer_dir: Path) -> None:
    found = pretrain_within(
        300_000_000,
        *(corpus, tokenizer_dir, "-o", tmp_path / "out", "--preset", "125m", "--steps", "2", "--quiet"),
    )
    assert found.stderr == (
        "edgelm: out of memory. Close other programs, or choose a smaller model or fewer things at a time.\n"
    )
    assert found.returncode == 1
