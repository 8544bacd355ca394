"""How many threads a graph runs with: those that were given, or what a short measurement finds faster."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgelm.runtime import load, onnx


class Sleeper:
    """A session that takes its time."""

    def __init__(self, seconds: float):
        self.seconds, self.fed, self.rewound = seconds, 0, 0

    def feed(self, ids: list[int], last_only: bool = False) -> np.ndarray:
        self.fed += len(ids)
        time.sleep(self.seconds)
        return np.zeros((1, 8), dtype=np.float32)

    def rewind(self, length: int) -> None:
        self.rewound += length == 0


def test_sessions_are_timed_in_turns() -> None:
    slow, fast = Sleeper(0.02), Sleeper(0.002)
    found = onnx.decode_seconds([slow, fast], [5, 6, 7])
    assert found[0] >= 0.06
    assert 0.006 <= found[1] < found[0]
    assert slow.fed == fast.fed == 3 * slow.rewound == 3 * fast.rewound


@pytest.mark.parametrize("format", ["onnx/fp32", "onnx/int8"])
def test_one_thread_where_that_is_faster(
    export_dir: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    path = export_dir / format
    monkeypatch.setattr(onnx, "usable_cores", lambda: 2)

    def threads(seconds: list[float], given: int | None = None) -> int:
        monkeypatch.setattr(onnx, "decode_seconds", lambda sessions, ids: seconds)
        model = load(path, threads=given)
        assert isinstance(model, onnx.OnnxModel)
        found = int(model.engine.get_session_options().intra_op_num_threads)
        model.close()
        return found

    assert threads([1.0, 0.5]) == 1
    assert threads([1.0, 0.95]) != 1  # the second core is worth having for prompts
    assert threads([0.5, 1.0]) != 1
    assert threads([1.0, 0.5], given=2) == 2
    monkeypatch.setattr(onnx, "MEASURED_BYTES", 10)
    assert threads([1.0, 0.5]) != 1


def test_a_context_of_few_tokens_is_enough(
    export_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "usable_cores", lambda: 2)
    folder = Path(shutil.copytree(export_dir / "onnx" / "fp32", tmp_path / "short"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4}))
    asked: list[list[int]] = []

    def note(sessions: list[Any], ids: list[int]) -> list[float]:
        asked.append(ids)
        return [1.0, 1.0]

    monkeypatch.setattr(onnx, "decode_seconds", note)
    model = load(folder)
    assert asked == [[model.bos] * 4]
    model.close()
