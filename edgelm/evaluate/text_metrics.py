"""Metrics of written text against one or more references an item, each from 0 to 100.

Both sides are brought to NFC first: what a tokenizer writes in NFD would else be wrong however right it is.
"""

from collections.abc import Sequence
from functools import cache, partial
from types import SimpleNamespace
from unicodedata import normalize

import numpy as np

from edgelm.errors import BadInput
from edgelm.evaluate.bootstrap import Counts, Figures
from edgelm.evaluate.metrics import check_count
from edgelm.extras import require

ROUGE = ("rouge1", "rouge2", "rougeL")
CHRF = {"chrf": 0, "chrf++": 2}  # order of word n-grams; that of characters is 6, beta 2
ORDER = 4  # of BLEU


def text_counts(references: Sequence[Sequence[str]], predicted: Sequence[str]) -> Counts:
    """For each item, the n-grams that its text shares with its references; an empty text shares none.

    `bleu`: sacreBLEU, its defaults (13a, exponential smoothing, length of the closest reference). `bleu_hf`:
    what Hugging Face evaluate's `bleu` makes of the same counts (no smoothing, length of the *shortest*
    reference). `chrf`, `chrf++`: sacreBLEU, an item's best reference. `rouge1`, `rouge2`, `rougeL`: mean
    F-measure of rouge_score with its stemmer, an item's best reference. There is no chance level.

    Raises:
        BadInput: nothing to score, another number of texts, or an item without a reference.
        MissingExtra: sacrebleu or rouge_score is not installed.
    """
    require("sacrebleu", "evaluate")
    check_count(len(references), len(predicted))
    for place, several in enumerate(references, start=1):
        if not several:
            raise BadInput(
                f"item {place} has no reference", remedy="give at least one, or leave the item out"
            )
    wanted = [[normalize("NFC", one) for one in several] for several in references]
    written = [normalize("NFC", one) for one in predicted]
    parts = [_bleu_rows(wanted, written), *_chrf_rows(wanted, written), _rouge_rows(wanted, written)]
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]

    def measure(sums: np.ndarray) -> Figures:
        bleu, chrf, chrf_pp, rouge = np.split(sums, ends, axis=1)
        return {
            "chrf": _chrf(chrf, "chrf"),
            "chrf++": _chrf(chrf_pp, "chrf++"),
            "bleu": _bleu(bleu, reference=1, smoothing="exp"),
            "bleu_hf": _bleu(bleu, reference=2, smoothing="none"),
            **{name: 100 * rouge[:, place] / rouge[:, -1] for place, name in enumerate(ROUGE)},
        }

    return Counts(np.concatenate(parts, axis=1), measure)


def _bleu_rows(references: list[list[str]], written: list[str]) -> np.ndarray:
    """Columns: length, that of the closest reference, of the shortest; n-grams shared; n-grams written."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(effective_order=True)  # has no part in counting; without it each sentence is warned about
    rows = []
    for text, several in zip(written, references, strict=True):
        found = metric.sentence_score(text, several)
        shortest = min(len(metric.tokenizer(one.rstrip()).split()) for one in several)
        rows.append([found.sys_len, found.ref_len, shortest, *found.counts, *found.totals])
    return np.array(rows, dtype=np.float64).reshape(len(rows), 3 + 2 * ORDER)


def _bleu(sums: np.ndarray, reference: int, smoothing: str) -> np.ndarray:
    from sacrebleu.metrics.bleu import BLEU

    return np.array(
        [
            BLEU.compute_bleu(
                correct=row[3 : 3 + ORDER],
                total=row[3 + ORDER :],
                sys_len=row[0],
                ref_len=row[reference],
                smooth_method=smoothing,
            ).score
            for row in sums.astype(np.int64).tolist()
        ]
    )


def _chrf_rows(references: list[list[str]], written: list[str]) -> list[np.ndarray]:
    """For chrF and chrF++: n-grams written, in the best reference, shared; for each order."""
    from sacrebleu.metrics.chrf import CHRF as Metric

    plain, words = (Metric(word_order=order) for order in CHRF.values())
    rows = []
    for text, several in zip(written, references, strict=True):
        found = [words._extract_corpus_statistics([text], [[one]])[0] for one in several]
        best = max(found, key=plain._compute_f_score)  # looks at the orders of characters, which come first
        rows.append([*best[: 3 * plain.order], *max(found, key=words._compute_f_score)])
    both = np.array(rows, dtype=np.float64).reshape(len(rows), 3 * (plain.order + words.order))
    return np.split(both, [3 * plain.order], axis=1)


def _chrf(sums: np.ndarray, name: str) -> np.ndarray:
    from sacrebleu.metrics.chrf import CHRF as Metric

    metric = Metric(word_order=CHRF[name])
    return np.array([metric._compute_score_from_stats(row).score for row in sums.tolist()])


def _rouge_rows(references: list[list[str]], written: list[str]) -> np.ndarray:
    """Columns: F-measure of each ROUGE, and 1."""
    require("rouge_score", "evaluate")
    from nltk.stem.porter import PorterStemmer
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenize import tokenize

    stemmer = SimpleNamespace(stem=cache(PorterStemmer().stem))  # words repeat; else as the scorer's own
    tokenizer = SimpleNamespace(tokenize=partial(tokenize, stemmer=stemmer))
    scorer = RougeScorer(list(ROUGE), tokenizer=tokenizer)
    rows = []
    for text, several in zip(written, references, strict=True):
        found = scorer.score_multi(several, text)
        rows.append([*(found[name].fmeasure for name in ROUGE), 1])
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(ROUGE) + 1)
