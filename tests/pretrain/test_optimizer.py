from typing import Literal

import pytest
import torch

from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.pretrain.optimizer import (
    Muon,
    make_optimizers,
    optimizer_state,
    orthogonalise,
    restore_optimizers,
)

SMALL = ModelConfig(64, 64, 128, 2, 2, 1, 32)


def make() -> Decoder:
    model = Decoder(SMALL)
    model.init_weights(torch.Generator().manual_seed(0))
    return model


def step(model: Decoder, optimizers: list[torch.optim.Optimizer], seed: int, rate: float = 0.01) -> None:
    tokens = torch.randint(0, 64, (2, 12), generator=torch.Generator().manual_seed(seed))
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()


def test_muon_takes_the_matrices_of_the_layers_only() -> None:
    model = make()
    muon, adam = make_optimizers(model, weight_decay=0.1)
    names = {id(weight): name for name, weight in model.named_parameters()}
    taken = [
        {names[id(one)] for group in optimizer.param_groups for one in group["params"]}
        for optimizer in (muon, adam)
    ]
    kinds = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
    kinds += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    assert taken[0] == {f"model.layers.{layer}.{kind}.weight" for layer in range(2) for kind in kinds}
    assert taken[0] | taken[1] == set(names.values())
    assert taken[0].isdisjoint(taken[1])
    assert type(muon) is Muon
    assert type(adam) is torch.optim.AdamW


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_lower_layers_learn_at_exact_fractions_of_the_rate(kind: Literal["muon", "adamw"]) -> None:
    model = make()
    names = {id(weight): name for name, weight in model.named_parameters()}
    scales = {
        names[id(weight)]: group["scale"]
        for optimizer in make_optimizers(model, 0.1, kind=kind, layer_decay=0.5)
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    assert scales.pop("model.norm.weight") == 1
    assert scales.pop("model.embed_tokens.weight") == 0.25
    assert {name: 0.5 if "layers.0" in name else 1 for name in scales} == scales
    assert len(scales) == 2 * 9


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_weights_that_need_no_gradient_are_left_out(kind: Literal["muon", "adamw"]) -> None:
    model = make()
    model.model.embed_tokens.requires_grad_(False)
    model.model.layers.requires_grad_(False)
    (only,) = make_optimizers(model, 0.1, kind=kind)
    assert only.param_groups[0]["params"] == [model.model.norm.weight]
    model = make()
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith("q_proj.weight"))
    (muon,) = make_optimizers(model, 0.1, kind="muon")
    assert type(muon) is Muon


def test_an_update_of_muon_is_orthogonal_and_of_adams_size() -> None:
    model = make()
    weight = model.model.layers[0].mlp.up_proj.weight  # 128 x 64
    before = weight.detach().clone()
    muon, _ = make_optimizers(model, weight_decay=0.0)
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    muon.param_groups[0]["lr"] = 0.01
    muon.step()
    update = (weight.detach() - before) / 0.01
    assert float(update.square().mean().sqrt()) == pytest.approx(0.2, rel=0.2)  # RMS of an update of AdamW
    values = torch.linalg.svdvals(update)
    assert float(values.max() / values.min()) < 2.5


def drawn(*shape: int, decay: float = 0.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A random matrix, or one of singular values 1, 2 ** -decay, 3 ** -decay, ..."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    if decay:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        matrix = left * torch.arange(1.0, len(values) + 1) ** -decay @ right
    return matrix.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("decay", [0.0, 0.7])
@pytest.mark.parametrize("shape", [(32, 96), (96, 32), (256, 128)])
def test_orthogonalised_matrices(shape: tuple[int, int], decay: float, dtype: torch.dtype) -> None:
    matrix = drawn(*shape, decay=decay, dtype=dtype)
    found = orthogonalise(matrix)
    assert found.dtype == dtype
    values = torch.linalg.svdvals(found.float())
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.25
    left, _, right = torch.linalg.svd(matrix.float(), full_matrices=False)
    nearest = left @ right
    likeness = float((found.float() * nearest).sum() / found.float().norm() / nearest.norm())
    assert likeness > 0.97
    torch.testing.assert_close(orthogonalise(matrix * 128), found, atol=1e-5, rtol=0)  # size is nothing to it


@pytest.mark.parametrize("shape", [(48, 80), (80, 48), (64, 64)])
def test_orthogonalising_together_is_one_at_a_time(shape: tuple[int, int]) -> None:
    matrices = torch.stack([drawn(*shape), drawn(*shape, decay=1.0) * 1000, torch.zeros(shape)])
    together = orthogonalise(matrices)
    for matrix, found in zip(matrices, together, strict=True):
        torch.testing.assert_close(orthogonalise(matrix), found, atol=1e-4, rtol=1e-4)
    assert not together[2].any()  # no gradient, no direction


@pytest.mark.parametrize("shape", [(64, 64), (32, 96), (96, 32)])
def test_muon_does_what_torchs_does(shape: tuple[int, int]) -> None:
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimizers = [
        Muon([ours], weight_decay=0.1, dtype=torch.bfloat16),
        torch.optim.Muon([theirs], weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]
    for seed in range(4):
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            optimizer.param_groups[0]["lr"] = 0.02
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=2e-4)
    assert not torch.allclose(ours, start, atol=1e-2)


def test_weight_decay_is_for_matrices_only() -> None:
    """Without a gradient nothing moves a weight but its decay: 1 - 0.01 * 0.5 of it is left."""
    model = make()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    for optimizer in make_optimizers(model, weight_decay=0.5):
        for group in optimizer.param_groups:
            group["lr"] = 0.01
        optimizer.step()
    for name, weight in model.named_parameters():
        share = 0.995 if weight.dim() == 2 and "embed" not in name else 1.0
        torch.testing.assert_close(weight.detach(), before[name] * share, atol=1e-7, rtol=1e-6)


def test_the_state_comes_back_exactly() -> None:
    one, two = make(), make()
    first, second = make_optimizers(one, 0.1), make_optimizers(two, 0.1)
    for seed in range(3):
        step(one, first, seed)
    two.load_state_dict(one.state_dict())
    state = {key: value.clone() for key, value in optimizer_state(first).items()}
    assert {key.split(".")[0] for key in state} == {"0", "1"}
    restore_optimizers(second, state)
    for seed in range(3, 6):
        step(one, first, seed)
        step(two, second, seed)
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, two.state_dict()[name]), name
