from pathlib import Path

import numpy as np
import pytest

from edgelm.corpus import table as tables
from edgelm.corpus import write
from edgelm.corpus.browse import choose, read
from edgelm.corpus.tune import Tuning, changes


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, prose, write_file, build) -> Tuning:
    folder: Path = tmp_path_factory.mktemp("browse")
    short = [{"text": text} for text in ("ka", "ba", "KA KB")]
    write_file(folder / "in" / "a" / "zul.jsonl", [*({"text": text} for text in prose(60)), *short])
    write_file(folder / "in" / "b" / "xho.jsonl", [{"text": text} for text in prose(40, 1)] + short[:1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "SHARD_BYTES", 2000)
        patch.setattr(write, "BATCH", 20)
        build(folder / "in", folder / "out", near_duplicates=None)
    return Tuning(folder / "out")


def read_all(corpus: Tuning, **wanted):
    found = choose(corpus.table, corpus.before, **wanted)
    return [read(corpus.table, row, corpus.recipe) for row in found]


def test_every_document_once_as_it_was_written(corpus, rows):
    for kept, part in ((True, "data"), (False, "rejected")):
        written = {row["id"]: row for row in rows(corpus.corpus, part)}
        found = read_all(corpus, kept=kept)
        assert sorted(one.id for one in found) == sorted(written)
        for one in found:
            row = written[one.id]
            assert (one.text, one.source, one.language) == (row["text"], row["source"], row["language"])
            assert list(one.reasons) == (row.get("reasons") or [])
            assert one.measured["lettered_words"] == row["lettered_words"]


def test_chosen_by_language_source_and_reason(corpus):
    assert {one.language for one in read_all(corpus, kept=True, language="xho")} == {"xho"}
    assert {one.source for one in read_all(corpus, kept=False, source="a")} == {"a"}
    assert len(read_all(corpus, kept=False, reason="too_short")) == 4
    assert len(read_all(corpus, kept=False, reason="too_short", language="zul", source="a")) == 3
    for nowhere in ({"language": "ven"}, {"source": "c"}, {"reason": "no such"}):
        assert not len(choose(corpus.table, corpus.before, kept=False, **nowhere))


def test_the_seed_decides_the_order(corpus):
    orders = [choose(corpus.table, corpus.before, kept=True, seed=seed).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) != orders[0]


def test_one_row_group_is_read_and_no_metadata_twice(corpus, monkeypatch):
    groups, opened = [], []
    reader = corpus.table.parquet.ParquetFile
    real = reader.read_row_group
    monkeypatch.setattr(reader, "read_row_group", lambda file, at: groups.append(at) or real(file, at))
    monkeypatch.setattr(
        tables.Table,
        "open",
        lambda table, shard, open=tables.Table.open: opened.append(shard) or open(table, shard),
    )
    found = read_all(corpus, kept=True)
    assert len(groups) == len(opened) == len(found)


def test_another_bound_leaves_the_corpus_and_says_what_changes(corpus):
    recipe, after = corpus.decided("zul:too_short.min=9")
    assert corpus.recipe.filters[0].languages == {} != recipe.filters[0].languages
    assert corpus.before.kept.sum() == corpus.after.kept.sum() == 100
    xho, zul = changes(corpus.table, corpus.before, after)
    assert (xho.language, zul.language) == ("xho", "zul")
    assert xho.documents[0] == xho.documents[1] == 40
    assert zul.documents == (60, 0)
    language, codes = corpus.table.codes("language")
    own = corpus.before.kept & (language == codes.index("zul"))
    assert zul.characters == (int(np.sum(corpus.table["characters"][own])), 0)
    assert zul.characters[0] == sum(len(one.text) for one in read_all(corpus, kept=True, language="zul"))
