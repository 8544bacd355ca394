"""The text by which an export is judged."""

import json

import pytest

from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import Recipe, Source, SplitRule
from edgelm.errors import BadInput
from edgelm.export.judged import BYTES, judged_texts, unsampled
from edgelm.export.search import export_for
from edgelm.export.target import load_target
from edgelm.export.verify import LOGIT_DOCUMENTS, OTHER
from edgelm.tokenizer.texts import sample_texts

WORDS = ("bala", "dima", "guwe", "pito")


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Text in isiZulu and in `qaa`, which the sample has not."""
    (tmp_path / "languages").mkdir()
    described = {
        "code": "qaa", "bcp47": "qaa", "name": "Shoreish", "autonym": "Naru", "family": "Island",
        "writing": "none", "alphabet": "abcdefghijklmnopqrstuvwxyz", "aliases": [], "prompt": "naru lamo",
    }  # fmt: skip
    (tmp_path / "languages" / "qaa.yaml").write_text(json.dumps(described))
    monkeypatch.setenv("EDGELM_LANGUAGES", str(tmp_path / "languages"))
    (tmp_path / "in").mkdir()
    for code in ("qaa", "zul"):
        lines = [
            json.dumps({"text": f"{code} {split} {word} naru lamo", "split": split})
            for split in ("train", "test")
            for word in WORDS
        ]
        (tmp_path / "in" / f"{code}.jsonl").write_text("\n".join(lines))
    none = SplitRule(share=0, max_bytes=0)
    build_corpus(Recipe("x", (Source(tmp_path / "in"),), (), none, none), tmp_path / "corpus")
    return tmp_path / "corpus"


def test_a_language_that_the_sample_lacks_is_judged_by_held_out_text(corpus):
    found = judged_texts(corpus)
    assert set(found) == {"qaa", "zul", OTHER}
    assert sorted(found["qaa"]) == [f"qaa test {word} naru lamo" for word in WORDS]
    assert found["zul"] == sample_texts()["zul"][:LOGIT_DOCUMENTS]
    assert set(judged_texts(corpus, ["zul"])) == {"zul", OTHER}
    assert set(judged_texts(None)) == {*sample_texts(), OTHER}


def test_files_are_read_as_far_as_needed(tmp_path):
    (tmp_path / "deu.txt").write_text("\n".join(f"Satz {number} im Text" for number in range(2000)))
    (texts,) = (texts for code, texts in judged_texts(tmp_path / "deu.txt").items() if code != OTHER)
    assert BYTES <= sum(len(text.encode()) for text in texts) < BYTES + 100


@pytest.mark.parametrize(
    ("said", "lacking"),
    [("- qaa", ["qaa"]), ("- qaa\n- zu", []), ("- multilingual", []), ("- de\n- fr", ["de", "fr"])],
)
def test_a_device_is_not_chosen_for_by_languages_that_the_model_never_read(tmp_path, said, lacking):
    (tmp_path / "README.md").write_text(f"---\nlanguage:\n{said}\n---\n\n# x\n")
    assert unsampled(tmp_path) == lacking
    if lacking:
        with pytest.raises(BadInput, match=rf"no text in {', '.join(lacking)} to choose.*--text my-corpus"):
            export_for(tmp_path, tmp_path / "out", load_target("phone"))
