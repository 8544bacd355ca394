"""Fifty steps on the embedded sample give these losses. A change that should not alter results must not."""

from pathlib import Path

import pytest
import torch
from small_run import answer, metrics

from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import load_recipe
from edgelm.corpus.shards import languages_of
from edgelm.model.config import get_preset
from edgelm.model.decoder import Decoder
from edgelm.pretrain import loop
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.loop import train
from edgelm.pretrain.packing import Packer
from edgelm.pretrain.sampling import corpus_source
from edgelm.progress import Progress
from edgelm.tokenizer.special import PAD
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.train import train_tokenizer

CONFIG = TrainConfig(steps=50, batch=2, learning_rate=0.004, warmup=10, precision="fp32")
GOLDEN = [
    *(7.6964, 7.6090, 7.6190, 7.5766, 7.5665, 7.4172, 7.2447, 7.0501, 7.1135, 6.7143),
    *(6.9096, 6.8502, 6.7884, 6.7744, 6.6621, 6.7119, 6.9215, 6.6962, 6.8633, 6.4634),
    *(6.6435, 6.5366, 6.6203, 6.6993, 6.4739, 6.6392, 6.0677, 6.4381, 6.4276, 6.3977),
    *(6.2512, 6.3080, 5.9856, 6.7319, 6.0757, 6.0878, 6.0344, 6.2746, 6.4403, 6.3363),
    *(6.3471, 5.9490, 5.9150, 6.0741, 6.4702, 6.2955, 5.9848, 5.8717, 5.9685, 6.1950),
]


def test_golden_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded with torch 2.13 and AVX-512, one thread; other instruction sets add in another order.

    Where a change is meant to alter them, record the new ones and say so in docs/log.md.
    """
    corpus, folder = tmp_path / "corpus", tmp_path / "tokenizer"
    build_corpus(load_recipe("sample"), corpus)
    train_tokenizer(corpus, folder, vocab_size=2048)
    text = TextTokenizer(folder)
    shape = get_preset("nano", text.vocab_size)
    model = Decoder(shape)
    model.init_weights(torch.Generator().manual_seed(CONFIG.seed))
    source = corpus_source(corpus, languages_of(corpus), text, tmp_path / "tokens", seed=CONFIG.seed)
    packer = Packer(source, batch=CONFIG.batch, context=shape.context, pad=text.id(PAD))
    monkeypatch.setattr(loop, "METRICS_EVERY", 1)
    train(model, packer, CONFIG, answer(tmp_path / "run", CONFIG), Progress(silent=True), "")
    losses = [line["loss"] for line in metrics(tmp_path / "run")]
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        assert losses == GOLDEN
    else:
        assert losses == pytest.approx(GOLDEN, abs=1e-3)
