import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgelm.cli import app
from edgelm.errors import BadInput, EdgelmError
from edgelm.model.config import get_preset, presets
from edgelm.pretrain import plan as planning
from edgelm.pretrain.plan import (
    Candidate,
    Cost,
    Plan,
    batch_rows,
    candidate,
    epochs_by_language,
    learning_rates,
    parse_budget,
    plan,
    predicted_loss,
    propose,
    read_sample,
    training_bytes,
)
from edgelm.pretrain.tokens import tokenised
from edgelm.tokenizer.text import TextTokenizer

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30min", 1800), ("1.5h", 5400), ("2d", 172_800), (" 8 h ", 28_800)],
)
def test_a_budget_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "min", "30m", "-1h", "0s", "1e3s", "2 weeks", "٣h "])
def test_any_other_budget_is_one_clear_error(text: str) -> None:
    with pytest.raises(BadInput, match=r"is not a time\. Write it as 90s, 30min, 8h or 2d"):
        parse_budget(text)


def test_the_ranking_is_hoffmanns_law_where_nothing_repeats() -> None:
    sizes = {"zul": 10**10}
    assert predicted_loss(10**8, 10**9, sizes) == pytest.approx(1.69 + 406.4 / 1e8**0.34 + 410.7 / 1e9**0.28)


def test_tokens_read_again_count_less() -> None:
    new, four, many = (predicted_loss(1000, times * 10**6, {"zul": 10**9}) for times in (1, 4, 1000))
    once, again, often = (predicted_loss(1000, times * 10**6, {"zul": 10**6}) for times in (1, 4, 1000))
    assert once == new
    assert new - again > 0.9 * (new - four)  # up to 4 times nearly as good as new text
    assert again > often > predicted_loss(1000, 17 * 10**6, {"zul": 10**9}) > many  # worth 16.4 times at most


def test_small_languages_are_repeated_more() -> None:
    seen = epochs_by_language(2.0e6, {"afr": 900_000, "nbl": 100_000})
    assert seen["nbl"] == pytest.approx(3 * seen["afr"])  # temperature 2 takes the root of the ratio
    assert seen["nbl"] * 100_000 + seen["afr"] * 900_000 == pytest.approx(2.0e6)


@pytest.mark.parametrize("context", [256, 2048])
def test_batches_grow_with_the_run_and_leave_enough_steps(context: int) -> None:
    rows = [batch_rows(10.0**power, context) for power in range(4, 13)]
    assert rows == sorted(rows)
    assert all(count & (count - 1) == 0 for count in rows)
    for power, count in zip(range(4, 13), rows, strict=True):
        assert count == 1 or 10**power / (count * context) >= 300
    assert 10_000 < batch_rows(1e7, context) * context < 30_000
    assert 100_000 < batch_rows(1e9, context) * context < 300_000


def made(budget: float, sizes: dict[str, int], free: int = 64 * GIB, operations: float = 1e11) -> Plan:
    """A plan for a machine of so many operations a second."""
    found: list[Candidate] = []
    for name in presets():
        shape = get_preset(name, 8192)
        cost = Cost(6 * shape.parameters / operations, 60 * shape.parameters / operations, estimated=False)
        memory = training_bytes(shape, planning.torch.float32)
        found.append(candidate(name, shape, cost, sizes, budget, memory, free))
    return propose(tuple(found), sizes)


def test_more_time_proposes_a_larger_model() -> None:
    order, sizes = list(presets()), {"zul": 10**10}
    chosen = [order.index(made(hours * 3600, sizes).chosen.preset) for hours in (0.1, 1, 10, 1e5)]
    assert chosen == sorted(chosen)
    assert chosen[0] == 0
    assert chosen[-1] == len(order) - 1


def test_a_plan_fills_its_budget() -> None:
    found = made(3600, {"zul": 10**9}).chosen
    assert 0.85 * 3600 < found.seconds <= 0.95 * 3600
    assert found.steps >= 300


def test_little_text_proposes_a_small_model_and_an_end() -> None:
    sizes = {"zul": 20_000, "xho": 20_000}
    found = made(10 * 86400, sizes)
    assert found.chosen.preset == "nano"
    assert found.chosen.steps * found.chosen.batch * 256 <= 16 * 40_000
    assert "beyond 16 that hardly helps" in found.warnings[0]


@pytest.mark.parametrize(("epochs", "dropout", "weight_decay"), [(3, 0.0, 0.1), (6, 0.1, 0.5)])
def test_repeating_asks_for_a_warning_and_for_dropout(
    epochs: float, dropout: float, weight_decay: float
) -> None:
    tokens = made(3600, {"zul": 10**12}).chosen.tokens
    found = made(3600, {"zul": int(tokens / epochs)})
    assert (found.dropout, found.weight_decay) == (dropout, weight_decay)
    assert found.learning_rate == learning_rates()[found.chosen.preset] / (2 if epochs > 4 else 1)
    assert any("beyond 4" in warning for warning in found.warnings) == (epochs > 4)


def test_a_language_that_is_read_too_often_is_named() -> None:
    tokens = int(made(3600, {"zul": 10**12}).chosen.tokens)
    found = made(3600, {"zul": tokens, "nbl": tokens // 1000})
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("nbl will be read ")


def test_what_does_not_fit_is_not_proposed() -> None:
    found = made(1000 * 3600, {"zul": 10**10}, free=3 * GIB)
    assert [one.preset for one in found.candidates if not one.fits] == ["125m"]
    assert found.chosen.preset == "small"
    with pytest.raises(EdgelmError, match=r"no preset fits into the free memory; nano needs 0\.\d GiB"):
        made(3600, {"zul": 10**10}, free=1000)


def test_a_short_budget_is_said_to_be_short() -> None:
    assert "steps are few" in made(0.1, {"zul": 10**9}).warnings[0]


def test_every_preset_has_a_learning_rate() -> None:
    rates = learning_rates()
    assert list(rates) == list(presets())
    assert all(0.0001 < rate < 0.02 for rate in rates.values())


def test_a_sample_tells_how_many_tokens_there_are(
    corpus: Path, tokenizer: TextTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "SAMPLE_DOCUMENTS", 20)
    shards, sizes = read_sample(corpus, tokenizer)
    assert {shard.documents for shard in shards.values()} == {20}
    whole = tokenised(corpus, ["eng", "xho", "zul"], tokenizer, tmp_path)
    for code, shard in whole.items():
        assert sizes[code] == pytest.approx(shard.tokens, rel=0.1)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MEASURE_S", 0.05)
    monkeypatch.setattr(planning, "PRESET_S", 0.0)


@pytest.mark.usefixtures("hurried")
def test_the_smallest_is_measured_and_slow_ones_are_estimated(corpus: Path, tokenizer_dir: Path) -> None:
    threads = planning.torch.get_num_threads()
    found = plan(corpus, tokenizer_dir, 60).candidates
    assert planning.torch.get_num_threads() == threads
    assert [one.preset for one in found] == list(presets())
    assert [one.estimated for one in found] == [False, True, True, True, True]
    speeds = [one.tokens_per_second for one in found]
    assert speeds == sorted(speeds, reverse=True)
    assert 5 < speeds[0] / speeds[3] < 200  # small has 40 times nano's weights


@pytest.mark.usefixtures("hurried")
def test_the_command_proposed_can_be_pasted(corpus: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    output = tmp_path / "a base"
    arguments = ["pretrain", str(corpus), str(tokenizer_dir), "--plan", "--budget", "90s", "-o", str(output)]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0
    assert not output.exists()
    words = shlex.split(next(line for line in shown.stdout.splitlines() if line.startswith("  edgelm ")))
    assert "warning: the budget is enough to read the corpus" in shown.stdout
    trained = CliRunner().invoke(app, [*words[1:], "--steps", "1", "--batch", "1", "--quiet"])
    assert trained.exit_code == 0, trained.output
    assert (output / "model.safetensors").exists()


def test_a_plan_needs_no_output_but_a_new_model(corpus: Path, tokenizer_dir: Path) -> None:
    arguments = ["pretrain", str(corpus), str(tokenizer_dir), "--plan", "--init-from", "base"]
    assert "--init-from does nothing with --plan" in str(CliRunner().invoke(app, arguments).exception)
