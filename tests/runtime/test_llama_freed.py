"""llama.cpp's memory is given back where a model cannot be used after all."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgelm.errors import BadInput
from edgelm.runtime import load
from edgelm.runtime.llama import LlamaCppModel
from edgelm.runtime.llama_c import llama_cpp

MADE = {"llama_model_load_from_file": "llama_model_free", "llama_init_from_model": "llama_free"}


@pytest.fixture
def left(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """What llama.cpp made and was not told to free, by kind and address; its functions do their work."""
    cpp, found = llama_cpp(), Counter[tuple[str, int]]()

    def counted(make: str, free: str) -> None:
        real_make, real_free = getattr(cpp, make), getattr(cpp, free)

        def made(*arguments: Any) -> Any:
            pointer = real_make(*arguments)
            found[make, address(pointer)] += 1
            return pointer

        def freed(pointer: Any) -> None:
            found[make, address(pointer)] -= 1
            real_free(pointer)

        monkeypatch.setattr(cpp, make, made)
        monkeypatch.setattr(cpp, free, freed)

    for make, free in MADE.items():
        counted(make, free)
    return found


def address(pointer: Any) -> int:
    return pointer if isinstance(pointer, int) else pointer.value


def test_a_model_that_was_closed(tiny_gguf: Path, left: Counter[tuple[str, int]]) -> None:
    model = load(tiny_gguf)
    assert sorted((kind, count) for (kind, _), count in left.items()) == [(kind, 1) for kind in sorted(MADE)]
    model.close()
    model.close()
    assert len(left) == 2
    assert not any(left.values())


def test_a_tokenizer_without_an_end(
    tiny_gguf: Path, left: Counter[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp(), "llama_vocab_eos", lambda vocab: -1)
    with pytest.raises(BadInput, match="names no token that ends a text"):
        load(tiny_gguf)
    assert [kind for kind, _ in left] == ["llama_model_load_from_file"]
    assert not any(left.values())


def test_weights_that_are_no_numbers(tmp_path: Path, tiny_gguf: Path, left: Counter[tuple[str, int]]) -> None:
    data = tiny_gguf.read_bytes()
    (tmp_path / "nan.gguf").write_bytes(data[:-100_000] + b"\xff" * 100_000)
    with pytest.raises(BadInput, match="its weights are damaged"):
        load(tmp_path / "nan.gguf")
    assert len(left) == 2
    assert not any(left.values())


def test_a_context_that_does_not_fit_memory(
    tiny_gguf: Path, left: Counter[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp(), "llama_init_from_model", lambda model, parameters: None)
    with pytest.raises(BadInput, match="could not open a context"):
        load(tiny_gguf)
    assert len(left) == 1
    assert not any(left.values())


def test_ctrl_c_while_threads_are_measured(
    tiny_gguf: Path, left: Counter[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(model: LlamaCppModel) -> int:
        model.session().feed([model.bos])
        raise KeyboardInterrupt

    monkeypatch.setattr(LlamaCppModel, "_faster_threads", interrupted)
    monkeypatch.setattr("edgelm.runtime.llama.usable_cores", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        load(tiny_gguf)
    assert len(left) == 2
    assert not any(left.values())


def test_an_adapter_that_does_not_go_on_it(tiny_gguf: Path, left: Counter[tuple[str, int]]) -> None:
    with pytest.raises(BadInput, match="is not an adapter"):
        load(tiny_gguf, adapter=tiny_gguf)
    assert len(left) == 2
    assert not any(left.values())
