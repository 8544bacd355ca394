from collections.abc import Iterator
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
    yield found
    for model in found.values():
        model.close()


@pytest.fixture(params=["torch", "onnx", "llama.cpp"])
def model(request: pytest.FixtureRequest, models: dict[str, LanguageModel]) -> LanguageModel:
    return models[request.param]
