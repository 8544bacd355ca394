import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from edgelm.model import cross_entropy as module
from edgelm.model.cross_entropy import backward_logits, cross_entropy

N, E, V = 37, 24, 53


def data(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, head, targets and weights, some of which are zero."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, E, generator=generator).to(dtype).requires_grad_()
    head = torch.randn(V, E, generator=generator).requires_grad_()
    targets = torch.randint(0, V, (N,), generator=generator)
    weights = torch.rand(N, generator=generator)
    weights[3:9] = 0.0
    return hidden, head, targets, weights


def expected(
    hidden: Tensor,
    head: Tensor,
    targets: Tensor,
    weights: Tensor,
    z_loss: float = 0.0,
    smoothing: float = 0.0,
) -> Tensor:
    logits = hidden.double() @ head.double().T
    losses = F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    return ((losses + z_loss * logits.logsumexp(1).square()) * weights).sum()


@pytest.fixture(params=[(1 << 23, 1 << 18), (V, V), (10 * V, 3 * V), (5 * V + 1, 1), (1, 1)])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tokens at once; one at a time; chunks and slices that do not divide; less than a token."""
    for name, size in zip(("CHUNK_LOGITS", "SLICE_LOGITS"), request.param, strict=True):
        monkeypatch.setattr(module, name, size)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(("z_loss", "smoothing"), [(0.0, 0.0), (0.01, 0.0), (0.0, 0.3), (0.01, 0.1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradients_are_pytorchs(dtype: torch.dtype, z_loss: float, smoothing: float) -> None:
    hidden, head, targets, weights = data(dtype)
    wide = [x.detach().double().requires_grad_() for x in (hidden, head)]
    found = cross_entropy(hidden, head, targets, weights, z_loss, smoothing)
    right = expected(wide[0], wide[1], targets, weights, z_loss, smoothing)
    assert found.dtype == torch.float32
    (found * 3).backward()  # the gradient from above counts
    (right * 3).backward()
    close = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(found.double(), right, atol=0, rtol=close / 4)
    assert hidden.grad is not None
    assert hidden.grad.dtype == dtype
    assert head.grad is not None
    assert head.grad.dtype == torch.float32
    assert wide[0].grad is not None
    assert wide[1].grad is not None
    scale = float(wide[1].grad.abs().max())
    torch.testing.assert_close(hidden.grad.double(), wide[0].grad, atol=5 * close, rtol=close)
    torch.testing.assert_close(head.grad.double(), wide[1].grad, atol=close * scale, rtol=close)
    assert not hidden.grad[3:9].any()


@pytest.mark.filterwarnings("ignore:Input #. requires gradient and is not a double precision")
def test_numerical_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """By finite differences, to what float32 allows."""
    monkeypatch.setattr(module, "CHUNK_LOGITS", 2 * 11)
    generator = torch.Generator().manual_seed(3)
    hidden, head = (torch.randn(rows, 6, generator=generator).requires_grad_() for rows in (5, 11))
    targets, weights = torch.tensor([4, 0, 10, 4, 7]), torch.tensor([1.0, 0.5, 0.0, 2.0, 1.0])
    assert torch.autograd.gradcheck(
        lambda h, m: cross_entropy(h, m, targets, weights, 0.01),
        (hidden, head),
        eps=1e-2,
        atol=5e-3,
        rtol=1e-2,
    )


def test_large_logits_do_not_overflow() -> None:
    hidden = torch.tensor([[300.0, -200.0], [-1e4, 1e4]], requires_grad=True)
    head = torch.eye(2, requires_grad=True)
    loss = cross_entropy(hidden, head, torch.tensor([1, 0]), torch.ones(2))
    assert float(loss.detach()) == pytest.approx(500 + 2e4)
    loss.backward()
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))


def test_logits_are_replaced_by_their_gradient() -> None:
    _, _, targets, weights = data()
    logits = torch.randn(N, V, generator=torch.Generator().manual_seed(2))
    learnt = logits.clone().requires_grad_()
    losses = F.cross_entropy(learnt, targets, reduction="none")
    (losses * weights).sum().backward()
    total = backward_logits(logits, targets, weights, 0.0)
    torch.testing.assert_close(total, (losses * weights).sum().detach())
    torch.testing.assert_close(logits, learnt.grad)


def test_a_frozen_head_or_no_gradient_at_all() -> None:
    hidden, head, targets, weights = data()
    right = expected(hidden, head, targets, weights)
    with torch.no_grad():
        found = cross_entropy(hidden, head, targets, weights)
    assert not found.requires_grad
    assert float(found) == pytest.approx(float(right.detach()), rel=1e-6)
    cross_entropy(hidden, head.detach(), targets, weights).backward()
    right.backward()
    first = hidden.grad
    assert first is not None
    assert float(first.abs().sum()) > 0


def test_no_token_to_learn() -> None:
    hidden, head, targets, weights = data()
    loss = cross_entropy(hidden[:0], head, targets[:0], weights[:0])
    assert float(loss.detach()) == 0
    loss.backward()
    assert head.grad is not None
    assert not head.grad.any()


MEMORY = """
import resource, torch
from edgelm.model.cross_entropy import cross_entropy
torch.set_num_threads(1)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def run(tokens):
    hidden, head = torch.ones(tokens, 8, requires_grad=True), torch.ones(65536, 8, requires_grad=True)
    cross_entropy(hidden, head, torch.zeros(tokens, dtype=torch.long), torch.ones(tokens)).backward()
run(128)
before = peak()
run(2048)  # whole logits: 512 MiB, their gradients as much
print(peak() - before)
"""


@pytest.mark.skipif(os.name == "nt", reason="no peak memory of a process there")
def test_memory_is_that_of_a_chunk() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    grown = float(done.stdout) / (1024 if sys.platform == "darwin" else 1)  # bytes there
    assert grown < 64, grown


def test_no_gradient_is_computed_where_none_is_wanted() -> None:
    hidden, head = torch.randn(6, 8), torch.nn.Parameter(torch.randn(5, 8))
    targets, weights = torch.arange(6) % 5, torch.ones(6)
    with FlopCounterMode(display=False) as learning:
        cross_entropy(hidden, head, targets, weights)
    with torch.no_grad(), FlopCounterMode(display=False) as scoring:
        cross_entropy(hidden, head, targets, weights)
    assert learning.get_total_flops() == 3 * scoring.get_total_flops() > 0
