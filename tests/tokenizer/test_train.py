import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgelm import resources
from edgelm.corpus.shards import read_texts
from edgelm.errors import BadInput
from edgelm.tokenizer.report import fertility
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.train import new_tokenizer, sample, train_tokenizer

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


def test_fertility_by_hand(sample_tokenizer: TextTokenizer) -> None:
    assert fertility(sample_tokenizer.tokenizer, ["1 2", "345"]) == {
        "fertility": round(6 / 3, 3),  # a space before a digit is a token too
        "bytes_per_token": round(6 / 6, 3),
    }
    assert fertility(sample_tokenizer.tokenizer, []) == {"fertility": None, "bytes_per_token": None}


def test_a_sample_stops_at_its_bytes(sample_corpus: Path) -> None:
    texts = list(read_texts(sample_corpus, "zul", "train"))
    sizes = [len(text.encode("utf-8")) for text in texts]
    assert list(sample(sample_corpus, "zul", "train", sum(sizes[:3]))) == texts[:3]
    assert list(sample(sample_corpus, "zul", "train", sum(sizes[:3]) + 1)) == texts[:4]
    assert list(sample(sample_corpus, "zul", "train", 10**9)) == texts
    assert list(sample(sample_corpus, "zul", "nowhere", 10**9)) == []


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


def test_a_folder_that_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"manifest\.json"):
        train_tokenizer(tmp_path, tmp_path / "tokenizer", vocab_size=512)
    assert list(tmp_path.iterdir()) == []
