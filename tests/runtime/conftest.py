import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgelm.runtime import LanguageModel, load


@pytest.fixture(scope="session")
def models(model_dir: Path, export_dir: Path) -> Iterator[dict[str, LanguageModel]]:
    """The same float32 weights in all three runtimes."""
    found = {
        "torch": load(model_dir),
        "onnx": load(export_dir / "onnx" / "fp32"),
        "llama.cpp": load(export_dir / "model-F32.gguf"),
    }
    if find_spec("xllamacpp"):
        found["prebuilt llama.cpp"] = without_llama_cpp(export_dir / "model-F32.gguf")
    yield found
    for model in found.values():
        model.close()


def without_llama_cpp(path: Path) -> LanguageModel:
    """A GGUF model as it loads where llama-cpp-python is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "llama_cpp", None)
        return load(path)


@pytest.fixture(params=["torch", "onnx", "llama.cpp", "prebuilt llama.cpp"])
def model(request: pytest.FixtureRequest, models: dict[str, LanguageModel]) -> LanguageModel:
    if request.param not in models:
        pytest.skip("xllamacpp is not installed: pip install 'edgelm[gguf-prebuilt]'")
    return models[request.param]
