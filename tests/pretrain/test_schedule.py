from dataclasses import replace

import pytest

from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.schedule import learning_rate

HUNDRED = TrainConfig(steps=100, learning_rate=0.01, warmup=20)


@pytest.mark.parametrize(
    ("at", "rate"),
    [(0, 0.0005), (9, 0.005), (19, 0.01), (20, 0.01), (50, 0.01), (51, 0.0098), (75, 0.005), (99, 0.0002)],
)
def test_the_rate_over_a_hundred_steps(at: int, rate: float) -> None:
    assert learning_rate(at, HUNDRED) == pytest.approx(rate, rel=1e-9)


def test_the_rate_of_short_runs_and_other_decays() -> None:
    assert learning_rate(0, replace(HUNDRED, steps=1, warmup=0)) == 0.01
    assert learning_rate(0, replace(HUNDRED, steps=10, warmup=0)) == 0.01
    assert learning_rate(90, replace(HUNDRED, warmup=0, decay=0.2)) == pytest.approx(0.005)
    assert learning_rate(79, replace(HUNDRED, warmup=0, decay=0.2)) == 0.01
    for steps in range(1, 40):
        rates = [learning_rate(at, replace(HUNDRED, steps=steps)) for at in range(steps)]
        assert all(0 < rate <= 0.01 for rate in rates)


def test_the_fall_begins_after_the_warm_up() -> None:
    rates = [learning_rate(at, replace(HUNDRED, steps=30)) for at in range(30)]
    assert rates[19:] == pytest.approx([0.01, *(0.001 * left for left in range(10, 0, -1))])


@pytest.mark.parametrize(("at", "rate"), [(0, 0.0005), (19, 0.01), (20, 0.01), (60, 0.0055), (100, 0.001)])
def test_a_cosine_falls_to_a_tenth(at: int, rate: float) -> None:
    assert learning_rate(at, replace(HUNDRED, schedule="cosine")) == pytest.approx(rate, rel=1e-9)
