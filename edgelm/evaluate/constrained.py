"""Tags written by a model that writes: one for each word, whatever it would rather say.

The answer has the form it is taught in, tags with a blank between (`Tagging.answer`). At each word only the
tags that may stand there are compared; blanks and the end are given. With the scheme `bio`, `I-X` follows
`B-X` and `I-X` alone.
"""

from collections.abc import Iterator

from edgelm.model.labelling import may_follow
from edgelm.runtime.base import LanguageModel
from edgelm.runtime.constrained import Tokens, likeliest_text
from edgelm.runtime.sampling import log_softmax
from edgelm.tasks.examples import Tagged
from edgelm.tasks.tagging import OUTSIDE, Tagging

Spelt = dict[str, Tokens]


class TagWriter:
    """Writes the tags of a task's sentences."""

    def __init__(self, model: LanguageModel, task: Tagging):
        self.model, self.task = model, task
        self.first: Spelt = {tag: tuple(model.tokenize(tag)) for tag in task.tags}
        self.later: Spelt = {tag: tuple(model.tokenize(f" {tag}")) for tag in task.tags}
        self.next = sorted({tokens[0] for tokens in self.later.values()})
        self.longest = max(map(len, [*self.first.values(), *self.later.values()]))
        self.open = any(_begins_another(spelt) for spelt in (self.first, self.later))
        """Whether a tag begins another, so that what follows it has to be looked at too."""

    def write(self, example: Tagged, native: bool = False) -> list[str]:
        """The tags of a sentence. One too long for the context is written in parts.

        Args:
            native: ask in the language of the sentence.
        """
        found: list[str] = []
        for part, ids in self._parts(example, native):
            found += self._tags(ids, len(part.words), found[-1] if found else OUTSIDE)
        return found

    def _parts(self, example: Tagged, native: bool) -> Iterator[tuple[Tagged, list[int]]]:
        """Parts that fit the context together with their tags, and the message that asks for each."""
        if not example.words:
            return
        model, count = self.model, len(example.words)
        answer = count * self.longest + 1
        prompt = model.tokenize(self.task.prompt(example, native))
        if len(model.message(prompt)) + answer > model.context and count > 1:
            for part in (example.part(0, count // 2), example.part(count // 2, count)):
                yield from self._parts(part, native)
        else:
            yield example, model.message(prompt, answer=answer, context=model.context)

    def _tags(self, ids: list[int], count: int, before: str) -> list[str]:
        session, known, free = self.model.session(), len(ids), self.task.scheme != "bio"
        scores = log_softmax(session.feed(ids, last_only=True))[0]
        found: list[str] = []
        for number in range(count):
            spelt = self.later if number else self.first
            allowed = {tag: spelt[tag] for tag in self.task.tags if free or may_follow(before, tag)}
            after = [self.model.end] if number == count - 1 else self.next
            before = likeliest_text(session, known, scores, allowed, after, self.open)
            found.append(before)
            if number < count - 1:
                session.rewind(known)
                scores = log_softmax(session.feed(spelt[before], last_only=True))[0]
                known += len(spelt[before])
        return found


def _begins_another(spelt: Spelt) -> bool:
    return any(
        one != other and other[: len(one)] == one for one in spelt.values() for other in spelt.values()
    )
