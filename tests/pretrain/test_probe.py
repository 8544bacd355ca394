import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from edgelm.doctor import read_instruction_sets
from edgelm.machine import usable_cores
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.pretrain import probe
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.probe import (
    THREAD_TOKENS,
    attended_tokens,
    faster_precision,
    faster_threads,
    flops_per_token,
    free_memory,
    measure,
    measured_peak,
    settle,
)

SHAPE = ModelConfig(
    vocab_size=512, hidden_size=256, intermediate_size=512, layers=2, heads=4, kv_heads=2, context=128
)


@pytest.fixture(scope="module")
def model() -> Decoder:
    return Decoder(SHAPE)


def test_an_interrupted_run_goes_on_with_its_answers(model: Decoder, tmp_path: Path) -> None:
    first = settle(TrainConfig(steps=1), model, 128, 8, tmp_path)
    path = tmp_path / ".machine.json"
    answers = json.loads(path.read_text(encoding="utf-8"))
    assert answers["dtype"] == first.dtype
    path.write_text(json.dumps({**answers, "threads": 7, "micro_batch": 5, "dtype": "float64"}))
    again = settle(TrainConfig(steps=1), model, 128, 8, tmp_path)
    assert (again.threads, again.micro_batch, again.torch_dtype) == (7, 5, torch.float64)
    assert again.peak == first.peak


def test_what_is_set_is_not_measured(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "faster_precision", None)
    monkeypatch.setattr(probe, "compiling_pays", None)
    found = measure(TrainConfig(steps=10**9, precision="bf16", micro_batch=3, compile="on"), model, 128, 8)
    assert (found.torch_dtype, found.micro_batch, found.compiled) == (torch.bfloat16, 3, True)
    found = measure(TrainConfig(steps=10**9, precision="fp32", micro_batch=30, compile="off"), model, 128, 8)
    assert (found.torch_dtype, found.micro_batch, found.compiled) == (torch.float32, 8, False)


def test_only_a_long_run_tries_to_compile(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(probe, "compiling_pays", lambda *shape: tried.append(shape) or True)
    monkeypatch.setattr(probe, "measured_peak", lambda *machine: 1e11)
    assert not measure(TrainConfig(steps=1000), model, 128, 8).compiled
    assert not tried
    assert measure(TrainConfig(steps=10**6), model, 128, 8).compiled
    assert len(tried) == 1


def test_memory_and_cache_bound_the_sequences_at_a_time(
    model: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(steps=1, precision="fp32", compile="off")
    monkeypatch.setattr(probe, "measured_peak", lambda *machine: 1e11)
    row = probe.activation_bytes(SHAPE, 128, torch.float32)
    kept = 12 * SHAPE.parameters  # gradients and the optimisers' state
    for free, wanted in ((0, 1), (kept + 12.5 * row, 3)):
        monkeypatch.setattr(probe, "free_memory", lambda device, free=free: free)
        assert measure(config, model, 128, 10**6).micro_batch == wanted
    monkeypatch.setattr(probe, "free_memory", lambda device: 10**15)
    found = measure(config, model, 128, 10**6)
    assert found.micro_batch == found.threads * THREAD_TOKENS // 128
    assert measure(config, model, 128, 2).micro_batch == 2


def test_bfloat16_is_chosen_where_the_processor_has_it() -> None:
    sets, unknown = read_instruction_sets()
    if unknown:
        pytest.skip(unknown)
    assert faster_precision() == ("bf16" if {"avx512_bf16", "amx_bf16"} & set(sets) else "fp32")


def test_float32_is_chosen_where_the_processor_lacks_bfloat16() -> None:
    capped = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    code = "from edgelm.pretrain.probe import faster_precision; print(faster_precision())"
    found = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | capped, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "fp32"


def test_threads_are_tried_and_put_back() -> None:
    before, odd = torch.get_num_threads(), usable_cores() + 1
    torch.set_num_threads(odd)
    found, after = faster_threads(torch.float32), torch.get_num_threads()
    torch.set_num_threads(before)
    assert 1 <= found <= usable_cores()
    assert after == odd


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be pinned to a core here")
def test_the_peak_is_the_machines_even_while_it_is_busy() -> None:
    cores = os.sched_getaffinity(0)
    core = min(cores)
    hog = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    os.sched_setaffinity(0, {core})
    others = [subprocess.Popen([sys.executable, "-c", hog]) for _ in range(4)]
    try:
        time.sleep(0.3)
        busy = measured_peak("cpu", torch.float32, 1)
    finally:
        for other in others:
            other.kill()
            other.wait()
    quiet = measured_peak("cpu", torch.float32, 1)
    os.sched_setaffinity(0, cores)
    assert busy == pytest.approx(quiet, rel=0.3)


def test_operations_are_those_that_torch_counts() -> None:
    model = Decoder(SHAPE).train()
    tokens = torch.zeros(2, 128, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.forward(tokens)[0].sum().backward()
    counted = counter.get_total_flops() / tokens.numel()  # of whole squares, not their lower halves
    assert flops_per_token(SHAPE, 128) == pytest.approx(counted, rel=0.01)


def test_a_token_attends_to_its_own_document_up_to_itself() -> None:
    documents = torch.tensor([[0, 0, 0, 1, 1, -1], [1, 0, 0, 0, 0, 0]])
    pairs = sum(row[a] == row[b] for row in documents.tolist() for b in range(6) for a in range(b + 1))
    assert attended_tokens(documents) == pairs == 6 + 3 + 1 + 1 + 15


def test_free_memory_is_some_of_the_machines() -> None:
    assert 10**6 < free_memory("cpu") < 10**14


MEMORY = """
import torch
from pathlib import Path
from edgelm.model.config import get_preset
from edgelm.model.decoder import Decoder
from edgelm.pretrain.plan import training_bytes
from edgelm.pretrain.probe import activation_bytes

def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def step(rows):
    tokens = torch.zeros(rows, shape.context, dtype=torch.long)
    documents = torch.arange(shape.context).div(64, rounding_mode="floor").expand(rows, -1)
    model.loss(tokens, tokens, documents).backward()

torch.set_num_threads(1)
shape = get_preset("{preset}", 512)
model = Decoder(shape).train()
model.dtype, model.recompute = torch.{dtype}, {recompute}
step(1)
Path("/proc/self/clear_refs").write_text("5")
before = peak()
step({rows})
print((peak() - before) / {rows} / activation_bytes(shape, shape.context, model.dtype, model.recompute))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("preset", "dtype", "recompute"),
    [("nano", "bfloat16", False), ("micro", "float32", True)],
)
def test_activations_take_what_is_foreseen(preset: str, dtype: str, recompute: bool) -> None:
    code = MEMORY.format(preset=preset, dtype=dtype, recompute=recompute, rows=16)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 2 / 3 < float(found.stdout) < 3 / 2


COMPILING = """
import sys
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.probe import compiles, measure
print(compiles("cpu"))
measure(TrainConfig(steps=1, compile="on"), Decoder(ModelConfig(512, 64, 128, 1, 4, 2, 32)), 32, 2)
"""


def test_layers_that_cannot_be_compiled_are_told_before_the_first_step(tmp_path: Path) -> None:
    broken = {**os.environ, "CXX": "/bin/false", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", COMPILING], env=broken, capture_output=True, text=True, check=False
    )
    assert found.stdout == "False\n"
    assert "EdgelmError: the layers cannot be compiled on this machine." in found.stderr.splitlines()[-1]


def test_memory_that_the_weights_will_take_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients and the optimisers' state are not there yet when sequences are counted."""
    shape = replace(SHAPE, vocab_size=65_536)
    monkeypatch.setattr(probe, "measured_peak", lambda *machine: 1e11)
    row, kept = probe.activation_bytes(shape, 128, torch.float32), 12 * shape.parameters
    monkeypatch.setattr(probe, "free_memory", lambda device: int(kept + 12.5 * row))
    config = TrainConfig(steps=1, precision="fp32", compile="off")
    assert kept > 4 * row
    assert measure(config, Decoder(shape), 128, 10**6).micro_batch == 3


def test_passes_of_equal_size(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 sequences of which 26 fit, 16 at a time: a last pass of 6 would be compiled for itself."""
    monkeypatch.setattr(probe, "measured_peak", lambda *machine: 1e11)
    monkeypatch.setattr(probe, "THREAD_TOKENS", 26 * 128)
    config = TrainConfig(steps=1, precision="fp32", compile="off")
    monkeypatch.setattr(probe, "faster_threads", lambda dtype: 1)
    assert measure(config, model, 128, 32).micro_batch == 16
    assert measure(config, model, 128, 26).micro_batch == 26
