import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from edgelm.errors import BadInput
from edgelm.model.card import model_card
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder
from edgelm.model.directory import load_model, save_model, save_weights
from edgelm.tokenizer.text import TextTokenizer


@pytest.fixture(scope="module")
def model(bytes_tokenizer: Path) -> Decoder:
    shape = ModelConfig(TextTokenizer(bytes_tokenizer).vocab_size, 128, 256, 2, 4, 2, 64, rope_theta=3e4)
    decoder = Decoder(shape)
    decoder.init_weights(torch.Generator().manual_seed(5))
    return decoder.eval()


@pytest.fixture
def directory(tmp_path: Path, model: Decoder, bytes_tokenizer: Path) -> Path:
    save_model(model, bytes_tokenizer, tmp_path / "model", "# card\n")
    return tmp_path / "model"


def test_transformers_loads_the_directory(directory: Path, model: Decoder) -> None:
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    llama, found = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True)
    assert type(llama) is LlamaForCausalLM
    assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    assert llama.lm_head.weight is llama.model.embed_tokens.weight
    assert llama.num_parameters() == model.config.parameters
    tokens = torch.arange(40)[None]
    torch.testing.assert_close(llama(tokens).logits, model(tokens)[0], atol=1e-4, rtol=0)
    text = TextTokenizer(directory)
    assert llama.generation_config.eos_token_id == [text.eos, text.end]
    ids = (llama.config.bos_token_id, llama.config.eos_token_id, llama.config.pad_token_id)
    assert ids == (text.bos, text.eos, text.id("<|pad|>"))


def test_generation_is_the_same(directory: Path, model: Decoder) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    llama, tokenizer = (
        AutoModelForCausalLM.from_pretrained(directory),
        AutoTokenizer.from_pretrained(directory),
    )
    prompt = tokenizer("Molo", return_tensors="pt")
    theirs = llama.generate(**prompt, max_new_tokens=12, do_sample=False)[0].tolist()
    ours = prompt["input_ids"][0].tolist()
    while len(ours) < len(theirs):
        ours.append(int(model(torch.tensor([ours]))[0][0, -1].argmax()))
    assert ours == theirs


def test_the_weights_come_back(directory: Path, model: Decoder) -> None:
    loaded = load_model(directory)
    assert loaded.config == model.config
    assert not loaded.training
    assert all(torch.equal(one, loaded.state_dict()[name]) for name, one in model.state_dict().items())


def test_weights_in_half_precision_are_read(directory: Path) -> None:
    path = directory / "model.safetensors"
    save_file({name: weight.half() for name, weight in load_file(path).items()}, path)
    assert {weight.dtype for weight in load_model(directory).parameters()} == {torch.float32}


def test_the_files_of_a_directory(directory: Path, bytes_tokenizer: Path) -> None:
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    others = {"config.json", "generation_config.json", "model.safetensors", "README.md"}
    assert {path.name for path in directory.iterdir()} == tokenizer | others
    for name in tokenizer:
        assert (directory / name).read_bytes() == (bytes_tokenizer / name).read_bytes()
    with safe_open(directory / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 (it is no dictionary)


def test_the_same_weights_are_the_same_bytes(tmp_path: Path, model: Decoder) -> None:
    weights = dict(model.state_dict())
    save_weights(weights, tmp_path / "one.safetensors")
    save_weights(dict(reversed(weights.items())), tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"one.safetensors", "two.safetensors"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def without_norm(path: Path) -> None:
    save_file({name: one for name, one in load_file(path).items() if name != "model.norm.weight"}, path)


def narrower(path: Path) -> None:
    save_file({name: one[..., :64].contiguous() for name, one in load_file(path).items()}, path)


def with_bias(path: Path) -> None:
    save_file({**load_file(path), "model.layers.0.self_attn.q_proj.bias": torch.zeros(128)}, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "no such file. Give a model directory"),
        (cut, "is not a safetensors file"),
        (empty, "is not a safetensors file"),
        (without_norm, "does not fit config.json"),
        (narrower, "does not fit config.json"),
        (with_bias, "does not fit config.json"),
    ],
)
def test_damaged_weights(directory: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(directory / "model.safetensors")
    with pytest.raises(BadInput) as error:
        load_model(directory)
    assert str(error.value).startswith(f"{directory / 'model.safetensors'}: {message}")
    assert "\n" not in str(error.value)


def test_the_card_can_be_read_by_the_hub(model: Decoder) -> None:
    card = model_card("my model", ["zul", "nso", "qaa"], {"zul": 1.23456, "mean": 2.0}, model.config)
    _, front, body = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["language"] == ["zu", "nso", "qaa"]
    assert head["library_name"] == "transformers"
    assert "| isiZulu | 1.235 |" in body
    assert "| mean | 2.000 |" in body
    assert f"{model.config.parameters / 1e6:.1f} M parameters" in body


def test_config_json_names_its_type(directory: Path) -> None:
    value = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    assert value["tie_word_embeddings"] is True
    assert value["dtype"] == "float32"
