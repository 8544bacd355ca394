"""Attention inside packed documents, causal or both ways.

Packed blocks hold many short documents, and a mask over whole blocks computes mostly what it then throws
away. Here each document is attended to by itself: on a CPU one call of PyTorch's flash kernel a document, on
CUDA one call of its variable-length kernel for all. Where that kernel is missing, in torch 2.9 and for
float32, a mask remains.
"""

import inspect
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

HAS_KERNEL = find_spec("torch.nn.attention.varlen") is not None  # since torch 2.10; slow to import


def document_starts(documents: Tensor) -> Tensor:
    """Where documents begin in the flattened batch, int32 [documents + 1], the last entry its length.

    Args:
        documents: number of the document each token belongs to [B, T]; neighbours have different numbers.
    """
    first = torch.ones_like(documents, dtype=torch.bool)
    first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    starts = first.flatten().nonzero().squeeze(1).to(torch.int32)
    return F.pad(starts, (0, 1), value=documents.numel())


def attend_documents(
    q: Tensor, k: Tensor, v: Tensor, starts: Tensor, longest: int, causal: bool = True
) -> Tensor:
    """Attention of every token to its own document, in the shape and type of `q`.

    Args:
        q: queries [B, H, T, D].
        k: keys [B, K, T, D]; so are the values.
        starts: what `document_starts` says.
        longest: no document has more tokens.
        causal: attend to no token that comes later.
    """
    if q.is_cuda and not (HAS_KERNEL and q.dtype in (torch.bfloat16, torch.float16)):
        return attend_masked(q, k, v, starts, causal)
    batch, heads, length, size = q.shape
    flat = [x.transpose(1, 2).reshape(batch * length, -1, size) for x in (q, k, v)]  # [B * T, H or K, D]
    if q.is_cuda:
        out = _on_cuda(flat[0], flat[1], flat[2], starts, longest, causal)
    else:
        out = torch.ops.edgelm.attend_documents(*flat, starts, causal)[0]
    return out.view(batch, length, heads, size).transpose(1, 2)


def attend_masked(q: Tensor, k: Tensor, v: Tensor, starts: Tensor, causal: bool = True) -> Tensor:
    """What `attend_documents` computes, by a mask of each block [B, 1, T, T]."""
    batch, heads, length, _ = q.shape
    places = torch.arange(batch * length, device=q.device, dtype=starts.dtype)
    document = torch.searchsorted(starts, places, right=True).view(batch, 1, length)
    mask = document[..., :, None] == document[..., None, :]
    if causal:
        mask = mask.tril()
    k, v = (x.repeat_interleave(heads // x.shape[1], dim=1) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _on_cuda(q: Tensor, k: Tensor, v: Tensor, starts: Tensor, longest: int, causal: bool) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    names = inspect.signature(varlen_attn).parameters
    if "window_size" in names:
        order: dict[str, Any] = {"window_size": (-1, 0 if causal else -1)}
    else:
        order = {"is_causal": causal}  # torch 2.10
    out: Tensor = varlen_attn(q, k, v, starts, starts, longest, longest, **order)  # type: ignore[assignment]
    return out


@torch.library.custom_op("edgelm::attend_documents", mutates_args=())
def _attend(q: Tensor, k: Tensor, v: Tensor, starts: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """Output [N, H, D] in the type of `q` and, for the backward pass, logsumexp [H, N] in float32.

    The kernel is faster in float32 than in bfloat16, whose small products PyTorch hands to oneDNN one by one.
    """
    out, normaliser = torch.empty_like(q), q.new_empty(q.shape[1], q.shape[0], dtype=torch.float32)
    heads = [x.float().transpose(0, 1)[None] for x in (q, k, v)]  # [1, H or K, N, D]
    for a, b in pairwise(starts.tolist()):
        part, normaliser[:, a:b] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            *(x[:, :, a:b] for x in heads), 0.0, causal
        )
        out[a:b] = part[0].transpose(0, 1)
    return out, normaliser


@torch.library.custom_op("edgelm::attend_documents_backward", mutates_args=())
def _attend_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    normaliser: Tensor,
    starts: Tensor,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    grads = [torch.empty_like(x) for x in (q, k, v)]
    heads = [x.float().transpose(0, 1)[None] for x in (grad, q, k, v, out)]
    for a, b in pairwise(starts.tolist()):
        parts = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            *(x[:, :, a:b] for x in heads), normaliser[None, :, a:b], 0.0, causal
        )
        for whole, part in zip(grads, parts, strict=True):
            whole[a:b] = part[0].transpose(0, 1)
    return grads[0], grads[1], grads[2]


@_attend.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, starts: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(q), q.new_empty(q.shape[1], q.shape[0], dtype=torch.float32)


@_attend_backward.register_fake
def _(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    normaliser: Tensor,
    starts: Tensor,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:3], *output, inputs[3])
    ctx.causal = inputs[4]


def _backward(ctx, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:  # type: ignore[no-untyped-def]
    grads = torch.ops.edgelm.attend_documents_backward(grad, *ctx.saved_tensors, ctx.causal)
    return *grads, None, None


_attend.register_autograd(_backward, setup_context=_keep)
