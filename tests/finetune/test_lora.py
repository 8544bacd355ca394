"""An adapter learns, leaves the model below it alone, and is one that peft loads."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from edgelm.errors import BadInput
from edgelm.evaluate.evaluate import evaluate
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.finetune import finetune
from edgelm.finetune.lora import ADAPTER, Lora, add_adapter, save_adapter
from edgelm.model.directory import load_model
from edgelm.tasks.task import load_task
from edgelm.tokenizer.special import NAMED
from edgelm.tokenizer.text import TextTokenizer

pytest.importorskip("peft", reason="peft makes the adapters")

CONFIG = FinetuneConfig(
    steps=30, batch=8, learning_rate=0.02, warmup=5, seed=2, precision="fp32", compile="off"
)
LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.fixture(scope="module")
def finetuned(
    tmp_path_factory: pytest.TempPathFactory, base_model: Path, task_file: Path
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("lora") / "model"
    return folder, finetune(base_model, [load_task(task_file)], folder, config=CONFIG, lora=Lora(4, 8))


def test_an_adapter_learns_the_task_and_is_evaluated_like_any_model(
    tmp_path: Path, finetuned: tuple[Path, dict[str, Any]], task_file: Path
) -> None:
    folder, figures = finetuned
    assert figures["tasks"]["made-up"]["macro_f1"] > 0.6
    again = evaluate(folder, tmp_path / "out", tasks=[load_task(task_file)], split="validation")
    assert again["tasks"]["made-up"]["macro_f1"] == figures["tasks"]["made-up"]["macro_f1"]


def test_only_linear_layers_differ_and_by_no_more_than_the_rank(
    finetuned: tuple[Path, dict[str, Any]], base_model: Path
) -> None:
    before, after = (load_file(path / "model.safetensors") for path in (base_model, finetuned[0]))
    assert set(before) == set(after)
    for name, weight in after.items():
        if name.split(".")[-2] in LINEAR:
            assert torch.linalg.matrix_rank(weight - before[name], rtol=1e-3) == 4, name
        elif "embed_tokens" in name:
            one = TextTokenizer(base_model)
            moved = (weight != before[name]).any(1).nonzero().squeeze(1).tolist()
            assert moved == sorted(map(one.id, NAMED[:1] + NAMED[3:]))
        else:
            assert torch.equal(weight, before[name]), name


def test_training_moves_nothing_but_the_adapter(base_model: Path) -> None:
    decoder = load_model(base_model)
    before = {name: weight.clone() for name, weight in decoder.named_parameters()}
    add_adapter(decoder, Lora(4), seed=0)
    optimizer = torch.optim.SGD(decoder.parameters(), lr=0.1)
    ids = torch.arange(3, 43)[None]
    for _ in range(2):
        decoder.train().loss(ids, ids).backward()
        optimizer.step()
        optimizer.zero_grad()
    now = dict(decoder.named_parameters())
    for name, weight in before.items():
        place, _, kind = name.rpartition(".")
        wrapped = f"{place}.base_layer.{kind}"
        assert torch.equal(now.pop(wrapped if wrapped in now else name), weight), name
    assert len(now) == 2 * 7 * decoder.config.layers
    assert all(weight.abs().sum() > 0 for weight in now.values())


def test_peft_loads_the_adapter_on_transformers_model(
    finetuned: tuple[Path, dict[str, Any]], base_model: Path
) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers", reason="loads the base model")
    folder, _ = finetuned
    base = transformers.LlamaForCausalLM.from_pretrained(base_model)
    model = peft.PeftModel.from_pretrained(base, folder / ADAPTER)
    ids = torch.arange(3, 63).view(2, 30)
    with torch.no_grad():
        merged, _ = load_model(folder)(ids)
        assert (model(ids).logits - merged).abs().max() < 1e-4
        with model.disable_adapter():
            assert (model(ids).logits - merged).abs().max() > 0.1


def test_the_adapter_is_as_peft_writes_one(finetuned: tuple[Path, dict[str, Any]], base_model: Path) -> None:
    folder, _ = finetuned
    config = json.loads((folder / ADAPTER / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["peft_type"] == "LORA"
    assert (config["r"], config["lora_alpha"], config["task_type"]) == (4, 8, "CAUSAL_LM")
    assert config["target_modules"] == sorted(LINEAR)  # in no order of chance
    assert config["base_model_name_or_path"] == str(base_model)
    weights = load_file(folder / ADAPTER / "adapter_model.safetensors")
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in weights
    assert len(weights) == 2 * 7 * 2 + 1  # and the tokens of the chat format
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "tokenizer.json", "README.md"}
    assert not list(folder.glob("checkpoint-*"))
    assert "library_name: peft\n" in (folder / ADAPTER / "README.md").read_text(encoding="utf-8")
    assert "library_name: transformers\n" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_adapter(tmp_path: Path, base_model: Path) -> None:
    found = []
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        decoder = load_model(base_model)
        before = torch.random.get_rng_state()
        save_adapter(add_adapter(decoder, Lora(4), seed), base_model, tmp_path / name)
        assert torch.equal(before, torch.random.get_rng_state())
        found.append((tmp_path / name / "adapter_model.safetensors").read_bytes())
    assert found[0] == found[1] != found[2]


def test_frozen_layers_get_no_adapter(base_model: Path) -> None:
    decoder = load_model(base_model)
    add_adapter(decoder, Lora(4), seed=0, freeze=1)
    trained = [name for name, weight in decoder.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 7
    assert all(name.startswith("model.layers.1.") for name in trained)


def test_what_does_not_go_together(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    with pytest.raises(BadInput, match=r"--rank 0 is out of range"):
        Lora(rank=0)
    with pytest.raises(BadInput, match=r"--alpha 0 is out of range"):
        Lora(alpha=0)
    with pytest.raises(
        BadInput, match=r"--freeze 2 leaves no layer of the model's 2 to an adapter\. Give at"
    ):
        add_adapter(load_model(base_model), Lora(), seed=0, freeze=2)
    config = FinetuneConfig(steps=1, batch=1, reinit=1)
    with pytest.raises(BadInput, match="--reinit does nothing with an adapter"):
        finetune(base_model, [load_task(task_file)], tmp_path / "out", config=config, lora=Lora())


def test_a_shared_base_keeps_the_chats_tokens(tmp_path: Path, base_model: Path, task_file: Path) -> None:
    config = FinetuneConfig(steps=2, batch=2, learning_rate=0.02, warmup=0, precision="fp32", compile="off")
    lora = Lora(4, 8, shared_base=True)
    finetune(base_model, [load_task(task_file)], tmp_path / "out", config=config, lora=lora)
    before, after = (load_file(path / "model.safetensors") for path in (base_model, tmp_path / "out"))
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    assert any(not torch.equal(before[name], after[name]) for name in before)
    weights = load_file(tmp_path / "out" / ADAPTER / "adapter_model.safetensors")
    assert all(".lora_" in name for name in weights)
