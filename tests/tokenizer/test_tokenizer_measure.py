"""Figures by hand, with tokenizers of several kinds."""

import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from edgelm.errors import BadInput
from edgelm.runtime import load
from edgelm.tokenizer.measure import Counts, Measured, count, open_tokenizer, open_tokenizers
from edgelm.tokenizer.texts import sample_texts


def of_words() -> Tokenizer:
    """As BERT's: lower case, accents gone, pieces of words, unknown ones possible."""
    vocabulary = {"[UNK]": 0, "a": 1, "b": 2, "##b": 3, "umfana": 4, "ḓ": 5}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def of_pieces() -> Tokenizer:
    """As Llama 2's and Gemma's: blanks written ▁, bytes as <0xE1> where a letter is unknown."""
    tokens = ["<unk>", "▁", "a", "b", "▁a", "ab", *(f"<0x{byte:02X}>" for byte in range(256))]
    merges = [("▁", "a"), ("a", "b")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def test_sums_of_a_byte_level_tokenizer(tmp_path: Path, sample_tokenizer_dir: Path) -> None:
    counts = open_tokenizer(sample_tokenizer_dir).count(["7 8", "ḓ\n", ""])
    assert (counts.documents, counts.words, counts.bytes, counts.changed) == (3, 3, 7, 0)
    plain = Tokenizer.from_file(str(sample_tokenizer_dir / "tokenizer.json"))
    ids = plain.encode("ḓ\n", add_special_tokens=False).ids
    single = sum(len(plain.id_to_token(number)) == 1 for number in ids)
    assert counts.tokens == 3 + len(ids)  # a blank before a digit is a token
    assert counts.single == 3 + single
    assert counts.fertility == counts.tokens / 3
    assert counts.bytes_per_token == 7 / counts.tokens
    assert counts.single_byte_share == counts.single / counts.tokens


def test_pieces_of_words() -> None:
    counts = Measured(of_words()).count(["ab umfana", "ḓ", "x", "Umfana"])
    assert counts.tokens == 3 + 1 + 1 + 1
    assert counts.single == 2  # "a" and "##b", not the two bytes of ḓ
    assert counts.changed == 2  # an unknown word, and a capital


def test_pieces_with_bytes() -> None:
    counts = Measured(of_pieces()).count(["ab a", "ḓ"])
    assert counts.tokens == 2 + 3
    assert counts.single == 3  # the bytes of ḓ, not "▁a"
    assert counts.changed == 0


@pytest.mark.parametrize("kind", ["tiny_model_dir", "tiny_gguf"])
def test_a_loaded_model_counts_as_its_tokenizer_does(
    kind: str, request: pytest.FixtureRequest, tiny_model_dir: Path
) -> None:
    texts = [*sample_texts("test")["ven"], "7 8\n", "", "🙂"]
    model = load(request.getfixturevalue(kind))
    ours, theirs = count(model, texts), open_tokenizer(tiny_model_dir).count(texts)
    model.close()
    ours.seconds = theirs.seconds
    assert ours == theirs
    assert ours.changed == 0 < ours.single


def test_equivalent_text_is_not_changed(sample_tokenizer_dir: Path) -> None:
    ours = open_tokenizer(sample_tokenizer_dir)
    assert ours.count([unicodedata.normalize("NFD", "ṱhoho ê")]).changed == 0
    ours.tokenizer.normalizer = normalizers.StripAccents()
    assert ours.count([unicodedata.normalize("NFD", "ṱhoho ê")]).changed == 1


def test_special_tokens_are_text_and_nothing_is_cut(sample_tokenizer_dir: Path, tmp_path: Path) -> None:
    plain = Tokenizer.from_file(str(sample_tokenizer_dir / "tokenizer.json"))
    expected = Measured(plain).count(["<|eos|>", "umfana " * 50])
    other = Tokenizer.from_file(str(sample_tokenizer_dir / "tokenizer.json"))
    other.enable_truncation(4)
    other.enable_padding(length=300)
    other.save(str(tmp_path / "tokenizer.json"))
    found = open_tokenizer(tmp_path).count(["<|eos|>", "umfana " * 50])
    assert (found.tokens, found.changed) == (expected.tokens, 0)
    assert found.tokens > 50
    assert open_tokenizer(tmp_path).count(["<|eos|>"]).tokens > 1


def test_batches_add_up(sample_tokenizer_dir: Path) -> None:
    one = open_tokenizer(sample_tokenizer_dir)
    texts = [f"umfana {number}" for number in range(2500)]
    whole, parts = one.count(iter(texts)), Counts()
    for text in texts[:100]:
        parts.add(one.count([text]))
    parts.add(one.count(texts[100:]))
    for counts in (whole, parts):
        assert counts.seconds > 0
        counts.seconds = 0
    assert whole == parts
    assert whole.documents == 2500


def test_nothing_to_divide_by() -> None:
    counts = Counts()
    assert counts.fertility is counts.bytes_per_token is counts.single_byte_share is None


def test_names(tmp_path: Path) -> None:
    for folder in ("one/a", "two/a", "b"):
        (tmp_path / folder).mkdir(parents=True)
        of_words().save(str(tmp_path / folder / "tokenizer.json"))
    of_words().save(str(tmp_path / "c.json"))
    paths = [
        tmp_path / "one" / "a",
        tmp_path / "two" / "a",
        tmp_path / "b" / "tokenizer.json",
        tmp_path / "c.json",
    ]
    names = [one.name for one in open_tokenizers(paths)]
    assert names == [str(paths[0]), str(paths[1]), "b", "c"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"no tokenizer\.json there\. Give a tokenizer\.json"),
        (
            {"spiece.model": "x"},
            r"holds a SentencePiece model \(spiece\.model\) but no",
        ),
        ({"tokenizer.json": "{"}, r"tokenizer\.json: is not a tokenizer \("),
        ({"tokenizer.json": ""}, r"tokenizer\.json: is not a tokenizer \("),
    ],
)
def test_a_directory_without_a_tokenizer(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=message) as error:
        open_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


def test_no_such_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere: no such file\. Give"):
        open_tokenizer(tmp_path / "nowhere")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"binary\.json: is not a tokenizer"):
        open_tokenizer(tmp_path / "binary.json")
