"""A model for some of its languages: the tokens that these do not use are dropped, with their embeddings."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.model.decoder import Decoder
from edgelm.model.directory import TOKENIZER_FILES, load_model, save_model
from edgelm.model.extend import EMBEDDING
from edgelm.tokenizer.prune import prune_tokenizer, used_tokens
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.texts import is_corpus, read_source, sample_texts
from edgelm.tokenizer.train import sample

HEAD = "lm_head.weight"
TEXT_BYTES = 64_000_000
"""Of each language of a corpus; rare tokens come late."""
HELD_OUT_BYTES = 500_000


def training_texts(source: Path, languages: Sequence[str]) -> dict[str, list[str]]:
    """Documents of these languages, by code: of a corpus's training text, or of files."""
    if is_corpus(source):
        return {code: list(sample(source, code, "train", TEXT_BYTES)) for code in languages}
    found: dict[str, list[str]] = {code: [] for code in languages}
    for code, text in read_source(source):
        if code in found:
            found[code].append(text)
    return found


def held_out(source: Path, languages: Sequence[str]) -> dict[str, list[str]]:
    """Validation documents of a corpus; of files, which have none, the embedded sample's."""
    if is_corpus(source):
        return {code: list(sample(source, code, "validation", HELD_OUT_BYTES)) for code in languages}
    return {code: texts for code, texts in sample_texts().items() if code in languages}


def prune(
    model: Path, texts: Mapping[str, Sequence[str]], folder: Path, held_out: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Write to `folder` the model with the tokens that the texts use.

    Its logits over these tokens are the model's own; the probability of the others goes to them.

    Args:
        texts: by language, the more the better.
        held_out: text of the same languages to see on what is lost.

    Returns:
        `tokens` and `bytes` (of the weights in float32), each before and after; `languages`, by code the
        share of held-out documents that are cut `alike` and by what factor there are more `pieces`.

    Raises:
        BadInput: a language has no text, or the model is missing or damaged.
    """
    for code, own in texts.items():
        if not own:
            raise BadInput(f"there is no text in {code} to keep the tokens of", remedy="give some text")
    decoder, before = load_model(model), TextTokenizer(model)
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = Path(scratch)
        for name in TOKENIZER_FILES:
            if (model / name).exists():
                shutil.copyfile(model / name, tokenizer / name)
        _forget_ids(tokenizer / "tokenizer_config.json")
        used = used_tokens(before, texts.values())
        if before.chat_format:
            used |= before.chat_format.ids  # some formats name the roles in plain text
        old = prune_tokenizer(before, used, tokenizer / "tokenizer.json")
        pruned = _with_rows(decoder, old)
        save_model(pruned, tokenizer, folder, _card(model, texts, before.vocab_size, len(old)))
    after = TextTokenizer(folder)
    sizes = [4 * shape.parameters for shape in (decoder.config, pruned.config)]
    return {
        "tokens": [before.vocab_size, len(old)],
        "bytes": sizes,
        "languages": {code: _compare(before, after, old, own) for code, own in held_out.items() if own},
    }


def _forget_ids(path: Path) -> None:
    """Leave out the copy of the added tokens that transformers keeps beside a tokenizer, by their old ids."""
    if path.exists():
        said = json.loads(path.read_text(encoding="utf-8"))
        if said.pop("added_tokens_decoder", None) is not None:
            artifacts.write_json(path, said)


def _with_rows(decoder: Decoder, old: Sequence[int]) -> Decoder:
    """The decoder with these rows of its embedding, and of its head where that is another matrix."""
    pruned = Decoder(replace(decoder.config, vocab_size=len(old)))
    weights = decoder.state_dict()
    for name in (EMBEDDING, HEAD):
        if name in weights:
            weights[name] = weights[name][torch.tensor(old)]
    pruned.load_state_dict(weights)
    return pruned.eval()


def _card(model: Path, languages: Iterable[str], before: int, after: int) -> str:
    card = model / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {model.resolve().name}\n"
    note = f"{after:,} of its {before:,} tokens were kept: those that text in {', '.join(languages)} uses."
    return f"{text.rstrip()}\n\n## Pruned\n\n{note} Other text is cut into more pieces.\n"


def _compare(
    before: TextTokenizer, after: TextTokenizer, old: Sequence[int], documents: Sequence[str]
) -> dict[str, float]:
    pairs = list(zip(before.encode_batch(documents), after.encode_batch(documents), strict=True))
    alike = sum(ids == [old[number] for number in new] for ids, new in pairs) / len(pairs)
    pieces = sum(len(new) for _, new in pairs) / max(sum(len(ids) for ids, _ in pairs), 1)
    return {"alike": round(alike, 4), "pieces": round(pieces, 4)}
