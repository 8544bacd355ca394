"""LoRA adapters as GGUF: what the file holds, that llama.cpp computes what PyTorch does, a base for many."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import exported
import numpy as np
import pytest
import torch
from adapted import adapted
from safetensors.numpy import load_file, save_file

from edgelm.errors import BadInput, MissingExtra
from edgelm.export import verify
from edgelm.export.adapter import export_adapter, read_adapter
from edgelm.export.export import export
from edgelm.export.gguf import write_gguf
from edgelm.finetune.lora import ADAPTER
from edgelm.runtime import LanguageModel, load
from edgelm.runtime.llama import LlamaCppModel
from edgelm.runtime.sampling import log_softmax

gguf = pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
if not any(map(find_spec, ("llama_cpp", "xllamacpp"))):
    pytest.skip("GGUF files are run with llama-cpp-python or xllamacpp", allow_module_level=True)
pytest.importorskip("peft", reason="peft makes the adapters")

MESSAGE = "Sawubona, ninjani? ḓ"


ASK = """
import sys
from edgelm.runtime import load
model = load(sys.argv[1], adapter=sys.argv[2], threads=1)
print(model.score(model.prompt("Molo"), model.tokenize(" namhlanje sihlobo")).round(4).tolist())
"""


@pytest.fixture(scope="module", autouse=True)
def few_strings() -> Iterator[None]:
    """Tokenisation is tested elsewhere, and a thousand strings a language take a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "STRINGS", 10)
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> dict[str, Path]:
    """Three of one base: `rows` moved the embeddings of the chat's tokens too, the others did not."""
    folder = tmp_path_factory.mktemp("adapted")
    return {
        name: adapted(tiny_model_dir, folder / name, seed, name == "rows")
        for seed, name in enumerate(("rows", "one", "two"))
    }


@pytest.fixture(scope="module")
def exports(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]
) -> dict[str, tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("exports")
    found = {}
    for name, formats in (
        ("rows", ["lora:F32", "lora:F16", "gguf:F32", "gguf:Q8_0"]),
        ("one", ["lora:F32"]),
        ("two", ["lora:F32"]),
    ):
        found[name] = folder / name, export_adapter(models[name], folder / name, formats)
    return found


def logits(model: LanguageModel) -> np.ndarray:
    """Of a chat, so that the chat's tokens are read."""
    return model.session().feed(model.prompt(MESSAGE, chat=True))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    p, q = log_softmax(p), log_softmax(q)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


@pytest.mark.parametrize(("kind", "most"), [("F32", 1e-6), ("F16", 1e-5)])
def test_llama_cpp_computes_what_pytorch_does_with_the_adapter_merged(
    models: dict[str, Path], exports: dict[str, tuple[Path, dict[str, Any]]], kind: str, most: float
) -> None:
    folder, figures = exports["rows"]
    merged, base = load(models["rows"]), folder / "base" / "model-F32.gguf"
    model = load(base, adapter=folder / f"adapter-{kind}.gguf")
    assert abs(kl(logits(merged), logits(model))) < most
    assert abs(kl(logits(merged), logits(load(base)))) > 1e-3
    assert figures[f"lora:{kind}"]["kl"] <= most
    assert json.loads((folder / "verification.json").read_text(encoding="utf-8")).keys() == {
        "lora:F32",
        "lora:F16",
    }
    assert figures["base gguf:Q8_0"]["bytes"] == (folder / "base" / "model-Q8_0.gguf").stat().st_size


def test_the_file_is_llama_cpps(tiny_model_dir: Path, exports: dict[str, tuple[Path, Any]]) -> None:
    reader = gguf.GGUFReader(exports["rows"][0] / "adapter-F16.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.type"] == "adapter"
    assert fields["general.architecture"] == "llama"
    assert fields["adapter.type"] == "lora"
    assert fields["adapter.lora.alpha"] == 12
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    names = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    assert tensors.keys() == {
        f"blk.{layer}.{name}.weight.lora_{side}" for layer in (0, 1) for name in names for side in "ab"
    }
    assert {tensor.tensor_type.name for tensor in reader.tensors} == {"F16"}
    assert list(tensors["blk.0.attn_k.weight.lora_a"].shape) == [256, 4]
    assert list(tensors["blk.0.attn_k.weight.lora_b"].shape) == [4, 128]


def test_one_base_serves_several_adapters_that_are_changed_while_it_is_loaded(
    tmp_path: Path,
    tiny_model_dir: Path,
    models: dict[str, Path],
    exports: dict[str, tuple[Path, Any]],
) -> None:
    write_gguf(tiny_model_dir, tmp_path / "base-F32.gguf", "F32")  # as any export of the base has it
    model = load(tmp_path / "base-F32.gguf")
    plain = logits(model)
    for name in ("one", "two", "one"):
        model.use_adapter(exports[name][0] / "adapter-F32.gguf")
        assert abs(kl(logits(load(models[name])), logits(model))) < 1e-6
        assert model.name == "GGUF base-F32 with adapter-F32"
    model.use_adapter(None)
    assert model.name == "GGUF base-F32"
    assert np.array_equal(logits(model), plain)
    session = model.session()
    session.feed([model.bos])
    model.use_adapter(exports["two"][0] / "adapter-F32.gguf")
    with pytest.raises(Exception, match="this one has ended"):  # or half of it were of the adapter before
        session.feed([model.bos])


def test_an_adapter_that_does_not_go_on_the_base(
    tmp_path: Path, exports: dict[str, tuple[Path, Any]], models: dict[str, Path], tiny_gguf: Path
) -> None:
    rows, one = (exports[name][0] for name in ("rows", "one"))
    with pytest.raises(BadInput, match=r"adapter-F32.gguf: was trained on another base"):
        load(rows / "base" / "model-F32.gguf", adapter=one / "adapter-F32.gguf")
    with pytest.raises(BadInput, match="was trained on another base"):
        load(tiny_gguf, adapter=rows / "adapter-F32.gguf")
    with pytest.raises(BadInput, match=r"no-such.gguf: is no file"):
        load(tiny_gguf, adapter=tmp_path / "no-such.gguf")
    with pytest.raises(BadInput, match=r"is not an adapter that llama.cpp can put on this model"):
        load(tiny_gguf, adapter=tiny_gguf)
    data = (one / "adapter-F32.gguf").read_bytes()
    for number, damaged in enumerate((b"", data[: len(data) // 2], b"GGUF" + bytes(64))):
        (tmp_path / f"{number}.gguf").write_bytes(damaged)
        with pytest.raises(BadInput, match=r"is not (a whole GGUF file|an adapter)"):
            load(tiny_gguf, adapter=tmp_path / f"{number}.gguf")
    with pytest.raises(BadInput, match=r"an adapter goes on a .gguf file"):
        load(models["one"], adapter=one / "adapter-F32.gguf")


def test_an_adapter_of_the_embedding_is_refused_before_llama_cpp_stops_the_process(
    tmp_path: Path, tiny_gguf: Path
) -> None:
    writer = gguf.GGUFWriter(tmp_path / "rows.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8)
    writer.add_tensor("token_embd.weight.lora_a", np.ones((512, 4), dtype=np.float32))
    writer.add_tensor("token_embd.weight.lora_b", np.ones((256, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(BadInput, match=r"adapts the embedding, which llama.cpp cannot do"):
        load(tiny_gguf, adapter=tmp_path / "rows.gguf")


@pytest.fixture
def foreign(tmp_path: Path, models: dict[str, Path], tiny_model_dir: Path) -> Iterator[Path]:
    """An adapter as peft writes one around transformers' model, of some layers, ranks and strengths."""
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers", reason="loads the base model")
    base = transformers.LlamaForCausalLM.from_pretrained(tiny_model_dir)
    config = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["q_proj", "k_proj", "down_proj"],
        rank_pattern={"layers.1.self_attn.k_proj": 2},
        alpha_pattern={"k_proj": 3},
        use_rslora=True,
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(3)
    peft.get_peft_model(base, config).save_pretrained(tmp_path / "peft")
    return tmp_path / "peft"


def test_peft_directories_from_elsewhere(tmp_path: Path, foreign: Path, tiny_model_dir: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers", reason="loads the base model")
    export_adapter(foreign, tmp_path / "out", ["lora:F32", "gguf:F32"])
    model = load(tmp_path / "out" / "base" / "model-F32.gguf", adapter=tmp_path / "out" / "adapter-F32.gguf")
    base = transformers.LlamaForCausalLM.from_pretrained(tiny_model_dir)
    theirs = peft.PeftModel.from_pretrained(base, foreign)
    ids = model.prompt(MESSAGE, chat=True)
    with torch.no_grad():
        wanted = theirs(torch.tensor([ids])).logits[0].numpy()
    assert abs(kl(wanted, model.session().feed(ids))) < 1e-6
    assert np.abs(wanted - model.session().feed(ids)).max() < 1e-3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "is not plain LoRA: use_dora"),
        ({"bias": "all"}, "is not plain LoRA: bias all"),
        ({"peft_type": "IA3"}, "is not plain LoRA: IA3"),
        ({"modules_to_save": ["lm_head"]}, "is not plain LoRA: modules_to_save"),
        ({"base_model_name_or_path": "/no/such"}, "its base model /no/such is not there"),
        ({"trainable_token_indices": {"embed_tokens": [1]}}, "has 5 rows for 1 tokens"),
        ({"lora_alpha": "x"}, "is no LoRA adapter"),
    ],
)
def test_adapters_that_are_not_taken(
    tmp_path: Path, models: dict[str, Path], change: dict[str, Any], said: str
) -> None:
    folder = Path(shutil.copytree(models["rows"] / ADAPTER, tmp_path / "adapter"))
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(BadInput, match=said):
        read_adapter(folder)


def test_what_else_an_adapter_may_not_hold(
    tmp_path: Path, models: dict[str, Path], tiny_model_dir: Path
) -> None:
    with pytest.raises(BadInput, match="is no LoRA adapter"):
        read_adapter(tiny_model_dir)
    folder = Path(shutil.copytree(models["one"] / ADAPTER, tmp_path / "adapter"))
    weights = load_file(folder / "adapter_model.safetensors")
    key = next(name for name in weights if name.endswith("layers.0.mlp.up_proj.lora_B.weight"))
    path = folder / "adapter_model.safetensors"
    save_file({**weights, "base_model.model.lm_head.weight": weights[key]}, path)
    with pytest.raises(BadInput, match=r"trains lm_head.weight too"):
        read_adapter(folder)
    save_file({**weights, key: weights[key][:, :3].copy()}, path)
    with pytest.raises(BadInput, match="up_proj has no two matrices that fit"):
        read_adapter(folder)
    save_file({**weights, key: weights[key][:9].copy()}, path)
    with pytest.raises(BadInput, match=r"up_proj.weight is no linear layer of the base"):
        export_adapter(folder, tmp_path / "out", ["lora:F16"])
    assert not (tmp_path / "out").exists()


def test_a_base_that_changed_since_is_noticed(
    tmp_path: Path, models: dict[str, Path], tiny_model_dir: Path
) -> None:
    base = Path(shutil.copytree(tiny_model_dir, tmp_path / "base"))
    model = Path(shutil.copytree(models["one"], tmp_path / "model"))
    path = model / ADAPTER / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": str(base)}
    path.write_text(json.dumps(config), encoding="utf-8")
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] + np.float32(0.01)
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match="was not made from the base as it is now"):
        export_adapter(model, tmp_path / "out", ["lora:F16"])


def test_the_prebuilt_library_puts_adapters_on_too(exports: dict[str, tuple[Path, Any]]) -> None:
    pytest.importorskip("xllamacpp", reason="GGUF files are run without a compiler with xllamacpp")
    folder, _ = exports["rows"]
    paths = [str(folder / "base" / "model-F32.gguf"), str(folder / "adapter-F32.gguf")]
    told = {
        blocked: subprocess.run(
            exported.python(ASK, *paths, blocked=blocked), capture_output=True, text=True, check=True
        ).stdout
        for blocked in ((), ("llama_cpp",))
    }
    assert told["llama_cpp",] == told[()] != ""


def test_the_prebuilt_library_verifies_what_is_exported(
    tmp_path: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xllamacpp", reason="GGUF files are run without a compiler with xllamacpp")
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    found = export_adapter(models["one"], tmp_path / "out", ["lora:F32", "gguf:Q8_0"])
    assert found["lora:F32"]["kl"] < 1e-6
    model = load(tmp_path / "out" / "base" / "model-Q8_0.gguf", adapter=tmp_path / "out" / "adapter-F32.gguf")
    assert isinstance(model, LlamaCppModel)
    assert isinstance(model.cpp, SimpleNamespace)  # it was the prebuilt one indeed
    model.close()
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtra, match=r"gguf-prebuilt.*edgelm\[gguf\]"):
        export_adapter(models["one"], tmp_path / "none", ["lora:F32"])
    assert not (tmp_path / "none").exists()


def test_an_adapter_of_a_qwen_goes_on_it(tmp_path: Path) -> None:
    import foreign as elsewhere

    base = elsewhere.model_dir("qwen2", tmp_path)
    model = adapted(base, tmp_path / "adapted", 0, False)
    export_adapter(model, tmp_path / "out", ["lora:F32"])
    write_gguf(base, tmp_path / "base-F32.gguf", "F32")
    loaded = load(tmp_path / "base-F32.gguf", adapter=tmp_path / "out" / "adapter-F32.gguf")
    assert abs(kl(logits(load(model)), logits(loaded))) < 1e-5
    with pytest.raises(BadInput, match="lora:F32 is of a model with an adapter"):
        export(base, tmp_path / "none", ["lora:F32"])
