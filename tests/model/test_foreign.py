"""Models made elsewhere, read by edgelm's own decoder: as transformers computes them."""

import json
import os
from pathlib import Path
from typing import Any

import foreign
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from edgelm.errors import BadInput
from edgelm.model.config import ModelConfig, read_config, to_hugging_face
from edgelm.model.decoder import Decoder
from edgelm.model.directory import load_model, save_model
from edgelm.runtime import load
from edgelm.runtime.torch import TorchModel

TOKENS = torch.randint(0, foreign.VOCAB_SIZE, (2, 60), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


def logits(directory: Path) -> torch.Tensor:
    with torch.inference_mode():
        return load_model(directory)(TOKENS)[0]


def theirs(directory: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(TOKENS).logits


@pytest.mark.parametrize("name", foreign.MODELS)
def test_logits_are_those_of_transformers(folder: Path, name: str) -> None:
    directory = foreign.model_dir(name, folder)
    expected = theirs(directory)
    assert expected.std() > 1  # not all alike
    torch.testing.assert_close(logits(directory), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", foreign.MODELS)
def test_the_shape_is_the_real_one(folder: Path, name: str) -> None:
    directory = foreign.model_dir(name, folder)
    shape = read_config(directory)
    model = AutoModelForCausalLM.from_pretrained(directory)
    assert shape.parameters == model.num_parameters()
    assert shape.family == model.config.model_type
    assert shape.tied == (model.lm_head.weight is model.model.embed_tokens.weight)


@pytest.mark.parametrize("name", foreign.MODELS)
def test_a_saved_copy_is_the_same_model(folder: Path, tmp_path: Path, name: str) -> None:
    directory = foreign.model_dir(name, folder)
    save_model(load_model(directory), directory, tmp_path / "copy", "# copy\n")
    assert read_config(tmp_path / "copy") == read_config(directory)
    torch.testing.assert_close(theirs(tmp_path / "copy"), theirs(directory), atol=0, rtol=0)


@pytest.mark.parametrize("name", ["qwen3", "llama"])
def test_a_cache_and_documents_change_nothing(folder: Path, name: str) -> None:
    decoder = load_model(foreign.model_dir(name, folder))
    with torch.inference_mode():
        whole, _ = decoder(TOKENS)
        first, cache = decoder(TOKENS[:, :25])
        second, _ = decoder(TOKENS[:, 25:], past=cache)
        apart, _ = decoder(TOKENS, documents=torch.zeros_like(TOKENS))
    torch.testing.assert_close(torch.cat((first, second), 1), whole, atol=1e-4, rtol=0)
    torch.testing.assert_close(apart, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_in_several_files(tmp_path: Path, dtype: str) -> None:
    foreign.save_model("qwen3", tmp_path, dtype=dtype, shard="600KB")
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 1
    assert not (tmp_path / "model.safetensors").exists()
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == dtype
    assert {weight.dtype for weight in load_model(tmp_path).parameters()} == {torch.float32}
    torch.testing.assert_close(logits(tmp_path), theirs(tmp_path), atol=1e-4, rtol=0)


def test_an_embedding_that_is_stored_twice_and_what_old_files_hold(tmp_path: Path) -> None:
    foreign.save_model("smollm", tmp_path)
    expected = logits(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    more = {
        "lm_head.weight": weights["model.embed_tokens.weight"].clone(),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(32),
    }
    save_file({**weights, **more}, path)
    torch.testing.assert_close(logits(tmp_path), expected, atol=0, rtol=0)


def five(config: dict[str, Any]) -> dict[str, Any]:
    """A `config.json` as transformers 5 writes it."""
    config = dict(config)
    kind = config.pop("rope_scaling", None) or {"rope_type": "default"}
    config["rope_parameters"] = {**kind, "rope_theta": config.pop("rope_theta")}
    return config


def old(config: dict[str, Any]) -> dict[str, Any]:
    """As transformers 4 wrote it at first, leaving out what can be inferred."""
    config = {**config, "torch_dtype": config["dtype"]}
    for key in ("dtype", "head_dim", "layer_types", "tie_word_embeddings"):
        config.pop(key, None)
    return config


@pytest.mark.parametrize(
    ("name", "change"), [("qwen2", five), ("qwen3", five), ("smollm", five), ("long", five), ("llama", old)]
)
def test_a_config_of_another_version(tmp_path: Path, name: str, change: Any) -> None:
    foreign.save_model(name, tmp_path)
    shape = read_config(tmp_path)
    assert shape.rope_theta == 20_000.0
    path = tmp_path / "config.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    assert read_config(tmp_path) == shape


def test_a_config_without_key_value_heads_has_as_many_as_queries(tmp_path: Path) -> None:
    shape = ModelConfig(512, 128, 256, 2, 4, 4, 64)
    said = to_hugging_face(shape, 0, 1, 2)
    del said["num_key_value_heads"]
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert read_config(tmp_path) == shape


@pytest.mark.parametrize(
    "change",
    [{}, {"qkv_bias": True}, {"qkv_bias": True, "o_bias": True, "mlp_bias": True}, {"qk_norm": True}],
)
@pytest.mark.parametrize("tied", [True, False])
def test_parameters_is_the_real_count(change: dict[str, bool], tied: bool) -> None:
    shape = ModelConfig(100, 48, 64, 3, 3, 1, 16, head_size=22, tied=tied, **change)
    with torch.device("meta"):
        assert sum(weight.numel() for weight in Decoder(shape).parameters()) == shape.parameters


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo exploded > exploded",)


def test_pickle_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign.save_model("smollm", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(Bomb(), tmp_path / "pytorch_model.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        BadInput, match=r"pytorch_model\.bin: is pickle, which can run code and is never loaded"
    ):
        load(tmp_path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not an index of weights"),
        ("[]", "is not an index of weights"),
        ('{"weight_map": {"a": 5}}', "is not an index of weights"),
        ('{"weight_map": {"a": "../../model.safetensors"}}', "is no name of a file beside it"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "is no name of a file beside it"),
        ('{"weight_map": {"a": "gone.safetensors"}}', r"gone\.safetensors: no such file"),
        ('{"weight_map": {}}', "does not fit config.json"),
    ],
)
def test_a_damaged_index(folder: Path, tmp_path: Path, content: str, message: str) -> None:
    directory = foreign.model_dir("smollm", folder)
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(BadInput, match=message) as error:
        load_model(tmp_path)
    assert "\n" not in str(error.value)


def test_more_tokens_than_rows(tmp_path: Path) -> None:
    foreign.save_model("smollm", tmp_path)
    foreign.save_tokenizer("smollm", tmp_path)
    path = tmp_path / "tokenizer.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    said["added_tokens"].append({**said["added_tokens"][-1], "id": foreign.VOCAB_SIZE, "content": "<|new|>"})
    path.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(BadInput, match=r"tokenizer\.json: has 641 tokens, the model only 640"):
        TorchModel.open(tmp_path)
