"""A trained model learns one more language: better than a new model would, and keeps the ones it has."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import made_up
import pytest
import torch

from edgelm.corpus.build import build_corpus
from edgelm.corpus.recipe import Recipe, Source, SplitRule
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.model.directory import load_model, save_model
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.extend import extend, replay_shares
from edgelm.pretrain.loop import train
from edgelm.pretrain.packing import Packer
from edgelm.pretrain.pretrain import DataConfig, pretrain
from edgelm.pretrain.sampling import corpus_source
from edgelm.progress import Progress
from edgelm.runtime.torch import TorchModel
from edgelm.tokenizer.special import PAD
from edgelm.tokenizer.text import TextTokenizer

OLD = ("eng", "xho", "zul")
NEW = "ven"
DOCUMENTS = 240
NEW_TOKENS = 100
WORD = re.compile(r"[^\W\d]+")


@pytest.fixture(scope="module")
def old_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_corpus(tmp_path_factory.mktemp("old"), dict.fromkeys(OLD, DOCUMENTS))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old languages and a sister of `zul`: every second word is the same in both."""
    folder = tmp_path_factory.mktemp("both")
    source = made_up.write_documents(folder / "documents", dict.fromkeys((*OLD, NEW), DOCUMENTS))
    records = {
        code: [
            json.loads(line) for line in (source / f"{code}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for code in (NEW, "zul")
    }
    words = {
        code: sorted({word for one in found for word in WORD.findall(one["text"].lower())})
        for code, found in records.items()
    }
    same = dict(list(zip(words[NEW], words["zul"], strict=False))[::2])
    for one in records[NEW]:
        one["text"] = WORD.sub(lambda word: same.get(word[0].lower(), word[0]), one["text"])
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records[NEW])
    (source / f"{NEW}.jsonl").write_text(lines, encoding="utf-8")
    none = SplitRule(share=0, max_bytes=0)
    build_corpus(Recipe("made-up", (Source(source),), (), none, none), folder / "corpus")
    return folder / "corpus"


def trained(
    model: Decoder,
    corpus: Path,
    tokenizer: TextTokenizer,
    folder: Path,
    *,
    steps: int,
    rate: float,
    replay: float | None,
) -> Decoder:
    folder.mkdir(exist_ok=True)
    languages = [*OLD] if replay is None else [*OLD, NEW]
    source = corpus_source(corpus, languages, tokenizer, folder / "tokens", seed=0)
    if replay is not None:
        source.share(replay_shares(source.fair.shares, [NEW], replay))
    packer = Packer(source, batch=8, context=model.config.context, pad=tokenizer.id(PAD))
    config = TrainConfig(steps=steps, batch=8, learning_rate=rate, warmup=10, precision="fp32", compile="off")
    train(model, packer, config, folder, Progress(silent=True), "training")
    return model


def measure(model: Decoder, tokenizer: TextTokenizer, corpus: Path) -> tuple[float, float]:
    """Bits per byte of the old languages, in the mean, and of the new."""
    found = bits_per_byte(TorchModel(model, tokenizer), corpus_texts(corpus, "test", 20_000))
    return sum(found[code] for code in OLD) / len(OLD), found[NEW]


@pytest.fixture(scope="module")
def base(old_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory of the old languages."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = made_up.make_tokenizer(folder, old_corpus)
    text = TextTokenizer(tokenizer)
    model = Decoder(ModelConfig(text.vocab_size, 64, 128, 2, 2, 2, 64))
    model.init_weights(torch.Generator().manual_seed(0))
    trained(model, old_corpus, text, folder / "run", steps=200, rate=0.01, replay=None)
    save_model(model, tokenizer, folder / "model", "# card\n")
    return folder / "model"


def test_the_new_language_is_learnt_sooner_than_from_scratch(
    base: Path, corpus: Path, tmp_path: Path
) -> None:
    """After equally many tokens, and also where the new model is given a higher rate."""
    found = {}
    for name, rate in (("extended", 0.016), ("scratch", 0.016), ("scratch, faster", 0.024)):
        (tmp_path / name).mkdir()
        model, folder = extend(base, corpus, [NEW], tmp_path / name, new_tokens=NEW_TOKENS)
        text = TextTokenizer(folder)
        if name != "extended":
            model.init_weights(torch.Generator().manual_seed(0))
        trained(model, corpus, text, tmp_path / name, steps=20, rate=rate, replay=0.5)
        found[name] = measure(model, text, corpus)[1]
    assert found["extended"] < 0.97 * min(found["scratch"], found["scratch, faster"])


def test_replay_keeps_the_old_languages(base: Path, corpus: Path, tmp_path: Path) -> None:
    """At most 2 % worse where they are replayed, and far more where they are not."""
    old, new = measure(load_model(base), TextTokenizer(base), corpus)
    found = {}
    for replay, steps in ((0.75, 100), (0.0, 50)):
        run = tmp_path / str(replay)
        run.mkdir()
        model, folder = extend(base, corpus, [NEW], run, new_tokens=NEW_TOKENS)
        text = TextTokenizer(folder)
        trained(model, corpus, text, run, steps=steps, rate=0.006, replay=replay)
        found[replay] = measure(model, text, corpus)
    assert found[0.75][0] < 1.02 * old < 1.5 * old < found[0.0][0]
    assert found[0.75][1] < new / 2


def test_the_model_is_ready_before_it_is_trained(base: Path, corpus: Path, tmp_path: Path) -> None:
    model, folder = extend(base, corpus, [NEW], tmp_path, new_tokens=NEW_TOKENS)
    old, new = TextTokenizer(base), TextTokenizer(folder)
    assert model.config.vocab_size == new.vocab_size == old.vocab_size + NEW_TOKENS
    assert new.bytes_of[: old.vocab_size] == old.bytes_of
    rows = load_model(base).model.embed_tokens.weight
    assert torch.equal(model.model.embed_tokens.weight[: old.vocab_size], rows)
    before, after = (measure(one, text, corpus) for one, text in ((load_model(base), old), (model, new)))
    assert after[1] < before[1]  # rows that are means of known ones already serve


def test_a_second_call_finds_the_tokenizer(base: Path, corpus: Path, tmp_path: Path) -> None:
    """As a run that was killed while it trained does."""
    first, folder = extend(base, corpus, [NEW], tmp_path, new_tokens=NEW_TOKENS)
    written = (folder / "tokenizer.json").stat().st_mtime_ns
    second, again = extend(base, corpus, [NEW], tmp_path, new_tokens=NEW_TOKENS)
    assert again == folder
    assert (folder / "tokenizer.json").stat().st_mtime_ns == written
    assert all(torch.equal(one, second.state_dict()[name]) for name, one in first.state_dict().items())


@pytest.mark.parametrize("replay", [0.0, 0.5])
def test_the_whole_command(base: Path, corpus: Path, tmp_path: Path, replay: float) -> None:
    data = DataConfig(extend_languages=(NEW,), new_tokens=NEW_TOKENS, replay=replay)
    config = TrainConfig(steps=2, batch=2, precision="fp32", compile="off")
    results = pretrain(corpus, base, tmp_path / "output", config=config, data=data, init_from=base)
    seen = {code for code, epochs in results["epochs"].items() if epochs}
    assert NEW in seen
    assert (seen > {NEW}) is (replay > 0)
    model, text = load_model(tmp_path / "output"), TextTokenizer(tmp_path / "output")
    assert model.config.vocab_size == text.vocab_size == TextTokenizer(base).vocab_size + NEW_TOKENS
    assert not any(path.is_dir() for path in (tmp_path / "output").iterdir())


def test_shares_of_replay() -> None:
    shares = {"eng": 1.0, "zul": 3.0, "ven": 5.0, "tso": 15.0}
    found = replay_shares(shares, ["ven", "tso"], 0.6)
    assert found == pytest.approx({"eng": 0.15, "zul": 0.45, "ven": 0.1, "tso": 0.3})
    assert replay_shares(shares, ["ven", "tso"], 0) == pytest.approx({"ven": 0.25, "tso": 0.75})
    assert replay_shares(shares, ["Tshivenda", "ts"], 0.6) == found
    assert replay_shares({"ven": 2.0}, ["ven"], 0) == {"ven": 1.0}


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: replay_shares({"zul": 1, "ven": 1}, ["ven"], 1.0), r"--replay 1\.0 is out of range"),
        (lambda: replay_shares({"zul": 1, "ven": 1}, ["ven"], -0.1), r"--replay -0\.1 is out of range"),
        (lambda: replay_shares({"ven": 1}, ["ven"], 0.5), "holds no old language to replay"),
    ],
)
def test_shares_that_cannot_be(run: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        run()


def test_what_cannot_be_extended(base: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no training text in tso"):
        extend(base, corpus, ["tso"], tmp_path, new_tokens=5)
    with pytest.raises(BadInput, match=r"config\.json: no such file"):
        extend(corpus, corpus, [NEW], tmp_path, new_tokens=5)
    assert list(tmp_path.iterdir()) == []
