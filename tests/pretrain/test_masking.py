"""Tokens are hidden and guessed from both sides; what has learnt so is for heads and does not write."""

import json
from dataclasses import replace
from pathlib import Path

import made_up
import pytest
import torch
from small_run import SHAPE, setting

from edgelm.corpus.shards import languages_of
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import corpus_texts
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.head import finetune_head
from edgelm.model.config import read_config
from edgelm.model.decoder import IGNORE, Decoder
from edgelm.model.directory import load_model
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.masking import MASK, Masked, hide
from edgelm.pretrain.packing import Batch
from edgelm.pretrain.pretrain import DataConfig, pretrain
from edgelm.pretrain.validation import HeldOut
from edgelm.runtime import load, load_labeller
from edgelm.tasks.task import load_task
from edgelm.tokenizer.text import TextTokenizer

CONFIG = TrainConfig(steps=40, batch=4, learning_rate=0.01, warmup=5, seed=1, precision="fp32", compile="off")


def test_a_fifth_is_hidden_and_asked_for_where_the_token_before_stands(tokenizer: TextTokenizer) -> None:
    tokens = torch.randint(0, made_up.VOCAB_SIZE, (64, 100), generator=torch.Generator().manual_seed(0))
    targets = torch.full_like(tokens, IGNORE)
    targets[:, :-1] = tokens[:, 1:]
    targets[:, 49] = IGNORE  # a document ends there
    seen, asked = hide(tokens, targets, tokenizer, torch.Generator().manual_seed(1))
    hidden = seen == tokenizer.id(MASK)
    special = tokens <= tokenizer.id("<|spare_13|>")
    assert 0.18 < float(hidden[~special].float().mean()) < 0.22
    assert not (hidden & special & (tokens != tokenizer.id(MASK))).any()
    assert torch.equal(seen[~hidden], tokens[~hidden])
    wanted = asked != IGNORE
    assert torch.equal(asked[wanted], targets[wanted])
    before = torch.zeros_like(hidden)
    before[:, :-1] = (hidden & ~special)[:, 1:]
    before[:, 49] = False
    assert torch.equal(wanted, before)


def test_no_target_stands_where_a_document_ends(tokenizer: TextTokenizer) -> None:
    masked = Masked(setting(tokenizer)[1], tokenizer, seed=0)
    assert (masked.batch, masked.context) == (4, SHAPE.context)  # what a GPU's reader ahead asks for
    original = masked.packer.next_batch

    def all_asked() -> Batch:  # pieces of long documents begin with any token
        batch = original()
        ordinary = torch.full_like(batch.tokens, 300)
        return batch._replace(tokens=ordinary, targets=ordinary)

    masked.packer.next_batch = all_asked  # type: ignore[method-assign]
    batch = masked.next_batch()
    ends = batch.documents[:, :-1] != batch.documents[:, 1:]
    assert ends.any()
    assert (batch.targets[:, :-1][ends] == IGNORE).all()
    assert (batch.targets != IGNORE).any()


def test_batches_are_hidden_anew_and_a_stopped_run_goes_on(tokenizer: TextTokenizer) -> None:
    first, second = (Masked(setting(tokenizer)[1], tokenizer, seed=3) for _ in range(2))
    batches = [first.next_batch() for _ in range(3)]
    hidden = [one.tokens == tokenizer.id(MASK) for one in batches]
    assert not torch.equal(hidden[0], hidden[1])
    second.next_batch()
    state = json.loads(json.dumps(second.state()))
    third = Masked(setting(tokenizer)[1], tokenizer, seed=3)
    third.restore(state)
    for left, right in zip(third.next_batch(), batches[1], strict=True):
        assert torch.equal(left, right)


def test_validation_hides_the_same_tokens_and_looks_ahead(corpus: Path, tokenizer: TextTokenizer) -> None:
    texts = corpus_texts(corpus, "validation", 2000)
    shape = replace(SHAPE, vocab_size=tokenizer.vocab_size)
    bits = []
    for both_ways in (False, True):
        model = Decoder(replace(shape, both_ways=both_ways))
        model.init_weights(torch.Generator().manual_seed(0))
        held = HeldOut(texts, tokenizer, shape.context, both_ways=True)
        bits.append(held.bits_per_byte(model))
        assert held.bits_per_byte(model) == bits[-1]
    assert bits[0] != bits[1]
    assert HeldOut({"zul": ["a"]}, tokenizer, shape.context, both_ways=True).bits_per_byte(model)["mean"] == 0
    chance = torch.log2(torch.tensor(float(tokenizer.vocab_size)))
    assert bits[1]["mean"] == pytest.approx(float(chance), rel=0.05)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, corpus: Path, tokenizer_dir: Path) -> Path:
    """A model that wrote for a few steps and then learnt to read."""
    folder = tmp_path_factory.mktemp("masking")
    pretrain(corpus, tokenizer_dir, folder / "base", preset="nano", config=replace(CONFIG, steps=2))
    found = pretrain(
        corpus,
        tokenizer_dir,
        folder / "reader",
        config=CONFIG,
        init_from=folder / "base",
        data=DataConfig(both_ways=True),
        validate_every=20,
    )
    lines = (folder / "reader" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    bits = [one["validation"]["mean"] for one in map(json.loads, lines) if "validation" in one]
    assert len(bits) == 2
    assert bits[1] < bits[0] - 0.05
    assert set(found["validation_bits_per_hidden_token"]) == {*languages_of(corpus), "mean"}
    assert "validation_bits_per_byte" not in found
    return folder / "reader"


def test_it_does_not_write(tmp_path: Path, reader: Path) -> None:
    assert read_config(reader).both_ways
    config = json.loads((reader / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaModel"]
    card = (reader / "README.md").read_text(encoding="utf-8")
    assert "reads both ways and cannot write" in card
    assert "text-generation" not in card
    assert "Bits per byte" not in card
    for give in (load, load_model):
        with pytest.raises(BadInput, match="reads both ways, for heads, and cannot write"):
            give(reader)


def test_its_heads_read_both_ways_and_it_learns_on(
    tmp_path: Path, reader: Path, corpus: Path, tokenizer_dir: Path
) -> None:
    task = load_task(made_up.make_task(tmp_path / "task"))
    config = FinetuneConfig(steps=1, batch=2, warmup=1, precision="fp32", compile="off")
    finetune_head(reader, task, tmp_path / "head", config=config)
    labeller = load_labeller(tmp_path / "head")
    assert labeller is not None
    assert labeller.head.both_ways
    config_again = replace(CONFIG, steps=1)
    further = {"config": config_again, "init_from": reader}
    pretrain(corpus, tokenizer_dir, tmp_path / "on", data=DataConfig(both_ways=True), **further)
    with pytest.raises(BadInput, match="cannot write"):
        pretrain(corpus, tokenizer_dir, tmp_path / "back", **further)
    extended = DataConfig(both_ways=True, extend_languages=("zul",))
    with pytest.raises(BadInput, match="--both-ways and --extend-languages were both given"):
        pretrain(corpus, tokenizer_dir, tmp_path / "two", data=extended, **further)
