"""A tokenizer without the tokens that a text never uses: it is cut as before, other text into more pieces.

Of byte-pair encoding a token can go once no kept token is merged from it; what the text is cut into is kept,
with all that those tokens are merged from, every byte and every special token. Ids move up, in their order.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.tokenizer.text import TextTokenizer

BATCH = 1024  # documents


def used_tokens(tokenizer: TextTokenizer, texts: Iterable[Sequence[str]]) -> set[int]:
    """Ids that the texts are cut into; the texts come in parts that fit the memory."""
    found: set[int] = set()
    for part in texts:
        for start in range(0, len(part), BATCH):
            for ids in tokenizer.encode_batch(part[start : start + BATCH]):
                found.update(ids)
    return found


def prune_tokenizer(tokenizer: TextTokenizer, used: set[int], path: Path) -> list[int]:
    """Write `tokenizer.json` with the tokens used and those they are made of; returns old ids by new id."""
    content = json.loads(tokenizer.tokenizer.to_str())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    token = {number: text for text, number in vocabulary.items()}
    made_of: dict[str, list[tuple[str, str]]] = {}
    for left, right in content["model"]["merges"]:
        made_of.setdefault(left + right, []).append((left, right))
    kept = {text for text in vocabulary if len(text) == 1}
    kept |= {one["content"] for one in content["added_tokens"]}
    waiting = [token[number] for number in used if number in token]
    while waiting:
        text = waiting.pop()
        if text not in kept:
            kept.add(text)
            waiting += [part for pair in made_of.get(text, ()) for part in pair]
    every = {**vocabulary, **{one["content"]: one["id"] for one in content["added_tokens"]}}
    old = sorted(every[text] for text in kept)
    place = {number: new for new, number in enumerate(old)}
    content["model"]["vocab"] = {text: place[number] for text, number in vocabulary.items() if text in kept}
    content["model"]["merges"] = [pair for pair in content["model"]["merges"] if "".join(pair) in kept]
    for one in content["added_tokens"]:
        one["id"] = place[one["id"]]
    for one in _special(content.get("post_processor")):
        one["ids"] = [place[number] for number in one["ids"]]
    artifacts.write_text(path, json.dumps(content, ensure_ascii=False))
    return old


def _special(post_processor: dict[str, Any] | None) -> list[dict[str, Any]]:
    if post_processor is None:
        return []
    inner = [one for part in post_processor.get("processors", ()) for one in _special(part)]
    return [*post_processor.get("special_tokens", {}).values(), *inner]
