"""Model cards: what a model directory says about itself, with metadata for the Hugging Face hub."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edgelm.artifacts import read_provenance
from edgelm.files import read_text
from edgelm.languages import load_languages
from edgelm.model.config import ModelConfig
from edgelm.resources import parse_yaml

if TYPE_CHECKING:
    from edgelm.tasks.task import Task

HUB_LICENCES = frozenset(
    (
        "apache-2.0", "mit", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0",
        "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0",
    )
)  # fmt: skip
"""Those of the hub's identifiers that data comes under; any other is `other` there."""
METHODS = {
    "full": "All weights of a pretrained decoder went on learning; the loss counts the answers alone.",
    "lora": "Low-rank adapters of a pretrained decoder were trained, its own weights left as they were but "
    "for the embeddings of the chat's five tokens where these learnt too; the loss counts the answers alone.",
    "head": "One linear layer on the last hidden states of a pretrained decoder was trained, and the decoder "
    "with it.",
    "ensemble": "A head on a pretrained decoder and a small model of spellings were trained apart; how much "
    "each counts was fitted to the validation examples.",
    "linear": "scikit-learn trained it; method and cost were chosen on the validation examples.",
    "crf": "CRFsuite trained it; the penalties were chosen on the validation examples.",
}
WRITES = (
    "A model of this size continues text; it knows no facts that can be relied on and repeats what its",
    "training text says. Nobody who speaks these languages has reviewed what it writes. Do not use it to",
    "inform, to translate or to decide about people.",
)
READS = (
    "It reads both ways and cannot write: it is there to be given a head (`edgelm finetune --method head`).",
    "transformers knows nothing of that and would read it from left to right.",
)
LABELS = (
    "It gives one of its labels to whatever it is given, also to text unlike that it learnt from. Nobody who",
    "speaks these languages has reviewed what it answers. Do not use it to decide about people.",
)


def card(name: str, metadata: Mapping[str, str | Sequence[str]], lines: Sequence[str]) -> str:
    """A Markdown file with YAML before it."""
    front: list[str] = []
    for key, value in metadata.items():
        if isinstance(value, str):
            front.append(f"{key}: {value}")
        elif value:  # in quotes: `no` is a language, and false where it stands bare
            front += [f"{key}:", *(f"- {json.dumps(one, ensure_ascii=False)}" for one in value)]
    return "\n".join(["---", *front, "---", "", f"# {name}", "", *lines, ""])


def read_card(directory: Path) -> tuple[str, dict[str, Any]]:
    """The title and the metadata of a model's card; nothing where it has none, or none that can be read."""
    try:
        _, front, text = read_text(directory / "README.md").split("---\n", 2)
        metadata = parse_yaml(front)
    except (OSError, ValueError, yaml.YAMLError):
        return "", {}
    titles = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    return next(iter(titles), ""), metadata if isinstance(metadata, dict) else {}


def training_summary(directory: Path) -> str:
    """In a sentence, what `edgelm.json` says of how a model was trained; empty where there is none."""
    found = read_provenance(directory)
    if found is None:
        return ""
    config, results = found.get("config", {}), found.get("results", {})
    said = [f"edgelm {found.get('versions', {}).get('edgelm', '')} {found.get('command', '')}".strip()]
    if tasks := [task["name"] for task in config.get("tasks", [])]:
        said.append(f"on {', '.join(tasks)} ({config.get('method', 'full')})")
    if "steps" in config and "batch" in config:
        said.append(f"{config['steps']} steps of {config['batch']} sequences")
    if mean := results.get("validation_bits_per_byte", {}).get("mean"):
        said.append(f"{mean} bits per byte on validation text")
    return ", ".join(said)


def hub_languages(codes: Sequence[str]) -> list[str]:
    """Languages as the hub wants them: `zu` for `zul`; a code that is unknown stays as it is."""
    registry = load_languages()
    return [registry[code].bcp47 if code in registry else code for code in codes]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in lines]


def about_decoder(shape: ModelConfig) -> list[str]:
    """What a decoder is."""
    return [
        f"A {shape.family.capitalize()} decoder of {shape.parameters / 1e6:.1f} M parameters ({shape.layers}",
        f"layers, width {shape.hidden_size}, vocabulary {shape.vocab_size}, context {shape.context}),",
        "trained with edgelm. `edgelm.json` beside this file says from what, how and when.",
    ]


def model_card(
    name: str, languages: Sequence[str], bits_per_byte: Mapping[str, float], shape: ModelConfig
) -> str:
    """A card with sizes, bits per byte by language and limits."""
    writes = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    metadata = {
        **({"library_name": "edgelm"} if shape.both_ways else writes),
        "language": hub_languages(languages),
    }
    bits = _bits(bits_per_byte) if bits_per_byte else []
    lines = [*about_decoder(shape), "", *bits, "## Limits", "", *(READS if shape.both_ways else WRITES)]
    return card(name, metadata, lines)


def finetuned_card(
    tasks: "Sequence[Task[Any]]",
    method: str,
    languages: Sequence[str],
    sizes: Mapping[str, tuple[int, int]],
    scores: Mapping[str, Mapping[str, Any]],
    about: Sequence[str],
    *,
    bits_per_byte: Mapping[str, float] | None = None,
    library: str = "transformers",
    inherited: Sequence[str] = (),
) -> str:
    """A card of a model that was finetuned.

    Args:
        method: one of `METHODS`.
        languages: codes of those it was trained on.
        sizes: training and validation examples by task.
        scores: on validation by task, as `edgelm.evaluate.scores.score` has them; a task may have none.
        about: what the model is, such as `about_decoder(shape)`.
        library: what loads it: `transformers`, `peft` or `edgelm`.
        inherited: what `reserved_by` says of the model it was made from.
    """
    names = [task.name for task in tasks]
    metadata = {
        **({"license": "other"} if inherited else _licence(tasks)),
        "library_name": library,
        "pipeline_tag": _pipeline(tasks, method),
        "language": hub_languages(languages),
        "tags": ["edgelm", method, *names],
    }
    reserved = sorted({*inherited, *(task.name for task in tasks if task.measurement_only)})
    warning = (
        f"**Trained on data that is for measurement only ({', '.join(reserved)}); do not give it away.**"
    )
    data = [
        [task.name, task.family, task.licence, task.attribution, *map("{:,}".format, sizes[task.name])]
        for task in tasks
    ]
    place = ".." if library == "peft" else "."  # an adapter lies beside the model it was merged into
    run = f'edgelm run {place} "some text"{" --chat" if method in ("full", "lora") else ""}'
    lines = [
        *([warning, ""] if reserved else []),
        *about,
        "",
        METHODS[method],
        *["", "```bash", run, "```", "", "## Data", ""],
        *table(["task", "kind", "licence", "from", "training examples", "validation examples"], data),
        *["", "What the data's licences ask for, attribution among it, is owed by who gives the model away."],
        *["", "## Score on validation", "", *_scores(scores), ""],
        *(_bits(bits_per_byte) if bits_per_byte else []),
        *["## Limits", "", *(WRITES if method in ("full", "lora") else LABELS)],
    ]
    return card(f"edgelm, finetuned on {', '.join(names)} ({method})", metadata, lines)


def reserved_by(model: Path) -> list[str]:
    """Tasks for measurement only that the model in a directory, or one below it, was trained on."""
    config = (read_provenance(model) or {}).get("config", {})
    own = [task["name"] for task in config.get("tasks", []) if task.get("measurement_only")]
    return sorted({*own, *config.get("inherited", [])})


def _licence(tasks: "Sequence[Task[Any]]") -> dict[str, str]:
    """The data's, which bounds the model's: `other` where the hub has no name for it."""
    names = {task.licence.lower() for task in tasks}
    if any(task.measurement_only for task in tasks):
        return {"license": "other", "license_name": "measurement-only"}
    if len(names) == 1 and names <= HUB_LICENCES:
        return {"license": names.pop()}
    return {"license": "other", "license_name": "as-its-data"}


def _pipeline(tasks: "Sequence[Task[Any]]", method: str) -> str:
    if method in ("full", "lora"):
        return "text-generation"
    return "token-classification" if tasks[0].family == "tagging" else "text-classification"


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not scores:
        return ["None: there are no validation examples in these languages."]
    rows = []
    for name, found in scores.items():
        by_language = found["languages"]
        for code, one in (by_language if len(by_language) == 1 else {"all": found, **by_language}).items():
            low, high = one["interval"]
            score = f"{one[one['metric']]:.3f}"
            rows.append([name, code, one["metric"], score, f"{low:.3f} to {high:.3f}", one["items"]])
    return [
        *table(["task", "language", "metric", "score", "95 % interval", "examples"], rows),
        "",
        "Settings and checkpoint may have been chosen on these examples, which flatters the score a little.",
    ]


def _bits(bits_per_byte: Mapping[str, float]) -> list[str]:
    registry = load_languages()
    rows = [
        [registry[code].autonym if code in registry else code, f"{value:.3f}"]
        for code, value in bits_per_byte.items()
    ]
    heading = "## Bits per byte on validation text (lower is better)"
    return [heading, "", *table(["language", "bits per byte"], rows), ""]
