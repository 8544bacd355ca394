"""What this machine offers edgelm: processor, memory, accelerator, compiler, and which extras are installed.

    edgelm doctor
    edgelm doctor --json

Nothing here fails on a machine that lacks something: what cannot be read is empty, with the reason beside it.
"""

import importlib
import importlib.metadata
import platform
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from edgelm.extras import EXTRAS
from edgelm.machine import usable_cores

CPUINFO = Path("/proc/cpuinfo")
# Flags of /proc/cpuinfo that change the speed of a small model on a processor; ARM calls NEON asimd.
X86_FLAGS = (
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
)
ARM_FLAGS = {
    "neon": "neon",
    "asimd": "neon",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
}
COMPILERS = ("c++", "g++", "clang++", "cl")


@dataclass(frozen=True, slots=True)
class Extra:
    """One of the optional sets of packages."""

    extra: str
    installed: bool
    missing: tuple[str, ...]
    """Modules that cannot be found."""
    versions: dict[str, str]
    """Module to version of its distribution, of those found."""
    enables: str
    install: str
    """Command that installs it."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `diagnose` found."""

    python: str
    platform: str
    cores: int
    """Cores that this process may use."""
    memory_total: int
    """Bytes."""
    memory_available: int
    """Bytes that can be had without swapping."""
    instruction_sets: tuple[str, ...]
    instruction_sets_unknown: str
    """Why `instruction_sets` says nothing, or empty."""
    accelerator: str
    """As `NVIDIA H100 80GB HBM3, 80 GiB`, `Apple MPS`, `none`, or `unknown (...)`."""
    compiler: str
    """Path of a C++ compiler, or empty."""
    disk_free: int
    """Bytes free where the command runs."""
    extras: tuple[Extra, ...]


def diagnose() -> Diagnosis:
    """Look at this machine and its Python packages. Imports torch, if installed, and nothing else heavy."""
    memory = psutil.virtual_memory()
    instruction_sets, unknown = read_instruction_sets()
    return Diagnosis(
        python=platform.python_version(),
        platform=platform.platform(),
        cores=usable_cores(),
        memory_total=memory.total,
        memory_available=memory.available,
        instruction_sets=instruction_sets,
        instruction_sets_unknown=unknown,
        accelerator=find_accelerator(),
        compiler=next((path for name in COMPILERS if (path := shutil.which(name))), ""),
        disk_free=shutil.disk_usage(Path.cwd()).free,
        extras=check_extras(),
    )


def read_instruction_sets(cpuinfo: Path = CPUINFO) -> tuple[tuple[str, ...], str]:
    """Vector instruction sets of the first processor in `cpuinfo`; where there are none, also the reason."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return (), f"{platform.system() or 'this system'} has no {cpuinfo}"
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() in ("flags", "features"):
            flags = set(value.split())
            names = [flag for flag in X86_FLAGS if flag in flags]
            names += dict.fromkeys(name for flag, name in ARM_FLAGS.items() if flag in flags)
            return tuple(names), "" if names else "none of those that edgelm's runtimes use"
    return (), f"{cpuinfo} lists no flags"


def find_accelerator() -> str:
    """The accelerator that torch sees: name and memory in GiB, `none`, or `unknown (reason)`."""
    if find_spec("torch") is None:
        return "unknown (torch not installed)"
    try:
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            device, count = torch.cuda.get_device_properties(0), torch.cuda.device_count()
            several = f"{count} x " if count > 1 else ""
            return f"{several}{device.name}, {device.total_memory / 2**30:.0f} GiB"
        return "Apple MPS" if torch.backends.mps.is_available() else "none"
    except (ImportError, OSError, RuntimeError) as error:  # a shared library is missing, a driver is too old
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return f"unknown (torch: {reason})"


def check_extras() -> tuple[Extra, ...]:
    """Which extras are installed, looked up without importing them."""
    distributions = importlib.metadata.packages_distributions()
    extras = []
    for name, (modules, enables) in EXTRAS.items():
        found = [module for module in modules if find_spec(module) is not None]
        extras.append(
            Extra(
                extra=name,
                installed=len(found) == len(modules),
                missing=tuple(module for module in modules if module not in found),
                versions={module: _version(module, distributions.get(module, [])) for module in found},
                enables=enables,
                install=f"pip install 'edgelm[{name}]'",
            )
        )
    return tuple(extras)


def _version(module: str, distributions: list[str]) -> str:
    """Version of `module`, from its namesake where several distributions share it (optimum, optimum-onnx)."""
    named = [name for name in distributions if name == module] or distributions
    return importlib.metadata.version(named[0]) if named else ""
