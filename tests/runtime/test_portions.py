"""Large vocabularies and long contexts: what is held at once has a bound, and the figures stay the same."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import exported
import numpy as np
import pytest

from edgelm.export.verify import compare
from edgelm.runtime import LanguageModel, base, load
from edgelm.runtime.sampling import log_softmax

VOCAB_SIZE, CONTEXT = 150_000, 1024
WHOLE = 4 * VOCAB_SIZE * CONTEXT  # bytes of the logits of a window: 614 MB
BOUND = 400_000_000
PEAK = """
import resource, sys
from pathlib import Path
import numpy as np
import edgelm

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

path, what = Path(sys.argv[1]), sys.argv[2]
if what == "measure":
    from edgelm.export.importance import measure
    measure(path, {"eng": ["a b "]})  # PyTorch's own
    before = peak()
    measure(path, {"eng": ["a longer text " * 2000]}, tokens=1000)
else:
    model = edgelm.load(path)
    model.score([model.bos], [5, 6, 7])
    before = peak()
    found = model.score([model.bos], [5, 6, 7, 8] * (model.context // 4))
    assert len(found) == model.context and np.isfinite(found).all()
print(peak() - before)
"""


@pytest.fixture(scope="module")
def large(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow random model with the vocabulary of large ones made elsewhere, most of it without tokens."""
    import torch

    from edgelm.model.config import ModelConfig
    from edgelm.model.decoder import Decoder
    from edgelm.model.directory import save_model

    shape = ModelConfig(VOCAB_SIZE, 64, 64, layers=1, heads=1, kv_heads=1, context=CONTEXT)
    model = Decoder(shape)
    model.init_weights(torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("large") / "model"
    save_model(model, model_dir, folder, "A random model for tests.\n")
    return folder


def grown(path: Path, what: str) -> int:
    """By how many bytes the memory of a process grows while it scores a window or weighs the weights."""
    done = subprocess.run(exported.python(PEAK, str(path), what), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of a process is read as Unix tells it")
@pytest.mark.parametrize("kind", ["torch", "gguf"])
def test_a_window_of_a_large_vocabulary_is_never_held(large: Path, tmp_path: Path, kind: str) -> None:
    path = large
    if kind == "gguf":
        pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
        from edgelm.export.gguf import write_gguf

        path = tmp_path / "model-F16.gguf"
        write_gguf(large, path, "F16")
    assert grown(path, "score") < BOUND < WHOLE


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of a process is read as Unix tells it")
def test_weighing_computes_no_logits(large: Path) -> None:
    assert grown(large, "measure") < BOUND < WHOLE


def in_portions(monkeypatch: pytest.MonkeyPatch, model: LanguageModel) -> int:
    """Bound what is held to a few rows, which are how many."""
    monkeypatch.setattr(base, "LOGITS", 7 * model.vocab_size + 1)
    return 7


def test_portions_are_the_whole(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [model.bos, *np.random.default_rng(0).integers(40, model.vocab_size, 79).tolist()]
    whole, expected = model.session().feed(ids), model.score(ids[:30], ids[30:])
    rows = in_portions(monkeypatch, model)
    for start in (0, 1, 33, len(ids) - 1):
        portions = [one.copy() for one in model.logits(ids, start)]
        assert max(map(len, portions)) <= rows
        np.testing.assert_allclose(np.concatenate(portions), whole[start:], atol=1e-3, rtol=0)
    found = model.score(ids[:30], ids[30:])
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)
    scores = log_softmax(whole)[np.arange(29, 79), ids[30:]]
    np.testing.assert_allclose(found, scores, atol=1e-3, rtol=0)


def test_an_onnx_prompt_is_read_in_portions(
    models: dict[str, LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgelm.runtime import onnx

    model = models["onnx"]
    ids = [model.bos, *np.random.default_rng(0).integers(40, model.vocab_size, 40).tolist()]
    whole = model.session().feed(ids, last_only=True)
    monkeypatch.setattr(onnx, "PORTION", 9)
    session = model.session()
    np.testing.assert_allclose(session.feed(ids, last_only=True), whole, atol=1e-3, rtol=0)
    again = model.session().feed([*ids, 50])[-1:]
    np.testing.assert_allclose(session.feed([50]), again, atol=1e-3, rtol=0)


def test_an_onnx_prompt_computes_one_row_of_logits(
    models: dict[str, LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgelm.runtime import onnx

    model: Any = models["onnx"]
    session, sizes, real = model.session(), [], model.engine.run
    ids = [model.bos, *range(50, 90)]

    class Watched:
        def run(self, *arguments: Any) -> Any:
            found = real(*arguments)
            sizes.append([one.shape[1] for one in found if one.shape[-1] == model.vocab_size])
            return found

    session.engine = Watched()
    monkeypatch.setattr(onnx, "LOGITS", 10 * model.vocab_size)
    session.feed(ids, last_only=True)
    assert sizes == [[], [1]]


def test_a_comparison_is_the_same_in_portions(
    models: dict[str, LanguageModel], export_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "eng": ["Rain fell all night, and the river rose.", "Another text."],
        "zul": ["Imvula inethile š."],
    }
    exact = load(export_dir / "model-Q8_0.gguf")
    whole = compare(models["torch"], exact, texts)
    in_portions(monkeypatch, exact)
    parts = compare(models["torch"], exact, texts)
    exact.close()
    assert whole["kl"] > 0
    for code in texts:
        for key, value in whole["languages"][code].items():
            assert math.isclose(parts["languages"][code][key], value, rel_tol=0.02, abs_tol=1e-4), (code, key)
