"""A model that is being trained in bfloat16 is validated by the same runtime."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the runtime is PyTorch's")

from edgelm.runtime.torch import TorchModel  # noqa: E402


def test_states_in_bfloat16_give_logits(tiny_model_dir: Path) -> None:
    model = TorchModel.open(tiny_model_dir)
    ids = [model.bos, *model.tokenize("Namhlanje ekuseni")]
    choices = [[[model.end], model.tokenize("ngivuke")]]
    exact, ranked = model.session().feed(ids), model.score_choices_many([ids], choices)[0].sums
    model.model.dtype = torch.bfloat16
    assert np.abs(model.session().feed(ids) - exact).max() < 0.2
    assert np.abs(model.branches().start(ids)[0] - exact[-1]).max() < 0.2
    assert model.session().feed(ids).dtype == np.float32
    assert np.abs(model.score_choices_many([ids], choices)[0].sums - ranked).max() < 0.5
