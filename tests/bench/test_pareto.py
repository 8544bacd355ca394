from typing import Any

from edgelm.bench.pareto import fastest, mark_unbeaten, unbeaten


def entry(bits: float, size: int, *speeds: tuple[int, float]) -> dict[str, Any]:
    tests = [{"test": "tg128", "threads": threads, "mean": mean} for threads, mean in speeds]
    reading = [{"test": "pp512", "threads": threads, "mean": 1e9} for threads, _ in speeds]
    return {"bits_per_byte": {"mean": bits}, "bytes": size, "tests": reading + tests}


def test_beaten_is_who_is_better_in_nothing_and_worse_in_one() -> None:
    assert unbeaten([(1, 5), (2, 3), (3, 4), (2, 3), (1, 6)]) == [True, True, False, True, False]
    assert unbeaten([(1, 1)]) == [True]
    assert unbeaten([(1, 1), (2, 1)]) == [True, False]
    assert unbeaten([(1, 2), (1, 1)]) == [False, True]


def test_quality_with_speed_and_quality_with_size_are_two_fronts() -> None:
    models = {
        "best": entry(1.0, 40, (1, 10.0), (2, 12.0)),
        "quick": entry(1.1, 30, (1, 90.0), (2, 5.0)),  # with the threads that suit it
        "small": entry(1.2, 10, (1, 50.0), (2, 60.0)),
        "neither": entry(1.3, 20, (1, 20.0), (2, 30.0)),
    }
    mark_unbeaten(models)
    assert {name: one["unbeaten"] for name, one in models.items()} == {
        "best": ["speed", "size"],
        "quick": ["speed", "size"],
        "small": ["size"],
        "neither": [],
    }
    assert fastest(models["quick"])["threads"] == 1
