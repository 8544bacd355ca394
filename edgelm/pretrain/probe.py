"""What this machine does best, measured: precision, threads, compiling, sequences at a time, its peak.

Each answer can round differently, so a run keeps those it began with in `.machine.json`: taken up again, it
goes on with the same.
"""

import json
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from edgelm import artifacts
from edgelm.errors import EdgelmError
from edgelm.machine import usable_cores
from edgelm.model.attention import document_starts
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.pretrain.config import TrainConfig

ANSWERS = ".machine.json"
MEMORY_SHARE = {"cpu": 0.25, "cuda": 0.8}
"""Of the free memory, for activations. A CPU shares its memory with all else."""
THREAD_TOKENS = 4096
"""Computed at a time by each thread of a CPU: 8192 are no faster, 16384 are 7 % slower."""
COMPILE_S = 60.0
"""What compiling costs on a CPU, roughly."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a run computes on this machine.

    Attributes:
        dtype: of the activations, `float32` or `bfloat16`.
        micro_batch: sequences computed at a time.
        peak: matrix operations a second, multiplication and addition counted apart.
    """

    dtype: str
    threads: int
    compiled: bool
    micro_batch: int
    peak: float

    @property
    def torch_dtype(self) -> torch.dtype:
        found: torch.dtype = getattr(torch, self.dtype)
        return found


def settle(config: TrainConfig, model: Decoder, context: int, rows: int, folder: Path) -> Setup:
    """The answers an interrupted run in `folder` began with, or those measured now; settings overrule both.

    Args:
        model: on the device it will train on.
        rows: sequences a step that are this process's.
    """
    path = folder / ANSWERS
    if not path.exists():
        artifacts.write_json(path, asdict(measure(config, model, context, rows)))
    found = Setup(**json.loads(path.read_text(encoding="utf-8")))
    if config.micro_batch:  # the remedy where memory ran out
        found = replace(found, micro_batch=min(config.micro_batch, rows))
    return found if config.compile == "auto" else replace(found, compiled=config.compile == "on")


def measure(config: TrainConfig, model: Decoder, context: int, rows: int) -> Setup:
    """Measure what the settings leave open; a second on a CPU, longer where compiling has to be tried."""
    device = next(model.parameters()).device.type
    bf16 = config.precision == "bf16" or (config.precision == "auto" and faster_precision(device) == "bf16")
    dtype = torch.bfloat16 if bf16 else torch.float32
    threads = torch.get_num_threads()
    if device == "cpu":
        threads = faster_threads(dtype)
    per_row = activation_bytes(model.config, context, dtype, config.recompute)
    to_come = 4 * 3 * model.config.parameters  # gradients and what the optimisers keep
    fitting = int(MEMORY_SHARE[device] * (free_memory(device) - to_come) / per_row)
    if device == "cpu":
        fitting = min(fitting, THREAD_TOKENS * threads // context)
    passes = math.ceil(rows / max(min(rows, fitting), 1))
    micro_batch = config.micro_batch or math.ceil(rows / passes)  # equal ones: each shape is compiled anew
    compiled = config.compile == "on"
    if compiled and not compiles(device):
        raise EdgelmError("the layers cannot be compiled on this machine. Run again with --compile off.")
    peak = measured_peak(device, dtype, threads)
    if config.compile == "auto":
        flops = config.steps * rows * context * flops_per_token(model.config, context / 2)
        saved = 0.05 * flops / peak  # what it gained at most where it was measured on a CPU
        if device == "cuda":
            compiled = compiles(device)
        else:
            compiled = saved > 2 * COMPILE_S and compiling_pays(model.config, dtype)
    return Setup(str(dtype).removeprefix("torch."), threads, compiled, min(micro_batch, rows), peak)


def faster_precision(device: str = "cpu") -> str:
    """Whichever multiplies matrices faster on this machine, `fp32` or `bf16`, measured in 50 ms.

    bfloat16 is twice as fast where the processor has instructions for it and many times slower where not.
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    seconds = {kind: _product_seconds(512, kind, 10) for kind in (torch.float32, torch.bfloat16)}
    return "bf16" if seconds[torch.bfloat16] * 1.3 < seconds[torch.float32] else "fp32"


def faster_threads(dtype: torch.dtype) -> int:
    """How many threads multiply matrices fastest: all that torch may use, or half where two share a unit."""
    before = torch.get_num_threads()
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes that torchrun started here
    cores = min(usable_cores(), before) if beside == 1 else max(usable_cores() // beside, 1)
    if cores == 1:
        return 1
    seconds = {}
    for count in dict.fromkeys((cores, (cores + 1) // 2)):
        torch.set_num_threads(count)
        seconds[count] = _product_seconds(1024, dtype, 5)
    torch.set_num_threads(before)
    return min(seconds, key=lambda count: seconds[count] * (1 if count == cores else 1.05))


def measured_peak(device: str, dtype: torch.dtype, threads: int) -> float:
    """The most operations a second that this machine reaches in a large matrix product.

    On a CPU other processes may have the cores just now, and training would then seem to exceed the peak: the
    time that this process was given counts where it is less than the time that passed.
    """
    if device == "cuda":
        return 2 * 8192**3 / _product_seconds(8192, dtype, 10, device)
    before, size, times = torch.get_num_threads(), 1536, 5
    torch.set_num_threads(threads)
    _product_seconds(size, dtype, 1)
    started = time.process_time()
    passed = _product_seconds(size, dtype, times)
    given = (time.process_time() - started) / (times + 1) / threads
    torch.set_num_threads(before)
    return 2 * size**3 / (min(passed, given) if given else passed)


def _product_seconds(size: int, dtype: torch.dtype, times: int, device: str = "cpu") -> float:
    a = torch.ones(size, size, dtype=dtype, device=device)
    best = math.inf
    for _ in range(times + 1):
        wait(device)
        start = time.perf_counter()
        a @ a
        wait(device)
        best = min(best, time.perf_counter() - start)
    return best


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def flops_per_token(config: ModelConfig, attended: float) -> float:
    """Operations of a training step for one token (Chowdhery et al., 2022, appendix B).

    Args:
        attended: how many tokens a token attends to on average.
    """
    return 6 * config.parameters + 12 * config.layers * config.hidden_size * attended


def attended_tokens(documents: Tensor) -> int:
    """How many tokens all tokens of a batch attend to together; documents as in `Batch`."""
    lengths = torch.diff(document_starts(documents)).long()
    return int((lengths * (lengths + 1) // 2).sum())


def activation_bytes(config: ModelConfig, context: int, dtype: torch.dtype, recompute: bool = False) -> int:
    """Memory of one sequence's activations in a training step, to within a third."""
    size = torch.finfo(dtype).bits // 8
    inside = 12 * config.hidden_size + 4 * config.intermediate_size  # values kept in a layer for the way back
    if recompute:
        kept = config.layers * config.hidden_size + inside
    else:
        kept = config.layers * inside
    return context * (kept * size + 4 * 18 * config.hidden_size)  # 18 in float32 while a layer is computed


def free_memory(device: str) -> int:
    """Bytes that can be taken now."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def compiling_pays(config: ModelConfig, dtype: torch.dtype) -> bool:
    """Whether a compiled layer is faster by a twentieth, forward and back; no where there is no compiler."""
    from edgelm.model.decoder import Layer, rotary

    layer = Layer(config).train()
    x = torch.randn(4, config.context, config.hidden_size, dtype=dtype)
    cos, sin = rotary(torch.arange(config.context), config.head_dim, config.rope_theta)

    def seconds(run: Any) -> float:
        best = math.inf
        for _ in range(4):
            start = time.perf_counter()
            run(x, cos, sin, None, None, None)[0].sum().backward()
            best = min(best, time.perf_counter() - start)
        return best

    plain = seconds(layer)
    try:
        return seconds(torch.compile(layer, dynamic=False)) < 0.95 * plain
    except Exception:  # no compiler, or one that fails: torch raises kinds of its own
        return False


def compiles(device: str) -> bool:
    """Whether torch can compile here, tried on something small: a CPU needs a C++ compiler, a GPU Triton."""
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
        return True
    except Exception:  # torch raises kinds of its own
        return False
