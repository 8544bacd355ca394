"""The chunked divergence is the plain formula, and so are its gradients."""

import pytest

torch = pytest.importorskip("torch", reason="the model is PyTorch's")
import torch.nn.functional as F  # noqa: E402

from edgelm.model import cross_entropy as module  # noqa: E402
from edgelm.model.divergence import divergence  # noqa: E402


def test_value_and_gradients_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    hidden, known = (torch.randn(13, 8, generator=draw) for _ in range(2))
    head, above = (torch.randn(21, 8, generator=draw) for _ in range(2))
    weights = torch.rand(13, generator=draw)
    hidden.requires_grad_()
    head.requires_grad_()
    p, q = F.log_softmax(known @ above.T, -1), F.log_softmax(hidden @ head.T, -1)
    expected = (weights * (p.exp() * (p - q)).sum(-1)).sum()
    wanted = torch.autograd.grad(3 * expected, (hidden, head))
    for limit in (21 * 4, 1 << 20):
        monkeypatch.setattr(module, "CHUNK_LOGITS", limit)
        found = divergence(hidden, head, known, above, weights)
        torch.testing.assert_close(found, expected)
        for one, other in zip(torch.autograd.grad(3 * found, (hidden, head)), wanted, strict=True):
            torch.testing.assert_close(one, other)
    with torch.no_grad():
        torch.testing.assert_close(divergence(hidden, head, known, above, weights), expected)
        assert float(divergence(known, above, known, above, weights)) == 0
