"""Instruction data: conversations, of which a model learns to write the answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.corpus.repair import normalise
from edgelm.errors import BadInput
from edgelm.tasks.examples import Chat
from edgelm.tasks.records import Report, refuse
from edgelm.tasks.task import Task

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, kw_only=True)
class Chats(Task[Chat]):
    """Records with a list of messages, `{"role": ..., "content": ...}`.

    A conversation may begin with one message of the system; user and assistant take turns, and the assistant
    has the last word.
    """

    family = "chat"
    METRICS = ("chrf", "bleu", "rougeL")
    FIELDS = ("messages",)

    def read(self, split: str, language: str, report: Report = refuse) -> Iterator[tuple[Path, Chat]]:
        path = self.path(split, language)
        for line, record in self.rows(split, language, report):
            messages = record.get(self.fields["messages"])
            if problem := _problem(messages):
                report(
                    BadInput(
                        problem,
                        file=path,
                        line=line,
                        remedy='write "messages": [{"role": "user", "content": ...}, '
                        '{"role": "assistant", "content": ...}]',
                    )
                )
                continue
            assert isinstance(messages, list)
            said = tuple((one["role"], normalise(one["content"])) for one in messages)
            yield path, Chat(said, language, line)

    def answer(self, example: Chat, native: bool = False) -> str:
        return example.messages[-1][1]

    def messages(self, example: Chat, native: bool = False) -> tuple[tuple[str, str], ...]:
        """All turns before the last answer."""
        return example.messages[:-1]


def _problem(messages: Any) -> str:
    """What is wrong with the messages of a record; empty where nothing is."""
    if not isinstance(messages, list) or not messages:
        return "no messages"
    for number, one in enumerate(messages, 1):
        if not isinstance(one, dict) or one.get("role") not in ROLES:
            role = one.get("role") if isinstance(one, dict) else one
            return f"message {number} has the role {role!r}, none of {', '.join(ROLES)}"
        if not isinstance(one.get("content"), str) or not one["content"].strip():
            return f"message {number} has no content"
    turns = [one["role"] for one in messages]
    turns = turns[1:] if turns[0] == "system" else turns
    for number, role in enumerate(turns, len(messages) - len(turns) + 1):
        expected = ("assistant", "user")[(number - len(messages) + len(turns)) % 2]
        if role != expected:
            return f"message {number} is the {role}'s, not the {expected}'s"
    return "" if turns and turns[-1] == "assistant" else "the assistant does not have the last word"
