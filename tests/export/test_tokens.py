"""An export reads text as `tokenizer.json` does."""

import json
import unicodedata
from pathlib import Path

import pytest

from edgelm import resources
from edgelm.runtime import load

FILES = sorted(resources.path("corpus", "sample").glob("*.jsonl"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_transformers_and_llama_cpp_read_the_sample_alike(
    model_dir: Path, export_dir: Path, file: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = load(export_dir / "model-Q8_0.gguf")
    texts = [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(texts) >= 48
    for text in texts:
        ids = model.tokenize(text)
        assert ids == tokenizer.encode(text, add_special_tokens=False)
        assert ids == model.tokenize(unicodedata.normalize("NFD", text))
        assert model.detokenize(ids) == text
        assert [model.bos, *ids] == tokenizer.encode(text)
    model.close()
