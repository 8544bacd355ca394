import importlib.machinery
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest
import typer
from typer.testing import CliRunner

from edgelm import doctor
from edgelm.cli.doctor import doctor as command
from edgelm.extras import EXTRAS

FULL = doctor.Diagnosis(
    python="3.11.7",
    platform="Linux",
    cores=4,
    memory_total=8 * 2**30,
    memory_available=3 * 2**30,
    instruction_sets=(),
    instruction_sets_unknown="no /proc/cpuinfo",
    accelerator="none",
    compiler="",
    disk_free=5 * 2**29,
    extras=(
        doctor.Extra(
            "corpus", True, (), {"pyarrow": "26.0.1"}, "build a corpus", "pip install 'edgelm[corpus]'"
        ),
        doctor.Extra("demo", False, ("gradio",), {}, "the demo page", "pip install 'edgelm[demo]'"),
    ),
)


def fake_torch(monkeypatch: pytest.MonkeyPatch, *, devices: int = 0, mps: bool = False) -> ModuleType:
    torch = ModuleType("torch")
    torch.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    torch.cuda = SimpleNamespace(
        is_available=lambda: devices > 0,
        device_count=lambda: devices,
        get_device_properties=lambda _: SimpleNamespace(name="NVIDIA A100", total_memory=80 * 2**30),
    )
    torch.backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps))
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch


def run(*arguments: str, width: int = 100) -> str:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": str(width)})
    assert result.exit_code == 0, result.output
    return result.output


def test_diagnosis_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_torch(monkeypatch)
    monkeypatch.chdir(tmp_path)
    found = doctor.diagnose()
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.memory_total == psutil.virtual_memory().total
    assert 0 < found.memory_available <= found.memory_total
    assert 0 < found.disk_free <= shutil.disk_usage(tmp_path).total
    assert bool(found.instruction_sets) != bool(found.instruction_sets_unknown)
    assert found.accelerator == "none"
    assert [extra.extra for extra in found.extras] == list(EXTRAS)


def test_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert doctor.usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert doctor.usable_cores() == 64


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 avx2 avx512f avx512_bf16 amx_bf16\n",
         ("avx2", "avx512f", "avx512_bf16", "amx_bf16")),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n", ("neon", "dotprod", "i8mm")),
        ("Features\t: half neon vfpv4 asimd\n", ("neon",)),
    ],
)  # fmt: skip
def test_instruction_sets(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert doctor.read_instruction_sets(tmp_path / "cpuinfo") == (names, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "has no "), ("processor : 0\n", "lists no flags"), ("flags : fpu sse2\n", "none of those")],
)
def test_no_instruction_sets_has_a_reason(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    names, why = doctor.read_instruction_sets(tmp_path / "cpuinfo")
    assert names == ()
    assert reason in why


@pytest.mark.parametrize(
    ("devices", "mps", "expected"),
    [
        (0, False, "none"), (0, True, "Apple MPS"),
        (1, False, "NVIDIA A100, 80 GiB"), (2, False, "2 x NVIDIA A100, 80 GiB"),
    ],
)  # fmt: skip
def test_accelerator(monkeypatch: pytest.MonkeyPatch, devices: int, mps: bool, expected: str) -> None:
    fake_torch(monkeypatch, devices=devices, mps=mps)
    assert doctor.find_accelerator() == expected


def test_accelerator_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert doctor.find_accelerator() == "unknown (torch not installed)"


def test_accelerator_with_a_broken_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_old() -> bool:
        raise RuntimeError("The NVIDIA driver is too old\nmore lines")

    fake_torch(monkeypatch).cuda.is_available = too_old
    assert doctor.find_accelerator() == "unknown (torch: The NVIDIA driver is too old)"


def test_extras_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "EXTRAS", {"a": (("yaml", "no_such_module"), "read"), "b": (("yaml",), "write")}
    )
    version = doctor.importlib.metadata.version("pyyaml")
    assert doctor.check_extras() == (
        doctor.Extra("a", False, ("no_such_module",), {"yaml": version}, "read", "pip install 'edgelm[a]'"),
        doctor.Extra("b", True, (), {"yaml": version}, "write", "pip install 'edgelm[b]'"),
    )


def test_version_is_that_of_the_namesake(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = doctor.importlib.metadata
    monkeypatch.setattr(doctor, "EXTRAS", {"a": (("yaml",), "read")})
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"yaml": ["yaml-onnx", "yaml"]})
    monkeypatch.setattr(metadata, "version", {"yaml": "2.0", "yaml-onnx": "0.1"}.__getitem__)
    assert doctor.check_extras()[0].versions == {"yaml": "2.0"}


def test_compiler_is_the_first_found(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_torch(monkeypatch)
    monkeypatch.setattr(shutil, "which", {"clang++": "/usr/bin/clang++", "cl": "cl.exe"}.get)
    assert doctor.diagnose().compiler == "/usr/bin/clang++"


def test_command_prints_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: FULL)
    assert json.loads(run("--json")) == json.loads(json.dumps(asdict(FULL)))


@pytest.mark.parametrize("width", [60, 100])
def test_command_prints_a_table(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: replace(FULL, platform="x" * 80))
    printed = run(width=width)
    joined = "".join(printed.split())
    for text in (
        "3.0 GiB available of 8.0 GiB",
        "unknown (no /proc/cpuinfo)",
        "none found",
        "2.5 GiB",
        "x" * 80,
    ):
        assert text.replace(" ", "") in joined
    assert "pyarrow 26.0.1" in printed
    assert "missing gradio" in printed
    assert "pip install 'edgelm[demo]'" in printed


def test_imports_stay_light() -> None:
    script = "import sys, edgelm.cli.doctor, edgelm.languages; print({m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "'edgelm'" in loaded
    for heavy in ("torch", "psutil", "yaml"):
        assert f"'{heavy}'" not in loaded
    script = "import sys, edgelm.doctor; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"
