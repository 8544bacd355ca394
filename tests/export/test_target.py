"""What a device can take, and the choice that follows from figures."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from edgelm import resources
from edgelm.errors import BadInput
from edgelm.export.target import Candidate, Target, choose, judge, load_target, nearest_miss, target_names

PHONE = Target(
    name="phone", about="a phone", formats=("gguf:Q8_0",), choose="quality", threads=4, loss=0.05, size=100e6,
    memory=200e6, tokens_per_second=10, first_token=1, bytes_per_second=1e9, operations_per_second=1e10,
)  # fmt: skip


def candidate(name: str, **figures: Any) -> Candidate:
    given = {"loss": 0.01, "size": 50_000_000, "memory": 90_000_000, "here": 100.0}
    one = Candidate(name, **{**given, "tokens_per_second": 20.0, "first_token": 0.5, **figures})
    judge(one, PHONE)
    return one


def test_every_target_that_ships_loads_and_says_where_its_numbers_come_from() -> None:
    assert target_names() == ["browser", "laptop", "phone", "raspberry-pi"]
    for name in target_names():
        target = load_target(name)
        assert target.name == name
        assert target.elsewhere == (name != "laptop")
        lines = resources.path("export", "targets", f"{name}.yaml").read_text().splitlines()
        device = [at for at, line in enumerate(lines) if line == "device:"]
        assert all(lines[at + 1].strip().startswith("#") for at in device)
        for line in lines[: device[0]] if device else lines:
            key, _, value = line.partition(":")
            if value and key not in ("about", "formats", "choose") and not key.startswith("#"):
                assert "#" in value or (name == "browser" and key == "threads"), f"{name}: {line}"
    browser = load_target("browser")
    assert {one.split(":")[0] for one in browser.formats} == {"gguf", "onnx"}
    assert "onnx:fp32" not in browser.formats


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({"size": 120_000_000}, "size 120.0 MB, 100 allowed"),
        ({"memory": 220_000_000}, "memory 220.0 MB, 200 allowed"),
        ({"loss": 0.06}, "loses 0.060 bits per byte, 0.05 allowed"),
        ({"tokens_per_second": 5.0}, "writes 5.0 tokens/s, 10 wanted"),
        ({"first_token": 1.5}, "first token after 1.50 s, 1 allowed"),
        ({"loss": float("nan")}, "loses nan bits per byte, 0.05 allowed"),
    ],
)
def test_each_budget_is_held(figures: dict[str, Any], why: str) -> None:
    assert candidate("fits").fits
    one = candidate("over", **figures)
    assert not one.fits
    assert [said for _, said in one.over.values()] == [why]


def test_what_is_not_known_is_not_judged() -> None:
    assert candidate("unknown", tokens_per_second=None, first_token=None).fits


def test_quality_is_the_least_loss_and_of_equals_the_smallest() -> None:
    large = candidate("large", loss=-0.0002, size=90_000_000)
    equal = candidate("equal", loss=0.0007, size=60_000_000)
    worse = candidate("worse", loss=0.002, size=20_000_000)
    too_large = candidate("too large", loss=-0.01, size=190_000_000)
    failed = Candidate("failed", failed="no compiler")
    found = choose([too_large, failed, large, equal, worse], "quality")
    assert found is equal
    assert choose([too_large, failed, large, worse], "quality") is large
    lucky = candidate("lucky", loss=-0.004, size=60_000_001)  # bits per byte that fell by chance
    assert choose([lucky, equal], "quality") is equal


def test_speed_is_the_fastest_within_the_bound() -> None:
    quick = candidate("quick", here=900.0, loss=0.2)
    slow, middle = candidate("slow", here=20.0), candidate("middle", here=80.0)
    assert choose([quick, slow, middle], "speed") is middle


def test_the_nearest_miss_is_the_least_over_in_its_worst() -> None:
    one = candidate("one", size=110_000_000, memory=400_000_000)
    two = candidate("two", size=150_000_000)
    assert choose([one, two], "quality") is None
    assert nearest_miss([one, Candidate("failed", failed="x"), two]) is two
    assert nearest_miss([Candidate("failed", failed="x")]) is None


VALUES: dict[str, Any] = {
    "about": "mine", "formats": ["gguf:Q8_0"], "choose": "speed", "threads": 0, "loss": 0.1, "size": 1,
    "memory": 2, "tokens_per_second": 3, "first_token": 0.5, "device": {"bytes_per_second": 4},
}  # fmt: skip


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.yaml"
    values = {key: value for key, value in (VALUES | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_yaml_of_ones_own(tmp_path: Path) -> None:
    found = load_target(str(write(tmp_path)))
    assert (found.name, found.formats, found.bytes_per_second) == ("mine", ("gguf:Q8_0",), 4)
    assert found.elsewhere
    assert not load_target(str(write(tmp_path, device=None))).elsewhere


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": None}, "field 'size' is missing"),
        ({"sise": 3}, "unknown field 'sise'"),
        ({"size": "12 MB"}, "size '12 MB' is no number above 0"),
        ({"size": 0}, "size 0 is no number above 0"),
        ({"size": True}, "size True is no number above 0"),
        ({"choose": "best"}, "choose 'best'"),
        ({"formats": "gguf:Q8_0"}, "formats is no list"),
        ({"formats": ["gguf:Q9"]}, "unknown format 'gguf:Q9'"),
        ({"device": [1]}, "does not describe a target"),
        ({"device": {"bytes_per_second": -1}}, "bytes_per_second -1 is no number above 0"),
        ({"device": {"speed": 3}}, "unknown field 'speed'. Known are: name, about, formats"),
        ({"formats": ["lora:F16"]}, "unknown format 'lora:F16'"),
        ({"about": 5}, "about 5 is no text"),
    ],
)
def test_a_wrong_yaml_names_the_field(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load_target(str(write(tmp_path, **changes)))


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ("size: 1", "size: 12 MB", 10),
        ("size: 1", "sise: 1", 10),
        ("  bytes_per_second: 4", "  bytes_per_second: fast", 4),
        ("- gguf:Q8_0", "- gguf:Q9", 6),
        ("choose: speed", "choose: best", 2),
        ("loss: 0.1", "loss: }", 8),
    ],
)
def test_a_wrong_yaml_names_file_and_line(tmp_path: Path, right: str, wrong: str, line: int) -> None:
    path = write(tmp_path)
    text = path.read_text()
    assert text.count(right + "\n") == 1
    path.write_text(text.replace(right + "\n", wrong + "\n"))
    with pytest.raises(BadInput) as error:
        load_target(str(path))
    assert str(error.value).startswith(f"{path}, line {line}: ")


def test_an_unknown_target_lists_those_there_are() -> None:
    with pytest.raises(BadInput, match="browser, laptop, phone, raspberry-pi"):
        load_target("toaster")
