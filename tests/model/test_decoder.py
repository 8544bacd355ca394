import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from edgelm.model.config import ModelConfig, presets, to_hugging_face
from edgelm.model.decoder import IGNORE, Decoder

SMALL = ModelConfig(300, 128, 256, 2, 4, 2, 128)


def make(config: ModelConfig, seed: int = 0) -> Decoder:
    """Random weights larger than at the start of training: every part of the model shows in the logits."""
    generator = torch.Generator().manual_seed(seed)
    model = Decoder(config).eval()
    for weight in model.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=1.5 / weight.shape[1] ** 0.5, generator=generator)
        else:
            torch.nn.init.uniform_(weight, 0.5, 1.5, generator=generator)
    return model


def reference(model: Decoder) -> Any:
    """The same weights in transformers' own model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = to_hugging_face(model.config, 0, 1, 2)
    with torch.device("meta"):
        llama = LlamaForCausalLM(LlamaConfig(**config))
    llama = llama.to_empty(device="cpu").eval()
    found = llama.load_state_dict(model.state_dict(), strict=False)
    assert found.unexpected_keys == []
    assert set(found.missing_keys) <= {"lm_head.weight"}
    llama.tie_weights()
    llama.model.rotary_emb = type(llama.model.rotary_emb)(llama.config)  # its buffer was on "meta"
    return llama


def ids(model: Decoder, batch: int, length: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, model.config.vocab_size, (batch, length), generator=generator)


SHAPES = {
    **{name: replace(shape, vocab_size=1024) for name, shape in presets().items()},
    "one KV head": replace(SMALL, kv_heads=1),
    "as many KV heads": replace(SMALL, kv_heads=4),
    "other theta and eps": replace(SMALL, rope_theta=500_000.0, rms_norm_eps=1e-2),
}


@pytest.mark.parametrize("name", SHAPES)
@torch.inference_mode()
def test_logits_are_those_of_transformers(name: str) -> None:
    model = make(SHAPES[name])
    tokens = ids(model, 2, 33)
    logits, _ = model(tokens)
    expected = reference(model)(tokens).logits
    assert logits.shape == (2, 33, model.config.vocab_size)
    assert logits.dtype == torch.float32
    assert logits.std() > 0.5
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_logits_at_the_end_of_the_context() -> None:
    model = make(presets()["nano"])
    tokens = ids(model, 1, model.config.context)
    torch.testing.assert_close(model(tokens)[0], reference(model)(tokens).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("pieces", [[1] * 20, [7, 1, 1, 11], [19, 1], [1, 19]])
@torch.inference_mode()
def test_decoding_with_the_cache_is_the_full_forward(pieces: list[int]) -> None:
    model = make(SMALL)
    tokens = ids(model, 2, 20)
    whole, _ = model(tokens)
    cache, parts, start = None, [], 0
    for length in pieces:
        logits, cache = model(tokens[:, start : start + length], past=cache)
        parts.append(logits)
        start += length
        assert cache[0][0].shape == (2, SMALL.kv_heads, start, SMALL.head_dim)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=0)


@torch.no_grad()
def test_packed_documents_have_the_loss_of_each_alone() -> None:
    model = make(SMALL)
    lengths = [5, 1, 17, 9]
    tokens = ids(model, 2, sum(lengths))
    documents = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths)).expand(2, -1)
    targets = torch.cat([tokens[:, 1:], torch.full((2, 1), IGNORE)], dim=1)
    ends = torch.tensor(lengths).cumsum(0) - 1
    targets[:, ends] = IGNORE
    packed = model.loss(tokens, targets, documents)
    total, count = 0.0, 0
    for row in range(2):
        for start, length in zip((ends - torch.tensor(lengths) + 1).tolist(), lengths, strict=True):
            alone = tokens[row : row + 1, start : start + length]
            if length > 1:
                logits, _ = model(alone)
                total += float(F.cross_entropy(logits[0, :-1], alone[0, 1:], reduction="sum"))
                count += length - 1
    assert float(packed) == pytest.approx(total / count, abs=1e-4)
    assert abs(float(model.loss(tokens, targets)) - total / count) > 1e-2  # without the numbers they mix


def test_documents_do_not_see_each_other() -> None:
    model = make(SMALL)
    tokens = ids(model, 1, 20)
    documents = torch.tensor([[0] * 8 + [1] * 7 + [-1] * 5])
    other = tokens.clone()
    other[:, :8] = (other[:, :8] + 1) % SMALL.vocab_size
    before, after = (model(one, documents)[0] for one in (tokens, other))
    torch.testing.assert_close(before[:, 8:], after[:, 8:], atol=0, rtol=0)
    assert (before[:, :8] - after[:, :8]).abs().max() > 0.1
    assert torch.isfinite(before).all()


def test_loss_is_the_mean_over_what_is_not_ignored() -> None:
    model = make(SMALL)
    tokens, targets = ids(model, 2, 9), ids(model, 2, 9, seed=2)
    targets[0, :5] = targets[1, 3] = IGNORE
    logits, _ = model(tokens)
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
    torch.testing.assert_close(model.loss(tokens, targets), expected, atol=1e-6, rtol=0)


def test_weights_say_how_much_a_target_counts() -> None:
    model = make(SMALL)
    tokens, targets = ids(model, 2, 9), ids(model, 2, 9, seed=2)
    targets[0, :5] = IGNORE
    first, second = (
        model.loss(tokens[row : row + 1], targets[row : row + 1]) for row in range(2)
    )  # the means of 4 and of 9 targets
    weights = torch.tensor([[3.0], [0.5]]).expand(2, 9)
    expected = (3 * 4 * first + 0.5 * 9 * second) / (3 * 4 + 0.5 * 9)
    torch.testing.assert_close(model.loss(tokens, targets, weights=weights), expected, atol=1e-5, rtol=0)
    even = model.loss(tokens, targets, weights=torch.full((2, 9), 7.0))
    torch.testing.assert_close(even, model.loss(tokens, targets), atol=1e-5, rtol=0)


def test_gradients_are_those_of_transformers() -> None:
    model = make(SMALL)
    tokens = ids(model, 2, 12)
    llama = reference(model)
    llama(tokens, labels=tokens).loss.backward()
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    theirs = dict(llama.named_parameters())
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, theirs[name].grad, atol=1e-5, rtol=1e-3, msg=name)


def test_first_weights_follow_the_seed() -> None:
    one, same, other = (Decoder(SMALL) for _ in range(3))
    for model, seed in ((one, 3), (same, 3), (other, 4)):
        model.init_weights(torch.Generator().manual_seed(seed))
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, same.state_dict()[name])
        if weight.dim() == 1:
            assert torch.equal(weight, torch.ones_like(weight))
            continue
        assert not torch.equal(weight, other.state_dict()[name])
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        assert float(weight.std()) == pytest.approx(0.01 if residual else 0.02, rel=0.05)  # 0.02 / sqrt(4)


def packed(model: Decoder, rows: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, targets and the numbers of three documents in each row."""
    tokens, targets = ids(model, rows, 24), ids(model, rows, 24, seed=2)
    documents = torch.tensor([0] * 11 + [1] * 1 + [2] * 12).expand(rows, -1)
    return tokens, targets, documents


def learn(model: Decoder) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a packed batch, the same dropout each time."""
    model.train()
    model.zero_grad()
    torch.manual_seed(0)
    loss = model.loss(*packed(model))
    loss.backward()
    return float(loss.detach()), {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recomputing_changes_nothing_but_memory(dropout: float, dtype: torch.dtype) -> None:
    model = make(SMALL)
    model.dtype = dtype
    model.set_dropout(dropout)
    loss, gradients = learn(model)
    kept: dict[bool, int] = {}
    for model.recompute in (False, True):
        kept[model.recompute] = 0

        def count(value: torch.Tensor) -> torch.Tensor:
            kept[model.recompute] += value.numel()
            return value

        with torch.autograd.graph.saved_tensors_hooks(count, lambda value: value):
            again, same = learn(model)
        assert again == loss
        for name, gradient in gradients.items():
            assert torch.equal(gradient, same[name]), name
    assert kept[True] < kept[False] / 3


@torch.no_grad()
def test_parts_of_a_batch_add_up() -> None:
    """As micro-batches do: with the weights of the whole batch to divide by."""
    model = make(SMALL)
    tokens, targets, documents = packed(model, rows=3)
    targets[0, 2:20] = IGNORE
    weights = torch.linspace(0.2, 2.0, 72).view(3, 24)
    total = float((weights * (targets != IGNORE)).sum())
    whole = model.loss(tokens, targets, documents, weights, z_loss=0.01)
    parts = [
        model.loss(tokens[row], targets[row], documents[row], weights[row], total=total, z_loss=0.01)
        for row in (slice(0, 1), slice(1, 3))
    ]
    assert float(sum(parts)) == pytest.approx(float(whole), abs=1e-5)
    assert float(whole) > float(model.loss(tokens, targets, documents, weights)) + 0.01


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang", "cl"))), reason="needs a C++ compiler")
def test_compiled_layers_compute_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = make(replace(SMALL, layers=1))
    loss, gradients = learn(model)
    model.compile_layers()
    compiled, found = learn(model)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]
    assert compiled == pytest.approx(loss, abs=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3, msg=name)
    tokens, targets, documents = packed(model)
    documents = documents.clamp(max=1)  # another number of documents needs no other code
    again = model.loss(tokens, targets, documents)
    model.eval()
    assert float(again.detach()) == pytest.approx(float(model.loss(tokens, targets, documents)), abs=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


def test_dropout_acts_in_training_only() -> None:
    model = make(SMALL)
    tokens = ids(model, 1, 10)
    plain = model(tokens)[0]
    model.set_dropout(0.5)
    assert torch.equal(model(tokens)[0], plain)
    model.train()
    torch.manual_seed(0)
    dropped = model(tokens)[0]
    assert not torch.allclose(dropped, plain, atol=1e-2)
    torch.manual_seed(0)
    assert torch.equal(model(tokens)[0], dropped)
    model.set_dropout(0.0)
    assert torch.equal(model(tokens)[0], plain)
