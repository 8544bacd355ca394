import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.errors import BadInput
from edgelm.model.config import ModelConfig, get_preset, presets, read_config, to_hugging_face
from edgelm.model.decoder import Decoder

SMALL = ModelConfig(512, 128, 256, 2, 4, 2, 64, rope_theta=5e4, rms_norm_eps=1e-6)


def test_presets_are_what_the_issue_names() -> None:
    millions = {name: round(shape.parameters / 1e6, 1) for name, shape in presets().items()}
    assert list(millions) == ["nano", "micro", "tiny", "small", "125m"]
    assert presets()["125m"].parameters // 10**5 == 1258  # 125.8 M
    for name, about in {"nano": 1, "micro": 3, "tiny": 10, "small": 30}.items():
        assert about * 0.9 <= millions[name] <= about * 1.35, name
    shape = presets()["125m"]
    assert (shape.hidden_size, shape.layers, shape.heads, shape.kv_heads) == (768, 16, 12, 4)
    assert (shape.intermediate_size, shape.vocab_size, shape.context) == (2048, 32768, 2048)


@pytest.mark.parametrize("name", presets())
def test_parameters_is_the_real_count(name: str) -> None:
    with torch.device("meta"):
        model = Decoder(presets()[name])
    assert sum(weight.numel() for weight in model.parameters()) == presets()[name].parameters


@pytest.mark.parametrize("name", presets())
def test_every_row_can_be_quantised(name: str) -> None:
    """K-quants take rows of a multiple of 256; runtimes are quickest with heads of 64."""
    with torch.device("meta"):
        model = Decoder(presets()[name])
    assert presets()[name].head_dim == 64
    assert {weight.shape[1] % 256 for weight in model.parameters() if weight.dim() == 2} == {0}


def test_a_preset_with_another_vocabulary() -> None:
    assert get_preset("nano") == presets()["nano"]
    assert get_preset("nano", 300) == replace(presets()["nano"], vocab_size=300)
    with pytest.raises(
        BadInput, match=r"unknown preset 'huge'\. Choose one of: nano, micro, tiny, small, 125m\."
    ):
        get_preset("huge")


def test_config_json_comes_back(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(to_hugging_face(SMALL, 0, 1, 2)))
    assert read_config(tmp_path) == SMALL


def test_heads_must_divide() -> None:
    for wrong in ({"heads": 3}, {"heads": 4, "kv_heads": 3}):
        with pytest.raises(ValueError, match="do not divide"):
            replace(SMALL, **wrong)
    for name in ("heads", "kv_heads", "layers", "context"):
        with pytest.raises(ValueError, match=f"{name} 0 is too small"):
            replace(SMALL, **{name: 0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "architectures \\['GPT2LMHeadModel'\\]"),
        ({"hidden_size": "wide"}, "does not describe a model that edgelm reads"),
        ({"num_hidden_layers": None}, "does not describe a model that edgelm reads"),
        ({"num_attention_heads": 0}, "heads 0 is too small"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, r"rope_scaling \{'rope_type': 'linear'"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "edgelm reads .'low_freq_factor'"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, r"rope_scaling \{'type': 'yarn'"),
        ({"rope_parameters": {"rope_type": "default", "factor": 2.0}}, "rope_scaling .*'factor'"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "rope_scaling .*full_attention"),
        ({"rope_parameters": [1]}, "does not describe a model that edgelm reads"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"head_dim": 7}, "head_dim 7 is odd"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
        ({"use_sliding_window": True}, "use_sliding_window True"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, r"layer_types \['sliding_attention'\]"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config .*gptq"),
        ({"architectures": ["Qwen3ForCausalLM"], "attention_bias": True}, "attention_bias True beside norms"),
        ({"architectures": ["MistralForCausalLM"]}, r"architectures \['MistralForCausalLM'\]"),
        ({"architectures": ["Qwen3MoeForCausalLM"]}, r"architectures \['Qwen3MoeForCausalLM'\]"),
    ],
)
def test_a_config_of_another_model(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**to_hugging_face(SMALL, 0, 1, 2), **change}))
    with pytest.raises(BadInput, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b'{"vocab_size": 5', b"[]", b"null", b"\xff\xfe", b"{}"])
def test_a_damaged_config(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"config\.json: ") as error:
        read_config(tmp_path)
    assert "\n" not in str(error.value)


def test_an_exported_file_is_no_model_directory(tmp_path: Path) -> None:
    (tmp_path / "model-Q8_0.gguf").write_bytes(b"GGUF")
    with pytest.raises(BadInput, match="is a file, not a model directory"):
        read_config(tmp_path / "model-Q8_0.gguf")
