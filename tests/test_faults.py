"""Faults in commands that write: each ends clearly, leaves nothing half-written, and the next run mends it.

`benchmarks/faults.py` does the same for all commands and as many seeds as there is time for.
"""

import os
import sys
from collections.abc import Callable, Iterator

import pytest

for package in ("torch", "pyarrow", "onnx", "optimum", "gguf", "peft", "sklearn"):
    pytest.importorskip(package, reason="every command is run, with all that it needs")
if not hasattr(os, "fork") or sys.platform == "darwin":
    pytest.skip("runs are forked, and limits set as on Linux", allow_module_level=True)

from faults import Faults  # noqa: E402

PLAN = {
    "corpus": "kill disk call rights damage",
    "tuned": "kill disk damage",
    "tokenizer": "kill call rights network",
    "tokens": "disk rights",
    "check": "disk call damage",
    "linear": "kill disk call damage",
    "crf": "kill disk rights network",
    "linear onnx": "kill disk call damage",
    "chat": "kill disk network",
    "base": "kill damage",
    "head": "disk",
    "lora": "call",
    "full": "kill",
    "gguf": "disk",
    "onnx": "rights",
    "phone": "call kill",
    "labelled": "kill damage",
}
"""Kinds of faults by command: the cheap ones are tried most."""
SEEDS = {"corpus": (2,), "crf": (0, 1), "tuned": (2,)}
TRIALS = [
    (command, kind, seed)
    for command, kinds in PLAN.items()
    for kind in kinds.split()
    for seed in SEEDS.get(command, (0,))
]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    with Faults(tmp_path_factory.mktemp("faults") / "engine") as engine:
        yield engine


@pytest.mark.parametrize(("command", "kind", "seed"), TRIALS)
def test_a_fault(
    faults: Faults, record_property: Callable[[str, object], None], command: str, kind: str, seed: int
) -> None:
    found = faults.trial(command, kind, seed)
    record_property("faults", [kind, len(found.faults)])
    assert not found.defects, f"{found.faults}\n" + "\n".join(found.defects)
    assert len(found.ends) == len(found.faults)
