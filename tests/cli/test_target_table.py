"""What `edgelm export --target` prints on a terminal of 80 columns."""

import re
from typing import Any

import pytest

from edgelm.cli.options import print_table
from edgelm.cli.target_table import print_target


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert all(len(line) <= 80 for line in lines)
    return [re.sub(r"\s+", " ", line).strip() for line in lines]


@pytest.fixture
def figures() -> dict[str, Any]:
    def candidate(name: str, **changes: Any) -> dict[str, Any]:
        return {
            "format": name, "fits": True, "why_not": [], "bits_per_byte_lost": -0.00001,
            "bytes": 123_456_789, "memory_bytes": 234_567_890, "tokens_per_second_here": 1234.5,
            "tokens_per_second": 317.4, "first_token_seconds": 0.0561, **changes,
        }  # fmt: skip

    return {
        "target": {
            "about": "a phone", "choose": "quality", "size": 150e6, "loss": 0.05, "memory": 300e6,
            "tokens_per_second": 8, "first_token": 1,
        },
        "chosen": "onnx:int8-genai", "file": "onnx/int8-genai", "speed": "estimated",
        "candidates": [
            candidate("onnx:int8-genai"),
            candidate("gguf:Q4_K_M", bytes=8_230_000, bits_per_byte_lost=0.0412),
            candidate("gguf:F16", fits=False, why_not=["size 160.0 MB, 150 allowed", "slow"]),
            {"format": "onnx:int4", "fits": False, "why_not": ["onnx is not installed"]},
        ],
    }  # fmt: skip


def test_what_is_estimated_has_a_sign_and_words(
    capsys: pytest.CaptureFixture[str], figures: dict[str, Any]
) -> None:
    print_target(figures)
    lines = printed(capsys)
    for line in (
        "limit ≤150 ≤0.05 ≤300 ≥8 ≤1 s",
        "onnx:int8-genai 123 0.0000 235 1234 ~317 ~0.056 s chosen",
        "gguf:Q4_K_M 8.2 0.0412 235 1234 ~317 ~0.056 s fits",
        "gguf:F16 123 0.0000 235 1234 ~317 ~0.056 s over",
        "onnx:int4 - - - - - - failed",
        "gguf:F16: size 160.0 MB, 150 allowed; slow",
        "onnx:int4: onnx is not installed",
        "~ estimated from the device's memory and processor; the rest was measured",
        "here: tokens written a second on this machine; there: on the device",
        "chosen: of those that fit, what loses least; within 0.001 of it the smallest",
    ):
        assert line in lines, line


def test_what_is_measured_has_none(capsys: pytest.CaptureFixture[str], figures: dict[str, Any]) -> None:
    figures["speed"], figures["target"]["choose"] = "measured here", "speed"
    print_target(figures)
    lines = printed(capsys)
    assert "onnx:int8-genai 123 0.0000 235 1234 0.056 s chosen" in lines
    assert "chosen: of those that fit, the fastest here" in lines
    assert "~" not in "".join(lines)
    assert "there" not in "".join(lines)


def test_what_is_not_known_is_not_shown_as_judged(
    capsys: pytest.CaptureFixture[str], figures: dict[str, Any]
) -> None:
    figures["chosen"] = None
    figures["candidates"] = [{**figures["candidates"][1], "first_token_seconds": None, "fits": False}]
    print_target(figures)
    lines = printed(capsys)
    assert "limit ≤150 ≤0.05 ≤300 ≥8 -" in lines
    assert "gguf:Q4_K_M 8.2 0.0412 235 1234 ~317 - over" in lines


def test_figures_are_not_folded_where_less_room_between_columns_helps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    header = ["model", *(f"a{number}" for number in range(11))]
    print_table(header, [["onnx:int8-genai", *["1234"] * 11]])
    assert " ".join(["onnx:int8-genai", *["1234"] * 11]) in printed(capsys)
    print_table([*header, "b"], [["onnx:int8-genai", *["1234"] * 11, "two words or more, and so on"]])
    assert any(line.startswith("onnx:int8-genai 1") for line in printed(capsys))
