"""Labelled examples as training items, and their mixture with plain text."""

from collections.abc import Sequence

from edgelm.pretrain.packing import Item, Piece, Source, State, make_item
from edgelm.pretrain.sampling import Fair, Shuffled
from edgelm.tokenizer.text import TextTokenizer


def answer_item(prompt: str, answer: str, tokenizer: TextTokenizer, context: int) -> Item:
    """A message and its answer as the model will meet them; only the answer and its END are targets.

    The answer weighs as much in the loss as a document of the example's length, or a mixture with plain text
    would hardly notice it. A text too long for the context loses its beginning, never the answer.
    """
    end = [*tokenizer.encode(answer), tokenizer.end]
    begin = tokenizer.message(tokenizer.encode(prompt), answer=len(end), context=context)
    ids = [*begin, *end]
    return make_item(ids, learn_from=len(begin), weight=len(ids) / len(end))


class ExampleSource:
    """Examples in a fresh order every epoch."""

    def __init__(self, items: Sequence[Item], seed: int):
        self.items, self.order = items, Shuffled(len(items), [seed])

    def next_piece(self, limit: int) -> Piece:
        index = self.order.index()
        start, length = self.order.piece(len(self.items[index].ids), limit)
        return Piece([index, start], length)

    def read(self, piece: Piece) -> Item:
        index, start = piece.key
        return self.items[index].piece(start, piece.length)

    def state(self) -> State:
        return self.order.state()

    def restore(self, state: State) -> None:
        self.order.restore(state)


class Mixture:
    """Items of several sources, each getting its share of the tokens."""

    def __init__(self, sources: dict[str, Source], shares: dict[str, float]):
        self.sources, self.fair = sources, Fair(shares)

    def next_piece(self, limit: int) -> Piece:
        name = self.fair.turn()
        key, length = self.sources[name].next_piece(limit)
        self.fair.serve(name, length)
        return Piece([name, key], length)

    def read(self, piece: Piece) -> Item:
        name, key = piece.key
        return self.sources[name].read(Piece(key, piece.length))

    def state(self) -> State:
        return {
            "served": self.fair.state(),
            "sources": {name: source.state() for name, source in self.sources.items()},
        }

    def restore(self, state: State) -> None:
        self.fair.restore(state["served"])
        for name, source in self.sources.items():
            source.restore(state["sources"][name])
