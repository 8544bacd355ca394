"""Any edgelm model in lm-evaluation-harness, as the model `edgelm`; the only module that imports it.

    python -m edgelm.evaluate.harness run --model edgelm --model_args path=model.gguf --tasks lambada_openai

lm-eval of 0.4 finds no models of other packages by itself: this command registers ours and calls lm-eval's
own, so that every option is lm-eval's.
"""

import sys
from collections.abc import Sequence
from typing import Any

from edgelm.errors import BadInput, EdgelmError
from edgelm.extras import require
from edgelm.runtime import load

require("lm_eval", "lm-eval")

from lm_eval.api.model import TemplateLM  # noqa: E402
from lm_eval.api.registry import register_model  # noqa: E402
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window  # noqa: E402
from tqdm import tqdm  # noqa: E402

NEW_TOKENS = 256  # as lm-eval's own models write where a task does not say

Pair = tuple[Any, list[int], list[int]]


@register_model("edgelm")
class EdgelmLM(TemplateLM):
    """A model that writes: a directory, an ONNX folder or a .gguf file.

    Text is read after BOS, and special tokens in it are text. What is too long for the context loses its
    beginning.

    Args:
        path: the model.
        chat: put each context as a user's message, and score answers with the token that ends them, as
            models finetuned by edgelm learn it.
        threads: CPU threads; all usable cores by default.
    """

    def __init__(self, path: str = "", chat: bool = False, threads: int | None = None, **_: Any):
        super().__init__()
        if not path:
            raise BadInput("no model was given", remedy="name one, as in: --model_args path=model.gguf")
        self.model, self.chat, self.path = load(path, threads=threads), chat, path

    @property
    def eot_token_id(self) -> int:
        return self.model.eos

    @property
    def prefix_token_id(self) -> int:
        return self.model.bos

    @property
    def tokenizer_name(self) -> str:
        return str(self.path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        begin = [] if add_special_tokens is False else [self.model.bos]
        return [*begin, *self.model.tokenize(string)]

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        if not self.chat:
            return super()._encode_pair(context, continuation)
        answer = [*self.model.tokenize(continuation.strip()), self.model.end]
        return self.model.message(self.model.tokenize(context)), answer

    def _loglikelihood_tokens(
        self, requests: Sequence[Pair], disable_tqdm: bool = False, **_: Any
    ) -> list[tuple[float, bool]]:
        answers: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        pairs = [(self._shortened(context, len(said)), tuple(said)) for _, context, said in requests]
        for context, said in pairs:
            if said and said not in answers.setdefault(context, []):
                answers[context].append(said)
        asked = {context: own for context, own in answers.items() if own}
        with tqdm(total=len(asked), desc="reading contexts", disable=disable_tqdm) as bar:
            scores = self.model.score_choices_many(
                list(asked), list(asked.values()), lambda done, note="": bar.update(done)
            )
        ranked = dict(zip(asked, scores, strict=True))
        found: list[tuple[float, bool]] = []
        for (context, said), (names, *_rest) in zip(pairs, requests, strict=True):
            place = answers[context].index(said) if said else 0
            own = ranked.get(context)
            found.append((float(own.sums[place]), bool(own.greedy[place])) if said and own else (0.0, True))
            if names is not None:
                self.cache_hook.add_partial("loglikelihood", names, found[-1])
        return found

    def _shortened(self, context: Sequence[int], answer: int) -> tuple[int, ...]:
        """A context that leaves room for an answer: its first token, or what frames a message, is kept."""
        room = self.model.context + 1 - answer
        if len(context) <= room:
            return tuple(context)
        if self.chat:
            begin, end = self.model.frame()
            text = list(context[len(begin) : len(context) - len(end)])
            return tuple(self.model.message(text, answer=answer - 1, context=self.model.context))
        if room < 1:
            raise BadInput(f"an answer of {answer} tokens does not fit the context of {self.model.context}")
        return (context[0], *context[len(context) - room + 1 :])

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        found = []
        for request in tqdm(requests, desc="reading texts", disable=disable_tqdm):
            (text,) = request.args
            windows = get_rolling_token_windows(
                self.model.tokenize(text), self.model.bos, max_seq_len=self.model.context, context_len=1
            )
            parts = map(make_disjoint_window, windows)
            found.append(sum(float(self.model.score(*one).sum(dtype="float64")) for one in parts))
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), found[-1])
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        found = []
        for request in tqdm(requests, desc="writing", disable=disable_tqdm):
            context, options = request.args
            found.append(self._write(context, options))
            self.cache_hook.add_partial("generate_until", (context, options), found[-1])
        return found

    def _write(self, context: str, options: dict[str, Any]) -> str:
        until = options.get("until") or []
        stops = [one for one in ([until] if isinstance(until, str) else until) if one]
        room = min(int(options.get("max_gen_toks", NEW_TOKENS)), self.model.context // 2)
        if self.chat:
            text = self.model.tokenize(context)
            ids = self.model.message(text, answer=room, context=self.model.context)
        else:
            ids = list(self._shortened(self.tok_encode(context), room + 1))
        sampled = options.get("do_sample", False)
        pieces = self.model.generate(
            ids,
            max_tokens=room,
            temperature=float(options.get("temperature", 1.0)) if sampled else 0.0,
            top_p=float(options.get("top_p", 1.0)),
        )
        written = ""
        for piece in pieces:
            written += piece
            places = [written.find(stop) for stop in stops if stop in written]
            if places:
                return written[: min(places)]
        return written


def main() -> None:
    """lm-eval's command line, with `edgelm` among its models."""
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except EdgelmError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
