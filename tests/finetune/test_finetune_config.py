"""What is done to a pretrained model before it is finetuned, and when finetuning ends."""

from pathlib import Path

import pytest
import small_run
import torch
from small_run import CONFIG, SHAPE, folders, metrics, run, same, setting, stop_at, weights

from edgelm.errors import BadInput
from edgelm.finetune.config import FinetuneConfig, check_judged, prepare
from edgelm.model.decoder import Decoder
from edgelm.pretrain.loop import train
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer


def made(seed: int = 1) -> Decoder:
    model = Decoder(SHAPE)
    model.init_weights(torch.Generator().manual_seed(seed))
    return model


def changed(before: dict[str, torch.Tensor], model: Decoder) -> set[str]:
    """Names of weights that are not what they were, without what stands behind the layer or module."""
    after = model.state_dict()
    return {name for name, weight in before.items() if not torch.equal(weight, after[name])}


def test_frozen_layers_stay_and_the_others_learn(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    model, packer = setting(tokenizer)
    before = weights(model)
    config = FinetuneConfig(steps=3, batch=4, learning_rate=0.01, warmup=1, precision="fp32", freeze=1)
    prepare(model, config)
    train(model, packer, config, small_run.answer(tmp_path, config), Progress(silent=True), "")
    learnt = {name for name in before if "layers.1." in name} | {"model.norm.weight"}
    assert changed(before, model) == learnt


def test_the_highest_layers_begin_anew_by_seed() -> None:
    model = made()
    model.model.norm.weight.data.fill_(3.0)
    before = weights(model)
    prepare(model, FinetuneConfig(steps=1, reinit=1, seed=7))
    matrices = {name for name in before if "layers.1." in name and before[name].dim() == 2}
    assert changed(before, model) == matrices | {"model.norm.weight"}
    assert float(model.model.norm.weight.detach().mean()) == 1.0
    once = weights(model)
    prepare(model, FinetuneConfig(steps=1, reinit=1, seed=7))
    assert same(once, weights(model))


def test_tokens_are_dropped_in_training_only() -> None:
    model = made()
    tokens = torch.randint(3, 40, (4, 64))
    prepare(model, FinetuneConfig(steps=1, token_dropout=0.25))
    read: list[torch.Tensor] = []
    model.model.layers[0].register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0]))
    plain = model.model.embed_tokens(tokens)
    model.eval()
    model.hidden(tokens)
    assert torch.equal(read.pop(), plain)
    model.train()
    for _ in range(2):
        model.hidden(tokens)
    (first, second) = ((one == 0).all(-1) for one in read)
    assert not torch.equal(first, second)
    assert 0.15 < float(first.float().mean()) < 0.35
    assert torch.equal(read[0][~first], plain[~first])


def test_a_dropped_token_has_no_noise() -> None:
    model = made().train()
    prepare(model, FinetuneConfig(steps=1, token_dropout=0.5, neftune=5.0))
    read: list[torch.Tensor] = []
    model.model.layers[0].register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0]))
    model.hidden(torch.randint(3, 40, (4, 64)))
    assert 0.4 < float((read[0] == 0).all(-1).float().mean()) < 0.6


def test_noise_is_neftunes_in_training_only() -> None:
    model = made()
    tokens = torch.arange(3, 15).reshape(1, 12)
    documents = torch.tensor([[0] * 4 + [1] * 8])
    prepare(model, FinetuneConfig(steps=1, neftune=5.0))
    read: list[torch.Tensor] = []
    model.model.layers[0].register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0]))
    plain = model.model.embed_tokens(tokens)
    model.eval()
    model.hidden(tokens, documents)
    assert torch.equal(read.pop(), plain)
    model.train()
    torch.manual_seed(0)
    model.hidden(tokens, documents)
    noise = (read.pop() - plain).detach()
    for part, length in ((noise[:, :4], 4), (noise[:, 4:], 8)):
        largest = 5 / (length * SHAPE.hidden_size) ** 0.5
        assert 0.95 * largest < float(part.abs().max()) <= largest * 1.0001
        assert abs(float(part.mean())) < 0.1 * largest
    model.hidden(tokens)
    assert float((read.pop() - plain).detach().abs().max()) <= 5 / (12 * SHAPE.hidden_size) ** 0.5


def test_smoothed_targets_count_in_training_only() -> None:
    model = made()
    tokens = torch.randint(3, 400, (2, 9), generator=torch.Generator().manual_seed(0))
    logits = model.eval()(tokens[:, :-1])[0].flatten(0, 1)
    smooth = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten(), label_smoothing=0.2)
    plain = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())
    prepare(model, FinetuneConfig(steps=1, label_smoothing=0.2))
    torch.testing.assert_close(model.loss(tokens[:, :-1], tokens[:, 1:]), plain)
    torch.testing.assert_close(model.train().loss(tokens[:, :-1], tokens[:, 1:]), smooth)
    assert abs(float((smooth - plain).detach())) > 1e-4


def test_training_ends_when_nothing_gets_better_also_after_a_stop(
    tmp_path: Path, tokenizer: TextTokenizer
) -> None:
    seen: list[float] = []

    def judge(model: Decoder) -> dict[str, float]:
        seen.append([0.5, 0.3, 0.4, 0.35, 0.2, 0.1][len(seen)])
        return {"mean": seen[-1]}

    options = {"validate": judge, "validate_every": 2, "patience": 2}
    model, figures = run(tmp_path / "whole", tokenizer, **options)
    assert seen == [0.5, 0.3, 0.4, 0.35]
    assert figures["step"] == 4
    assert folders(tmp_path / "whole", "checkpoint") == ["checkpoint-00000008"]
    assert [line["step"] for line in metrics(tmp_path / "whole") if "validation" in line] == [1, 3, 5, 7]
    best = weights(model)

    seen.clear()
    cut, packer = setting(tokenizer)
    stop_at(packer, 8)  # the step after the last
    again = train(
        cut, packer, CONFIG, small_run.answer(tmp_path / "cut", CONFIG), Progress(silent=True), "", **options
    )
    assert again["step"] == 4
    assert same(weights(cut), best)
    seen.clear()
    resumed, figures = run(tmp_path / "cut", tokenizer, **options)
    assert seen == []
    assert figures["step"] == 4
    assert same(weights(resumed), best)

    straight, _ = run(tmp_path / "short", tokenizer, CONFIG)
    assert not same(weights(straight), best)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_decay": 0.0}, "--layer-decay 0.0 is out of range"),
        ({"label_smoothing": 0.9}, "--label-smoothing 0.9 is out of range"),
        ({"token_dropout": 0.95}, "--token-dropout 0.95 is out of range"),
        ({"neftune": -1.0}, "--neftune -1.0 is out of range"),
        ({"patience": -1}, "--patience -1 is out of range"),
        ({"freeze": -1}, "--freeze -1 is out of range"),
        ({"steps": 0}, "--steps 0 is too small"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        FinetuneConfig(**{"steps": 1, **options})


def test_more_layers_than_there_are_are_refused() -> None:
    with pytest.raises(BadInput, match="the model has 2 layers"):
        prepare(made(), FinetuneConfig(steps=1, freeze=2, reinit=1))


def test_what_is_chosen_by_validation_needs_some() -> None:
    for options, named in (({"patience": 2}, "--patience"), ({"select": "best"}, "--select best")):
        config = FinetuneConfig(steps=1, **options)  # type: ignore[arg-type]
        check_judged(config, True)
        with pytest.raises(BadInput, match=f"{named} needs a validation split"):
            check_judged(config, False)
    check_judged(FinetuneConfig(steps=1), False)
