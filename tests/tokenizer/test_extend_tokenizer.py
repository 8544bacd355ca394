"""Further languages for a tokenizer: what it was is kept, what is new is learnt from the new text alone."""

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import made_up
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from edgelm.corpus.shards import read_texts
from edgelm.errors import BadInput
from edgelm.tokenizer.extend import add_merges, add_tag, extend_tokenizer, merge_pair, split_words
from edgelm.tokenizer.special import NAMED, SPARES, language_tag
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.train import save_tokenizer, train_tokenizer

NEW_TOKENS = 120
unhurried = settings(deadline=None, max_examples=200, derandomize=True, database=None)


def describe(folder: Path, code: str) -> None:
    """A registry entry for a language of the user's."""
    record = {"code": code, "bcp47": code, "name": f"Made-up {code}", "autonym": f"Autonym {code}"}
    record |= {"family": "none", "writing": "none", "alphabet": "abc", "prompt": "Aba"}
    lines = [*(f"{key}: {json.dumps(value)}" for key, value in record.items()), "aliases: []"]
    (folder / f"{code}.yaml").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def old_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of three languages, trained before anybody described `qaa`."""
    folder = tmp_path_factory.mktemp("old")
    return made_up.make_tokenizer(folder, made_up.make_corpus(folder))


@pytest.fixture(scope="module")
def corpus(old_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same three languages, `ven`, which the tokenizer has a tag for, and `qaa`, which it has none."""
    folder = tmp_path_factory.mktemp("extended")
    (folder / "languages").mkdir()
    describe(folder / "languages", "qaa")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGELM_LANGUAGES", str(folder / "languages"))
        yield made_up.make_corpus(folder, {**made_up.SIZES, "ven": 120, "qaa": 120})


@pytest.fixture(scope="module")
def new_dir(old_dir: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extended") / "tokenizer"
    extend_tokenizer(old_dir, corpus, ["qaa", "Tshivenda"], folder, new_tokens=NEW_TOKENS)
    return folder


@pytest.fixture(scope="module")
def old(old_dir: Path) -> TextTokenizer:
    return TextTokenizer(old_dir)


@pytest.fixture(scope="module")
def new(new_dir: Path) -> TextTokenizer:
    return TextTokenizer(new_dir)


def content_of(tokenizer: TextTokenizer) -> Any:
    return json.loads(tokenizer.tokenizer.to_str())


def test_old_ids_and_merges_are_kept(old: TextTokenizer, new: TextTokenizer) -> None:
    before, after = content_of(old), content_of(new)
    tokens = {number: token for token, number in after["model"]["vocab"].items()}
    renamed = {token for token, number in before["model"]["vocab"].items() if tokens[number] != token}
    assert renamed == {"<|spare_0|>"}
    assert sorted(tokens) == list(range(made_up.VOCAB_SIZE + NEW_TOKENS))
    assert new.vocab_size == len(new.bytes_of) == made_up.VOCAB_SIZE + NEW_TOKENS
    merges = before["model"]["merges"]
    assert after["model"]["merges"][: len(merges)] == merges
    for part in ("normalizer", "pre_tokenizer", "decoder", "post_processor"):
        assert after[part] == before[part]


def test_every_new_token_is_one_merge_of_two_earlier_tokens(old: TextTokenizer, new: TextTokenizer) -> None:
    model = content_of(new)["model"]
    added = model["merges"][len(content_of(old)["model"]["merges"]) :]
    ids = [model["vocab"][left + right] for left, right in added]
    assert ids == list(range(old.vocab_size, new.vocab_size))
    for (left, right), number in zip(added, ids, strict=True):
        assert max(model["vocab"][left], model["vocab"][right]) < number


def test_a_language_without_a_tag_gets_a_spare_one(old: TextTokenizer, new: TextTokenizer) -> None:
    assert old.language("qaa") is None
    assert new.language("qaa") == old.id("<|spare_0|>")
    assert new.language("ven") == old.language("ven")
    added = {token["content"]: token for token in content_of(new)["added_tokens"]}
    assert added["<|qaa|>"] == {**added["<|zul|>"], "content": "<|qaa|>", "id": old.id("<|spare_0|>")}
    assert "<|spare_0|>" not in added
    assert new.bytes_of[old.id("<|spare_0|>")] == b""
    assert new.encode("<|qaa|>") == old.encode("<|qaa|>")  # as text it stays text


def test_tags_go_to_the_end_where_no_spare_is_left(tmp_path: Path, old: TextTokenizer) -> None:
    content = content_of(old)
    codes = [f"q{chr(97 + number)}b" for number in range(SPARES + 2)]
    for code in codes:
        add_tag(content, language_tag(code))
        add_tag(content, language_tag(code))  # nothing the second time
    save_tokenizer(Tokenizer.from_str(json.dumps(content)), tmp_path)
    extended = TextTokenizer(tmp_path)
    assert [extended.language(code) for code in codes] == [
        *(old.id(f"<|spare_{number}|>") for number in range(SPARES)),
        old.vocab_size,
        old.vocab_size + 1,
    ]
    assert [extended.id(token) for token in NAMED] == [old.id(token) for token in NAMED]
    assert extended.decode([extended.language(codes[-1]) or 0]) == ""
    assert extended.tokenizer.decode([old.vocab_size], skip_special_tokens=True) == ""


def test_merges_are_the_ones_a_recount_after_every_merge_gives(
    old: TextTokenizer, new: TextTokenizer, corpus: Path
) -> None:
    words: Counter[tuple[int, ...]] = Counter()
    for code in ("qaa", "ven"):
        for text in read_texts(corpus, code, "train"):
            words.update(split_words(old, text))
    found = []
    for number in range(old.vocab_size, new.vocab_size):
        pairs: Counter[tuple[int, int]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        found.append([new.bytes_of[best[0]], new.bytes_of[best[1]]])
        merged: Counter[tuple[int, ...]] = Counter()
        for word, count in words.items():
            merged[tuple(merge_pair(list(word), best, number))] += count
        words = merged
    assert [left + right for left, right in found] == new.bytes_of[old.vocab_size :]
    tokens: Counter[tuple[int, ...]] = Counter()
    for code in ("qaa", "ven"):
        for text in read_texts(corpus, code, "train"):
            tokens.update(split_words(new, text))
    assert tokens == words  # the tokenizer splits words as they were when the last merge was learnt


def test_pairs_that_overlap() -> None:
    assert merge_pair([5, 5, 5], (5, 5), 9) == [9, 5]
    assert merge_pair([5, 5, 5, 5], (5, 5), 9) == [9, 9]
    assert merge_pair([1, 2, 1, 2, 3], (1, 2), 9) == [9, 9, 3]
    assert merge_pair([2, 1], (1, 2), 9) == [2, 1]


def test_words_end_where_no_merge_crosses(old: TextTokenizer) -> None:
    text = "Sawubona mhlaba, 2050!\n\nYebo"
    words = [b"".join(old.bytes_of[number] for number in word) for word in split_words(old, text)]
    expected = [b"Sawubona", b" mhlaba", b",", b" ", b"2", b"0", b"5", b"0", b"!", b"\n", b"\n", b"Yebo"]
    assert words == expected


def test_a_pair_whose_bytes_are_a_token_is_left() -> None:
    """`abc` comes of `ab`; made of `bc` as well, it would be there before merges that come before it."""
    vocabulary = {"a": 0, "b": 1, "c": 2, "bc": 3, "ab": 4, "abc": 5}
    content = {"model": {"vocab": dict(vocabulary), "merges": [["b", "c"], ["a", "b"], ["ab", "c"]]}}
    add_merges(content, {(0, 3): 10, (3, 3): 5}, 2)
    assert content["model"]["merges"][3:] == [["bc", "bc"]]
    assert content["model"]["vocab"] == {**vocabulary, "bcbc": 6}


def test_no_token_for_what_occurs_once(old: TextTokenizer) -> None:
    content = content_of(old)
    one, two, three = (old.encode(letter)[0] for letter in "xqz")
    add_merges(content, {(one, two): 2, (two, three): 1}, 10)
    assert content["model"]["merges"] == [*content_of(old)["model"]["merges"], ["x", "q"]]
    assert len(content["model"]["vocab"]) == old.vocab_size + 1


@unhurried
@given(text=st.text())
def test_any_text_comes_back_as_nfc(new: TextTokenizer, text: str) -> None:
    ids = new.encode(text)
    assert new.decode(ids) == unicodedata.normalize("NFC", text)
    assert all(new.bytes_of[number] for number in ids)


def test_the_new_languages_cost_fewer_tokens(
    old: TextTokenizer, new: TextTokenizer, corpus: Path, new_dir: Path
) -> None:
    report = json.loads((new_dir / "report.json").read_text(encoding="utf-8"))
    assert sorted(report) == ["eng", "qaa", "ven", "xho", "zul"]
    for code, one in report.items():
        texts = list(read_texts(corpus, code, "test"))
        before, after = ([each.encode(text) for text in texts] for each in (old, new))
        same = sum(a == b for a, b in zip(before, after, strict=True))
        assert one["unchanged_documents"] == round(same / len(texts), 3)
        size = sum(len(text.encode("utf-8")) for text in texts)
        for each, ids in (("before", before), ("after", after)):
            assert one[each]["bytes_per_token"] == round(size / sum(map(len, ids)), 3)
    gain = {
        code: one["after"]["bytes_per_token"] / one["before"]["bytes_per_token"]
        for code, one in report.items()
    }
    others = [gain[code] for code in made_up.SIZES]
    assert 1 <= min(others) <= max(others) < 1.2 < 1.3 < min(gain["qaa"], gain["ven"])


def test_two_extensions_are_byte_identical(
    tmp_path: Path, old_dir: Path, corpus: Path, new_dir: Path
) -> None:
    code = "import sys; from pathlib import Path; from edgelm.tokenizer.extend import extend_tokenizer; "
    code += "a, b, c = map(Path, sys.argv[1:4]); "
    code += "extend_tokenizer(a, b, ['qaa', 'ven'], c, new_tokens=int(sys.argv[4]))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "1"}
    folder = tmp_path / "again"
    arguments = [sys.executable, "-c", code, str(old_dir), str(corpus), str(folder), str(NEW_TOKENS)]
    subprocess.run(arguments, env=environment, check=True)
    names = {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "report.json",
        "edgelm.json",
    }
    assert {path.name for path in folder.iterdir()} == names
    for name in names - {"edgelm.json"}:
        assert (folder / name).read_bytes() == (new_dir / name).read_bytes(), name


def test_only_the_training_text_of_the_new_languages_is_learnt_from(
    tmp_path: Path, old_dir: Path, corpus: Path, new: TextTokenizer
) -> None:
    import pyarrow.parquet as parquet

    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    others = [*copy.glob("data/*/validation-*"), *copy.glob("data/*/test-*"), *copy.glob("data/zul/train-*")]
    for shard in others:
        table = parquet.read_table(shard)
        column = table.schema.get_field_index("text")
        parquet.write_table(table.set_column(column, "text", [["qxqxqxqx " * 50] * len(table)]), shard)
    extend_tokenizer(old_dir, copy, ["qaa", "ven"], tmp_path / "tokenizer", new_tokens=NEW_TOKENS)
    assert TextTokenizer(tmp_path / "tokenizer").bytes_of == new.bytes_of


def test_transformers_reads_it_alike(new_dir: Path, new: TextTokenizer, corpus: Path) -> None:
    from transformers import AutoTokenizer

    automatic = AutoTokenizer.from_pretrained(new_dir)
    assert automatic.vocab_size == len(automatic) == new.vocab_size
    for code in ("zul", "ven", "qaa"):
        for text in read_texts(corpus, code, "train"):
            ids = new.encode(text)
            assert automatic(text)["input_ids"] == [new.bos, *ids]
            assert automatic.decode(ids) == text
    tag = new.language("qaa")
    assert automatic("<|qaa|>Aba")["input_ids"] == [new.bos, tag, *new.encode("Aba")]
    assert automatic.apply_chat_template(
        [{"role": "user", "content": "Aba"}], add_generation_prompt=True
    ) == new.chat("Aba")


def test_an_extended_tokenizer_can_be_extended(
    tmp_path: Path, new_dir: Path, new: TextTokenizer, corpus: Path
) -> None:
    extend_tokenizer(new_dir, corpus, ["zul"], tmp_path / "again", new_tokens=10)
    again = TextTokenizer(tmp_path / "again")
    assert again.bytes_of[: new.vocab_size] == new.bytes_of
    assert again.vocab_size == new.vocab_size + 10


def test_a_tag_alone(tmp_path: Path, old_dir: Path, old: TextTokenizer, corpus: Path) -> None:
    results = extend_tokenizer(old_dir, corpus, ["qaa"], tmp_path / "tag", new_tokens=0)
    assert results["vocab_size"] == old.vocab_size
    assert {one["unchanged_documents"] for one in results["languages"].values()} == {1.0}
    assert TextTokenizer(tmp_path / "tag").language("qaa") == old.id("<|spare_0|>")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda t, c, o: extend_tokenizer(t, c, ["qqq"], o, new_tokens=5), "unknown language 'qqq'"),
        (
            lambda t, c, o: extend_tokenizer(t, c, ["qaa", "tso"], o, new_tokens=5),
            r"has no training text in tso\. Build it with text in tso\.",
        ),
        (lambda t, c, o: extend_tokenizer(t, c, [], o, new_tokens=5), "no language to extend to"),
        (
            lambda t, c, o: extend_tokenizer(t, c, ["qaa"], o, new_tokens=-1),
            r"--new-tokens -1 is negative\. Give 0 or more\.",
        ),
        (lambda t, c, o: extend_tokenizer(c, c, ["qaa"], o, new_tokens=5), r"tokenizer\.json: no such file"),
        (lambda t, c, o: extend_tokenizer(t, t, ["qaa"], o, new_tokens=5), r"manifest\.json"),
    ],
)
def test_bad_input(
    tmp_path: Path, old_dir: Path, corpus: Path, run: Callable[[Path, Path, Path], object], message: str
) -> None:
    with pytest.raises(BadInput, match=message) as error:
        run(old_dir, corpus, tmp_path / "output")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_beside_a_tokenizer_trained_on_all_languages_from_the_start(
    tmp_path: Path, corpus: Path, new: TextTokenizer
) -> None:
    """Merges learnt late serve the new languages nearly as well as merges learnt together."""
    train_tokenizer(corpus, tmp_path / "all", vocab_size=new.vocab_size)
    together = TextTokenizer(tmp_path / "all")
    for code in ("qaa", "ven"):
        texts = list(read_texts(corpus, code, "test"))
        late, start = (sum(len(one.encode(text)) for text in texts) for one in (new, together))
        assert late < 1.1 * start
