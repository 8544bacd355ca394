from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from edgelm.model import attention
from edgelm.model.attention import attend_documents, attend_masked, document_starts

KERNELS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor, bool], Tensor]] = {
    "by document": lambda q, k, v, starts, causal: attend_documents(q, k, v, starts, q.shape[2], causal),
    "masked": attend_masked,
}


def expected(q: Tensor, k: Tensor, v: Tensor, documents: Tensor, causal: bool) -> Tensor:
    """Softmax of scores by its definition, in float64."""
    k, v = (x.double().repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = q.double() @ k.mT / q.shape[3] ** 0.5
    places = torch.arange(q.shape[2])
    seen = documents[:, None, :, None] == documents[:, None, None, :]
    if causal:
        seen = seen & (places[:, None] >= places)
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v


def numbered(*blocks: list[int], padding: int = 0) -> Tensor:
    """Documents of these lengths in each block, the last with padding after them."""
    rows = [[number for number, length in enumerate(block) for _ in range(length)] for block in blocks]
    rows[-1] += [-1] * padding
    return torch.tensor(rows)


def drawn(seed: int, rows: int, length: int) -> Tensor:
    """Documents of random lengths, one token among them."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(rows, length, generator=generator) < 0.2).long().cumsum(1)


DOCUMENTS = {
    "one a block": numbered([12], [12]),
    "several": numbered([5, 1, 6], [1, 10, 1]),
    "one token each": numbered([1] * 12, [1] * 12),
    "padding": numbered([7, 5], [3, 4], padding=5),
    "drawn": drawn(1, 2, 65),
    "drawn again": drawn(2, 3, 40),
}


def inputs(documents: Tensor, heads: int, kv_heads: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    batch, length = documents.shape
    return [
        torch.randn(batch, length, count, 16, generator=generator)
        .transpose(1, 2)
        .to(dtype)  # as a layer does
        for count in (heads, kv_heads, kv_heads)
    ]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_output_and_gradients_are_those_of_the_definition(
    name: str, heads: int, kv_heads: int, dtype: torch.dtype, kernel: str, causal: bool
) -> None:
    documents = DOCUMENTS[name]
    given = [x.requires_grad_() for x in inputs(documents, heads, kv_heads, dtype)]
    wide = [x.detach().double().requires_grad_() for x in given]
    found = KERNELS[kernel](*given, document_starts(documents), causal)
    right = expected(*wide, documents, causal)
    assert found.dtype == dtype
    assert found.shape == given[0].shape
    weights = torch.randn(right.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    (found * weights).sum().backward()
    (right * weights).sum().backward()
    close = 1e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(found.double(), right, atol=close, rtol=close)
    for mine, theirs in zip(given, wide, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(mine.grad.double(), theirs.grad, atol=2 * close, rtol=2 * close)


def test_where_documents_begin() -> None:
    assert document_starts(numbered([5, 1, 6], [12])).tolist() == [0, 5, 6, 12, 24]
    assert document_starts(numbered([5], [2], padding=3)).tolist() == [0, 5, 7, 10]
    assert document_starts(numbered([1] * 3)).tolist() == [0, 1, 2, 3]
    assert document_starts(numbered([3])).dtype == torch.int32


def test_pytorchs_own_checks_of_the_operator() -> None:
    """Shapes, types and strides for the compiler, and the registration of the backward pass."""
    documents = DOCUMENTS["several"]
    flat = [x.transpose(1, 2).flatten(0, 1) for x in inputs(documents, 4, 2, torch.float32)]
    starts = document_starts(documents)
    torch.library.opcheck(
        torch.ops.edgelm.attend_documents.default, (*(x.requires_grad_() for x in flat), starts, True)
    )
    with torch.no_grad():
        out, normaliser = torch.ops.edgelm.attend_documents(*flat, starts, False)
        torch.library.opcheck(
            torch.ops.edgelm.attend_documents_backward.default,
            (torch.ones_like(out), *flat, out, normaliser, starts, False),
        )


@pytest.mark.parametrize("causal", [True, False])
def test_the_call_of_the_kernel_on_a_gpu(causal: bool) -> None:
    """Tensors without contents say which operator is called, and that it takes the arguments."""
    if not attention.HAS_KERNEL:
        pytest.skip("this torch has no variable-length kernel")
    called: dict[str, tuple] = {}

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            called[str(func)] = args
            return func(*args, **(kwargs or {}))

    with FakeTensorMode(), Watch():
        q, k, v = (torch.empty(2, heads, 32, 16, dtype=torch.bfloat16, device="cuda") for heads in (4, 2, 2))
        out = attend_documents(q, k, v, torch.empty(6, dtype=torch.int32, device="cuda"), 32, causal)
    assert out.shape == q.shape
    assert out.dtype == q.dtype
    arguments = called["torch_attn._varlen_attn.default"]
    assert [tuple(x.shape) for x in arguments[:5]] == [(64, 4, 16)] * 3 + [(6,)] * 2
    assert list(arguments[5:8]) == [32, 32, causal]


@pytest.mark.parametrize(("dtype", "kernel"), [(torch.float32, True), (torch.bfloat16, False)])
def test_a_mask_where_the_kernel_cannot_be_used(
    dtype: torch.dtype, kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no float32, and torch 2.9 has none."""
    monkeypatch.setattr(attention, "HAS_KERNEL", kernel)
    monkeypatch.setattr(attention, "attend_masked", lambda q, k, v, starts, causal: "masked")
    with FakeTensorMode():
        q, k, v = (torch.empty(2, heads, 32, 16, dtype=dtype, device="cuda") for heads in (4, 2, 2))
        assert attend_documents(q, k, v, torch.empty(6, dtype=torch.int32, device="cuda"), 32) == "masked"


def test_masked_attention_is_pytorchs_with_one_document_a_block() -> None:
    documents = DOCUMENTS["one a block"]
    q, k, v = inputs(documents, 4, 2, torch.float32)
    right = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    for kernel in KERNELS.values():
        torch.testing.assert_close(kernel(q, k, v, document_starts(documents), True), right)
