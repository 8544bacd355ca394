"""Labelled examples as training items, and their mixture with plain text."""

from collections.abc import Sequence

from edgelm.pretrain.stream import Fair, Item, Shuffled, Source, State, make_item
from edgelm.tasks.classification import Example
from edgelm.tokenizer.text import TextTokenizer


def example_item(example: Example, tokenizer: TextTokenizer, context: int) -> Item:
    """A message and its answer as the model will meet them; only the answer and its END are targets.

    The answer weighs as much in the loss as a document of the example's length, or a mixture with plain text
    would hardly notice it. A text too long for the context loses its beginning, never the answer.
    """
    answer = [*tokenizer.encode(example.label), tokenizer.end]
    prompt = tokenizer.message(tokenizer.encode(example.text), answer=len(answer), context=context)
    ids = [*prompt, *answer]
    return make_item(ids, learn_from=len(prompt), weight=len(ids) / len(answer))


class ExampleSource:
    """Examples in a fresh order every epoch."""

    def __init__(self, items: Sequence[Item], seed: int):
        self.items, self.order = items, Shuffled(len(items), [seed])

    def next_item(self) -> Item:
        return self.items[self.order.next_index()]

    def state(self) -> State:
        return self.order.state()

    def restore(self, state: State) -> None:
        self.order.restore(state)


class Mixture:
    """Items of several sources, each getting its share of the tokens."""

    def __init__(self, sources: dict[str, Source], shares: dict[str, float]):
        self.sources, self.fair = sources, Fair(shares)

    def next_item(self) -> Item:
        name = self.fair.turn()
        item = self.sources[name].next_item()
        self.fair.served[name] += len(item.ids)
        return item

    def state(self) -> State:
        return {
            "served": dict(self.fair.served),
            "sources": {name: source.state() for name, source in self.sources.items()},
        }

    def restore(self, state: State) -> None:
        self.fair.served = dict(state["served"])
        for name, source in self.sources.items():
            source.restore(state["sources"][name])
