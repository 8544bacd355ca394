"""A linear classifier as one ONNX file, its vectoriser inside.

The graph reads code points, int64 [texts, longest], as `edgelm.model.linear.padded_codes` makes them: all
that is left outside is lower-casing, splitting on white space and numbering characters. `TfIdfVectorizer`
counts the n-grams. Coefficients of 16 bits stay so in the file.

    input `codes` int64 [texts, longest]  ->  output `decision` float32 [texts, labels]

The metadata has `labels` (a JSON list), `task` and `languages`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgelm import artifacts
from edgelm.errors import BadInput, EdgelmError
from edgelm.extras import require
from edgelm.model.linear import LinearClassifier, code_points, linear_card, padded_codes

OPSET, IR_VERSION = 17, 8
BATCH_VALUES = 1 << 24
"""Numbers in the matrix of counts, which the graph holds whole: 64 MB."""
TOLERANCE = 1e-4


class OnnxLinear:
    """The ONNX form, run by onnxruntime.

    Attributes:
        labels: in the order of the decision values' columns.
    """

    def __init__(self, path: Path, threads: int = 1):
        """Open a file that `write_linear_onnx` wrote.

        Raises:
            BadInput: it is missing, or is no such file.
        """
        if not path.is_file():
            raise BadInput("no such file", file=path, remedy="export the model again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.engine = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            metadata = self.engine.get_modelmeta().custom_metadata_map
            self.labels = tuple(json.loads(metadata["labels"]))
            self.batch = max(1, BATCH_VALUES // max(1, int(metadata["features"])))
        except Exception as error:  # onnxruntime's errors have no common base
            raise BadInput(
                f"is not a linear classifier in ONNX ({str(error).splitlines()[0]})",
                file=path,
                remedy="export the model again",
            ) from None

    def decision(self, texts: Sequence[str]) -> np.ndarray:
        """Decision values, float32 [texts, labels]."""
        found = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # rows of a batch fill alike
        for start in range(0, len(texts), self.batch):
            rows = order[start : start + self.batch]
            codes = padded_codes([texts[number] for number in rows])
            found[rows] = self.engine.run(None, {"codes": codes})[0]
        return found

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The label of each text with the highest decision value; the first one of equals."""
        return [self.labels[column] for column in self.decision(texts).argmax(axis=1)]


def export_linear(model: LinearClassifier, folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Write `model.onnx`, `README.md` and `verification.json` into an empty folder.

    Args:
        texts: the ONNX form must decide on these as the model does.

    Returns:
        what `verification.json` says.

    Raises:
        EdgelmError: a decision value differs by more than `TOLERANCE`.
        MissingExtra: onnx is not installed.
    """
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    write_linear_onnx(model, path)
    ours, theirs = model.decision(texts), OnnxLinear(path).decision(texts)
    farthest = float(np.abs(ours - theirs).max(initial=0))
    if not farthest <= TOLERANCE:  # NaN is not
        raise EdgelmError(
            f"{path}: decision values differ by {farthest:.2g} from the model's, more than {TOLERANCE:g}. "
            "The export is not usable; please report this."
        )
    found = {
        "format": "onnx:linear",
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
