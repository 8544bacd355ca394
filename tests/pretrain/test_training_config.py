import math
from typing import Any, get_args, get_type_hints

import pytest

from edgelm.errors import BadInput
from edgelm.pretrain.config import CHOICES, TrainConfig
from edgelm.pretrain.pretrain import DataConfig

RANGE = "Give between 0 and 1."


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "--steps 0 is too small. Give at least 1."),
        ({"batch": 0}, "--batch 0 is too small. Give at least 1."),
        ({"warmup": -1}, "--warmup -1 is too small. Give at least 0."),
        ({"seed": -1}, "--seed -1 is too small. Give at least 0."),
        ({"micro_batch": -1}, "--micro-batch -1 is too small. Give at least 0."),
        ({"precision": "fp8"}, "--precision fp8 is unknown. Choose auto, fp32 or bf16."),
        ({"compile": "yes"}, "--compile yes is unknown. Choose auto, on or off."),
        ({"optimizer": "sgd"}, "--optimizer sgd is unknown. Choose muon or adamw."),
        ({"schedule": "linear"}, "--schedule linear is unknown. Choose wsd or cosine."),
        ({"select": "first"}, "--select first is unknown. Choose last or best."),
        ({"learning_rate": 0.0}, f"--learning-rate 0.0 is out of range. {RANGE}"),
        ({"learning_rate": math.nan}, f"--learning-rate nan is out of range. {RANGE}"),
        ({"learning_rate": 1.0}, f"--learning-rate 1.0 is out of range. {RANGE}"),
        ({"clip": 0.0}, "--clip 0.0 is out of range. Give between 0 and 1000."),
        ({"clip": math.inf}, "--clip inf is out of range. Give between 0 and 1000."),
        ({"weight_decay": -0.1}, "--weight-decay -0.1 is out of range. Give between 0 and 1."),
        ({"weight_decay": math.nan}, "--weight-decay nan is out of range. Give between 0 and 1."),
        ({"decay": 1.1}, "--decay 1.1 is out of range. Give between 0 and 1."),
        ({"z_loss": -1e-4}, "--z-loss -0.0001 is out of range. Give between 0 and 1."),
        ({"dropout": 1.0}, "--dropout 1.0 is out of range. Give from 0 to below 1."),
        ({"ema": 1.0}, "--ema 1.0 is out of range. Give from 0 to below 1."),
        ({"ema": math.nan}, "--ema nan is out of range. Give from 0 to below 1."),
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as error:
        TrainConfig(**{"steps": 1, **wrong})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sampling": "uniform"}, "--sampling uniform is unknown. Choose temperature or unimax."),
        ({"temperature": 0.5}, "--temperature 0.5 is too small. Give at least 1."),
        ({"temperature": math.nan}, "--temperature nan is too small. Give at least 1."),
        ({"max_epochs": 0.5}, "--max-epochs 0.5 is too small. Give at least 1."),
    ],
)
def test_data_out_of_range(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as error:
        DataConfig(**wrong)
    assert str(error.value) == message


def test_what_the_types_allow_is_what_is_checked() -> None:
    hints = get_type_hints(TrainConfig)
    assert {name: get_args(hints[name]) for name in CHOICES} == CHOICES
    for name, choices in CHOICES.items():
        for choice in choices:
            TrainConfig(**{"steps": 1, name: choice})


def test_the_borders_are_allowed() -> None:
    TrainConfig(steps=1, batch=1, warmup=0, seed=0, weight_decay=0, decay=1, z_loss=0, dropout=0, ema=0)
