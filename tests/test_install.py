"""What `pip install edgelm` alone brings, and what importing it loads."""

import subprocess
import sys
import tomllib
from pathlib import Path

import exported
import pytest

NEW = """
import sys
before = set(sys.modules)
{}
roots = {{name.split(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names)
print(*sorted(name for name in roots if not name.startswith("_")))
"""
ABSENT = ("torch", "transformers", "pyarrow", "sklearn", "scipy", "gguf", "llama_cpp", "xllamacpp", "gradio")


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        exported.python(NEW.format(code), blocked=ABSENT), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_importing_edgelm_loads_nothing_else() -> None:
    assert loaded("import edgelm") == {"edgelm"}


def test_the_command_line_loads_nothing_that_is_slow() -> None:
    assert loaded("import edgelm.cli") <= {"edgelm", "typer", "click", "annotated_doc", "rich", "shellingham"}


def test_the_runtime_loads_numpy_and_what_reads_files() -> None:
    found = loaded("import edgelm.runtime")
    assert found - {"cython_runtime"} <= {"edgelm", "numpy", "yaml", "filelock", "safetensors", "tokenizers"}


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_help_works_without_the_extras(command: str) -> None:
    code = f"import sys\nsys.argv = ['edgelm', {command!r}]\nfrom edgelm.cli import main\nmain()"
    done = subprocess.run(
        exported.python(code, blocked=(*ABSENT, "numpy", "onnxruntime")), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_base_asks_for_no_torch() -> None:
    path = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    names = {one.split(">")[0].split("=")[0] for one in project["dependencies"]}
    assert names == {
        "filelock", "numpy", "onnxruntime", "psutil", "pyyaml", "rich", "safetensors", "tokenizers", "typer",
    }  # fmt: skip
    assert sys.version_info >= (3, 11)
