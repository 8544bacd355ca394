"""llama.cpp's functions out of xllamacpp's library, as where no compiler built llama-cpp-python."""

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import exported
import numpy as np
import pytest

import edgelm
from edgelm.errors import EdgelmError, MissingExtra
from edgelm.runtime import llama_c, load
from edgelm.runtime.llama_c import DEFAULTS, SIGNATURES, ContextParameters, check_defaults, llama_cpp

pytest.importorskip("xllamacpp", reason="pip install 'edgelm[gguf-prebuilt]'")
USE = """
import sys
import edgelm
model = edgelm.load(sys.argv[1])
print("".join(model.generate("Namhlanje", language="zul", max_tokens=12, temperature=0)))
model.close()
print(*{name.split(".")[0] for name in sys.modules} & {"torch", "llama_cpp", "xllamacpp"})
"""


@pytest.fixture
def no_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)


def test_every_function_that_the_runtime_calls_is_bound() -> None:
    folder = Path(edgelm.__file__).parent / "runtime"
    source = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    called = set(re.findall(r"\bcpp\.(\w+)", source))
    named = {"llama_log_callback", "GGML_TYPE_F32", "llama_adapter_lora_p_ctypes"}
    assert called - named <= set(SIGNATURES)
    assert len(called) > 20


def test_it_writes_the_same_text(tiny_gguf: Path) -> None:
    done = subprocess.run(
        exported.python(USE, str(tiny_gguf), blocked=("llama_cpp", "torch")),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    model = load(tiny_gguf)
    text = "".join(model.generate("Namhlanje", language="zul", max_tokens=12, temperature=0))
    model.close()
    assert done.stdout == f"{text}\n\n"


def test_both_libraries_in_one_process_keep_apart(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llama_cpp", reason="only xllamacpp is installed")
    first = load(tiny_gguf, threads=1)
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    second = load(tiny_gguf, threads=1)
    assert type(first.cpp) is not type(second.cpp)  # type: ignore[attr-defined]
    ids = first.prompt("Molo, unjani?")
    here, there = (model.session() for model in (first, second))
    for _ in range(2):
        np.testing.assert_allclose(here.feed(ids), there.feed(ids), atol=0.05)
        here.rewind(0)
        there.rewind(0)
    first.close()
    np.testing.assert_array_equal(second.session().feed(ids).shape, (len(ids), second.vocab_size))
    second.close()


@pytest.mark.usefixtures("no_llama_cpp")
def test_without_either_the_line_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtra) as caught:
        llama_cpp()
    assert "pip install 'edgelm[gguf-prebuilt]'" in str(caught.value)
    assert "pip install 'edgelm[gguf]'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_llama_cpp")
def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_c, "version", lambda name: "2027.1.1")
    with pytest.raises(EdgelmError, match=r"xllamacpp 2027\.1\.1 is installed, but 2026.*gguf-prebuilt"):
        llama_cpp()


def test_a_library_without_the_functions_is_refused(tmp_path: Path) -> None:
    for name, problem in (("empty", "cannot be used here"), ("other", "cannot be used here")):
        (tmp_path / name).mkdir()
        if name == "other":
            source = np.__path__[0]
            library = next(Path(source).rglob("_multiarray_umath*.*[od]"))
            (tmp_path / name / "xllamacpp.so").symlink_to(library)
        with pytest.raises(EdgelmError, match=problem):
            llama_c._open(tmp_path / name, llama_c.VERSION)


def test_a_moved_field_is_found() -> None:
    """Another build of llama.cpp may put a field in: all after it shift."""
    library = llama_cpp_prebuilt()
    expected = DEFAULTS["llama_context_default_params"]
    raw = bytes(library.llama_context_default_params())
    check_defaults(ContextParameters.from_buffer_copy(raw), expected)
    for place in (0, 4, 28, 40, 56, 84, 104, 136, 140):
        shifted = (raw[:place] + bytes(4) + raw[place:])[: ctypes.sizeof(ContextParameters)]
        with pytest.raises(EdgelmError, match="has another layout"):
            check_defaults(ContextParameters.from_buffer_copy(shifted), expected)


def llama_cpp_prebuilt() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "llama_cpp", None)
        return llama_cpp()
