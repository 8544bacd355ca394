import pytest
from made_up_tasks import COMMON, jsonl, told, write_task

from edgelm.errors import BadInput
from edgelm.tasks.task import load_task

CHAT = COMMON | {
    "family": "chat",
    "files": {"train": "a.jsonl"},
    "languages": {"zul": "zul"},
    "fields": {"messages": "messages"},
}


def say(*turns: tuple[object, object]) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


GOOD = say(
    ("system", "Be brief."), ("user", "Hi "), ("assistant", "Yebo"), ("user", "Why?"), ("assistant", "So.")
)


def test_conversations(tmp_path):
    task = load_task(write_task(tmp_path, {"a.jsonl": jsonl(GOOD)}, CHAT))
    (found,) = task.examples("train")
    assert found.messages[0] == ("system", "Be brief.")
    assert task.prompt(found) == "Be brief.\nHi\nYebo\nWhy?"
    assert task.answer(found) == "So."
    assert task.messages(found) == found.messages[:-1]
    assert task.choices(found) is None


def test_another_task_is_one_message_of_the_user():
    task = load_task("topic")
    example = task.examples("train", ["zul"])[0]
    assert task.messages(example) == (("user", task.prompt(example)),)
    assert task.messages(example, native=True) == (("user", task.prompt(example, native=True)),)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({}, "no messages"),
        ({"messages": []}, "no messages"),
        ({"messages": "Hi"}, "no messages"),
        ({"messages": ["Hi"]}, "message 1 has the role 'Hi', none of system, user, assistant"),
        (say(("human", "Hi"), ("assistant", "x")), "message 1 has the role 'human'"),
        (say(("user", "Hi"), ("assistant", " ")), "message 2 has no content"),
        (say(("user", "Hi"), ("assistant", 5)), "message 2 has no content"),
        (say(("assistant", "Hi")), "message 1 is the assistant's, not the user's"),
        (
            say(("system", "x"), ("user", "Hi"), ("user", "Hi")),
            "message 3 is the user's, not the assistant's",
        ),
        (say(("user", "Hi"), ("system", "x"), ("assistant", "Hi")), "message 2 is the system's"),
        (say(("user", "Hi")), "the assistant does not have the last word"),
        (say(("system", "Hi")), "the assistant does not have the last word"),
    ],
)
def test_a_bad_conversation_is_named(tmp_path, record, problem):
    task = load_task(write_task(tmp_path, {"a.jsonl": jsonl(GOOD, record, GOOD)}, CHAT))
    with pytest.raises(BadInput) as caught:
        task.examples("train")
    assert str(caught.value).startswith(f"{tmp_path / 'data' / 'a.jsonl'}, line 2: {problem}")
    assert len(told(task, "train", "zul")[0]) == 2


def test_the_example_that_ships():
    task = load_task("instructions")
    for split in task.files:
        assert all(one.messages[-1][0] == "assistant" for one in task.examples(split))
