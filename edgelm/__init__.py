"""edgelm: from raw text in any language to a small language model that answers offline.

    >>> import edgelm
    >>> model = edgelm.load("export/model-Q8_0.gguf")
    >>> for piece in model.generate("Namhlanje ekuseni", max_tokens=20):
    ...     print(piece, end="")

Importing edgelm imports nothing heavy; `load` imports only the runtime that the file needs.
"""

import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime's wheels report to their maker

__version__ = "0.1.0.dev0"
__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from edgelm.runtime import load as load


def __getattr__(name: str) -> Any:
    if name == "load":
        from edgelm.runtime import load

        return load
    raise AttributeError(f"module 'edgelm' has no attribute {name!r}")
