"""Bits per byte of models beside character 5-grams with Kneser-Ney smoothing, in each language.

    python benchmarks/ngram.py CORPUS MODEL...

The n-grams of a language have read all of its training text; both sides are measured on the same texts of
another split, each text from its own beginning. The models are not told the language, and begin anew where a
text is longer than their context. Prints one table and writes JSON.
"""

import argparse
import json
from pathlib import Path

from edgelm.cli.options import print_table
from edgelm.corpus.report import read_manifest
from edgelm.corpus.shards import read_texts
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.evaluate.kneser_ney import KneserNey
from edgelm.languages import get_language
from edgelm.runtime import load

BYTES = 50_000
"""Text of each language."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--split", default="validation", choices=["validation", "test"])
    parser.add_argument("--bytes", type=int, default=BYTES)
    parser.add_argument("-o", "--output", type=Path, default=Path("ngram.json"))
    options = parser.parse_args()
    texts = corpus_texts(options.corpus, options.split, options.bytes)
    found: dict[str, dict[str, float]] = {"5-gram": {}}
    for code, own in texts.items():
        ngram = KneserNey(read_texts(options.corpus, code, "train"))
        found["5-gram"][code] = sum(map(ngram.bits, own)) / sum(len(text.encode()) for text in own)
    for path in options.models:
        model = load(path)
        found[str(path)] = bits_per_byte(model, texts)
        model.close()
    found["5-gram"]["mean"] = sum(found["5-gram"].values()) / len(texts)
    options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    trained = read_manifest(options.corpus)["languages"]
    rows = []
    for code, ngram_bits in found["5-gram"].items():
        mean = code == "mean"
        size = "" if mean else f"{trained[code]['splits']['train']['bytes'] / 1e6:.1f}"
        row = ["mean" if mean else get_language(code).autonym, size, f"{ngram_bits:.3f}"]
        for path in options.models:
            bits = found[str(path)][code]
            row += [f"{bits:.3f}", f"{bits / ngram_bits - 1:+.1%}"]
        rows.append(row)
    headers = ["language", "MB read", "5-gram"]
    headers += [header for path in options.models for header in (path.name, "change")]
    print_table(headers, rows, f"bits per byte on {options.split} text")


if __name__ == "__main__":
    main()
