"""A conversation with a model, turn by turn, its key-value cache kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.runtime.base import LanguageModel
from edgelm.runtime.generation import Generation
from edgelm.tokenizer.special import Turn

PRETRAINED = "pretrain"


class Conversation:
    """What was said so far.

    Args:
        system: said before everything else, and never forgotten while anything else can go.
        options: of `LanguageModel.generate`; the seed is that of the first answer.

    Attributes:
        messages: as OpenAI's interface and instruction data have them.
        forgets: whether the last prompt left out what was said first, as all together outgrew the context.
    """

    def __init__(self, model: LanguageModel, system: str = "", max_tokens: int = 256, **options: Any):
        self.model, self.system, self.options = model, system, options
        self.room = min(max_tokens, model.context // 2)
        self.saved: set[Path] = set()
        self.new()

    def new(self) -> None:
        """Forget all but the system's message."""
        self.messages: list[dict[str, str]] = []
        self.turns: list[Turn] = []
        self.forgets = False
        if self.system:
            self._add("system", self.system, self.model.tokenize(self.system))

    def ask(self, text: str, report: Generation | None = None) -> Iterator[str]:
        """Stream the answer to a message. One that is cut short counts as far as it was written."""
        model, report = self.model, report or Generation()
        self._add("user", text, model.tokenize(text))
        ids = model.conversation(self.turns, answer=self.room, context=model.context)
        self.forgets = len(ids) < len(model.conversation(self.turns))
        answers = sum(role == "assistant" for role, _ in self.turns)
        options = {**self.options, "seed": self.options.get("seed", 0) + answers}
        written = ""
        try:
            for piece in model.generate(ids, max_tokens=self.room, reuse=True, report=report, **options):
                written += piece
                yield piece
        finally:
            self._add("assistant", written, report.ids)  # its tokens: written again they might be others

    def save(self, path: Path) -> None:
        """Write the conversation as a line of instruction data, over what it wrote before but nothing else.

        Raises:
            BadInput: the file is there already, or cannot be written.
        """
        if path.resolve() not in self.saved and path.exists():
            raise BadInput("is there already", file=path, remedy="give another name")
        try:
            artifacts.write_text(path, json.dumps({"messages": self.messages}, ensure_ascii=False) + "\n")
        except OSError as error:
            raise BadInput(f"cannot be written ({error.strerror})", file=path) from None
        self.saved.add(path.resolve())

    def _add(self, role: str, text: str, ids: list[int]) -> None:
        self.messages.append({"role": role, "content": text})
        self.turns.append((role, ids))


ONLY_PRETRAINED = "this model has learnt to continue text, not to answer. Finetune it on conversations first."


def only_pretrained(model: LanguageModel, path: Path) -> bool:
    """Whether a model is known to continue text only: edgelm pretrained it, and nothing has finetuned it."""
    if path.is_dir():
        return (artifacts.read_provenance(path) or {}).get("command") == PRETRAINED
    from edgelm.runtime.llama import LlamaCppModel

    said = model._metadata("general.description").split() if isinstance(model, LlamaCppModel) else []
    return said[:1] == ["edgelm"] and said[2:3] == [f"{PRETRAINED},"]
