"""What tests of several rooms share. Nothing here needs a network or takes more than three seconds."""

import importlib.util
import os
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True)  # a run that nobody watches must not fail by luck
if os.environ.get("CI"):
    settings.load_profile("ci")

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many faults `test_faults.py` tried, by kind."""
    tried: Counter[str] = Counter()
    for report in chain(*(terminalreporter.getreports(one) for one in ("passed", "failed"))):
        for name, value in report.user_properties:
            if name == "faults" and report.when == "call":
                tried[value[0]] += value[1]
    if tried:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(tried.items()))
        terminalreporter.write_line(f"faults tried: {tried.total()} ({kinds})")


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as pretraining writes it: 512 tokens, two layers, random weights from a fixed seed.

    Its shapes are `nano`'s, so every exporter and quantisation takes it. It writes nonsense.
    """
    pytest.importorskip("torch", reason="the tiny model is built with PyTorch")
    import torch

    from edgelm.model.config import ModelConfig
    from edgelm.model.decoder import Decoder
    from edgelm.model.directory import save_model
    from edgelm.tokenizer.texts import sample_texts
    from edgelm.tokenizer.train import save_tokenizer, train_on

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tokenizer").mkdir()
    save_tokenizer(train_on(chain(*sample_texts().values()), 512), folder / "tokenizer")
    config = ModelConfig(
        vocab_size=512, hidden_size=256, intermediate_size=256, layers=2, heads=4, kv_heads=2, context=256
    )
    model = Decoder(config)
    model.init_weights(torch.Generator().manual_seed(0))
    save_model(model, folder / "tokenizer", folder / "model", "A random model for tests.\n")
    return folder / "model"


@pytest.fixture(scope="session")
def tiny_gguf(tiny_model_dir: Path) -> Path:
    """The same model as a GGUF file of type F16."""
    pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
    if not any(map(importlib.util.find_spec, ("llama_cpp", "xllamacpp"))):
        pytest.skip("GGUF files are run with llama-cpp-python or xllamacpp")
    from edgelm.export.gguf import write_gguf

    path = tiny_model_dir.parent / "model-F16.gguf"
    write_gguf(tiny_model_dir, path, "F16")
    return path


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that has learnt enough for its quantised forms to stay within their bounds."""
    import exported

    return exported.model_dir(tmp_path_factory.getbasetemp() / "exported")


@pytest.fixture(scope="session")
def export_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model_dir`, exported."""
    import exported

    return exported.export_dir(tmp_path_factory.getbasetemp() / "exported")


@pytest.fixture(scope="session")
def genai_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model_dir`, exported by onnxruntime-genai's builder."""
    version = pytest.importorskip(
        "onnxruntime_genai", reason="the extra 'export' brings the builder"
    ).__version__
    pytest.importorskip("onnx_ir", reason="onnxruntime-genai's builder imports it")
    if not version.startswith("0.15."):
        pytest.skip(f"onnxruntime-genai {version} has another builder than the extra 'export' asks for")
    import exported

    folder = tmp_path_factory.getbasetemp() / "exported"
    done = exported.genai_export(folder)
    assert done.returncode == 0, done.stderr
    return folder / "work" / "genai"


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generations take 10 ms a token and never end by themselves: a test can act in the middle of one."""
    import time

    from edgelm.runtime import sampling
    from edgelm.tokenizer.special import special_tokens

    real, special = sampling.sample, len(special_tokens([]))

    def sample(logits, *options):  # type: ignore[no-untyped-def]
        time.sleep(0.01)
        logits = logits.copy()
        logits[:special] = -1e9
        return real(logits, *options)

    monkeypatch.setattr(sampling, "sample", sample)
