"""What to train in the time there is: every preset timed on this machine with the corpus's own text.

    edgelm pretrain CORPUS TOKENIZER --plan --budget 30min

Seconds of measuring, nothing written. The figures are of this moment: a busy machine gives a smaller plan.
"""

import math
import os
import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import torch
import yaml

from edgelm.corpus.report import read_manifest
from edgelm.corpus.shards import languages_of, read_texts
from edgelm.errors import BadInput, EdgelmError
from edgelm.mixture import temperature_shares
from edgelm.model.config import ModelConfig, get_preset, presets
from edgelm.model.decoder import Decoder
from edgelm.pretrain.config import REPEATS, TOO_MANY, TrainConfig
from edgelm.pretrain.optimizer import make_optimizers
from edgelm.pretrain.packing import Packer
from edgelm.pretrain.probe import (
    Setup,
    activation_bytes,
    flops_per_token,
    free_memory,
    measure,
    wait,
)
from edgelm.pretrain.sampling import CorpusSource
from edgelm.pretrain.tokens import TokenShard
from edgelm.progress import Progress
from edgelm.tokenizer.text import TextTokenizer

SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
SAMPLE_DOCUMENTS = 200  # of each language
MEASURED_TOKENS = {"cpu": 2048, "cuda": 16384}  # computed at a time
MEASURE_S = 1.0
PRESET_S = 5.0  # a preset that takes longer to measure is estimated
TRAINING = 0.95  # share of the budget; validating and saving take the rest
TEMPERATURE = 2.0  # of sampling, as `edgelm pretrain` has by default
LEAST_STEPS = 300
BATCH = 6.5  # tokens a step, times the root of all tokens: 20 000 for 10 M, 65 000 for 100 M
ENOUGH = 1.005  # a smaller model is preferred to one whose law promises less than this


@dataclass(frozen=True, slots=True)
class Candidate:
    """A preset and what it can do in the budget.

    Attributes:
        estimated: not measured, but from its operations at the rate of the largest preset measured.
        tokens: that the budget is enough for.
        memory: bytes of a training process.
        rank: a loss by scaling laws; it orders presets and promises nothing.
    """

    preset: str
    parameters: int
    tokens_per_second: float
    estimated: bool
    tokens: float
    epochs: float
    memory: int
    fits: bool
    rank: float
    batch: int
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All presets, the settings of the one proposed, and what to know about them."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    learning_rate: float
    weight_decay: float
    dropout: float
    corpus_tokens: int
    warnings: tuple[str, ...]

    def command(self, corpus: Path, tokenizer: Path, output: Path) -> str:
        """The command line that carries it out."""
        words = ["edgelm", "pretrain", str(corpus), str(tokenizer), "-o", str(output)]
        words += ["--preset", self.chosen.preset, "--steps", str(self.chosen.steps)]
        words += ["--batch", str(self.chosen.batch), "--learning-rate", str(self.learning_rate)]
        words += ["--weight-decay", str(self.weight_decay), "--dropout", str(self.dropout)]
        return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds for a token's gradient and for a step of the optimisers."""

    token: float
    step: float
    estimated: bool


def parse_budget(text: str, option: str = "--budget") -> float:
    """Seconds in `90s`, `30min`, `8h` or `2d`.

    Raises:
        BadInput: it is none of these, or no time at all.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?) ?(s|min|h|d)", text.strip())
    if not found or not float(found[1]):
        raise BadInput(f"{option} {text!r} is not a time", remedy="write it as 90s, 30min, 8h or 2d")
    return float(found[1]) * SECONDS[found[2]]


def plan(corpus: Path, tokenizer: Path, budget_seconds: float, progress: Progress | None = None) -> Plan:
    """Measure every preset with the tokenizer's vocabulary and propose one.

    Raises:
        BadInput: corpus or tokenizer is not there or damaged.
        EdgelmError: no preset fits into the memory.
    """
    progress = progress or Progress(silent=True)
    text = TextTokenizer(tokenizer)
    shards, sizes = read_sample(corpus, text)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    free = free_memory(device)
    threads = torch.get_num_threads()
    candidates = []
    rate = 0.0  # operations a second of the largest preset measured
    last: tuple[ModelConfig, Cost] | None = None
    try:
        shapes = {name: get_preset(name, text.vocab_size) for name in presets()}
        smallest = Decoder(next(iter(shapes.values()))).to(device)
        setup = measure(TrainConfig(steps=1), smallest, smallest.config.context, 1)
        torch.set_num_threads(setup.threads)
        with progress.track(len(shapes), "measuring presets") as step:
            for name, shape in shapes.items():
                flops = flops_per_token(shape, _attended(shards, shape.context))
                memory = training_bytes(shape, setup.torch_dtype)
                rows = max(MEASURED_TOKENS[device] // shape.context, 1)
                expected = 2 * rows * shape.context * flops / rate if rate else 0.0
                if last and (expected > PRESET_S or memory > free):
                    smaller, known = last
                    cost = Cost(flops / rate, known.step * shape.parameters / smaller.parameters, True)
                else:
                    cost = _measure(shape, shards, text, setup, rows, device)
                    rate, last = flops / cost.token, (shape, cost)
                candidates.append(candidate(name, shape, cost, sizes, budget_seconds, memory, free))
                step(1, name)
    finally:
        torch.set_num_threads(threads)
    return propose(tuple(candidates), sizes)


def propose(candidates: tuple[Candidate, ...], sizes: dict[str, int]) -> Plan:
    """Choose among presets, given smallest first, for a corpus of so many tokens a language.

    Raises:
        EdgelmError: none fits.
    """
    fitting = [one for one in candidates if one.fits]
    if not fitting:
        needed = candidates[0].memory / 2**30
        raise EdgelmError(
            f"no preset fits into the free memory; {candidates[0].preset} needs {needed:.1f} GiB. "
            "Close other programs, or train on another machine."
        )
    best = min(one.rank for one in fitting)
    chosen = next(one for one in fitting if one.rank <= best * ENOUGH)
    rate = learning_rates()[chosen.preset]
    epochs = chosen.steps * chosen.batch * get_preset(chosen.preset).context / sum(sizes.values())
    return Plan(
        candidates=candidates,
        chosen=chosen,
        learning_rate=rate / 2 if epochs > REPEATS else rate,
        weight_decay=0.5 if epochs > REPEATS else 0.1,
        dropout=0.1 if epochs > REPEATS else 0.0,
        corpus_tokens=sum(sizes.values()),
        warnings=tuple(_warnings(chosen, epochs, sizes)),
    )


def learning_rates() -> dict[str, float]:
    """The peak learning rate of each preset, for text that is not read too often."""
    path = Path(__file__).parent / "learning_rates.yaml"
    rates: dict[str, float] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return rates


def _warnings(chosen: Candidate, epochs: float, sizes: dict[str, int]) -> list[str]:
    found = []
    if chosen.epochs > TOO_MANY:
        found.append(
            f"the budget is enough to read the corpus {chosen.epochs:,.0f} times; beyond {TOO_MANY} that "
            "hardly helps any more, so less is proposed. Give more text"
        )
    elif epochs > REPEATS:
        found.append(
            f"the corpus will be read {epochs:.1f} times; beyond {REPEATS} that helps less than new text"
        )
    seen = epochs_by_language(epochs * sum(sizes.values()), sizes)
    if epochs <= TOO_MANY and (often := [code for code in seen if seen[code] > TOO_MANY]):
        found.append(
            f"{', '.join(f'{code} will be read {seen[code]:.0f} times' for code in often)}; "
            "a lower --temperature repeats small languages less"
        )
    if chosen.steps < LEAST_STEPS:
        found.append(f"{chosen.steps} steps are few to learn from. Give a larger --budget")
    return found


def read_sample(corpus: Path, tokenizer: TextTokenizer) -> tuple[dict[str, TokenShard], dict[str, int]]:
    """Some training documents of each language as tokens, and about how many tokens the language has.

    Raises:
        BadInput: the corpus is damaged or has no training document.
    """
    counts = read_manifest(corpus)["languages"]
    shards, sizes = {}, {}
    for code in languages_of(corpus):
        texts = list(islice(read_texts(corpus, code, "train"), SAMPLE_DOCUMENTS))
        encoded = tokenizer.encode_batch(texts)
        if not any(encoded):
            continue
        offsets = np.cumsum([0, *map(len, encoded)])
        ids = np.fromiter(chain.from_iterable(encoded), dtype=np.uint32)
        shards[code] = TokenShard(ids, offsets)
        read = sum(len(text.encode("utf-8")) for text in texts)
        sizes[code] = max(round(shards[code].tokens * counts[code]["splits"]["train"]["bytes"] / read), 1)
    if not sizes:
        raise BadInput("has no training documents", file=corpus, remedy="build it from more text")
    return shards, sizes


def _attended(shards: dict[str, TokenShard], context: int) -> float:
    """How many tokens a token attends to on average."""
    lengths = np.concatenate([np.diff(shard.offsets) for shard in shards.values()]) + 2
    pieces = np.minimum(lengths, context)
    return float((lengths * (pieces + 1) / 2).sum() / lengths.sum())


def training_bytes(shape: ModelConfig, dtype: torch.dtype, tokens: int = 4096) -> int:
    """Memory of a process that trains a model `tokens` at a time, to within a third."""
    weights = 4 * (3 * shape.parameters + shape.vocab_size * shape.hidden_size)  # AdamW keeps two of each
    rows = max(tokens // shape.context, 1)
    return 450_000_000 + weights + rows * activation_bytes(shape, shape.context, dtype)


def _measure(
    shape: ModelConfig,
    shards: dict[str, TokenShard],
    tokenizer: TextTokenizer,
    setup: Setup,
    rows: int,
    device: str,
) -> Cost:
    """Train for a second, after a first step that is not counted."""
    model = Decoder(shape)
    model.init_weights(torch.Generator().manual_seed(0))
    model.to(device).train()
    model.dtype = setup.torch_dtype
    optimizers = make_optimizers(model, 0.1, model.dtype)  # at a learning rate of 0
    source = CorpusSource(shards, tokenizer, seed=0)
    packer = Packer(source, batch=rows, context=shape.context, pad=tokenizer.pad)
    gradient = update = 0.0
    for number in count():
        started = time.perf_counter()
        batch = packer.next_batch()
        tokens, targets, weights = (part.to(device) for part in (batch.tokens, batch.targets, batch.weights))
        model.loss(tokens, targets, batch.documents, weights).backward()
        wait(device)
        middle = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        wait(device)
        if number:
            gradient += middle - started
            update += time.perf_counter() - middle
            if gradient + update > MEASURE_S:
                break
    return Cost(gradient / (number * rows * shape.context), update / number, False)


def candidate(
    name: str,
    shape: ModelConfig,
    cost: Cost,
    sizes: dict[str, int],
    budget: float,
    memory: int,
    free: int,
) -> Candidate:
    """What a preset of this cost can do; a run ends where the corpus has been read often enough."""
    corpus = sum(sizes.values())
    tokens = TRAINING * budget / cost.token
    for _ in range(10):  # a larger batch has fewer steps of the optimisers
        batch = batch_rows(tokens, shape.context)
        per_token = cost.token + cost.step / (batch * shape.context)
        tokens = TRAINING * budget / per_token
    worth = min(tokens, TOO_MANY * corpus)
    batch = batch_rows(worth, shape.context)
    steps = max(int(worth / (batch * shape.context)), 1)
    return Candidate(
        preset=name,
        parameters=shape.parameters,
        tokens_per_second=1 / per_token,
        estimated=cost.estimated,
        tokens=tokens,
        epochs=tokens / corpus,
        memory=memory,
        fits=memory < free,
        rank=predicted_loss(shape.parameters, worth, sizes),
        batch=batch,
        steps=steps,
        seconds=steps * (batch * shape.context * cost.token + cost.step),
    )


def batch_rows(tokens: float, context: int) -> int:
    """Sequences a step for a run of so many tokens, a power of two.

    The batch beyond which larger ones stop paying grows with the tokens of a run and hardly with the model
    (Zhang et al., 2024, "How Does Critical Batch Size Scale in Pre-training?"): a little more than in
    proportion to their root, with at least 300 steps.
    """
    wanted = min(BATCH * math.sqrt(tokens), tokens / LEAST_STEPS) / context
    return 1 << int(math.log2(max(wanted, 1)))


def epochs_by_language(tokens: float, sizes: dict[str, int]) -> dict[str, float]:
    """How often each language is read in so many tokens."""
    shares = temperature_shares(sizes, TEMPERATURE)
    return {code: tokens * shares[code] / size for code, size in sizes.items()}


def predicted_loss(parameters: int, tokens: float, sizes: dict[str, int]) -> float:
    """Loss of a model by Hoffmann et al. (2022), in nats of their tokenizer: good for ranking only.

    Tokens read again, and parameters beyond one for 20 tokens of the corpus, count less each time
    (Muennighoff et al., 2023); every language by itself.
    """
    epochs = epochs_by_language(tokens, sizes)
    data = sum(_worth(size * epochs[code], size, 15.39) for code, size in sizes.items())
    useful = _worth(parameters, sum(sizes.values()) / 20, 5.31)
    return 1.69 + 406.4 / useful**0.34 + 410.7 / data**0.28


def _worth(amount: float, unique: float, half: float) -> float:
    """What `amount` is worth where only `unique` of it is new and repeats decay over `half` repetitions."""
    if amount <= unique:
        return amount
    return unique * (1 + half * (1 - math.exp(-(amount / unique - 1) / half)))
