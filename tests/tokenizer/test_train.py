import json
import lzma
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from tokenizers import Tokenizer, normalizers

from edgelm import resources
from edgelm.corpus.shards import read_texts
from edgelm.errors import BadInput, EdgelmError
from edgelm.tokenizer.report import fertility
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.texts import read_source, sample_texts
from edgelm.tokenizer.train import (
    new_tokenizer,
    sample,
    sample_sizes,
    train_on,
    train_tokenizer,
    training_sample,
)

FILES = ("report.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")


def test_two_trainings_are_byte_identical(
    tmp_path: Path, sample_corpus: Path, sample_tokenizer_dir: Path
) -> None:
    train_tokenizer(sample_corpus, tmp_path / "again", vocab_size=2048)
    environment = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "1"}
    code = "import sys; from pathlib import Path; from edgelm.tokenizer.train import train_tokenizer; "
    code += "train_tokenizer(Path(sys.argv[1]), Path(sys.argv[2]), vocab_size=2048)"
    arguments = [sys.executable, "-c", code, str(sample_corpus), str(tmp_path / "elsewhere")]
    subprocess.run(arguments, env=environment, check=True)
    for folder in (tmp_path / "again", tmp_path / "elsewhere"):
        assert sorted(path.name for path in folder.iterdir()) == sorted((*FILES, "edgelm.json"))
        for name in FILES:
            assert (folder / name).read_bytes() == (sample_tokenizer_dir / name).read_bytes(), name


def test_the_vocabulary_has_the_size_asked_for(sample_tokenizer: TextTokenizer) -> None:
    assert sample_tokenizer.vocab_size == len(sample_tokenizer.bytes_of) == 2048


def test_only_the_training_split_is_learnt_from(tmp_path: Path, sample_corpus: Path) -> None:
    """Held-out text of one unseen word only: the word gets no token of its own."""
    corpus = tmp_path / "corpus"
    shutil.copytree(sample_corpus, corpus)
    import pyarrow.parquet as parquet

    for split in ("validation", "test"):
        shard = next((corpus / "data" / "zul").glob(f"{split}-*.parquet"))
        table = parquet.read_table(shard)
        column = table.schema.get_field_index("text")
        table = table.set_column(column, "text", [["qxqxqxqx " * 50] * len(table)])
        parquet.write_table(table, shard)
    train_tokenizer(corpus, tmp_path / "tokenizer", vocab_size=2048)
    assert len(TextTokenizer(tmp_path / "tokenizer").encode("qxqxqxqx")) >= 4


def test_the_report_has_every_language(sample_corpus: Path, sample_tokenizer_dir: Path) -> None:
    report = json.loads((sample_tokenizer_dir / "report.json").read_text(encoding="utf-8"))
    provenance = json.loads((sample_tokenizer_dir / "edgelm.json").read_text(encoding="utf-8"))
    assert provenance["results"] == {"vocab_size": 2048, "languages": report}
    manifest = json.loads((sample_corpus / "manifest.json").read_text(encoding="utf-8"))
    assert list(report) == sorted(manifest["languages"])
    tokenizer = TextTokenizer(sample_tokenizer_dir)
    texts = list(read_texts(sample_corpus, "zul", "test"))
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    assert report["zul"]["fertility"] == round(tokens / sum(len(text.split()) for text in texts), 3)
    assert report["zul"]["bytes_per_token"] == round(sum(len(text.encode()) for text in texts) / tokens, 3)
    assert report["zul"]["fertility"] > report["eng"]["fertility"]  # conjunctive writing has longer words
    counts = {code: sum(map(len, tokenizer.encode_batch(texts))) for code, texts in sample_texts().items()}
    assert report["ven"]["parity"] == round(counts["ven"] / counts["eng"], 3)
    assert report["eng"]["parity"] == 1.0


def test_fertility_by_hand(sample_tokenizer: TextTokenizer) -> None:
    assert fertility(sample_tokenizer.tokenizer, ["1 2", "345"]) == {
        "fertility": round(6 / 3, 3),  # a space before a digit is a token too
        "bytes_per_token": round(6 / 6, 3),
        "single_byte_share": 1.0,
    }
    nothing = fertility(sample_tokenizer.tokenizer, [])
    assert nothing == {"fertility": None, "bytes_per_token": None, "single_byte_share": None}


def test_a_sample_stops_at_its_bytes(sample_corpus: Path) -> None:
    texts = list(read_texts(sample_corpus, "zul", "train"))
    sizes = [len(text.encode("utf-8")) for text in texts]
    assert list(sample(sample_corpus, "zul", "train", sum(sizes[:3]))) == texts[:3]
    assert list(sample(sample_corpus, "zul", "train", sum(sizes[:3]) + 1)) == texts[:4]
    assert list(sample(sample_corpus, "zul", "train", 10**9)) == texts
    assert list(sample(sample_corpus, "zul", "nowhere", 10**9)) == []


def test_every_document_of_a_corpus_comes_back(sample_corpus: Path, sample_tokenizer: TextTokenizer) -> None:
    texts = [text for _, text in read_source(sample_corpus, "all")]
    assert len(texts) > 600
    for text, ids in zip(texts, sample_tokenizer.encode_batch(texts), strict=True):
        assert sample_tokenizer.decode(ids) == text
        assert None not in ids


def test_a_tokenizer_that_changes_text_is_not_written(
    tmp_path: Path, sample_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(texts: Iterator[str], vocab_size: int) -> Tokenizer:
        tokenizer = train_on(texts, vocab_size)
        tokenizer.normalizer = normalizers.Lowercase()
        return tokenizer

    monkeypatch.setattr("edgelm.tokenizer.train.train_on", lossy)
    with pytest.raises(EdgelmError, match="does not return every text"):
        train_tokenizer(sample_corpus, tmp_path / "tokenizer", vocab_size=512)
    assert not (tmp_path / "tokenizer").exists()


def test_shares_follow_the_temperature(tmp_path: Path) -> None:
    corpus = stub_corpus(tmp_path, {"eng": 90_000_000, "zul": 10_000_000, "ven": 0})
    assert sample_sizes(corpus, 1, 10) == {"eng": 9_000_000, "zul": 1_000_000}
    assert sample_sizes(corpus, 2, 10) == {"eng": 7_500_000, "zul": 2_500_000}
    even = sample_sizes(corpus, 1e9, 10)
    assert even == {"eng": 5_000_000, "zul": 5_000_000}


def test_a_small_corpus_is_read_whole_and_evened_out(tmp_path: Path) -> None:
    corpus = stub_corpus(tmp_path, {"eng": 90_000, "zul": 10_000})
    assert sample_sizes(corpus, 1, 16) == {"eng": 90_000, "zul": 10_000}
    assert sample_sizes(corpus, 2, 16) == {"eng": 90_000, "zul": 30_000}


def test_the_sample_is_spread_over_the_corpus(sample_corpus: Path) -> None:
    whole = list(read_texts(sample_corpus, "zul", "train"))
    size = sum(len(text.encode()) for text in whole)
    taken = list(training_sample(sample_corpus, {"zul": size // 4}))
    places = [whole.index(text) for text in taken]
    assert places == sorted(set(places))
    assert places[0] == 0
    assert places[-1] >= len(whole) * 3 // 4
    assert sum(len(text.encode()) for text in taken) == pytest.approx(size / 4, rel=0.15)


def test_a_higher_temperature_serves_the_smaller_language(tmp_path: Path, sample_corpus: Path) -> None:
    """zul is left a tenth of its training text: it has fewer tokens of its own if sampled in proportion."""
    import pyarrow.parquet as parquet

    corpus = Path(shutil.copytree(sample_corpus, tmp_path / "corpus"))
    shard = corpus / "data" / "zul" / "train-00000.parquet"
    table = parquet.read_table(shard)
    parquet.write_table(table.slice(0, 4), shard)
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    counts = {"documents": 4, "bytes": sum(len(text.encode()) for text in table["text"].to_pylist()[:4])}
    manifest["languages"]["zul"]["splits"]["train"] = counts
    (corpus / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = {
        temperature: train_tokenizer(
            corpus, tmp_path / str(temperature), vocab_size=2048, temperature=temperature
        )["languages"]
        for temperature in (1, 5)
    }
    assert found[5]["zul"]["bytes_per_token"] > 1.02 * found[1]["zul"]["bytes_per_token"]


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA does not name the real text")
def test_real_text_comes_back(sample_tokenizer: TextTokenizer) -> None:
    files = sorted(Path(os.environ["EDGELM_DATA"], "raw").glob("*/*.txt.xz"))
    assert files
    for file in files:
        with lzma.open(file, "rt", encoding="utf-8", errors="replace") as lines:
            texts = [unicodedata.normalize("NFC", line) for line in islice(lines, 50)]
        for text, ids in zip(texts, sample_tokenizer.encode_batch(texts), strict=True):
            assert sample_tokenizer.decode(ids) == text, file


def stub_corpus(folder: Path, sizes: dict[str, int]) -> Path:
    """A manifest of languages with so much training text, and no text."""
    nothing = {"documents": 0, "bytes": 0, "words": 0}
    languages = {
        code: {
            **nothing,
            "kept": size,
            "read": nothing,
            "splits": {"train": {**nothing, "bytes": size}, "validation": nothing, "test": nothing},
            "rejected": {},
        }
        for code, size in sizes.items()
    }
    manifest = {**nothing, "kept": 0, "recipe": {"name": "stub"}, "languages": languages, "sources": {}}
    manifest |= {"terms": {}, "thresholds": [], "mix": {}, "contamination": []}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_language_of_the_user_gets_a_tag(
    tmp_path: Path, sample_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = resources.path("corpus", "languages", "zul.yaml").read_text(encoding="utf-8")
    record = {"code": "qaa", "bcp47": "qaa", "name": "Made-up", "autonym": "Qaqa", "family": "none"}
    record |= {"writing": "none", "alphabet": "abc", "prompt": "Aba"}
    assert all(f"{key}:" in text for key in record)
    lines = [*(f"{key}: {json.dumps(value)}" for key, value in record.items()), "aliases: []"]
    (tmp_path / "qaa.yaml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("EDGELM_LANGUAGES", str(tmp_path))
    train_tokenizer(sample_corpus, tmp_path / "tokenizer", vocab_size=400)
    tokenizer = TextTokenizer(tmp_path / "tokenizer")
    assert tokenizer.bos == 0
    assert tokenizer.end == 6
    tag = tokenizer.language("qaa")
    assert tag is not None
    assert tokenizer.prompt("Aba", "qaa")[:2] == [0, tag]


def test_a_vocabulary_smaller_than_the_bytes(tmp_path: Path, sample_corpus: Path) -> None:
    _, special = new_tokenizer(["zul"])
    with pytest.raises(BadInput, match=r"--vocab-size 200 is too small\. Give at least \d+\.") as error:
        train_tokenizer(sample_corpus, tmp_path / "tokenizer", vocab_size=200)
    least = int(str(error.value).split()[-1].rstrip("."))
    assert least > 256 + len(special)
    assert list(tmp_path.iterdir()) == []
    train_tokenizer(sample_corpus, tmp_path / "tokenizer", vocab_size=least)
    assert TextTokenizer(tmp_path / "tokenizer").vocab_size == least


def test_a_corpus_without_training_text(tmp_path: Path, sample_corpus: Path) -> None:
    shutil.copytree(sample_corpus, tmp_path / "corpus")
    for file in (tmp_path / "corpus" / "data").glob("*/train-*"):
        file.unlink()
    manifest = json.loads((sample_corpus / "manifest.json").read_text(encoding="utf-8"))
    for language in manifest["languages"].values():
        language["splits"]["train"] = {"documents": 0, "bytes": 0}
    (tmp_path / "corpus" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BadInput, match="has no training documents"):
        train_tokenizer(tmp_path / "corpus", tmp_path / "tokenizer", vocab_size=512)
    assert not (tmp_path / "tokenizer").exists()


def test_a_folder_that_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"manifest\.json"):
        train_tokenizer(tmp_path, tmp_path / "tokenizer", vocab_size=512)
    assert list(tmp_path.iterdir()) == []
