"""A head on a decoder: its loss, its files, and the same model in transformers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from edgelm.errors import BadInput
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import IGNORE, Decoder
from edgelm.model.directory import load_model
from edgelm.model.head_config import HeadConfig, Kind, read_head
from edgelm.model.heads import Labeller, load_labeller, save_labeller, with_head
from edgelm.tokenizer.text import TextTokenizer

LABELS = ("O", "B-PER", "I-PER")


@pytest.fixture
def decoder(bytes_tokenizer: Path) -> Decoder:
    model = Decoder(ModelConfig(TextTokenizer(bytes_tokenizer).vocab_size, 128, 256, 2, 4, 2, 64))
    model.init_weights(torch.Generator().manual_seed(0))
    return model.eval()


def head(kind: Kind = "token", both_ways: bool = False) -> HeadConfig:
    return HeadConfig(kind, LABELS, both_ways, "bio" if kind == "token" else "flat")


def test_the_loss_is_the_heads_cross_entropy_where_a_label_is_asked_for(decoder: Decoder) -> None:
    model = with_head(decoder, head())
    tokens, targets = torch.arange(12).view(2, 6) + 260, torch.full((2, 6), IGNORE)
    targets[0, 2], targets[1, 5] = 1, 2
    logits, _ = model(tokens)
    assert logits.shape == (2, 6, 3)
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
    torch.testing.assert_close(model.loss(tokens, targets), expected)
    model.loss(tokens, targets).backward()
    assert model.score.weight.grad is not None
    assert model.model.layers[0].mlp.up_proj.weight.grad is not None
    assert not torch.equal(model.score.weight, with_head(decoder, head(), seed=1).score.weight)


def test_both_ways_a_token_knows_what_comes_after_it_in_its_document(decoder: Decoder) -> None:
    tokens = torch.arange(10)[None] + 260
    documents = torch.tensor([[0] * 6 + [1] * 4])
    for both_ways in (False, True):
        model = with_head(decoder, head(both_ways=both_ways)).eval()
        before, _ = model(tokens, documents)
        changed = tokens.clone()
        changed[0, 5] = 270
        after, _ = model(changed, documents)
        differs = (before != after).any(-1)[0].tolist()
        assert differs == [both_ways] * 5 + [True] + [False] * 4
        alone, _ = model(tokens[:, :6], documents[:, :6])
        torch.testing.assert_close(alone, before[:, :6], atol=1e-5, rtol=1e-5)
        plain, _ = model(tokens[:, :6])
        torch.testing.assert_close(plain, alone, atol=1e-5, rtol=1e-5)


def test_a_text_is_labelled_by_the_mean_over_its_document(decoder: Decoder) -> None:
    model = with_head(decoder, replace(head("sequence", both_ways=True), pooling="mean")).eval()
    tokens = torch.arange(20).view(2, 10) + 260
    documents = torch.tensor([[0] * 6 + [1] * 4, [1] * 3 + [-1] * 7])  # a 1 in each row: two documents
    logits, _ = model(tokens, documents)
    plain = with_head(decoder, head("sequence", both_ways=True)).eval()
    plain.load_state_dict(model.state_dict())
    each, _ = plain(tokens, documents)
    for row, part in ((0, slice(0, 6)), (0, slice(6, 10)), (1, slice(0, 3)), (1, slice(3, 10))):
        expected = each[row, part].mean(0)
        for one in logits[row, part]:
            torch.testing.assert_close(one, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(tokens[:1, :6])[0][0], logits[0, :6], atol=1e-5, rtol=1e-5)


def test_a_way_of_pooling_that_is_unknown_is_refused(
    tmp_path: Path, decoder: Decoder, bytes_tokenizer: Path
) -> None:
    save_labeller(with_head(decoder, head("sequence")), bytes_tokenizer, tmp_path, "A card.\n")
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for pooling, known in (("last", True), (None, True), ("max", False)):
        own = {**config["edgelm"], "pooling": pooling}
        if pooling is None:
            del own["pooling"]  # as older ones were written
        (tmp_path / "config.json").write_text(json.dumps({**config, "edgelm": own}))
        if known:
            assert read_head(tmp_path) == head("sequence")
        else:
            with pytest.raises(BadInput, match="describes a head without 'max'"):
                read_head(tmp_path)


@pytest.mark.parametrize("kind", ["sequence", "token"])
@pytest.mark.parametrize("both_ways", [False, True])
def test_what_is_saved_comes_back(
    tmp_path: Path, decoder: Decoder, bytes_tokenizer: Path, kind: Kind, both_ways: bool
) -> None:
    config = replace(head(kind, both_ways), pooling="mean" if both_ways and kind == "sequence" else "last")
    model = with_head(decoder, config, seed=3)
    save_labeller(model, bytes_tokenizer, tmp_path, "A card.\n")
    found = read_head(tmp_path)
    assert found == config
    again = load_labeller(tmp_path, found)
    tokens = torch.arange(6)[None] + 260
    torch.testing.assert_close(again(tokens)[0], model.eval()(tokens)[0])
    with pytest.raises(BadInput, match="does not fit"):
        load_model(tmp_path)


@pytest.mark.parametrize("kind", ["sequence", "token"])
def test_transformers_computes_the_same(
    tmp_path: Path, decoder: Decoder, bytes_tokenizer: Path, kind: Kind
) -> None:
    transformers = pytest.importorskip("transformers", reason="the peer that loads the directory")
    model = with_head(decoder, head(kind), seed=3)
    save_labeller(model, bytes_tokenizer, tmp_path, "A card.\n")
    names = {
        "sequence": "AutoModelForSequenceClassification",
        "token": "AutoModelForTokenClassification",
    }
    peer = getattr(transformers, names[kind]).from_pretrained(tmp_path).eval()
    tokens = torch.arange(6)[None] + 260
    logits = peer(tokens).logits[0]
    ours = model(tokens)[0][0]
    torch.testing.assert_close(logits, ours if kind == "token" else ours[-1], atol=1e-4, rtol=1e-4)
    assert peer.config.id2label == dict(enumerate(LABELS))


def test_a_decoder_has_no_head(tmp_path: Path, tiny_model_dir: Path) -> None:
    assert read_head(tiny_model_dir) is None
    assert read_head(tmp_path) is None
    value = {"architectures": ["LlamaForTokenClassification"], "id2label": {"0": "a"}}
    (tmp_path / "config.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(BadInput, match="a head without 'edgelm'"):
        read_head(tmp_path)


def test_the_decoder_below_is_a_copy(decoder: Decoder) -> None:
    model: Labeller = with_head(decoder, head())
    with torch.no_grad():
        model.model.norm.weight.zero_()
    assert decoder.model.norm.weight.sum() > 0
    assert all(layer.self_attn.causal for layer in decoder.model.layers)
