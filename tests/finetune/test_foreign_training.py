"""Models made elsewhere go on learning, or it is said in one line why they cannot."""

import json
from pathlib import Path

import foreign
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from edgelm.errors import BadInput
from edgelm.export.ensemble import export_labeller
from edgelm.finetune.config import FinetuneConfig
from edgelm.finetune.examples import answer_item
from edgelm.finetune.finetune import finetune
from edgelm.finetune.head import finetune_head
from edgelm.finetune.lora import ADAPTER, Lora
from edgelm.model.config import read_config
from edgelm.model.decoder import IGNORE
from edgelm.model.directory import load_model
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.pretrain import DataConfig, pretrain
from edgelm.tasks.task import load_task
from edgelm.tokenizer.text import TextTokenizer

CONFIG = FinetuneConfig(steps=2, batch=2, precision="fp32")
TOKENS = torch.arange(60, 100)[None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


def check_same(directory: Path) -> None:
    """transformers computes what edgelm does, of the same family."""
    theirs = AutoModelForCausalLM.from_pretrained(directory).eval()
    with torch.inference_mode():
        torch.testing.assert_close(theirs(TOKENS).logits, load_model(directory)(TOKENS)[0], atol=1e-4, rtol=0)
    assert theirs.config.model_type == read_config(directory).family


@pytest.mark.parametrize("name", ["smollm", "qwen3", "llama"])
def test_the_targets_are_what_the_assistant_says_and_its_end(folder: Path, name: str) -> None:
    text = TextTokenizer(foreign.model_dir(name, folder))
    turns = [("user", "Molo"), ("assistant", "Ewe"), ("user", "Phi?")]
    item = answer_item(turns, "Apha", text, 256)
    learnt = [number for number in item.targets.tolist() if number != IGNORE]
    assert learnt == [*text.encode("Ewe"), text.end, *text.encode("Apha"), text.end]


@pytest.mark.parametrize(("name", "lora"), [("qwen2", Lora(4, 8)), ("qwen3", None), ("llama", Lora(4, 8))])
def test_finetuning(folder: Path, tmp_path: Path, task_file: Path, name: str, lora: Lora | None) -> None:
    directory = foreign.model_dir(name, folder)
    finetune(directory, [load_task(task_file)], tmp_path / "out", config=CONFIG, lora=lora)
    assert read_config(tmp_path / "out") == read_config(directory)
    check_same(tmp_path / "out")
    before, after = (load_file(path / "model.safetensors") for path in (directory, tmp_path / "out"))
    assert before.keys() == after.keys()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert "model.layers.1.self_attn.q_proj.weight" in moved
    assert TextTokenizer(tmp_path / "out").chat("Molo") == TextTokenizer(directory).chat("Molo")
    if lora:
        assert "lm_head.weight" not in moved
        said = json.loads((tmp_path / "out" / ADAPTER / "adapter_config.json").read_text())
        assert "lm_head" not in said["target_modules"]
        peft = pytest.importorskip("peft", reason="adapters are peft's")
        adapted = peft.PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(directory), tmp_path / "out" / ADAPTER
        )
        with torch.inference_mode():
            found = adapted(TOKENS).logits
            expected = load_model(tmp_path / "out")(TOKENS)[0]
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_what_cannot_be_finetuned(folder: Path, tmp_path: Path, task_file: Path) -> None:
    task = load_task(task_file)
    with pytest.raises(BadInput, match="qwen3: is a qwen3, and heads are put on Llamas alone"):
        finetune_head(foreign.model_dir("qwen3", folder), task, tmp_path / "out", config=CONFIG)
    with pytest.raises(BadInput, match="this model has no chat format that edgelm knows"):
        finetune(foreign.model_dir("nine-heads", folder), [task], tmp_path / "out", config=CONFIG)
    assert not (tmp_path / "out").exists()


def test_a_head_on_a_llama_made_elsewhere(folder: Path, tmp_path: Path, task_file: Path) -> None:
    """Its ONNX file, for which the heads of keys and values and their biases are repeated, labels alike."""
    directory = foreign.model_dir("llama", folder)
    finetune_head(directory, load_task(task_file), tmp_path / "out", config=CONFIG)
    found = export_labeller(tmp_path / "out", tmp_path / "files", ["onnx:fp32"])["onnx:fp32"]
    assert found["labels"] == 1
    assert found["logits"] < 1e-4


def test_pretraining_goes_on(folder: Path, tmp_path: Path, replay_corpus: Path) -> None:
    directory = foreign.model_dir("qwen3", folder)
    config = TrainConfig(steps=2, batch=2, precision="fp32")
    pretrain(replay_corpus, directory, tmp_path / "out", init_from=directory, config=config)
    assert read_config(tmp_path / "out") == read_config(directory)
    check_same(tmp_path / "out")
    for data, reason in (
        (DataConfig(both_ways=True), r"lacks <\|spare_13\|>, which --both-ways hides tokens behind"),
        (DataConfig(extend_languages=("zul",)), r"tokenizer\.json: was not made by edgelm, which extends no"),
    ):
        with pytest.raises(BadInput, match=reason) as error:
            pretrain(replay_corpus, directory, tmp_path / "no", init_from=directory, config=config, data=data)
        assert "\n" not in str(error.value)
