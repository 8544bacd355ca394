"""Does the `mzansitext` recipe decide as datatrove does, and in what time? One row a source.

    python benchmarks/datatrove_parity.py --peer-python /path/to/env/bin/python --output parity.json

`--peer-python` is a Python with datatrove 0.9 and spaCy; `EDGELM_DATA` (or `--data`) is the folder that holds
`raw/<source>/<language>.(txt|jsonl).xz`. Of each file a seeded sample of documents goes through datatrove's
filters, one process, one core, and through ours. CPU seconds leave out start, compilation and reading.
Every disagreement is listed with the statistics that caused it, ours and datatrove's.
"""

import argparse
import importlib.metadata
import json
import lzma
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer-python", default="python")
    parser.add_argument("--data", type=Path, default=os.environ.get("EDGELM_DATA"))
    parser.add_argument("--documents", type=int, default=200, help="at most so many a file")
    parser.add_argument("--characters", type=int, default=250_000, help="at most so many a file")
    parser.add_argument("--columns", type=int, default=200, help="documents whose every column is compared")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only files with this in their path")
    parser.add_argument("--repaired", action="store_true", help="ours measures repaired text, theirs raw")
    parser.add_argument("--output", type=Path, help="a JSON file with all figures")
    parser.add_argument("--worker", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(*options.worker)
        return
    if options.data is None:
        sys.exit("set EDGELM_DATA or give --data")
    result = compare(options)
    show(result)
    if options.output:
        options.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(file: Path) -> list[str]:
    """The texts of one raw file that are not empty; datatrove's readers skip those that are."""
    with lzma.open(file, "rt", encoding="utf-8", errors="replace", newline="\n") as lines:
        if file.name.endswith(".jsonl.xz"):
            return [text for line in lines if (text := json.loads(line)["text"])]
        return [text for line in lines if (text := line.rstrip("\n"))]


def sample(texts: list[str], options: argparse.Namespace, name: str) -> list[str]:
    chosen, size = [], 0
    for text in random.Random(f"{options.seed} {name}").sample(texts, min(options.documents, len(texts))):
        size += len(text)
        if chosen and size > options.characters:
            break
        chosen.append(text)
    return chosen


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Both programs over the same samples: sources, totals and disagreements."""
    names: list[str] = []
    texts: list[str] = []
    population: dict[str, int] = {}
    for file in sorted((options.data / "raw").glob("*/*.xz")):
        name = f"{file.parent.name}/{file.name.split('.')[0]}"
        if options.only in name:
            everything = read(file)
            population[name] = len(everything)
            some = sample(everything, options, name)
            names += [name] * len(some)
            texts += some
    theirs = run_worker(options.peer_python, {"texts": texts, "statistics": False})
    ours = decide(texts, options.repaired)
    wrong = [
        at for at in range(len(texts)) if (ours["reasons"][at] is None) != (theirs["reasons"][at] is None)
    ]
    checked = random.Random(options.seed).sample(range(len(texts)), min(options.columns, len(texts)))
    detail = run_worker(
        options.peer_python, {"texts": [texts[at] for at in wrong + checked], "statistics": True}
    )["statistics"]
    sources = []
    for name in population:
        rows = [at for at, one in enumerate(names) if one == name]
        seconds = [sum(one["seconds"][at] for at in rows) for one in (theirs, ours)]
        size = sum(len(texts[at].encode("utf-8", "surrogatepass")) for at in rows)
        sources.append({
            "source": name,
            "population": population[name],
            "documents": len(rows),
            "bytes": size,
            "kept_by_datatrove": sum(theirs["reasons"][at] is None for at in rows),
            "agree": len(rows) - sum(at in wrong for at in rows),
            "same_reason": sum(theirs["reasons"][at] == ours["reasons"][at] for at in rows),
            "cpu_seconds": dict(zip(("datatrove", "edgelm"), seconds, strict=True)),
        })  # fmt: skip
    return {
        "datatrove": theirs["version"],
        "seed": options.seed,
        "sources": sources,
        "total": total(sources),
        "disagreements": [
            explain(names[at], texts[at], ours, theirs, at, detail[number]) for number, at in enumerate(wrong)
        ],
        "columns": column_differences(ours, checked, detail[len(wrong) :]),
    }


def total(sources: list[dict[str, Any]]) -> dict[str, Any]:
    """All sources together; `weighted` counts each source by its documents in all, not in the sample."""
    documents = sum(one["documents"] for one in sources)
    peer, own = (sum(one["cpu_seconds"][name] for one in sources) for name in ("datatrove", "edgelm"))
    megabytes = sum(one["bytes"] for one in sources) / 1e6
    weighted = sum(one["population"] * one["agree"] / one["documents"] for one in sources)
    return {
        "documents": documents,
        "megabytes": megabytes,
        "agreement": sum(one["agree"] for one in sources) / documents,
        "agreement_weighted": weighted / sum(one["population"] for one in sources),
        "same_reason": sum(one["same_reason"] for one in sources) / documents,
        "kept_by_datatrove": sum(one["kept_by_datatrove"] for one in sources) / documents,
        "megabytes_per_cpu_second": {"datatrove": megabytes / peer, "edgelm": megabytes / own},
        "ratio": peer / own,
    }


def decide(texts: list[str], repaired: bool) -> dict[str, Any]:
    """Our reason (or None) and columns of each text, and its share of the CPU time of its batch."""
    import numpy as np
    import yaml

    from edgelm import resources
    from edgelm.corpus.datatrove import measure
    from edgelm.corpus.repair import normalise

    rules = yaml.safe_load(resources.path("corpus", "recipes", "mzansitext.yaml").read_text("utf-8"))[
        "filters"
    ]
    measure(["warm up"])
    texts = [normalise(text) for text in texts] if repaired else texts
    reasons: list[str | None] = []
    seconds: list[float] = []
    columns: list[dict[str, np.ndarray]] = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        begin = time.process_time()
        found, _ = measure(batch)
        reason = np.full(len(batch), None, dtype=object)
        for rule in reversed(rules):
            values = found[rule["column"]]
            fails = (values < rule.get("min", -np.inf)) | (values > rule.get("max", np.inf))
            reason[fails] = rule["reason"]
        spent = time.process_time() - begin
        characters = sum(map(len, batch))
        seconds += [spent * len(text) / characters for text in batch]
        reasons += reason.tolist()
        columns.append(found)
    joined = {name: np.concatenate([one[name] for one in columns]).tolist() for name in columns[0]}
    return {
        "reasons": reasons,
        "seconds": seconds,
        "columns": joined,
        "rules": {one["reason"]: one["column"] for one in rules},
    }


def explain(
    name: str, text: str, ours: dict[str, Any], theirs: dict[str, Any], at: int, peer: dict[str, float]
) -> dict[str, Any]:
    """One disagreement: both reasons, and both values of the statistics behind them."""
    reasons = {"edgelm": ours["reasons"][at], "datatrove": theirs["reasons"][at]}
    behind = [ours["rules"][reason] for reason in reasons.values() if reason]
    values = {one: {"edgelm": ours["columns"][one][at], "datatrove": peer.get(one)} for one in behind}
    return {"source": name, "reasons": reasons, "values": values, "text": text[:200]}


def column_differences(ours: dict[str, Any], rows: list[int], peer: list[dict[str, float]]) -> dict[str, Any]:
    """Documents in which a column differs from datatrove's value by more than float32 rounding.

    A document that C4's rules drop at some line is left as it is by datatrove and measured no further.
    """
    differences = {}
    for name, values in ours["columns"].items():
        later = name == "c4_sentences" or name.startswith("fineweb")
        pairs = [
            (values[at], one[name])
            for at, one in zip(rows, peer, strict=True)
            if not later or not (one["c4_lorem_ipsum"] or one["c4_curly_bracket"])
        ]
        off = [abs(own - other) for own, other in pairs if abs(own - other) > 1e-6 * max(1, abs(other))]
        differences[name] = {"documents": len(pairs), "differ": len(off), "most": max(off, default=0.0)}
    return differences


def run_worker(python: str, task: dict[str, Any]) -> dict[str, Any]:
    """This script's `work` under another Python."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("task.json", "answer.json")]
        paths[0].write_text(json.dumps(task), encoding="utf-8")
        subprocess.run([python, __file__, "--worker", *map(str, paths)], check=True)
        answer: dict[str, Any] = json.loads(paths[1].read_text(encoding="utf-8"))
        return answer


def work(task_file: Path, answer_file: Path) -> None:
    """datatrove's reason (or None) for each text and CPU seconds, or its statistics; in its own Python."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    task = json.loads(task_file.read_text(encoding="utf-8"))
    chain = [
        GopherRepetitionFilter(
            dup_line_frac=0.5, dup_para_frac=0.5, dup_line_char_frac=0.5, dup_para_char_frac=0.5,
            top_n_grams=((2, 0.75), (3, 0.75), (4, 0.75)),
            dup_n_grams=((5, 0.30), (6, 0.28), (7, 0.26), (8, 0.24), (9, 0.22), (10, 0.20)),
        ),
        GopherQualityFilter(min_doc_words=10, min_stop_words=0, max_non_alpha_words_ratio=0.5),
        C4QualityFilter(filter_no_terminal_punct=False, min_num_sentences=2),
        FineWebQualityFilter(line_punct_exclude_zero=True, short_line_thr=0.8),
    ]  # fmt: skip
    answer: dict[str, Any] = {
        "version": importlib.metadata.version("datatrove"), "reasons": [], "seconds": [], "statistics": [],
    }  # fmt: skip
    for one in chain:
        one.filter(Document(text="A first sentence. Then another one.", id="warm up"))
    for text in task["texts"]:
        document, reason = Document(text=text, id=""), None
        if task["statistics"]:
            answer["statistics"].append(peer_statistics(text, chain[2]))
            continue
        begin = time.process_time()
        for step in chain:
            verdict = step.filter(document)
            if verdict is not True:
                reason = verdict[1]
                break
        answer["seconds"].append(time.process_time() - begin)
        answer["reasons"].append(reason)
    answer_file.write_text(json.dumps(answer), encoding="utf-8")


def peer_statistics(text: str, c4: Any) -> dict[str, float]:
    """The values datatrove compares with its bounds, from its own functions, under our names."""
    import re

    from datatrove.data import Document
    from datatrove.pipeline.filters import c4_filters
    from datatrove.pipeline.filters.gopher_repetition_filter import (
        find_all_duplicate,
        find_duplicates,
        find_top_duplicate,
        get_n_grams,
    )
    from datatrove.utils.text import (
        PUNCTUATION_SET,
        TERMINAL_PUNCTUATION,
        split_into_sentences,
        split_into_words,
    )

    def share(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    found: dict[str, float] = {}
    for name, pieces in (
        ("paragraph", re.split(r"\n{2,}", text.strip())), ("line", re.split("\n+", text)),
    ):  # fmt: skip
        count, characters = find_duplicates(pieces)
        found[f"gopher_duplicate_{name}s"] = count / len(pieces)
        found[f"gopher_duplicate_{name}_characters"] = share(characters, len(text))
    words = split_into_words(text)
    for n in (2, 3, 4):
        n_grams = get_n_grams(words, n)
        found[f"gopher_top_{n}_gram"] = share(find_top_duplicate(n_grams), len(text)) if n_grams else 0.0
    for n in range(5, 11):
        found[f"gopher_duplicate_{n}_grams"] = share(find_all_duplicate(words, n), len(text))
    kept = [word for word in words if any(one not in PUNCTUATION_SET for one in word)]
    lines = text.splitlines()
    found["gopher_words"] = len(kept)
    found["gopher_mean_word_length"] = share(sum(map(len, kept)), len(kept))
    found["gopher_hashes"] = share(text.count("#"), len(words))
    found["gopher_ellipses"] = share(text.count("...") + text.count("…"), len(words))
    found["gopher_bullet_lines"] = share(
        sum(one.lstrip().startswith(("•", "-")) for one in lines), len(lines)
    )
    found["gopher_ellipsis_lines"] = share(
        sum(one.rstrip().endswith(("...", "…")) for one in lines), len(lines)
    )
    lettered = sum(any(one.isalpha() for one in word) for word in words)
    found["gopher_alphabetic_words"] = share(lettered, len(words))
    document = Document(text=text, id="")
    sentences = []
    # the filter keeps its count to itself: so it is listened to while it splits
    c4_filters.split_into_sentences = lambda *given: (
        sentences.append(split_into_sentences(*given)) or sentences[-1]
    )
    least, c4.min_num_sentences = c4.min_num_sentences, 0  # or a text it drops would not be cleaned
    verdict = c4.filter(document)
    c4.min_num_sentences = least
    c4_filters.split_into_sentences = split_into_sentences
    found["c4_lorem_ipsum"] = float(verdict == (False, "lorem_ipsum"))
    found["c4_curly_bracket"] = float(verdict == (False, "curly_bracket"))
    found["c4_sentences"] = sum(map(len, sentences))
    cleaned = [line for line in document.text.split("\n") if line.strip()]
    terminal = sum(line.endswith(tuple(TERMINAL_PUNCTUATION)) for line in cleaned)
    found["fineweb_lines"] = len(cleaned)
    found["fineweb_terminal_lines"] = share(terminal, len(cleaned)) if terminal else float(bool(cleaned))
    found["fineweb_short_lines"] = share(sum(len(line) <= 30 for line in cleaned), len(cleaned))
    repeated = find_duplicates(cleaned)[1]
    found["fineweb_duplicate_characters"] = share(repeated, len(document.text.replace("\n", "")))
    found["fineweb_newlines"] = share(document.text.count("\n"), len(split_into_words(document.text)))
    return found


def show(result: dict[str, Any]) -> None:
    print(
        f"{'source':32}{'documents':>10}{'kB':>8}{'kept':>7}{'agree':>9}{'reason':>9}"
        f"{'peer s':>9}{'our s':>9}"
    )
    for one in result["sources"]:
        count = one["documents"]
        print(
            f"{one['source']:32}{count:10}{one['bytes'] / 1e3:8.0f}{one['kept_by_datatrove'] / count:7.2f}"
            f"{one['agree'] / count:9.2%}{one['same_reason'] / count:9.2%}"
            f"{one['cpu_seconds']['datatrove']:9.2f}{one['cpu_seconds']['edgelm']:9.4f}"
        )
    one = result["total"]
    speed = one["megabytes_per_cpu_second"]
    print(
        f"all: {one['documents']} documents, {one['megabytes']:.1f} MB; the same decision on "
        f"{one['agreement']:.3%} ({one['agreement_weighted']:.3%} weighted by source), the same reason on "
        f"{one['same_reason']:.3%}\ndatatrove {speed['datatrove']:.4f} MB per CPU second, edgelm "
        f"{speed['edgelm']:.2f}: {one['ratio']:.0f} times"
    )
    for one in result["disagreements"]:
        print(f"DISAGREE {one['source']}: {one['reasons']} {one['values']} {one['text'][:80]!r}")
    for name, one in result["columns"].items():
        if one["differ"]:
            print(
                f"COLUMN {name}: differs in {one['differ']} of {one['documents']}, "
                f"by {one['most']:.3g} at most"
            )


if __name__ == "__main__":
    main()
