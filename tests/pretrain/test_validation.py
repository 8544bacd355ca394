"""Bits per byte while training are those that `edgelm.evaluate` measures a text at a time."""

from pathlib import Path

import made_up
import pytest
import torch

from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.pretrain import validation
from edgelm.pretrain.validation import HeldOut
from edgelm.runtime.torch import TorchModel
from edgelm.tokenizer.text import TextTokenizer

CONTEXT = 48


@pytest.fixture(scope="module")
def model() -> Decoder:
    """Weights so large that every token before another changes what it predicts."""
    found = Decoder(ModelConfig(made_up.VOCAB_SIZE, 64, 128, 2, 4, 2, CONTEXT))
    found.init_weights(torch.Generator().manual_seed(4))
    with torch.no_grad():
        for weight in found.parameters():
            if weight.dim() == 2:
                weight.mul_(5)
    return found.eval()


@pytest.fixture(scope="module")
def texts(corpus: Path) -> dict[str, list[str]]:
    """Documents as they are, and some of many contexts' length, of exactly one, and of a character."""
    found = corpus_texts(corpus, "validation", 3000)
    found["zul"] += [" ".join(found["zul"] * 3), "a", "ê", ""]
    found["xho"] = found["xho"][:1]
    return found


def test_the_figures_are_those_of_evaluate(
    model: Decoder, texts: dict[str, list[str]], tokenizer: TextTokenizer
) -> None:
    ids = tokenizer.encode(" ".join(texts["eng"]))
    for length in (CONTEXT - 1, CONTEXT, CONTEXT + 1, 2 * CONTEXT):
        texts["eng"].append(tokenizer.tokenizer.decode(ids[:length]))
    assert max(len(tokenizer.encode(text)) for text in texts["zul"]) > 5 * CONTEXT
    found = HeldOut(texts, tokenizer, CONTEXT).bits_per_byte(model)
    expected = bits_per_byte(TorchModel(model, tokenizer), texts)
    assert list(found) == [*texts, "mean"]
    assert found == pytest.approx(expected, rel=1e-4)
    assert found["mean"] == pytest.approx(sum(found[code] for code in texts) / len(texts), abs=1e-4)
    assert len({round(value, 2) for value in found.values()}) == len(found)


def test_every_block_is_computed_however_many_at_a_time(
    model: Decoder, texts: dict[str, list[str]], tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out, found, steps = HeldOut(texts, tokenizer, CONTEXT), [], []
    for tokens in (1, 3 * CONTEXT, 8192):
        monkeypatch.setattr(validation, "BLOCK_TOKENS", tokens)
        done: list[float] = []
        found.append(held_out.bits_per_byte(model, lambda count, note="", done=done: done.append(count)))
        steps.append(sum(done))
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert found[2] == pytest.approx(found[0], rel=1e-4)
    assert steps == [held_out.size] * 3


def test_blocks_are_full_of_whole_windows(texts: dict[str, list[str]], tokenizer: TextTokenizer) -> None:
    held_out = HeldOut(texts, tokenizer, CONTEXT)
    for code, blocks in held_out.blocks.items():
        predicted = sum(len(window) - 1 for block in blocks for window in block)
        assert predicted == sum(len(tokenizer.encode(text)) for text in texts[code])
        for block in blocks:
            assert sum(len(window) - 1 for window in block) <= CONTEXT
            assert all(window[0] == tokenizer.bos for window in block)
    windows = sum(len(block) for blocks in held_out.blocks.values() for block in blocks)
    assert held_out.size < 0.9 * windows  # several documents share a block


def test_nothing_of_the_model_is_changed(
    model: Decoder, texts: dict[str, list[str]], tokenizer: TextTokenizer
) -> None:
    """Nor does dropout disturb the figures of a model in training."""
    held_out = HeldOut(texts, tokenizer, CONTEXT)
    expected = held_out.bits_per_byte(model)
    model.set_dropout(0.5)
    model.train()
    assert held_out.bits_per_byte(model) == expected
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())
    model.eval()
    held_out.bits_per_byte(model)
    assert not model.training
    model.set_dropout(0.0)


def test_no_text_no_figures(model: Decoder, tokenizer: TextTokenizer) -> None:
    held_out = HeldOut({}, tokenizer, CONTEXT)
    assert held_out.size == 0
    assert held_out.bits_per_byte(model) == {}
