from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from edgelm.corpus import write
from edgelm.corpus.recipe import load_recipe
from edgelm.corpus.sample import sample
from edgelm.errors import BadInput


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, prose, write_file, build) -> Path:
    folder: Path = tmp_path_factory.mktemp("sample")
    texts = prose(120)
    short = [{"text": text} for text in ("ka", "ka 77777", "KA KB")]
    write_file(folder / "in" / "zul.jsonl", [{"text": text} for text in [*texts, *texts[:30]]] + short)
    write_file(folder / "in" / "xho.txt", [{"text": text} for text in prose(5, 1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "SHARD_BYTES", 2000)
        patch.setattr(write, "BATCH", 20)
        build(folder / "in", folder / "out")
    assert len([*(folder / "out" / "data" / "zul").glob("train-*")]) > 2
    return folder / "out"


def test_kept_documents_with_what_was_measured(corpus, rows):
    kept = {row["id"]: row for row in rows(corpus)}
    drawn = sample(corpus, count=200)
    assert {one.id for one in drawn} == set(kept)
    for one in drawn:
        row = kept[one.id]
        assert (one.text, one.language, one.source, one.reasons) == (row["text"], row["language"], "in", ())
        assert {"mean_word_length", "digits"} <= set(one.measured)
        assert set(one.measured) <= {rule.column for rule in load_recipe("default").filters}
        assert all(row[name] == value or value != value for name, value in one.measured.items())


def test_rejected_documents_of_one_reason_or_any(corpus, rows):
    reasons = Counter(row["reason"] for row in rows(corpus, "rejected"))
    assert reasons == {"duplicate": 30, "too_short": 3}
    for reason, count in reasons.items():
        assert {one.reasons[0] for one in sample(corpus, reason, count=99)} == {reason}
        assert len(sample(corpus, reason, count=99)) == count
    assert len(sample(corpus, "any", count=99)) == 33
    found = {one.text: one.reasons for one in sample(corpus, "too_short")}
    assert found["ka 77777"][:2] == ("too_short", "word_length") or "many_digits" in found["ka 77777"]
    assert "capitals" in found["KA KB"]


def test_the_seed_decides_and_every_document_can_come(corpus):
    one, two = sample(corpus, count=5), sample(corpus, count=5, seed=1)
    assert len(one) == len(two) == 5
    assert [drawn.id for drawn in one] != [drawn.id for drawn in two]
    assert repr(one) == repr(sample(corpus, count=5))  # nan is not nan
    seen = {drawn.id for seed in range(80) for drawn in sample(corpus, "too_short", count=1, seed=seed)}
    assert len(seen) == 3


def test_only_one_language(corpus):
    assert {one.language for one in sample(corpus, language="xho", count=99)} == {"xho"}
    assert {one.language for one in sample(corpus, "any", "zul", 99)} == {"zul"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ("too_tall", None),
            r"no document was rejected as 'too_tall'\. The reasons are any, duplicate, too_short",
        ),
        (("duplicate", "xho"), r"no document in xho was rejected as 'duplicate'"),
        ((None, "ven"), r"holds no ven\. There is xho, zul"),
    ],
)
def test_a_reason_or_language_there_is_not(corpus, arguments, problem):
    with pytest.raises(BadInput, match=problem) as caught:
        sample(corpus, *arguments)
    assert caught.value.file == corpus


def test_a_row_of_a_later_row_group(corpus, tmp_path):
    from edgelm.corpus.sample import read_row

    table = parquet.read_table(next((corpus / "data" / "zul").glob("train-*")))
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=7)
    reader = parquet.ParquetFile(tmp_path / "x.parquet")
    for row in range(len(table)):
        assert read_row(reader, row)["id"] == table["id"][row].as_py()
