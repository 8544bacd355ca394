"""Sentences given as words, as ids: where each word ends, and no word cut off unseen."""

from collections.abc import Sequence

from edgelm.tokenizer.text import TextTokenizer

CLOSING = frozenset(".,;:!?)]}%»”’…")
OPENING = frozenset("([{«“‘")


def spaced(words: Sequence[str]) -> list[str]:
    """Words with the space that running text has before each: none at the beginning and before punctuation.

    Tagged text separates punctuation by spaces, text to learn from does not: without this a model would meet
    tokens that it has hardly seen.
    """
    found = []
    glued = True
    for word in words:
        closing = len(word) == 1 and word in CLOSING
        found.append(word if glued or closing else f" {word}")
        glued = len(word) == 1 and word in OPENING
    return found


def encode_words(tokenizer: TextTokenizer, words: Sequence[str], room: int) -> tuple[list[int], list[int]]:
    """Ids of a sentence and the place of each word's last token among them.

    A word that would need more than its share of `room` tokens loses its middle: it keeps a place of its own,
    whatever it is, so that every word gets a tag.

    Raises:
        ValueError: there are more words than tokens to hold them.
    """
    if len(words) > room:
        raise ValueError(f"{len(words)} words do not fit {room} tokens")
    pieces = tokenizer.encode_batch(spaced(words))
    pieces = [piece or tokenizer.encode("?") for piece in pieces]
    longest = max(map(len, pieces), default=0)
    while sum(map(len, pieces)) > room:
        longest -= 1
        pieces = [_shortened(piece, longest) for piece in pieces]
    ids: list[int] = []
    ends = []
    for piece in pieces:
        ids += piece
        ends.append(len(ids) - 1)
    return ids, ends


def _shortened(piece: list[int], length: int) -> list[int]:
    if len(piece) <= length:
        return piece
    front = length // 2
    return [*piece[:front], *piece[len(piece) - (length - front) :]]
