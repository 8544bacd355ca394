"""What helps a small model at this scale: a choice changed at a time, three seeds each, fixed held-out text.

    EDGELM_DATA=DATA python benchmarks/study.py --work STUDY --seeds 3

The recipe is that of the model that ships, with `micro` (2.8 M parameters) and 2 M tokens. Every run is kept
in --work: killed and started again, it goes on. All are measured on the same validation texts of the recipe's
own corpus and, as a corpus that keeps copies may have read those, on a source that none has seen (for
measurement only). Predictions stand in docs/log.md, from before. Prints one table and writes JSON.
"""

import argparse
import json
import lzma
import os
import statistics
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgelm.cli.options import print_table
from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import Recipe, Source, load_recipe
from edgelm.corpus.shards import languages_of, read_texts
from edgelm.errors import EdgelmError
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.model.config import get_preset
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.pretrain import DataConfig, pretrain
from edgelm.progress import Progress
from edgelm.runtime import load
from edgelm.tokenizer.train import train_tokenizer

PRESET, STEPS, BATCH = "micro", 240, 16
BYTES = 20_000
"""Held-out text of each language."""
UNSEEN = "raw-noncommercial/autshumato_NCSA"
FEW = 32  # of how many documents one is kept where text is read again and again
KEPT = ("contaminated", "interface_strings", "wrong_language")
"""Reasons that stay where quality is not filtered: they are of what the text is, not of how good it is."""


@dataclass(frozen=True)
class Choice:
    """What is changed: the corpus, the tokenizer's temperature, the data's, or the training."""

    corpus: str = "recipe"
    tokenizer: float = 2.0
    data: float = 2.0
    training: dict[str, Any] = field(default_factory=dict)


CHOICES = {
    "the recipe": Choice(),
    "tokenizer by size of languages": Choice(tokenizer=1.0),
    "languages by size": Choice(data=1.0),
    "languages all but even": Choice(data=5.0),
    "a little text read three times": Choice(corpus="few"),
    "AdamW": Choice(training={"optimizer": "adamw", "learning_rate": 0.002}),
    "quality not filtered": Choice(corpus="unfiltered"),
    "near-duplicates kept": Choice(corpus="copies"),
}


def make_corpus(name: str, data: Path, work: Path) -> Path:
    """One of the corpora of the study."""
    recipe = replace(load_recipe("south-africa"), evaluation=(data / "tasks",))
    folder = work / f"corpus-{name}"
    if name == "few":
        recipe = few(make_corpus("recipe", data, work), work)
    elif name == "unfiltered":
        recipe = replace(recipe, filters=tuple(one for one in recipe.filters if one.reason in KEPT))
    elif name == "copies":
        recipe = replace(recipe, near_duplicates=None)
    build_corpus(recipe, folder, progress=Progress(quiet=True))
    return folder


def few(corpus: Path, work: Path) -> Recipe:
    """Every 32nd document of a corpus's training text, and no filter, as they have been through all."""
    source = work / "few"
    source.mkdir(exist_ok=True)
    for code in languages_of(corpus):
        texts = list(read_texts(corpus, code, "train"))[::FEW]
        lines = (json.dumps({"text": text, "split": "train"}, ensure_ascii=False) + "\n" for text in texts)
        (source / f"{code}.jsonl").write_text("".join(lines), encoding="utf-8")
    plain = replace(load_recipe("default"), identify=False, boilerplate=None, near_duplicates=None)
    return replace(plain, sources=(Source(path=source.resolve()),), filters=())


def unseen(data: Path) -> dict[str, list[str]]:
    """The beginning of a source that is in none of the corpora."""
    found = {}
    for path in sorted((data / UNSEEN).glob("*.txt.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as stream:
            found[path.name.split(".")[0]] = stream.read(BYTES).splitlines()[:-1]
    return found


def run(choice: Choice, seed: int, data: Path, work: Path, texts: list[dict[str, list[str]]]) -> list[float]:
    """Mean bits per byte on each of the held-out texts."""
    corpus, tokenizer = work / f"corpus-{choice.corpus}", work / f"tokenizer-{choice.tokenizer:g}"
    label = "-".join(
        [choice.corpus, f"{choice.tokenizer:g}", f"{choice.data:g}", *choice.training, str(seed)]
    )
    settings = {"learning_rate": 0.004, "warmup": 20, "batch": BATCH, **choice.training}
    pretrain(
        corpus,
        tokenizer,
        work / "runs" / label,
        preset=PRESET,
        config=TrainConfig(steps=STEPS, seed=seed, **settings),
        data=DataConfig(temperature=choice.data),
        validate_every=0,
        progress=Progress(quiet=True),
    )
    model = load(work / "runs" / label)
    return [bits_per_byte(model, one)["mean"] for one in texts]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("benchmark-runs") / "study")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=Path("study.json"))
    options = parser.parse_args()
    if not os.environ.get("EDGELM_DATA"):
        raise EdgelmError("EDGELM_DATA is not set. Set it to the folder with raw and tasks.")
    data, work = Path(os.environ["EDGELM_DATA"]).resolve(), options.work
    (work / "runs").mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(one.corpus for one in CHOICES.values()):
        print(f"  corpus {name}", file=sys.stderr, flush=True)
        make_corpus(name, data, work)
    vocabulary = get_preset(PRESET).vocab_size
    for temperature in {one.tokenizer for one in CHOICES.values()}:
        folder = work / f"tokenizer-{temperature:g}"
        train_tokenizer(work / "corpus-recipe", folder, vocab_size=vocabulary, temperature=temperature)
    texts = [corpus_texts(work / "corpus-recipe", "validation", BYTES), unseen(data)]
    found: dict[str, list[list[float]]] = {label: [] for label in CHOICES}
    for seed in range(options.seeds):  # by turns, so that an unfinished study compares whole seeds
        for label, choice in CHOICES.items():
            print(f"  {label}, seed {seed}", file=sys.stderr, flush=True)
            found[label].append(run(choice, seed, data, work, texts))
            options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    means = {
        label: [statistics.mean(one) for one in zip(*runs, strict=True)] for label, runs in found.items()
    }
    rows = []
    for label, runs in found.items():
        row = [label]
        for place, mean in enumerate(means[label]):
            spread = max(one[place] for one in runs) - min(one[place] for one in runs)
            row += [f"{mean:.3f} ({spread:.3f})", f"{mean / means['the recipe'][place] - 1:+.1%}"]
        rows.append(row)
    tokens = STEPS * BATCH * get_preset(PRESET).context / 1e6
    header = ["choice", "bits per byte (range)", "change", "unseen source", "change"]
    print_table(header, rows, f"{PRESET}, {tokens:.1f} M tokens, {options.seeds} seeds")


if __name__ == "__main__":
    try:
        main()
    except EdgelmError as error:
        sys.exit(str(error))
