"""A linear classifier as one ONNX file, its vectoriser inside.

The graph reads code points, int64 [texts, longest], as `edgelm.model.linear.padded_codes` makes them: all
that is left outside is lower-casing, splitting on white space and numbering characters. `TfIdfVectorizer`
counts the n-grams. Coefficients of 16 bits stay so in the file. `edgelm.runtime.onnx_linear` runs it.

    input `codes` int64 [texts, longest]  ->  output `decision` float32 [texts, labels]

The metadata has `labels` (a JSON list), `task` and `languages`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgelm import artifacts
from edgelm.errors import BadInput, Unfit
from edgelm.export.verify import verification_texts
from edgelm.extras import require
from edgelm.model.linear import LinearClassifier, code_points, linear_card, linear_config, load_linear
from edgelm.progress import Progress
from edgelm.runtime.onnx_linear import OnnxLinear

OPSET, IR_VERSION = 17, 8
TOLERANCE = 1e-4
FORMAT, FOLDER = "onnx:fp32", "onnx/fp32"


def export_small(
    model: Path, kind: str, output: Path, formats: Sequence[str], *, progress: Progress | None = None
) -> dict[str, Any]:
    """Export a linear classifier to `FOLDER` in `output`; returns the verification of each format.

    Args:
        kind: the `model_type` of the model's `config.json`.

    Raises:
        BadInput: the model is a CRF, or a format is none for a linear classifier.
        Unfit: the export decides otherwise than the model.
        MissingExtra: onnx is not installed.
    """
    if kind == "edgelm-crf":
        raise BadInput(
            "a CRF has no ONNX form and needs none: it runs wherever numpy does",
            file=model,
            remedy="copy its folder",
        )
    for name in formats:
        if name != FORMAT:
            raise BadInput(f"a linear classifier cannot be written as {name}", remedy=f"give --to {FORMAT}")
    if not formats:
        raise BadInput("no format was given", remedy=f"give --to {FORMAT}")
    require("onnx", "export")
    progress = progress or Progress(silent=True)

    def work(partial: Path) -> dict[str, Any]:
        (partial / "onnx").mkdir(exist_ok=True)
        texts = [text for found in verification_texts().values() for text in found]
        return {FORMAT: export_linear(load_linear(model), partial / FOLDER, texts)}

    provenance, _ = artifacts.build(
        output, command="export", config={"formats": [FORMAT]}, inputs=[model], work=work, say=progress.say
    )
    return provenance["results"]


def export_linear(model: LinearClassifier, folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Write `model.onnx`, `config.json`, `README.md` and `verification.json` into a folder.

    Args:
        texts: the ONNX form must decide on these as the model does.

    Returns:
        what `verification.json` says.

    Raises:
        Unfit: a decision value differs by more than `TOLERANCE`.
        MissingExtra: onnx is not installed.
    """
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    write_linear_onnx(model, path)
    artifacts.write_json(folder / "config.json", linear_config(model))
    ours, theirs = model.decision(texts), OnnxLinear.open(folder).decision(texts)
    farthest = float(np.abs(ours - theirs).max(initial=0))
    if not farthest <= TOLERANCE:  # NaN is not
        raise Unfit(
            f"{path}: decision values differ by {farthest:.2g} from the model's, more than {TOLERANCE:g}. "
            "The export is not usable; please report this."
        )
    found = {
        "format": FORMAT,
        "texts": len(texts),
        "largest_decision_difference": farthest,
        "equal_labels": float(np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1))) if len(texts) else 1.0,
        "bytes": path.stat().st_size,
    }
    artifacts.write_text(folder / "README.md", linear_card(model))
    artifacts.write_json(folder / "verification.json", found)
    return found


def write_linear_onnx(model: LinearClassifier, path: Path) -> None:
    """Write the graph.

    Raises:
        BadInput: the model has no features.
        MissingExtra: onnx is not installed.
    """
    if not model.features:
        raise BadInput("the model has no features", remedy="train it on more text")
    onnx = require("onnx", "export")
    from onnx import TensorProto, helper, numpy_helper

    order = sorted(range(len(model.features)), key=lambda number: (len(model.features[number]), number))
    pool = code_points("".join(model.features[number] for number in order))
    sizes = np.bincount([len(one) for one in model.features], minlength=model.ngrams[1] + 1)
    starts = np.cumsum(sizes * np.arange(len(sizes))) - sizes * np.arange(len(sizes))
    coefficients, intercept = model.coefficients, model.intercept.astype(np.float32)
    if len(model.labels) == 2:
        coefficients = np.pad(coefficients, ((0, 0), (1, 0)))
        intercept = np.pad(intercept, (1, 0))
    constants = {
        "idf": model.idf.astype(np.float32),
        "stored": coefficients,
        "intercept": intercept,
        "one": np.float32(1),
        "least": np.float32(1e-12),
    }
    nodes = [
        helper.make_node(
            "TfIdfVectorizer",
            ["codes"],
            ["counts"],
            mode="TF",
            min_gram_length=model.ngrams[0],
            max_gram_length=model.ngrams[1],
            max_skip_count=0,
            ngram_counts=starts[1:].tolist(),
            ngram_indexes=order,
            pool_int64s=pool.tolist(),
        ),
        helper.make_node("Max", ["counts", "one"], ["at_least_one"]),
        helper.make_node("Log", ["at_least_one"], ["logs"]),
        helper.make_node("Min", ["counts", "one"], ["present"]),
        helper.make_node("Add", ["present", "logs"], ["sublinear"]),
        helper.make_node("Mul", ["sublinear", "idf"], ["weighted"]),
        helper.make_node("ReduceL2", ["weighted"], ["norm"], axes=[1], keepdims=1),
        helper.make_node("Max", ["norm", "least"], ["length"]),
        helper.make_node("Cast", ["stored"], ["coefficients"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["weighted", "coefficients"], ["products"]),
        helper.make_node("Div", ["products", "length"], ["scaled"]),
        helper.make_node("Add", ["scaled", "intercept"], ["decision"]),
    ]
    graph = helper.make_graph(
        nodes,
        "edgelm-linear",
        [helper.make_tensor_value_info("codes", TensorProto.INT64, ["texts", "longest"])],
        [helper.make_tensor_value_info("decision", TensorProto.FLOAT, ["texts", len(model.labels)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edgelm", ir_version=IR_VERSION
    )
    helper.set_model_props(
        made,
        {
            "labels": json.dumps(model.labels, ensure_ascii=False),
            "task": model.task,
            "languages": json.dumps(model.languages),
            "features": str(len(model.features)),
        },
    )
    onnx.checker.check_model(made)
    path.write_bytes(made.SerializeToString())
