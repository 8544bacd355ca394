"""What of a conversation is left where a context has no room for all of it."""

import pytest

from edgelm.errors import BadInput
from edgelm.tokenizer.special import ChatFormat, ChatIds, Turn

BOS, END, USER, ASSISTANT, SYSTEM = 1, 2, 3, 4, 5


class Ids(ChatIds):
    chat_format = ChatFormat(
        (BOS,), {"user": (USER,), "assistant": (ASSISTANT,), "system": (SYSTEM,)}, (END,)
    )


TURNS: list[Turn] = [
    ("system", [10]),
    ("user", [20, 21, 22]),
    ("assistant", [30, 31]),
    ("user", [40]),
    ("assistant", [50]),
    ("user", [60, 61]),
]
WHOLE = [
    BOS, SYSTEM, 10, END, USER, 20, 21, 22, END, ASSISTANT, 30, 31, END, USER, 40, END, ASSISTANT, 50, END,
    USER, 60, 61, END, ASSISTANT,
]  # fmt: skip


def test_all_of_it_where_there_is_room() -> None:
    assert Ids().conversation(TURNS) == WHOLE
    assert Ids().conversation(TURNS, answer=3, context=len(WHOLE) + 3) == WHOLE


@pytest.mark.parametrize(
    ("lost", "begins"),
    [
        (1, [BOS, SYSTEM, 10, END, USER, 21, 22, END, ASSISTANT, 30]),
        (3, [BOS, SYSTEM, 10, END, USER, END, ASSISTANT, 30]),
        (4, [BOS, SYSTEM, 10, END, USER, 40, END, ASSISTANT, 50]),
        (9, [BOS, SYSTEM, 10, END, USER, 40, END, ASSISTANT, 50]),
        (10, [BOS, SYSTEM, 10, END, USER, END, ASSISTANT, 50]),
        (11, [BOS, SYSTEM, 10, END, USER, 60, 61, END, ASSISTANT]),
        (16, [BOS, SYSTEM, 10, END, USER, 61, END, ASSISTANT]),
        (17, [BOS, SYSTEM, 10, END, USER, END, ASSISTANT]),
        (18, [BOS, SYSTEM, END, USER, END, ASSISTANT]),
    ],
)
def test_the_oldest_is_lost_first(lost: int, begins: list[int]) -> None:
    found = Ids().conversation(TURNS, answer=7, context=len(WHOLE) - lost + 7)
    assert found[: len(begins)] == begins
    assert len(found) <= len(WHOLE) - lost
    if lost < 15:
        assert found[-5:] == WHOLE[-5:]


def test_no_room_at_all() -> None:
    with pytest.raises(BadInput, match="an answer of 7 tokens does not fit the context of 12"):
        Ids().conversation(TURNS, answer=7, context=12)
    assert Ids().conversation([("user", [9])], answer=7, context=11) == [BOS, USER, END, ASSISTANT]


def test_a_single_message_is_a_conversation() -> None:
    text = list(range(100, 130))
    for context in (None, 20, 40):
        assert Ids().message(text, 5, context) == Ids().conversation([("user", text)], 5, context)
    assert Ids().message(text, 5, 20) == [BOS, USER, *text[-11:], END, ASSISTANT]
    assert text == list(range(100, 130))
