"""Every reader by name."""

from importlib import import_module

from fuzzing import Reader

FAMILIES = ("text", "parquet", "web", "yaml", "models", "gguf", "onnx", "records", "artifacts", "http")
READERS: dict[str, Reader] = {
    one.name: one for family in FAMILIES for one in import_module(f"fuzz_{family}").READERS
}
