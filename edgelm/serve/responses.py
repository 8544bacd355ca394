"""OpenAI's shapes of answers, whole and in chunks."""

import time
import uuid
from typing import Any

from edgelm.serve.requests import Request
from edgelm.serve.worker import Piece, Token, Usage

Body = dict[str, Any]


class Shape:
    """The bodies that answer one request."""

    def __init__(self, request: Request, model: str):
        self.request, self.chat = request, request.chat
        kind = "chat.completion" if self.chat else "text_completion"
        self.head = {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
        }
        self.lengths: dict[int, int] = {}  # characters of each answer so far

    def whole(self, pieces: list[Piece], usage: Usage) -> Body:
        """All answers at once, from all their pieces."""
        answers: dict[int, Piece] = {}
        for piece in pieces:
            one = answers.setdefault(piece.index, Piece(piece.index))
            one.text, one.scores = one.text + piece.text, one.scores + piece.scores
            one.ended = piece.ended
        choices = []
        for piece in answers.values():
            text: Body = {"text": piece.text}
            if self.chat:
                text = {"message": {"role": "assistant", "content": piece.text, "refusal": None}}
            choices.append(self._choice(piece, text))
        return {**self.head, "choices": choices, "usage": self.usage(usage)}

    def opening(self) -> list[Body]:
        """Chunks that say who speaks, which only a chat has."""
        delta = {"delta": {"role": "assistant", "content": ""}}
        answers = range(self.request.answers if self.chat else 0)
        return [self._chunk([self._choice(Piece(index), delta)]) for index in answers]

    def chunk(self, piece: Piece) -> Body:
        """A piece as it streams."""
        text: Body = {"text": piece.text}
        if self.chat:
            text = {"delta": {"content": piece.text} if piece.text else {}}
        return self._chunk([self._choice(piece, text)])

    def closing(self, usage: Usage) -> list[Body]:
        """The chunk with the usage, where it was asked for."""
        return [{**self._chunk([]), "usage": self.usage(usage)}] if self.request.include_usage else []

    def usage(self, usage: Usage) -> Body:
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.written,
            "total_tokens": usage.prompt + usage.written,
            "prompt_tokens_details": {"cached_tokens": usage.reused},
        }

    def _chunk(self, choices: list[Body]) -> Body:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        usage = {"usage": None} if self.request.include_usage else {}
        return {**self.head, "object": kind, "choices": choices, **usage}

    def _choice(self, piece: Piece, text: Body) -> Body:
        return {
            "index": piece.index,
            **text,
            "logprobs": self._logprobs(piece),
            "finish_reason": piece.ended or None,
        }

    def _logprobs(self, piece: Piece) -> Body | None:
        if self.request.options["logprobs"] is None:
            return None
        if self.chat:
            return {
                "content": [
                    {**_token(token), "top_logprobs": [_token(one) for one in top]}
                    for token, top in piece.scores
                ],
                "refusal": None,
            }
        offset, offsets = self.lengths.get(piece.index, 0), []
        for token, _ in piece.scores:
            offsets.append(offset)
            offset += len(token.text) if token.data else 0
        self.lengths[piece.index] = self.lengths.get(piece.index, 0) + len(piece.text)
        return {
            "tokens": [_name(token) for token, _ in piece.scores],
            "token_logprobs": [token.logprob for token, _ in piece.scores],
            "top_logprobs": [{_name(one): one.logprob for one in top} for _, top in piece.scores],
            "text_offset": offsets,
        }


def _token(token: Token) -> Body:
    return {
        "token": token.text,
        "bytes": None if token.data is None else list(token.data),
        "logprob": token.logprob,
    }


def _name(token: Token) -> str:
    """A token's text; its bytes where they are no whole characters, so that no two have one name."""
    if token.data is None or "�" not in token.text:
        return token.text
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.data)
