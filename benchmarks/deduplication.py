"""MinHash deduplication, ours beside text-dedup, datatrove and rensa, on the same documents and one core.

    EDGELM_DATA=... python benchmarks/deduplication.py --peer-python PEERS/bin/python -o deduplication.json

PEERS is an environment with text-dedup, datatrove and rensa; without the option only ours is measured.

The documents are real sentences of which no two share four words in a row, so that no duplicates hide among
them; seeded edits plant near-duplicates (the truth to be found), and halves of two sentences joined together
(which are no duplicates of either). One in six more is a short sentence as spoken, different from all others:
what is removed of these counts as wrong for everybody, though one in 200 or so is nearly the same as another.

A program is scored by what it removes: of a cluster of m copies, m - 1 have to go, no matter which. Seconds
are CPU seconds from texts in memory to the decision, imports and compilation apart.
"""

import argparse
import json
import lzma
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SHORT = "common_voice/eng.txt.xz"
SOURCES = "autshumato_BY/{eng,tsn,tso,zul} vukuzenzele_lid/{afr,nbl,nso,sot,ssw,ven,xho} leipzig_tsn/{tsn}"
FOOTERS = ("Read more on our website .", "Funda kabanzi lapha !", "Bala go feta mo .", "( Lees verder )")
WORDS_BETWEEN_EDITS = 15


def sentences(folder: Path, limit: int) -> list[str]:
    """Sentences of 8 to 60 words of all languages, shuffled, of which no two share four words in a row."""
    lines = []
    for part in SOURCES.split():
        source, codes = part.split("/")
        for code in codes.strip("{}").split(","):
            with lzma.open(folder / source / f"{code}.txt.xz", "rt", encoding="utf-8") as file:
                lines += file.read().split("\n")
    random.Random(1).shuffle(lines)
    seen: set[tuple[str, ...]] = set()
    kept = []
    for line in lines:
        words = "".join(c if c.isalpha() else " " for c in line.lower()).split()
        grams = {tuple(words[i : i + 4]) for i in range(len(words) - 3)}
        if 8 <= len(words) <= 60 and not grams & seen:
            seen |= grams
            kept.append(line.strip())
            if len(kept) == limit:
                break
    return kept


def short_sentences(folder: Path, limit: int) -> list[str]:
    """Spoken sentences, of which no two consist of the same words in the same order."""
    with lzma.open(folder / SHORT, "rt", encoding="utf-8") as file:
        lines = {"".join(filter(str.isalpha, line.lower())): line.strip() for line in file}
    return random.Random(2).sample(sorted(lines.values()), limit)


def _swap(words: list[str], draw: random.Random, other: str) -> list[str]:
    place = draw.randrange(len(words) - 1)
    return [*words[:place], words[place + 1], words[place], *words[place + 2 :]]


def _delete(words: list[str], draw: random.Random, other: str) -> list[str]:
    place = draw.randrange(len(words))
    return words[:place] + words[place + 1 :]


def _replace(words: list[str], draw: random.Random, other: str) -> list[str]:
    place = draw.randrange(len(words))
    return [*words[:place], draw.choice(other.split()), *words[place + 1 :]]


def _misspell(words: list[str], draw: random.Random, other: str) -> list[str]:
    place = draw.randrange(len(words))
    cut = draw.randrange(len(words[place]))
    return [*words[:place], words[place][:cut] + words[place][cut + 1 :] or "x", *words[place + 1 :]]


def edited(text: str, draw: random.Random, other: str) -> str:
    """A near-duplicate: one edit of words in every 15, or another case, punctuation, numbers, or a footer."""
    kind = draw.choice("case punctuation numbers footer swap delete replace misspell".split())
    words = text.split()
    if kind == "case":
        return draw.choice((text.upper(), text.lower(), text.title()))
    if kind == "punctuation":
        return " ".join(w + draw.choice(("", "", ",", "!", ' "')) for w in words if any(map(str.isalnum, w)))
    if kind == "numbers":
        return f"{draw.randrange(1, 999)} . " + "".join(
            str(draw.randrange(10)) if c.isdigit() else c for c in text
        )
    if kind == "footer":
        return text + " " + draw.choice(FOOTERS)
    edit = {"swap": _swap, "delete": _delete, "replace": _replace, "misspell": _misspell}[kind]
    for _ in range(max(1, len(words) // WORDS_BETWEEN_EDITS)):
        words = edit(words, draw, other)
    return " ".join(words)


def plant(base: Sequence[str], short: Sequence[str], seed: int = 0) -> tuple[list[str], list[int]]:
    """Documents in random order, and the number of the cluster of each; negative for the short ones."""
    draw = random.Random(seed)
    rows = [(text, cluster) for cluster, text in enumerate(base)]
    rows += [(text, -1 - number) for number, text in enumerate(short)]
    for cluster, text in enumerate(base):
        chance = draw.random()
        if chance < 0.2:
            copies = draw.choice((1, 1, 1, 2, 4))
            rows += [(edited(text, draw, draw.choice(base)), cluster) for _ in range(copies)]
        elif chance < 0.3:
            other, words = draw.choice(base).split(), text.split()
            joined = " ".join(words[: len(words) // 2] + other[len(other) // 2 :])
            rows.append((joined, len(base) + cluster))
    draw.shuffle(rows)
    return [text for text, _ in rows], [cluster for _, cluster in rows]


def score(removed: Sequence[int], clusters: Sequence[int]) -> dict[str, float]:
    """Precision, recall and F1 of the documents removed."""
    sizes: dict[int, int] = {}
    gone: dict[int, int] = {}
    for cluster in clusters:
        sizes[cluster] = sizes.get(cluster, 0) + 1
    for row in removed:
        gone[clusters[row]] = gone.get(clusters[row], 0) + 1
    right = sum(min(count, sizes[cluster] - 1) for cluster, count in gone.items())
    wanted = len(clusters) - len(sizes)
    short = sum(cluster < 0 for cluster in clusters)
    return {
        "short_removed": sum(count for cluster, count in gone.items() if cluster < 0) / max(1, short),
        "precision": right / max(1, len(removed)),
        "recall": right / wanted,
        "f1": 2 * right / max(1, len(removed) + wanted),
    }


def _ours(texts: list[str]) -> list[int]:
    import numpy as np

    from edgelm.corpus.minhash import band_columns, cluster, compact, signatures

    found = np.concatenate([compact(signatures(texts[at : at + 4000])) for at in range(0, len(texts), 4000)])
    labels = cluster(band_columns(found), found)
    return [int(row) for row in np.flatnonzero(labels != np.arange(len(labels)))]


def _text_dedup(texts: list[str], ngram: int = 5, threshold: float = 0.7, hashing: str = "sha1") -> list[int]:
    import datasets
    from text_dedup import minhash

    with tempfile.TemporaryDirectory() as folder:
        datasets.Dataset.from_dict({"text": texts, "row": range(len(texts))}).save_to_disk(f"{folder}/in")
        options = f"--path {folder}/in --local --output {folder}/out --cache_dir {folder} --column text"
        options += (
            f" --num_proc 1 --min_length 1 --ngram {ngram} --threshold {threshold} --hash_func {hashing}"
        )
        minhash.main(options.split(), standalone_mode=False)
        kept = set(datasets.load_from_disk(f"{folder}/out")["row"])
    return [row for row in range(len(texts)) if row not in kept]


def _datatrove(texts: list[str], ngram: int = 5) -> list[int]:
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupFilter

    config = MinhashConfig(n_grams=ngram)
    with tempfile.TemporaryDirectory() as folder:
        documents = [Document(text, str(row)) for row, text in enumerate(texts)]
        MinhashDedupSignature(f"{folder}/signatures", config).run(iter(documents), 0, 1)
        for bucket in range(config.num_buckets):
            step = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)
            step.run(None, bucket, config.num_buckets)
        MinhashDedupCluster(f"{folder}/buckets", f"{folder}/clusters", config).run(None, 0, 1)
        kept = {
            int(document.id) for document in MinhashDedupFilter(f"{folder}/clusters").run(documents, 0, 1)
        }
    return [row for row in range(len(texts)) if row not in kept]


def _rensa(texts: list[str], characters: int = 0) -> list[int]:
    from rensa import RMinHashDeduplicator

    def tokens(text: str) -> list[str]:
        text = text.lower()
        return [text[i : i + characters] for i in range(len(text))] if characters else text.split()

    program = RMinHashDeduplicator(threshold=0.8, num_perm=128, use_lsh=True)
    keep = program.add_pairs((str(row), tokens(text)) for row, text in enumerate(texts))
    return [row for row, kept in enumerate(keep) if not kept]


PROGRAMS: dict[str, Callable[[list[str]], list[int]]] = {
    "edgelm": _ours,
    "text-dedup, default": _text_dedup,
    "text-dedup, 3 words": lambda texts: _text_dedup(texts, 3, 0.5),
    "text-dedup, 2 words": lambda texts: _text_dedup(texts, 2, 0.5),
    "text-dedup, 2 words, xxh3": lambda texts: _text_dedup(texts, 2, 0.5, "xxh3"),
    "text-dedup, 1 word": lambda texts: _text_dedup(texts, 1, 0.7),
    "text-dedup, 1 word, 0.8": lambda texts: _text_dedup(texts, 1, 0.8),
    "datatrove, default": _datatrove,
    "datatrove, 2 words": lambda texts: _datatrove(texts, 2),
    "datatrove, 1 word": lambda texts: _datatrove(texts, 1),
    "rensa, words": _rensa,
    "rensa, 5 characters": lambda texts: _rensa(texts, 5),
}


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def run(program: str, documents: Path) -> dict[str, object]:
    """Run one program in this process, after a first run on a few documents that imports and compiles."""
    texts = json.loads(documents.read_text(encoding="utf-8"))
    import importlib.metadata  # noqa: F401  datatrove uses it without importing it

    PROGRAMS[program](texts[:200])
    began, wall = _cpu_seconds(), time.perf_counter()
    removed = PROGRAMS[program](texts)
    return {"seconds": _cpu_seconds() - began, "wall": time.perf_counter() - wall, "removed": removed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with the other programs")
    parser.add_argument(
        "--documents", type=int, default=60_000, help="sentences before duplicates are planted"
    )
    parser.add_argument("--only", action="append", help="programs to run (default: all)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--run", nargs=2, metavar=("PROGRAM", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        sys.stdout = sys.stderr  # programs print
        answer = json.dumps(run(options.run[0], Path(options.run[1])))
        sys.__stdout__.write(answer)  # type: ignore[union-attr]
        return
    if "EDGELM_DATA" not in os.environ:
        sys.exit("set EDGELM_DATA to the folder that holds raw/")
    raw = Path(os.environ["EDGELM_DATA"]) / "raw"
    base = sentences(raw, options.documents)
    texts, clusters = plant(base, short_sentences(raw, len(base) // 6))
    print(f"{len(texts)} documents of {sum(map(len, texts)) / len(texts):.0f} characters, ", end="")
    print(f"{len(texts) - len(set(clusters))} duplicates planted")
    print(f"{'':26}{'F1':>7}{'precision':>11}{'recall':>8}{'short lost':>12}", end="")
    print(f"{'seconds':>9}{'documents/s':>13}{'ratio':>7}")
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "documents.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        for program in options.only or PROGRAMS:
            python = sys.executable if program == "edgelm" else options.peer_python
            if not python:
                continue
            done = subprocess.run(
                [python, __file__, "--run", program, str(file)],
                capture_output=True,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            )
            if done.returncode:
                print(f"{program:26}does not run: {done.stderr.strip().splitlines()[-1][:80]}")
                continue
            answer = json.loads(done.stdout)
            row = score(answer["removed"], clusters) | {"seconds": answer["seconds"], "wall": answer["wall"]}
            row["documents_per_second"] = len(texts) / row["seconds"]
            rows[program] = row
            ratio = row["seconds"] / rows["edgelm"]["seconds"] if "edgelm" in rows else float("nan")
            print(
                f"{program:26}{row['f1']:7.4f}{row['precision']:11.4f}{row['recall']:8.4f}"
                f"{row['short_removed']:12.2%}"
                f"{row['seconds']:9.2f}{row['documents_per_second']:13.0f}{ratio:7.1f}",
                flush=True,
            )
    if options.output:
        figures = {"documents": len(texts), "planted": len(texts) - len(set(clusters)), "programs": rows}
        options.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
