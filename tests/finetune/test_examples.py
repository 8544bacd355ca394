import json
from collections import Counter

import pytest

from edgelm.errors import BadInput
from edgelm.finetune.examples import ExampleSource, Mixture, answer_item
from edgelm.model.decoder import IGNORE
from edgelm.pretrain.packing import Item, Packer, Source, make_item
from edgelm.tokenizer.text import TextTokenizer

TEXT = "Sawubona mhlaba, 1994. Namhlanje izulu lihle."


def learnt(item: Item) -> list[int]:
    return [target for target in item.targets.tolist() if target != IGNORE]


def test_only_the_answer_and_its_end_are_targets(tokenizer: TextTokenizer) -> None:
    item = answer_item(TEXT, "bread", tokenizer, 128)
    prompt, answer = tokenizer.chat(TEXT), [*tokenizer.encode("bread"), tokenizer.end]
    assert item.ids.tolist() == [*prompt, *answer]
    assert item.targets.tolist() == [IGNORE] * (len(prompt) - 1) + answer + [IGNORE]
    assert len(answer) >= 2
    assert item.weight * len(answer) == pytest.approx(
        len(item.ids)
    )  # an answer counts as the text it answers


TURNS = (("system", "Phendula."), ("user", "Ubani?"), ("assistant", "Sipho."), ("user", "Kuphi lapho?"))


def test_every_turn_of_the_assistant_is_learnt(tokenizer: TextTokenizer) -> None:
    item = answer_item(TURNS, "EThekwini.", tokenizer, 128)
    first, second = ([*tokenizer.encode(text), tokenizer.end] for text in ("Sipho.", "EThekwini."))
    assert learnt(item) == [*first, *second]
    begin = tokenizer.conversation([(role, tokenizer.encode(said)) for role, said in TURNS])
    assert item.ids.tolist() == [*begin, *second]
    asked = [tokenizer.conversation([(role, tokenizer.encode(said)) for role, said in TURNS[:2]]), begin]
    for prompt, answer in zip(asked, (first, second), strict=True):
        start = len(prompt) - 1  # the token at a place is asked for the one after it
        assert item.targets[start : start + len(answer)].tolist() == answer
    assert item.weight * (len(first) + len(second)) == pytest.approx(len(item.ids))


def test_one_message_is_the_shortest_conversation(tokenizer: TextTokenizer) -> None:
    for context in (128, 20):
        one = answer_item(TEXT, "bread", tokenizer, context)
        other = answer_item((("user", TEXT),), "bread", tokenizer, context)
        assert one.ids.tolist() == other.ids.tolist()
        assert one.targets.tolist() == other.targets.tolist()


@pytest.mark.parametrize("context", range(20, 60))
def test_a_long_conversation_never_loses_its_last_answer(tokenizer: TextTokenizer, context: int) -> None:
    turns = (*TURNS[:1], *TURNS[1:3] * 4, TURNS[3])
    item = answer_item(turns, "EThekwini.", tokenizer, context)
    answer = [*tokenizer.encode("EThekwini."), tokenizer.end]
    assert len(item.ids) <= context
    assert learnt(item)[-len(answer) :] == answer
    whole = [*tokenizer.encode("Sipho."), tokenizer.end]
    assert len(learnt(item)) % len(whole) == len(answer) % len(whole)  # no answer is cut


def test_text_in_an_example_stays_text(tokenizer: TextTokenizer) -> None:
    item = answer_item("a <|end|><|assistant|> b", "<|eos|>", tokenizer, 128)
    assert tokenizer.eos not in item.ids
    assert Counter(item.ids.tolist())[tokenizer.end] == 2
    assert tokenizer.decode(learnt(item)) == "<|eos|>"


@pytest.mark.parametrize("context", range(12, 60))
def test_a_long_text_loses_its_beginning(tokenizer: TextTokenizer, context: int) -> None:
    item = answer_item(TEXT * 9, "bread", tokenizer, context)
    answer = [*tokenizer.encode("bread"), tokenizer.end]
    assert len(item.ids) == context
    assert learnt(item) == answer
    assert item.ids[:2].tolist() == [tokenizer.bos, tokenizer.id("<|user|>")]
    kept = item.ids[2 : -len(answer) - 2].tolist()
    assert kept == tokenizer.encode(TEXT * 9)[-len(kept) :]
    before = [tokenizer.end, tokenizer.id("<|assistant|>")]
    assert item.ids[-len(answer) - 2 : -len(answer)].tolist() == before


def test_a_text_that_just_fits_is_whole(tokenizer: TextTokenizer) -> None:
    whole = answer_item(TEXT, "bread", tokenizer, 999)
    fits = answer_item(TEXT, "bread", tokenizer, len(whole.ids))
    assert fits.ids.tolist() == whole.ids.tolist()
    shorter = answer_item(TEXT, "bread", tokenizer, len(whole.ids) - 1)
    assert shorter.ids.tolist() == [*whole.ids[:2], *whole.ids[3:]]


def test_a_label_as_long_as_the_context(tokenizer: TextTokenizer) -> None:
    needed = len(tokenizer.encode("bread")) + 5
    item = answer_item(TEXT, "bread", tokenizer, needed)
    assert len(item.ids) == needed  # no room for text
    assert len(learnt(item)) == needed - 4
    with pytest.raises(BadInput, match="does not fit the context"):
        answer_item(TEXT, "bread", tokenizer, needed - 1)


def next_item(source: Source) -> Item:
    return source.read(source.next_piece(1000))


def items(first: int, lengths: list[int]) -> list[Item]:
    return [
        make_item([first + number] * length, weight=number + 0.5) for number, length in enumerate(lengths)
    ]


def test_every_example_once_an_epoch() -> None:
    source = ExampleSource(items(0, [3] * 20), seed=1)
    orders = [[int(next_item(source).ids[0]) for _ in range(20)] for _ in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({str(order) for order in orders}) == 3
    other = ExampleSource(items(0, [3] * 20), seed=2)
    assert [int(next_item(other).ids[0]) for _ in range(20)] not in orders


def mixture(share: float) -> Mixture:
    """Examples of 9 tokens on average, plain documents of 50."""
    examples = ExampleSource(items(0, [5, 9, 13]), seed=1)
    plain = ExampleSource(items(100, [20, 50, 80]), seed=1)
    return Mixture({"examples": examples, "replay": plain}, {"examples": 1 - share, "replay": share})


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_sources_share_tokens_not_items(share: float) -> None:
    one = mixture(share)
    served: Counter[bool] = Counter()
    for _ in range(4000):
        item = next_item(one)
        served[bool(item.ids[0] >= 100)] += len(item.ids)
    assert served[True] / served.total() == pytest.approx(share, abs=0.005)


def test_a_mixture_continues_from_its_state() -> None:
    for stop in range(15):
        one, other = (Packer(mixture(0.5), batch=1, context=40, pad=2) for _ in range(2))
        for _ in range(stop):
            one.next_batch()
        state = one.state()
        written = json.dumps(state)
        expected = [one.next_batch() for _ in range(6)]
        assert json.dumps(state) == written
        other.restore(json.loads(written))
        for batch in expected:
            assert all((a == b).all() for a, b in zip(batch, other.next_batch(), strict=True))


def test_an_example_is_never_broken(tokenizer: TextTokenizer) -> None:
    """Cut to the context when it was made, it is in a block from its beginning to its answer's end."""
    examples = [answer_item(TEXT * count, "bread", tokenizer, 64) for count in (1, 2, 3, 9) * 5]
    packer = Packer(ExampleSource(examples, seed=0), batch=4, context=64, pad=2)
    for _ in range(10):
        batch = packer.next_batch()
        for tokens, targets, documents, weights in zip(*batch, strict=True):
            for number in range(int(documents.max()) + 1):
                row = documents == number
                assert (int(tokens[row][0]), int(tokens[row][-1])) == (tokenizer.bos, tokenizer.end)
                answer = targets[row] != IGNORE
                assert float((weights[row] * answer).sum()) == pytest.approx(int(row.sum()))
