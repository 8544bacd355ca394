import pytest

for module in (
    "torch",
    "peft",
    "pyarrow",
    "fastwarc",
    "trafilatura",
    "onnx",
    "gguf",
    "llguidance",
    "starlette",
):
    pytest.importorskip(module, reason="the readers of every extra are given files here")
