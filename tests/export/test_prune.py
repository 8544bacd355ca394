"""Models for some of their languages: what is dropped, and that nothing else changes."""

import json
from pathlib import Path

import pytest
import torch

from edgelm.errors import BadInput
from edgelm.export.export import export
from edgelm.export.prune import prune, training_texts
from edgelm.export.strings import hard_strings
from edgelm.model.directory import load_model
from edgelm.tokenizer.prune import prune_tokenizer, used_tokens
from edgelm.tokenizer.special import NAMED
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.texts import sample_texts


def pieces(tokenizer: TextTokenizer, text: str) -> list[bytes]:
    return [tokenizer.bytes_of[number] for number in tokenizer.encode(text)]


def test_a_text_is_cut_as_before_and_any_other_can_be_read(tmp_path: Path, model_dir: Path) -> None:
    before, texts = TextTokenizer(model_dir), sample_texts()
    old = prune_tokenizer(before, used_tokens(before, [texts["zul"]]), tmp_path / "tokenizer.json")
    after = TextTokenizer(tmp_path)
    assert after.vocab_size == len(old) < 0.75 * before.vocab_size
    assert old == sorted(old)
    for text in texts["zul"]:
        assert [old[number] for number in after.encode(text)] == before.encode(text)
    others = [*texts["ven"], *hard_strings(texts["ven"], 200)]
    assert sum(len(after.encode(text)) for text in others) > sum(len(before.encode(text)) for text in others)
    for text in others:
        composed = before.decode(before.encode(text))
        assert after.decode(after.encode(text)) == composed
    for token in (*NAMED, "<|ven|>"):
        assert old[after.id(token)] == before.id(token)
    with_bos = after.tokenizer.encode("Izulu").ids
    assert with_bos[0] == after.bos


def test_special_tokens_behind_all_others(tmp_path: Path, model_dir: Path) -> None:
    content = json.loads((model_dir / "tokenizer.json").read_text(encoding="utf-8"))
    specials, total = len(content["added_tokens"]), len(content["model"]["vocab"])
    moved = [number + total if number < specials else number for number in range(total)]
    content["model"]["vocab"] = {
        text: moved[number] - specials for text, number in content["model"]["vocab"].items()
    }
    for one in content["added_tokens"]:
        one["id"] = moved[one["id"]] - specials
    for one in content["post_processor"]["special_tokens"].values():
        one["ids"] = [moved[number] - specials for number in one["ids"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    before, texts = TextTokenizer(tmp_path), sample_texts()["zul"]
    assert before.bos == total - specials
    pruned = tmp_path / "pruned"
    pruned.mkdir()
    old = prune_tokenizer(before, used_tokens(before, [texts]), pruned / "tokenizer.json")
    after = TextTokenizer(pruned)
    assert after.bos == len(old) - specials
    assert after.tokenizer.encode("Izulu").ids[0] == after.bos
    for token in NAMED:
        assert old[after.id(token)] == before.id(token)
    for text in texts:
        assert [old[number] for number in after.encode(text)] == before.encode(text)


def test_every_token_can_still_be_merged(tmp_path: Path, model_dir: Path) -> None:
    before = TextTokenizer(model_dir)
    prune_tokenizer(before, used_tokens(before, [sample_texts()["sot"]]), tmp_path / "tokenizer.json")
    model = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    made = {left + right for left, right in model["merges"]}
    special = {one for one in model["vocab"] if one.startswith("<|")}
    assert {one for one in model["vocab"] if len(one) > 1} - special == made
    assert sum(len(one) == 1 for one in model["vocab"]) == 256


def test_logits_of_kept_tokens_are_the_models_own(tmp_path: Path, model_dir: Path) -> None:
    texts = {"zul": sample_texts()["zul"]}
    found = prune(model_dir, texts, tmp_path / "pruned", {**texts, "ven": sample_texts()["ven"]})
    whole, pruned = load_model(model_dir), load_model(tmp_path / "pruned")
    before, after = TextTokenizer(model_dir), TextTokenizer(tmp_path / "pruned")
    vocabulary = before.tokenizer.get_vocab()
    kept = sorted(vocabulary[token] for token in after.tokenizer.get_vocab())
    ids = before.encode(texts["zul"][0])[:32]
    with torch.no_grad():
        ours, _ = pruned(torch.tensor([[kept.index(number) for number in ids]]))
        theirs, _ = whole(torch.tensor([ids]))
    torch.testing.assert_close(ours, theirs[..., kept], atol=1e-5, rtol=1e-5)
    assert found["tokens"] == [before.vocab_size, after.vocab_size]
    assert found["bytes"][0] - found["bytes"][1] == 4 * (before.vocab_size - after.vocab_size) * 256
    assert found["languages"]["zul"] == {"alike": 1.0, "pieces": 1.0}
    assert found["languages"]["ven"]["alike"] < 1
    assert found["languages"]["ven"]["pieces"] > 1.05
    assert "## Pruned" in (tmp_path / "pruned" / "README.md").read_text(encoding="utf-8")
    config = json.loads((tmp_path / "pruned" / "config.json").read_text(encoding="utf-8"))
    assert (config["bos_token_id"], config["vocab_size"]) == (after.bos, after.vocab_size)
    with pytest.raises(BadInput, match="there is no text in zul"):
        prune(model_dir, {"zul": []}, tmp_path / "other", {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for code in ("zul", "xho", "eng"):
        place = tmp_path / "text" / f"{code}.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text("\n\n".join(sample_texts()[code]), encoding="utf-8")
    return tmp_path / "text"


def test_only_the_languages_asked_for_are_read(folder: Path) -> None:
    found = training_texts(folder, ["zul", "xho"])
    assert list(found) == ["zul", "xho"]
    assert sample_texts()["xho"][0][:40] in found["xho"][0]


def test_a_language_that_is_not_there(tmp_path: Path, model_dir: Path, folder: Path) -> None:
    with pytest.raises(BadInput, match="there is no text in tso to keep the tokens of"):
        export(model_dir, tmp_path / "out", ["gguf:F16"], text=folder, languages=["tso"])
    assert not (tmp_path / "out").exists()
