"""Models made elsewhere as GGUF and ONNX: verified against PyTorch, or refused with the reason."""

import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest
import torch
import transformers
from gguf import GGUFReader, GGUFWriter
from tokenizers import normalizers, pre_tokenizers

from edgelm.cli import main
from edgelm.errors import BadInput
from edgelm.export import verify as verifying
from edgelm.export.export import export
from edgelm.export.gguf import quantize_gguf, write_gguf
from edgelm.export.importance import measure
from edgelm.export.onnx import write_onnx
from edgelm.export.prune import prune
from edgelm.export.strings import hard_strings
from edgelm.export.verify import check_size, verify
from edgelm.model.directory import load_model
from edgelm.runtime import Generation, llama, load
from edgelm.runtime.torch import TorchModel
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.texts import sample_texts

LANGUAGES = ("ven", "afr")
PRE = {
    "smollm": "smollm",
    "long": "smollm",
    "nine-heads": "gpt-2",
    "llama": "llama-bpe",
    "qwen2": "qwen2",
    "qwen3": "qwen2",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verification takes a second of them; a thousand strings a language are for those who export."""
    real = verifying.verification_texts
    monkeypatch.setattr(verifying, "STRINGS", 60)
    monkeypatch.setattr(verifying, "LOGIT_DOCUMENTS", 2)
    monkeypatch.setattr(
        verifying,
        "verification_texts",
        lambda languages=(): {code: own[:20] for code, own in real(LANGUAGES).items()},
    )


@pytest.mark.parametrize("name", foreign.MODELS)
def test_gguf(folder: Path, tmp_path: Path, name: str) -> None:
    directory = foreign.model_dir(name, folder)
    reference = TorchModel.open(directory)
    shape = reference.model.config
    whole = tmp_path / "model-F32.gguf"
    write_gguf(directory, whole, "F32")
    fields = {key: field.contents() for key, field in GGUFReader(whole).fields.items()}
    family = foreign.MODELS[name][0].lower()
    assert fields["general.architecture"] == family
    assert fields["tokenizer.ggml.pre"] == PRE[name]
    assert fields[f"{family}.rope.dimension_count"] == shape.head_dim
    if shape.head_size:
        assert fields[f"{family}.attention.key_length"] == shape.head_dim
        assert fields[f"{family}.attention.value_length"] == shape.head_dim
    for kind in ("F32", "Q8_0", "Q4_K_M"):
        artifact = tmp_path / f"model-{kind}.gguf"
        if kind != "F32":
            quantize_gguf(whole, artifact, kind)
        check_size(artifact, f"gguf:{kind}", shape)
        verify(reference, directory, artifact, f"gguf:{kind}")
        written = load(artifact)
        for fact in ("bos", "adds_bos", "eos", "end", "endings", "chat_format", "context", "vocab_size"):
            assert getattr(written, fact) == getattr(reference, fact), fact
        assert written.language_tag("xyz") is reference.language_tag("xyz") is None  # a token, but of text
        written.close()
    names = {tensor.name for tensor in GGUFReader(whole).tensors}
    assert ("output.weight" in names) == (not shape.tied)
    if not shape.tied:
        with pytest.raises(verifying.Unfit, match="Is a tied weight stored twice"):
            check_size(whole, "gguf:F32", replace(shape, tied=True))


@pytest.mark.parametrize("name", foreign.MODELS)
def test_tokens_of_every_language_are_equal(folder: Path, tmp_path: Path, name: str) -> None:
    directory = foreign.model_dir(name, folder)
    write_gguf(directory, tmp_path / "model-F16.gguf", "F16")
    written, text = load(tmp_path / "model-F16.gguf", threads=1), TextTokenizer(directory)
    strings = [one for own in sample_texts().values() for one in hard_strings(own, 150)]
    strings += [f"a {token}b" for token in text.added]
    for one, ids in zip(strings, text.encode_batch(strings), strict=True):
        assert written.tokenize(one) == ids, one
    for token in range(text.vocab_size):
        assert written.token_bytes(token) == text.bytes_of[token], token
    written.close()


def test_half_precision_in_several_files(tmp_path: Path) -> None:
    foreign.save_model("qwen2", tmp_path / "model", dtype="bfloat16", shard="600KB")
    write_gguf(tmp_path / "model", tmp_path / "model-F32.gguf", "F32")
    tensors = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "model-F32.gguf").tensors}
    weights = load_model(tmp_path / "model").state_dict()
    for name, ours in (("token_embd", "embed_tokens"), ("blk.1.attn_q", "layers.1.self_attn.q_proj")):
        np.testing.assert_array_equal(tensors[f"{name}.weight"], weights[f"model.{ours}.weight"].numpy())


def test_what_composes_and_what_does_not(folder: Path, tmp_path: Path) -> None:
    found = {}
    for name in ("smollm", "qwen2"):
        directory = foreign.model_dir(name, folder)
        write_gguf(directory, tmp_path / f"{name}.gguf", "F16")
        written = load(tmp_path / f"{name}.gguf", threads=1)
        found[name] = written.tokenize("e\u0301") == written.tokenize("\u00e9")
        assert written.tokenize("e\u0301") == TextTokenizer(directory).encode("e\u0301")
        written.close()
    assert found == {"smollm": False, "qwen2": True}


@pytest.mark.parametrize("name", ["nine-heads", "qwen2", "qwen3"])
def test_onnx(folder: Path, tmp_path: Path, name: str) -> None:
    directory = foreign.model_dir(name, folder)
    reference = TorchModel.open(directory)
    shape = reference.model.config
    write_onnx(directory, tmp_path / "fp32")
    check_size(tmp_path / "fp32", "onnx:fp32", shape)
    verify(reference, directory, tmp_path / "fp32", "onnx:fp32")
    model = load(tmp_path / "fp32")
    assert model.chat_format == reference.chat_format
    prompts = [model.prompt(one) for one in ("Molo wena", "Namhlanje ku")]
    choices = [[model.tokenize(one) for one in (" a", " unjani", " x y")]] * 2
    ours, theirs = (one.score_choices_many(prompts, choices) for one in (reference, model))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.sums, other.sums, atol=1e-3)
    model.close()


def test_the_whole_export_says_which_matrices_fell_back(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = foreign.model_dir("nine-heads", folder)
    argv = ["edgelm", "export", str(directory), "-o", str(tmp_path / "out"), "--to", "gguf:Q8_0", "--quiet"]
    monkeypatch.setattr(sys, "argv", argv)
    with suppress(SystemExit):
        main()
    found = json.loads((tmp_path / "out" / "verification.json").read_text())["gguf:Q8_0"]
    assert found["fallen_back"] == {f"blk.{number}.attn_output.weight": "F16" for number in (0, 1)}
    assert (
        "gguf:Q8_0: 2 matrices stay at F16, as their rows are no multiple of 256" in capsys.readouterr().out
    )


def write(directory: Path, change: Any) -> Path:
    """Give a model's tokenizer another step."""
    path = directory / "tokenizer.json"
    tokenizer = TextTokenizer(directory).tokenizer
    change(tokenizer)
    tokenizer.save(str(path))
    return directory


def cut_otherwise(tokenizer: Any) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def normalise_otherwise(tokenizer: Any) -> None:
    tokenizer.normalizer = normalizers.NFKC()


def merge_otherwise(tokenizer: Any) -> None:
    tokenizer.model.ignore_merges = True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_otherwise, "cuts text by Punctuation and ByteLevel, which is none of llama.cpp's ways. Export"),
        (normalise_otherwise, "changes text by NFKC, which GGUF has no word for. Export to onnx"),
        (merge_otherwise, "cuts text by Digits and ByteLevel, which is none of llama.cpp's ways"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_llama_cpp_lacks(tmp_path: Path, change: Any, message: str) -> None:
    foreign.save_model("smollm", tmp_path / "model")
    write(tmp_path / "model", change)
    with pytest.raises(BadInput, match=rf"tokenizer\.json: {message.replace('.', '[.]')}") as error:
        export(tmp_path / "model", tmp_path / "out", ["gguf:F16"])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_hidden_size_that_cannot_be_quantised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {"hidden_size": 248, "head_dim": 64}
    monkeypatch.setitem(foreign.MODELS, "odd", ("Llama", "smollm", odd))
    foreign.save_model("odd", tmp_path / "model")
    for kind in ("Q8_0", "Q4_K_M"):
        with pytest.raises(
            BadInput, match=rf"gguf:{kind} cannot be had of a hidden size of 248, .* multiple of 32"
        ):
            export(tmp_path / "model", tmp_path / "out", ["gguf:F16", f"gguf:{kind}"])
    found = export(tmp_path / "model", tmp_path / "out", ["gguf:F16"])
    assert found["gguf:F16"]["top1"] > 0.99


def test_what_a_decoder_cannot_do_is_refused(tmp_path: Path) -> None:
    foreign.save_model("llama", tmp_path / "model")
    foreign.edit(tmp_path / "model" / "config.json", rope_scaling={"rope_type": "yarn", "factor": 4.0})
    reason = r"config\.json: does not describe a model that edgelm reads \(rope_scaling {'rope_type': 'yarn'"
    for name in ("gguf:F16", "onnx:fp32"):
        with pytest.raises(BadInput, match=reason):
            export(tmp_path / "model", tmp_path / "out", [name])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["qwen3", "llama"])
def test_pruning(folder: Path, tmp_path: Path, name: str) -> None:
    directory = foreign.model_dir(name, folder)
    texts = {"ven": sample_texts()["ven"][:3]}
    prune(directory, texts, tmp_path / "pruned", {"ven": texts["ven"]})
    before, after = TextTokenizer(directory), TextTokenizer(tmp_path / "pruned")
    assert after.vocab_size < before.vocab_size
    vocabulary = before.tokenizer.get_vocab()
    token_of = {number: token for token, number in after.tokenizer.get_vocab().items()}
    old = [vocabulary[token_of[number]] for number in range(after.vocab_size)]
    said = " ".join(texts["ven"][0].split(" ")[:6])
    ids = after.prompt(texts["ven"][0])[:50]
    was = [old[number] for number in ids]
    assert was == before.prompt(texts["ven"][0])[:50]
    assert [old[number] for number in after.chat(said)] == before.chat(said)
    with torch.inference_mode():
        expected = load_model(directory)(torch.tensor([was]))[0][..., old]
        found = load_model(tmp_path / "pruned")(torch.tensor([ids]))[0]
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "pruned")(torch.tensor([ids]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.logits, expected, atol=1e-4, rtol=0)
    automatic = transformers.AutoTokenizer.from_pretrained(tmp_path / "pruned")
    assert "added_tokens_decoder" not in json.loads((tmp_path / "pruned/tokenizer_config.json").read_text())
    assert automatic(said).input_ids == after.prompt(said)
    messages = [{"role": "user", "content": said}]
    assert automatic.apply_chat_template(messages, add_generation_prompt=True) == after.chat(said)


def test_importance_of_a_head_that_is_another_matrix(folder: Path, tmp_path: Path) -> None:
    directory = foreign.model_dir("qwen3", folder)
    found = measure(directory, {"ven": sample_texts()["ven"][:5]}, tokens=256)
    write_gguf(directory, tmp_path / "whole.gguf", "F32")
    matrices = {
        tensor.name for tensor in GGUFReader(tmp_path / "whole.gguf").tensors if len(tensor.shape) == 2
    }
    assert found.means.keys() == matrices - {"token_embd.weight"}
    quantize_gguf(tmp_path / "whole.gguf", tmp_path / "small.gguf", "IQ2_XS", found.means)
    load(tmp_path / "small.gguf", threads=1).close()


LEFT_OUT = ("edgelm.nfc", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.padding_token_id", "GGUF.")


def made_elsewhere(source: Path, path: Path, **changes: int) -> None:
    """The same GGUF file as a converter writes it that knows nothing of edgelm."""
    reader = GGUFReader(source)
    writer = GGUFWriter(path, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key.startswith(LEFT_OUT) or key == "general.architecture":
            continue
        inner = field.types[1] if len(field.types) > 1 else None
        value = changes.get(key.split(".")[-1], field.contents())
        writer.add_key_value(key, value, field.types[0], inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("name", ["smollm", "qwen2", "llama"])
def test_a_gguf_made_elsewhere_runs(folder: Path, tmp_path: Path, name: str) -> None:
    directory = foreign.model_dir(name, folder)
    write_gguf(directory, tmp_path / "ours.gguf", "F32")
    made_elsewhere(tmp_path / "ours.gguf", tmp_path / "theirs.gguf", context_length=100_000)
    model, reference = load(tmp_path / "theirs.gguf", threads=1), TorchModel.open(directory)
    assert model.context == 8192  # a cache of all of it might not fit the memory
    assert model.chat_format == reference.chat_format
    for text in ("Molo, unjani? e\u0301 1994", "", " <|im_end|>"):
        begun = TextTokenizer(directory).prompt(text) or [reference.bos]  # something has to come first
        assert model.prompt(text) == reference.prompt(text) == begun
        assert model.prompt(text, chat=True) == reference.prompt(text, chat=True)
    for chat in (False, True):
        ours, theirs = (
            "".join(one.generate("Molo", temperature=0, max_tokens=12, chat=chat))
            for one in (reference, model)
        )
        assert ours == theirs
    with pytest.raises(BadInput, match="this model has no language 'zul'"):
        model.prompt("Molo", "zul")
    model.close()


def test_a_large_vocabulary_is_read_in_parts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = foreign.model_dir("smollm", folder)
    write_gguf(directory, tmp_path / "model.gguf", "F32")
    ids = TextTokenizer(directory).encode(sample_texts()["ven"][0])[:100]
    whole = load(tmp_path / "model.gguf", threads=1)
    expected = whole.session().feed(ids)
    whole.close()
    monkeypatch.setattr(llama, "LOGITS", 16 * foreign.VOCAB_SIZE)
    parts = load(tmp_path / "model.gguf", threads=1)
    assert parts.cpp.llama_n_ubatch(parts.state) == 16
    np.testing.assert_allclose(parts.session().feed(ids), expected, atol=1e-4)
    parts.close()


def test_a_text_ends_where_the_model_ends_it(folder: Path, tmp_path: Path) -> None:
    """The answer ends at <|im_end|>, and at <|endoftext|> too, which the file does not name."""
    directory = foreign.model_dir("qwen2", folder)
    text = TextTokenizer(directory)
    for ending in ("<|im_end|>", "<|endoftext|>"):
        decoder = load_model(directory)
        model = TorchModel(decoder, text)
        with torch.no_grad():
            row = decoder.model.embed_tokens.weight[text.special[ending]]
            row.copy_(decoder.hidden(torch.tensor([model.prompt("Molo", chat=True)]))[0][0, -1])
        report = Generation()
        assert "".join(model.generate("Molo", temperature=0, max_tokens=5, chat=True, report=report)) == ""
        assert (report.ended, report.tokens) == ("stop", 0)


def test_a_head_of_its_own_is_not_written_in_blocks_of_bits(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai builds such graphs")
    pytest.importorskip("onnx_ir", reason="onnxruntime-genai's builder needs it")
    from edgelm.export.onnx_genai import build_onnx

    for kind in ("int4", "int8-genai"):
        with pytest.raises(BadInput, match=f"has a head beside its embedding, which onnx:{kind}"):
            build_onnx(foreign.model_dir("qwen3", folder), tmp_path / kind, kind)
