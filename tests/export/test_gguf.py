"""What the GGUF files hold, read with the `gguf` package, and loaded by llama.cpp."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, dequantize
from safetensors.numpy import load_file

from edgelm.export.gguf import write_gguf
from edgelm.runtime import load
from edgelm.tokenizer.special import CHAT_TEMPLATE
from edgelm.tokenizer.text import TextTokenizer

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "blk.{n}.attn_norm": "model.layers.{n}.input_layernorm",
    "blk.{n}.attn_q": "model.layers.{n}.self_attn.q_proj",
    "blk.{n}.attn_k": "model.layers.{n}.self_attn.k_proj",
    "blk.{n}.attn_v": "model.layers.{n}.self_attn.v_proj",
    "blk.{n}.attn_output": "model.layers.{n}.self_attn.o_proj",
    "blk.{n}.ffn_norm": "model.layers.{n}.post_attention_layernorm",
    "blk.{n}.ffn_gate": "model.layers.{n}.mlp.gate_proj",
    "blk.{n}.ffn_up": "model.layers.{n}.mlp.up_proj",
    "blk.{n}.ffn_down": "model.layers.{n}.mlp.down_proj",
}
HEADS = {"attn_q": 4, "attn_k": 2}
PAIRS = {
    f"{gguf.format(n=n)}.weight": f"{ours.format(n=n)}.weight" for gguf, ours in NAMES.items() for n in (0, 1)
}
KINDS = ("F32", "F16", "Q8_0", "Q4_K_M")


@pytest.fixture(scope="module")
def readers(export_dir: Path) -> dict[str, GGUFReader]:
    return {kind: GGUFReader(export_dir / f"model-{kind}.gguf") for kind in KINDS}


def undo_rotary(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp turns rows 2i and 2i + 1 of a head together, transformers rows i and i + half."""
    size = len(weight) // heads
    rows = [
        head * size + 2 * (i % (size // 2)) + i // (size // 2) for head in range(heads) for i in range(size)
    ]
    return weight[rows]


@pytest.mark.parametrize(("kind", "error"), [("F32", 0.0), ("F16", 1e-3), ("Q8_0", 1e-2), ("Q4_K_M", 0.1)])
def test_tensors_are_the_weights(
    model_dir: Path, readers: dict[str, GGUFReader], kind: str, error: float
) -> None:
    weights = load_file(model_dir / "model.safetensors")
    tensors = {tensor.name: tensor for tensor in readers[kind].tensors}
    assert tensors.keys() == PAIRS.keys()
    assert set(PAIRS.values()) == weights.keys()
    for name, ours in PAIRS.items():
        found = dequantize(tensors[name].data, tensors[name].tensor_type).reshape(weights[ours].shape)
        heads = HEADS.get(name.split(".")[-2], 0)
        found = undo_rotary(found, heads) if heads else found
        difference = np.linalg.norm(found - weights[ours]) / np.linalg.norm(weights[ours])
        assert difference <= error, name


def test_matrices_have_the_type_they_should(readers: dict[str, GGUFReader]) -> None:
    types = {
        kind: {tensor.name: tensor.tensor_type for tensor in reader.tensors}
        for kind, reader in readers.items()
    }
    for name in types["F32"]:
        found = {kind: types[kind][name].name for kind in KINDS}
        if "norm" in name:
            assert set(found.values()) == {"F32"}, name
        else:
            assert (found["F32"], found["F16"], found["Q8_0"]) == ("F32", "F16", "Q8_0"), name
            assert found["Q4_K_M"] in ("Q4_K", "Q6_K"), name
    assert types["Q4_K_M"]["blk.0.attn_q.weight"] is GGMLQuantizationType.Q4_K


@pytest.mark.parametrize("kind", KINDS)
def test_metadata(model_dir: Path, readers: dict[str, GGUFReader], kind: str) -> None:
    fields = {name: field.contents() for name, field in readers[kind].fields.items()}
    config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    tokenizer = TextTokenizer(model_dir)
    expected = {
        "general.architecture": "llama",
        "general.file_type": {"F32": 0, "F16": 1, "Q8_0": 7, "Q4_K_M": 15}[kind],
        "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.block_count": config["num_hidden_layers"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": config["num_attention_heads"],
        "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.attention.layer_norm_rms_epsilon": pytest.approx(config["rms_norm_eps"]),
        "llama.rope.dimension_count": config["head_dim"],
        "llama.rope.freq_base": config["rope_theta"],
        "llama.vocab_size": config["vocab_size"],
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.bos_token_id": tokenizer.bos,
        "tokenizer.ggml.eos_token_id": tokenizer.eos,
        "tokenizer.ggml.eot_token_id": tokenizer.end,
        "tokenizer.ggml.padding_token_id": tokenizer.id("<|pad|>"),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    assert {name: fields[name] for name in expected} == expected


def test_special_tokens_are_control_tokens(model_dir: Path, readers: dict[str, GGUFReader]) -> None:
    fields = readers["Q8_0"].fields
    tokens, kinds = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type"))
    vocabulary = TextTokenizer(model_dir).tokenizer.get_vocab()
    assert {token: number for number, token in enumerate(tokens)} == vocabulary
    control = {token for token, kind in zip(tokens, kinds, strict=True) if kind == 3}
    assert control == {token for token in vocabulary if token.startswith("<|") and token.endswith("|>")}


def test_chat_template_makes_the_prompt(model_dir: Path, export_dir: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    message = [{"role": "user", "content": "Molo, unjani? ḓ"}]
    ids = tokenizer.apply_chat_template(message, add_generation_prompt=True)
    for path in (export_dir / "model-Q8_0.gguf", export_dir / "onnx" / "int8"):
        model = load(path)
        assert model.prompt(message[0]["content"], chat=True) == ids
        model.close()


def test_writing_is_deterministic(tmp_path: Path, model_dir: Path, export_dir: Path) -> None:
    write_gguf(model_dir, tmp_path / "again.gguf", "F16")
    assert (tmp_path / "again.gguf").read_bytes() == (export_dir / "model-F16.gguf").read_bytes()


def test_the_file_says_what_it_is(tmp_path: Path, model_dir: Path) -> None:
    model = Path(shutil.copytree(model_dir, tmp_path / "a-model"))
    (model / "README.md").unlink(missing_ok=True)
    (model / "edgelm.json").unlink(missing_ok=True)
    assert general(model, tmp_path / "bare.gguf") == {"name": "a-model", "size_label": "1.3M"}
    front = {"license": "cc-by-4.0", "language": ["zu", "no"], "tags": ["edgelm"], "pipeline_tag": "x"}
    (model / "README.md").write_text(
        f"---\n{json.dumps(front)}\n---\n\n# A title\n\n# Another\n", encoding="utf-8"
    )
    config = {"method": "lora", "tasks": [{"name": "topic"}], "steps": 3, "batch": 2}
    provenance = {
        "command": "finetune",
        "digest": "",
        "versions": {"edgelm": "1.2"},
        "config": config,
        "results": {"validation_bits_per_byte": {"zul": 1.4, "mean": 1.5}},
    }
    (model / "edgelm.json").write_text(json.dumps(provenance), encoding="utf-8")
    assert general(model, tmp_path / "said.gguf") == {
        "name": "A title",
        "size_label": "1.3M",
        "license": "cc-by-4.0",
        "languages": ["zu", "no"],
        "tags": ["edgelm"],
        "description": "edgelm 1.2 finetune, on topic (lora), 3 steps of 2 sequences, "
        "1.5 bits per byte on validation text",
    }
    for damaged in ("no front matter", "---\n- a list\n---\n", "---\n{\n---\n"):
        (model / "README.md").write_text(damaged, encoding="utf-8")
        assert general(model, tmp_path / "damaged.gguf")["name"] == "a-model"


def general(model: Path, path: Path) -> dict[str, object]:
    write_gguf(model, path, "F16")
    fields = GGUFReader(path).fields
    said = {
        key.removeprefix("general."): one.contents()
        for key, one in fields.items()
        if key.startswith("general.")
    }
    return {key: value for key, value in said.items() if key not in ("architecture", "file_type")}
