"""Beam search: of several texts that are written side by side, the likeliest.

Scores are log-likelihoods divided by (tokens, the ending one included) ** `POWER`, as in Wu et al. (2016)
without the constant; an undivided one favours short texts.
"""

from collections.abc import Sequence

import numpy as np

from edgelm.runtime.base import LanguageModel

POWER = 0.6


def beam_search(
    model: LanguageModel, ids: Sequence[int], *, beams: int, max_tokens: int, power: float = POWER
) -> list[int]:
    """The tokens of the best text after `ids`, without the one that ends it.

    The search ends when no text that is still being written can beat the best that has ended. One beam takes
    the likeliest token each time, as generation without sampling does.
    """
    branches = model.branches()
    following = _log_softmax(branches.start(ids))
    texts: list[list[int]] = [[]]
    scores = np.zeros(1)
    best_score, best = -np.inf, texts[0]
    for length in range(1, max_tokens + 1):
        total = scores[:, None] + following
        parents, tokens = np.divmod(_largest(total.ravel(), beams), total.shape[1])
        going = []
        for parent, token in zip(parents.tolist(), tokens.tolist(), strict=True):
            ends = token in model.ends
            if not ends:
                going.append((parent, token))
            if (ends or length == max_tokens) and total[parent, token] / length**power > best_score:
                best_score = total[parent, token] / length**power
                best = texts[parent] + [token] * (not ends)
        scores = np.array([total[parent, token] for parent, token in going])
        if length == max_tokens or not going or scores.max() / max_tokens**power <= best_score:
            break
        texts = [[*texts[parent], token] for parent, token in going]
        following = _log_softmax(branches.step(*map(list, zip(*going, strict=True))))
    return best


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the largest values, in order; of equals the first."""
    if count < len(values):
        least = np.partition(values, -count)[-count]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(len(values))
    return places[np.argsort(-values[places], kind="stable")][:count]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """In float64, so that logits that differ by a hair stay apart."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found
