"""A tokenizer taught further languages: every old id keeps its meaning, new tokens come after the last.

A language without a tag gets one, in the place of a spare token or, where none is left, at the end. New
merges are learnt from the new languages' text as the old merges leave it, and follow them in the list. This
is continued training of byte-pair encoding; the `tokenizers` trainer can only begin from single characters
(huggingface/tokenizers issues 839 and 1109).
"""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from edgelm import artifacts
from edgelm.corpus.report import read_manifest
from edgelm.corpus.shards import languages_of
from edgelm.errors import BadInput
from edgelm.languages import get_language
from edgelm.progress import Progress, Step
from edgelm.tokenizer.report import fertility
from edgelm.tokenizer.special import BOS, language_tag
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.train import REPORT_BYTES, sample, save_tokenizer, training_sample

SAMPLE_BYTES = 1_500_000  # of each new language at most
SPARE = "<|spare_"
LEAST_COUNT = 2  # a pair that the sample holds once is no pattern
Pair = tuple[int, int]


def extend_tokenizer(
    tokenizer: Path,
    corpus: Path,
    languages: list[str],
    output: Path,
    *,
    new_tokens: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write to `output` the tokenizer with tags of `languages` and up to `new_tokens` more tokens.

    The tokens are learnt from the training text of `languages` in `corpus`; fewer are added where the text
    has no pair of tokens left that occurs twice. Returns the number of tokens and, by language of the corpus,
    the fertility before and after and the share of documents whose ids stay the same.

    Raises:
        BadInput: a language is unknown or not in the corpus, or `tokenizer` is no tokenizer of edgelm's.
    """
    progress = progress or Progress(silent=True)
    codes = known_languages(corpus, languages)
    if new_tokens < 0:
        raise BadInput(f"--new-tokens {new_tokens} is negative", remedy="give 0 or more")
    old = TextTokenizer(tokenizer)
    if BOS not in old.special:
        raise BadInput(
            "was not made by edgelm, which extends no others",
            file=tokenizer / "tokenizer.json",
            remedy="leave --extend-languages out: training goes on with the tokens there are",
        )

    def work(partial: Path) -> dict[str, Any]:
        sizes = read_manifest(corpus)["languages"]
        wanted = {code: min(sizes[code]["splits"]["train"]["bytes"], SAMPLE_BYTES) for code in codes}
        words: Counter[tuple[int, ...]] = Counter()
        with progress.track(sum(wanted.values()), "reading for new tokens") as step:
            for text in training_sample(corpus, wanted, step):
                words.update(split_words(old, text))
        content = json.loads(old.tokenizer.to_str())
        for code in codes:
            add_tag(content, language_tag(code))
        with progress.track(new_tokens, "learning new tokens") as step:
            add_merges(content, words, new_tokens, step)
        save_tokenizer(Tokenizer.from_str(json.dumps(content, ensure_ascii=False)), partial)
        new = TextTokenizer(partial)
        report = {code: _compare(old, new, corpus, code) for code in languages_of(corpus)}
        artifacts.write_json(partial / "report.json", report)
        return {"vocab_size": new.vocab_size, "languages": report}

    provenance, _ = artifacts.build(
        output,
        command="tokenizer extend",
        config={"languages": codes, "new_tokens": new_tokens, "sample_bytes": SAMPLE_BYTES},
        inputs=[tokenizer, corpus],
        work=work,
    )
    return provenance["results"]


def known_languages(corpus: Path, languages: list[str]) -> list[str]:
    """Codes of `languages`, which may be any of their names, without repeats.

    Raises:
        BadInput: none is given, or one is not in the registry or has no training text in the corpus.
    """
    codes = list(dict.fromkeys(get_language(name).code for name in languages))
    if not codes:
        raise BadInput("no language to extend to", remedy="give codes, as in: --extend-languages ven,tso")
    kept, found = languages_of(corpus), read_manifest(corpus)["languages"]
    for code in codes:
        if code not in kept or not found[code]["splits"]["train"]["documents"]:
            raise BadInput(
                f"has no training text in {code}", file=corpus, remedy=f"build it with text in {code}"
            )
    return codes


def split_words(tokenizer: TextTokenizer, text: str) -> list[tuple[int, ...]]:
    """The ids of each word of a text, a word being what no merge crosses."""
    found = tokenizer.tokenizer.encode(text, add_special_tokens=False)
    pairs = zip(found.word_ids, found.ids, strict=True)
    return [tuple(number for _, number in word) for _, word in groupby(pairs, key=lambda pair: pair[0])]


def add_tag(content: dict[str, Any], tag: str) -> None:
    """Give `tag` an id in the content of a `tokenizer.json`: its own, the first spare's or a new one."""
    vocabulary, added = content["model"]["vocab"], content["added_tokens"]
    if tag in vocabulary:
        return
    spare = next((token for token in added if token["content"].startswith(SPARE)), None)
    if spare is None:
        spare = {**added[-1], "id": len(vocabulary)}
        added.append(spare)
    else:
        del vocabulary[spare["content"]]
    spare["content"] = tag
    vocabulary[tag] = spare["id"]


def add_merges(
    content: dict[str, Any], words: Mapping[tuple[int, ...], int], new_tokens: int, step: Step | None = None
) -> None:
    """Append up to `new_tokens` tokens to the content of a `tokenizer.json`, each with its merge.

    `words` counts words as ids. The commonest pair becomes the next token, that of lower ids among equals.
    A pair whose bytes are a token already is left: were that token to come of another merge as well, old
    merges would run after new ones, and words would be split otherwise than they were learnt.
    """
    model = content["model"]
    token_of = {number: token for token, number in model["vocab"].items()}
    learner = Learner(words)
    last = len(token_of) + new_tokens
    while len(token_of) < last and (pair := learner.commonest()) is not None:
        left, right = (token_of[number] for number in pair)
        if left + right in model["vocab"]:
            continue
        number = len(token_of)
        model["vocab"][left + right], token_of[number] = number, left + right
        model["merges"].append([left, right])
        learner.merge(pair, number)
        if step:
            step(1)


class Learner:
    """Words as token ids, with the count of every pair kept up to date while pairs are merged."""

    def __init__(self, words: Mapping[tuple[int, ...], int]):
        self.words = [list(word) for word in words]
        self.counts = list(words.values())
        self.pairs: Counter[Pair] = Counter()
        self.where: defaultdict[Pair, set[int]] = defaultdict(set)  # words that hold or have held the pair
        for index, word in enumerate(self.words):
            self._add(index, word, 1)
        self.heap = [(-count, pair) for pair, count in self.pairs.items()]
        heapq.heapify(self.heap)

    def _add(self, index: int, word: list[int], sign: int) -> list[Pair]:
        """Count the pairs of a word in, or out with a `sign` of -1; returns them."""
        pairs = list(pairwise(word))
        for pair in pairs:
            self.pairs[pair] += sign * self.counts[index]
            if sign > 0:
                self.where[pair].add(index)
        return pairs

    def commonest(self) -> Pair | None:
        """The pair that occurs most often, the lower ids among equals; None where none occurs twice."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            if -count < LEAST_COUNT:
                return None
            if self.pairs[pair] == -count:  # else an outdated entry; a current one is in the heap too
                return pair
        return None

    def merge(self, pair: Pair, number: int) -> None:
        """Put the token `number` in the place of every `pair`."""
        changed: set[Pair] = set()
        for index in self.where.pop(pair):
            word = self.words[index]
            merged = merge_pair(word, pair, number)
            if len(merged) < len(word):
                changed.update(self._add(index, word, -1))
                changed.update(self._add(index, merged, 1))
                self.words[index] = merged
        for one in changed:
            if self.pairs[one] >= LEAST_COUNT:
                heapq.heappush(self.heap, (-self.pairs[one], one))


def merge_pair(word: list[int], pair: Pair, number: int) -> list[int]:
    """`word` with `number` for every `pair` in it, from the left."""
    merged: list[int] = []
    place = 0
    while place < len(word):
        if place + 1 < len(word) and (word[place], word[place + 1]) == pair:
            merged.append(number)
            place += 2
        else:
            merged.append(word[place])
            place += 1
    return merged


def _compare(old: TextTokenizer, new: TextTokenizer, corpus: Path, code: str) -> dict[str, Any]:
    """Fertility of a language's test text under both, and the share of documents with the same ids."""
    texts = list(sample(corpus, code, "test", REPORT_BYTES))
    pairs = zip(old.encode_batch(texts), new.encode_batch(texts), strict=True)
    same = sum(before == after for before, after in pairs)
    return {
        "before": fertility(old.tokenizer, texts),
        "after": fertility(new.tokenizer, texts),
        "unchanged_documents": round(same / len(texts), 3) if texts else None,
    }
