from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgelm.bench import speed
from edgelm.bench.speed import decode_speed
from edgelm.errors import BadInput
from edgelm.progress import Progress, Step


class Notes(Progress):
    """Keeps what a bar would show."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.total = 0.0

    @contextmanager
    def track(self, total: float, title: str) -> Iterator[Step]:
        self.total = total
        yield lambda done, note="": self.notes.append(note)


def test_models_take_turns(export_dir: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "ROUNDS", 3)
    progress = Notes()
    paths = [export_dir / "model-Q8_0.gguf", export_dir / "onnx" / "int8", model_dir]
    speeds = decode_speed(paths, progress)
    assert len(speeds) == 3
    assert all(1 < one < 1e6 for one in speeds)
    assert progress.notes == ["model-Q8_0.gguf", "int8", "model"] * 3
    assert progress.total == 9


def test_only_the_new_tokens_are_timed(export_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 8))  # every look at it is 8 s after the last
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    assert decode_speed([export_dir / "model-Q8_0.gguf"]) == [speed.NEW_TOKENS / 8]


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such model"):
        decode_speed([tmp_path / "nothing.gguf"])
