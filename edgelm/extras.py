"""Optional packages, asked for by the command that needs them and by nothing else."""

import importlib
from types import ModuleType

from edgelm.errors import MissingExtra

# extra: (module to import, what it enables)
EXTRAS = {
    "corpus": (("pyarrow", "zstandard", "numba", "ftfy"), "build a corpus, read Parquet and .zst files"),
    "web": (("trafilatura", "fastwarc"), "read HTML and WARC files"),
    "hub": (("datasets",), "stream datasets of the Hugging Face hub"),
    "ray": (("ray",), "build a corpus on a Ray cluster"),
    "train": (
        ("torch", "peft", "sklearn", "sklearn_crfsuite"),
        "pretrain and finetune, task baselines, the PyTorch runtime",
    ),
    "evaluate": (("sacrebleu", "seqeval", "rouge_score"), "score tagged and generated text"),
    "lm-eval": (("lm_eval",), "evaluate with the lm-eval harness"),
    "tensorboard": (("tensorboard",), "write TensorBoard files while pretraining"),
    "export": (
        ("gguf", "onnx", "optimum", "transformers", "accelerate", "onnx_ir", "onnxruntime_genai"),
        "write GGUF and ONNX files",
    ),
    "gguf": (("llama_cpp",), "run GGUF files and quantise them with llama.cpp (needs a C++ compiler)"),
    "gguf-prebuilt": (("xllamacpp",), "run GGUF files without a compiler (Linux, macOS)"),
    "grammar": (("llguidance",), "write what fits a JSON schema, a regular expression or a grammar"),
    "serve": (("starlette", "uvicorn"), "serve a model over HTTP"),
    "bench": (("matplotlib",), "draw the plot of a benchmark as a picture"),
    "demo": (("gradio",), "the demo page in a browser"),
    "phone": (("segno",), "show a QR code for the phone app"),
}


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise `MissingExtra` naming the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        name, what = module.split(".")[0], EXTRAS[extra][1]
        raise MissingExtra(
            f"{name} is not installed; it is needed to {what}. Run: pip install 'edgelm[{extra}]'"
        ) from None
