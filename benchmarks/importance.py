"""What an importance matrix changes: none, one of English alone, and one balanced over languages.

    python benchmarks/importance.py MODEL CORPUS --kinds Q4_K_M,IQ2_XS

Both matrices read as many tokens of the corpus's training text. Each kind of GGUF is compared with PyTorch in
float32 on validation text: mean Kullback-Leibler divergence of the next-token distributions, by language.
Prints one table and writes JSON.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from edgelm.cli.options import print_table
from edgelm.errors import EdgelmError
from edgelm.evaluate.bits_per_byte import corpus_texts
from edgelm.export.gguf import quantize_gguf, write_gguf
from edgelm.export.importance import measure
from edgelm.runtime import load
from edgelm.runtime.sampling import log_softmax
from edgelm.runtime.torch import TorchModel

TOKENS = 8192
"""Of each language, and as many of English alone as of all together."""
DOCUMENTS, BYTES = 3, 4000
"""Validation text of each language."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--kinds", default="Q4_K_M,IQ3_M,IQ2_XS")
    parser.add_argument("-o", "--output", type=Path, default=Path("importance.json"))
    options = parser.parse_args()
    train = corpus_texts(options.corpus, "train", TOKENS * 8)
    english = corpus_texts(options.corpus, "train", TOKENS * 8 * len(train))["eng"]
    balanced = measure(options.model, train, tokens=TOKENS)
    one = measure(options.model, {"eng": english}, tokens=balanced.tokens)
    matrices = {"none": None, "English": one.means, "balanced": balanced.means}
    reference = TorchModel.open(options.model)
    held_out = {
        code: [[reference.bos, *reference.tokenize(text)][: reference.context] for text in texts[:DOCUMENTS]]
        for code, texts in corpus_texts(options.corpus, "validation", BYTES).items()
    }
    truth = {
        code: [log_softmax(reference.session().feed(ids)) for ids in own] for code, own in held_out.items()
    }
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        source, made = Path(scratch) / "F32.gguf", Path(scratch) / "made.gguf"
        write_gguf(options.model, source, "F32")
        for kind in options.kinds.split(","):
            for name, means in matrices.items():
                try:
                    quantize_gguf(source, made, kind, means)
                except EdgelmError:  # llama.cpp does not write this kind without a matrix
                    continue
                model = load(made)
                found = {
                    code: float(
                        np.concatenate(
                            [
                                (np.exp(p) * (p - log_softmax(model.session().feed(ids)))).sum(-1)
                                for ids, p in zip(own, truth[code], strict=True)
                            ]
                        ).mean()
                    )
                    for code, own in held_out.items()
                }
                model.close()
                lines.append({"kind": kind, "matrix": name, "bytes": made.stat().st_size, "kl": found})
    options.output.write_text(json.dumps(lines, indent=1), encoding="utf-8")
    rows = []
    for line in lines:
        kl = line["kl"]
        worst = max(kl, key=kl.__getitem__)
        mean = f"{np.mean(list(kl.values())):.4f}"
        rows.append([line["kind"], line["matrix"], mean, f"{kl['eng']:.4f}", f"{worst} {kl[worst]:.4f}"])
    print_table(["kind", "matrix", "mean KL", "English", "worst language"], rows, options.model.name)


if __name__ == "__main__":
    main()
