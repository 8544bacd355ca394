"""What a head on a decoder says: the labels, and of what they are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgelm.errors import BadInput
from edgelm.files import read_json

Kind = Literal["sequence", "token"]
Pooling = Literal["last", "mean"]
POOLINGS: dict[str, Pooling] = {"last": "last", "mean": "mean"}
ARCHITECTURES: dict[Kind, str] = {
    "sequence": "LlamaForSequenceClassification",
    "token": "LlamaForTokenClassification",
}


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """A head.

    Attributes:
        kind: `sequence` labels a whole text, `token` each word at its last token.
        labels: in the order of the rows of the head.
        both_ways: tokens attend to those after them too.
        scheme: of the labels of words, `bio` for spans or `flat`.
        marks_inside: words of the training data keep hyphens inside, as `e-BBC`.
        pooling: what of a text's final hidden states the head reads: those of the `last` token, or the
            `mean` over all, for a decoder that reads both ways.
    """

    kind: Kind
    labels: tuple[str, ...]
    both_ways: bool = False
    scheme: str = "flat"
    marks_inside: bool = False
    pooling: Pooling = "last"

    def to_hugging_face(self) -> dict[str, Any]:
        """What a `config.json` says of it; what transformers has no words for stands under `edgelm`."""
        return {
            "architectures": [ARCHITECTURES[self.kind]],
            "id2label": {str(number): label for number, label in enumerate(self.labels)},
            "label2id": {label: number for number, label in enumerate(self.labels)},
            "num_labels": len(self.labels),
            "use_cache": False,
            "edgelm": {
                "both_ways": self.both_ways,
                "scheme": self.scheme,
                "marks_inside": self.marks_inside,
                "pooling": self.pooling,
            },
        }


def model_type(directory: Path) -> str:
    """What `config.json` calls the kind of model; empty where nothing can be read."""
    return str(_read(directory / "config.json").get("model_type", ""))


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def read_head(directory: Path) -> HeadConfig | None:
    """The head of the model in a directory; None where it has none, or there is no readable `config.json`.

    Raises:
        BadInput: `config.json` describes a head that is none of edgelm's.
    """
    path = directory / "config.json"
    value = _read(path)
    kinds = {architecture: kind for kind, architecture in ARCHITECTURES.items()}
    names = value.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or names[0] not in list(kinds):
        return None
    try:
        labels = tuple(str(value["id2label"][str(number)]) for number in range(len(value["id2label"])))
        own = value["edgelm"]
        return HeadConfig(
            kinds[names[0]],
            labels,
            bool(own["both_ways"]),
            str(own["scheme"]),
            bool(own.get("marks_inside", False)),
            POOLINGS[own.get("pooling", "last")],
        )
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"describes a head without {error}", file=path, remedy="give a model that edgelm wrote"
        ) from None
