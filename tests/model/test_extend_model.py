"""A decoder with more rows: what it knew is untouched, what is new starts from what it knew."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers, trainers

from edgelm.errors import BadInput
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.model.directory import load_model, save_model
from edgelm.model.extend import EMBEDDING, extend_embeddings, is_tag
from edgelm.tokenizer.extend import add_merges, add_tag, split_words
from edgelm.tokenizer.special import NAMED, SPARES
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.train import new_tokenizer, save_tokenizer

TEXT = "ndi khou ṱoḓa u vhona vhathu vha ḽino shango ṋamusi, vhone vha khou ṱoḓa u mmbona 2050"


def write_extended(tokenizer: TextTokenizer, folder: Path, tags: list[str], text: str, tokens: int) -> Path:
    content = json.loads(tokenizer.tokenizer.to_str())
    for tag in tags:
        add_tag(content, tag)
    add_merges(content, Counter(split_words(tokenizer, text)), tokens)
    folder.mkdir()
    save_tokenizer(Tokenizer.from_str(json.dumps(content)), folder)
    return folder


@pytest.fixture(scope="module")
def old_dir(bytes_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with a few merges, so that not every new token is made of bytes."""
    folder = tmp_path_factory.mktemp("extend") / "old"
    return write_extended(TextTokenizer(bytes_tokenizer), folder, [], "vhathu vhone vhana " * 3, 6)


@pytest.fixture(scope="module")
def new_dir(old_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More tokens, a tag in the place of every spare and one tag more."""
    tags = [f"<|q{chr(97 + number)}b|>" for number in range(SPARES + 1)]
    folder = tmp_path_factory.mktemp("extend") / "new"
    return write_extended(TextTokenizer(old_dir), folder, tags, TEXT * 2, 20)


@pytest.fixture(scope="module")
def old(old_dir: Path) -> TextTokenizer:
    return TextTokenizer(old_dir)


@pytest.fixture(scope="module")
def new(new_dir: Path) -> TextTokenizer:
    return TextTokenizer(new_dir)


@pytest.fixture(scope="module")
def model(old: TextTokenizer) -> Decoder:
    decoder = Decoder(ModelConfig(old.vocab_size, 256, 256, 2, 4, 2, 64))
    decoder.init_weights(torch.Generator().manual_seed(5))
    return decoder


@pytest.fixture(scope="module")
def extended(model: Decoder, old: TextTokenizer, new: TextTokenizer) -> Decoder:
    return extend_embeddings(model, old, new)


def test_known_weights_are_kept(
    model: Decoder, extended: Decoder, old: TextTokenizer, new: TextTokenizer
) -> None:
    assert extended.config == replace(model.config, vocab_size=new.vocab_size)
    assert not extended.training
    before, after = model.state_dict(), extended.state_dict()
    assert before.keys() == after.keys()  # the embedding is the output matrix too
    for name in before.keys() - {EMBEDDING}:
        assert torch.equal(before[name], after[name])
    spares = {old.id(f"<|spare_{number}|>") for number in range(SPARES)}
    for number in set(range(old.vocab_size)) - spares:
        assert torch.equal(before[EMBEDDING][number], after[EMBEDDING][number])


def test_new_tokens_start_as_the_mean_of_their_parts(
    model: Decoder, extended: Decoder, old: TextTokenizer, new: TextTokenizer
) -> None:
    before, after = model.state_dict()[EMBEDDING], extended.state_dict()[EMBEDDING]
    lengths = set()
    for number in range(old.vocab_size + 1, new.vocab_size):
        parts = old.encode(new.bytes_of[number].decode("utf-8")) if is_text(new.bytes_of[number]) else None
        if parts is not None:
            lengths.add(len(parts))
            assert torch.allclose(after[number], before[parts].mean(0), atol=1e-7)
    assert {2, 3} <= lengths
    assert any(not is_text(new.bytes_of[number]) for number in range(old.vocab_size + 1, new.vocab_size))


def is_text(value: bytes) -> bool:
    return value.decode("utf-8", "ignore").encode() == value


def test_a_token_that_is_half_a_character_starts_from_its_bytes(
    model: Decoder, extended: Decoder, old: TextTokenizer, new: TextTokenizer
) -> None:
    number = next(n for n in range(old.vocab_size + 1, new.vocab_size) if not is_text(new.bytes_of[n]))
    parts = [old.bytes_of.index(bytes([byte])) for byte in new.bytes_of[number]]
    before, after = model.state_dict()[EMBEDDING], extended.state_dict()[EMBEDDING]
    assert torch.allclose(after[number], before[parts].mean(0), atol=1e-7)


def test_new_tags_start_as_the_mean_of_the_old(
    model: Decoder, extended: Decoder, old: TextTokenizer, new: TextTokenizer
) -> None:
    from edgelm.languages import load_languages

    before, after = model.state_dict()[EMBEDDING], extended.state_dict()[EMBEDDING]
    mean = before[[old.id(f"<|{code}|>") for code in load_languages()]].mean(0)
    tags = [new.id(f"<|q{chr(97 + number)}b|>") for number in range(SPARES + 1)]
    assert tags[-1] == old.vocab_size
    for tag in tags:
        assert torch.allclose(after[tag], mean, atol=1e-7)


def test_tags_are_told_from_other_special_tokens() -> None:
    assert is_tag("<|zul|>")
    assert not any(map(is_tag, [*NAMED, "<|spare_3|>", "zul", "<|zulu|>"]))


def test_a_first_tag_starts_as_the_mean_of_all_tokens(tmp_path: Path) -> None:
    tokenizer, special = new_tokenizer([])
    alphabet = trainers.BpeTrainer(
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        vocab_size=256 + len(special),
        show_progress=False,
    )
    tokenizer.train_from_iterator([], alphabet)
    save_tokenizer(tokenizer, tmp_path)
    old = TextTokenizer(tmp_path)
    new = TextTokenizer(write_extended(old, tmp_path / "new", ["<|qaa|>"], "", 0))
    model = Decoder(ModelConfig(old.vocab_size, 256, 256, 1, 4, 2, 64))
    rows = model.model.embed_tokens.weight
    extended = extend_embeddings(model, old, new)
    assert torch.allclose(extended.model.embed_tokens.weight[new.id("<|qaa|>")], rows.mean(0), atol=1e-6)


def test_logits_of_old_ids_are_as_before(model: Decoder, extended: Decoder, old: TextTokenizer) -> None:
    kept = [n for n in range(old.vocab_size) if n not in {old.id(f"<|spare_{m}|>") for m in range(SPARES)}]
    tokens = torch.tensor([random.Random(3).choices(kept, k=40)])
    with torch.no_grad():
        before, after = model.eval()(tokens)[0], extended(tokens)[0]
    assert after.shape[-1] > before.shape[-1]
    torch.testing.assert_close(after[..., kept], before[..., kept], atol=1e-6, rtol=0)


def test_the_old_model_is_untouched(model: Decoder, old: TextTokenizer, new: TextTokenizer) -> None:
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    copy = extend_embeddings(model, old, new)
    with torch.no_grad():
        for weight in copy.parameters():
            weight.add_(1)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert model.config.vocab_size == old.vocab_size


def test_the_same_tokenizer_changes_nothing(model: Decoder, old: TextTokenizer) -> None:
    same = extend_embeddings(model, old, old)
    assert same.config == model.config
    assert all(torch.equal(one, same.state_dict()[name]) for name, one in model.state_dict().items())


def test_every_runtime_reads_and_predicts_alike(
    tmp_path: Path, extended: Decoder, new: TextTokenizer, new_dir: Path
) -> None:
    pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
    pytest.importorskip("llama_cpp", reason="GGUF files are run with llama-cpp-python")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from edgelm.export.gguf import write_gguf
    from edgelm.runtime import load

    save_model(extended, new_dir, tmp_path / "model", "# card\n")
    assert load_model(tmp_path / "model").config == extended.config
    write_gguf(tmp_path / "model", tmp_path / "model.gguf", "F32")
    automatic = AutoTokenizer.from_pretrained(tmp_path / "model")
    llama = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    model = load(tmp_path / "model.gguf")
    assert model.tokenize("<|qab|>") == new.encode("<|qab|>")
    for text in (TEXT, "Ṱhoho ḓuvha vhathu 1994\n\tṋowa", "漢字 🙂 vhana"):
        ids = new.encode(text)
        assert model.tokenize(text) == automatic(text, add_special_tokens=False)["input_ids"] == ids
        assert model.detokenize(ids) == text
    ids = [new.bos, new.id("<|qab|>"), *new.encode(TEXT)]
    assert max(ids) > new.vocab_size - 25
    with torch.no_grad():
        ours = extended(torch.tensor([ids]))[0][0].log_softmax(-1)
        theirs = llama(torch.tensor([ids])).logits[0].log_softmax(-1)
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)
    chosen = ours[torch.arange(1, len(ids) - 1), torch.tensor(ids[2:])]
    torch.testing.assert_close(
        torch.tensor(model.score(ids[:2], ids[2:])), chosen, atol=1e-3, rtol=0, check_dtype=False
    )
    model.close()


def test_a_tokenizer_that_is_no_extension(
    model: Decoder, old: TextTokenizer, new: TextTokenizer, bytes_tokenizer: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"the model has \d+ tokens, its tokenizer \d+\."):
        extend_embeddings(model, TextTokenizer(bytes_tokenizer), new)
    with pytest.raises(BadInput, match=r"the new tokenizer has \d+ tokens, fewer than the old one's \d+\."):
        extend_embeddings(model, old, TextTokenizer(bytes_tokenizer))
    other = write_extended(TextTokenizer(bytes_tokenizer), tmp_path / "other", [], "kokoko zizizi " * 9, 6)
    with pytest.raises(BadInput, match=r"token \d+ is 'vh' in one tokenizer and 'ko' in the other\."):
        extend_embeddings(model, old, TextTokenizer(other))
