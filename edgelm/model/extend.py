"""A trained decoder given a larger vocabulary: embedding rows for what `edgelm.tokenizer.extend` added."""

import re
from dataclasses import replace

import torch

from edgelm.errors import BadInput
from edgelm.model.decoder import Decoder
from edgelm.tokenizer.special import NAMED
from edgelm.tokenizer.text import TextTokenizer

TAG = re.compile(r"<\|[a-z]{3}\|>")
EMBEDDING = "model.embed_tokens.weight"
REMEDY = "extend the tokenizer that the model was trained with"


def extend_embeddings(model: Decoder, old: TextTokenizer, new: TextTokenizer) -> Decoder:
    """A copy of `model`, which reads `old`, that reads `new`; evaluation mode, on the same device.

    Rows of tokens that both have are kept bit by bit, so the logits of old ids on old ids are as before. A
    new token starts as the mean of the rows of the tokens that `old` splits its bytes into, a new language
    tag as the mean of the old tags (of all tokens, were there none). The embedding stays tied to the output.

    Raises:
        BadInput: `new` is not `old` extended, or `model` has another vocabulary than `old`.
    """
    if not model.config.tied:
        raise BadInput(
            "the model's output head is not its embedding", remedy="extend one where they are the same"
        )
    before, after = _tokens(old), _tokens(new)
    if len(after) < len(before):
        raise BadInput(
            f"the new tokenizer has {len(after)} tokens, fewer than the old one's {len(before)}",
            remedy=REMEDY,
        )
    if model.config.vocab_size != len(before):
        raise BadInput(
            f"the model has {model.config.vocab_size} tokens, its tokenizer {len(before)}",
            remedy="give a model directory as edgelm pretrain writes it",
        )
    rows = model.model.embed_tokens.weight.detach()
    tags = [number for number, token in enumerate(before) if is_tag(token)] or list(range(len(before)))
    extended = torch.empty(len(after), rows.shape[1], dtype=rows.dtype, device=rows.device)
    for number, token in enumerate(after):
        if number < len(before) and token == before[number]:
            extended[number] = rows[number]
        elif is_tag(token):
            extended[number] = rows[tags].mean(0)
        elif number >= len(before):
            parts = [part.id for part in old.tokenizer.model.tokenize(token)]
            extended[number] = rows[torch.tensor(parts)].mean(0)
        else:
            raise BadInput(
                f"token {number} is {before[number]!r} in one tokenizer and {token!r} in the other",
                remedy=REMEDY,
            )
    decoder = Decoder(replace(model.config, vocab_size=len(after)))
    decoder.load_state_dict({**model.state_dict(), EMBEDDING: extended})
    return decoder.to(rows.device).eval()


def is_tag(token: str) -> bool:
    """Whether a token is a language's tag, as `<|zul|>`."""
    return TAG.fullmatch(token) is not None and token not in NAMED


def _tokens(tokenizer: TextTokenizer) -> list[str]:
    """Every token in the order of ids."""
    vocabulary = tokenizer.tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)
