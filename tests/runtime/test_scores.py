import json
from pathlib import Path

import numpy as np
import pytest

from edgelm import resources
from edgelm.errors import BadInput
from edgelm.runtime import LanguageModel

TEXT = json.loads(
    resources.path("corpus", "sample", "eng.jsonl").read_text(encoding="utf-8").splitlines()[0]
)["text"]


def test_score_is_that_of_transformers(model: LanguageModel, model_dir: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ids = model.prompt(TEXT)
    with torch.inference_mode():
        theirs = AutoModelForCausalLM.from_pretrained(model_dir)(torch.tensor([ids])).logits[0]
    expected = theirs.double().log_softmax(-1)[range(9, len(ids) - 1), ids[10:]]
    found = model.score(ids[:10], ids[10:])
    assert found.shape == (len(ids) - 10,)
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_choices_are_scored_as_each_alone(model: LanguageModel) -> None:
    prompt = model.prompt("Which topic?", chat=True)
    choices = [[*model.tokenize(text), model.end] for text in ("health", "a far longer answer", "h", "", "ḓ")]
    choices.append(choices[0])
    assert len({len(choice) for choice in choices}) > 3
    alone = [model.score(prompt, choice).sum(dtype="float64") for choice in choices]
    together = model.score_choices(prompt, choices)
    np.testing.assert_allclose(together, alone, atol=1e-3, rtol=0)
    np.testing.assert_allclose(model.score_choices(prompt, choices[::-1])[::-1], together, atol=1e-3, rtol=0)


def test_rewind_forgets(model: LanguageModel) -> None:
    ids = model.prompt(TEXT)[:60]
    session = model.session()
    session.feed(ids[:30])
    session.feed(ids[40:60])
    session.rewind(30)
    session.feed([ids[5]])
    session.rewind(30)
    again = session.feed(ids[30:40])
    fresh = model.session().feed(ids[:40])[30:]
    np.testing.assert_allclose(again, fresh, atol=1e-3, rtol=0)


def test_the_context_is_the_limit(model: LanguageModel) -> None:
    ids = (model.tokenize(TEXT) * 9)[: model.context]
    assert len(model.score([model.bos], ids)) == model.context  # the last token is predicted, not read
    with pytest.raises(
        BadInput, match=f"{model.context + 2} tokens do not fit the context of {model.context}"
    ):
        model.score([model.bos, model.bos], ids)
    prompt = [model.bos, *ids[:-2]]
    assert np.isfinite(model.score_choices(prompt, [[5], [6, 7]])).all()
    with pytest.raises(BadInput, match="do not fit the context"):
        model.score_choices(prompt, [[5], [6, 7, 8]])


def test_nothing_to_score(model: LanguageModel) -> None:
    assert model.score([model.bos], []).shape == (0,)
    for call in (lambda: model.score([], [5]), lambda: model.score_choices([], [[5]])):
        with pytest.raises(BadInput, match="the prompt has no tokens"):
            call()
