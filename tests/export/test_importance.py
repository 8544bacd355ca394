"""Importance matrices: what is measured, what is written, and what llama.cpp makes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("gguf", reason="GGUF files are written with the extra 'export'")
pytest.importorskip("llama_cpp", reason="GGUF files are quantised with the extra 'gguf'")

import gguf

from edgelm.errors import BadInput
from edgelm.export.export import artifact_name, export
from edgelm.export.gguf import quantize_gguf, write_gguf
from edgelm.export.importance import calibration_texts, measure, write_importance
from edgelm.export.verify import LOGIT_DOCUMENTS, bounds
from edgelm.model.decoder import Decoder
from edgelm.model.directory import load_model
from edgelm.runtime import load
from edgelm.tokenizer.text import TextTokenizer
from edgelm.tokenizer.texts import sample_texts

ATTENTION, HEAD = "blk.0.attn_q.weight", "token_embd.weight"


def test_inputs_are_squared_and_summed(model_dir: Path) -> None:
    found = measure(model_dir, {"zul": ["Namhlanje kuyashisa.", "Izulu liyana."]}, tokens=6)
    decoder, text = load_model(model_dir).eval(), TextTokenizer(model_dir)
    ids = [text.bos, *text.encode("Namhlanje kuyashisa.")][:6]
    with torch.no_grad():
        x = decoder.model.layers[0].input_layernorm(decoder.model.embed_tokens(torch.tensor(ids)))
        final, _ = decoder.hidden(torch.tensor([ids]))
    assert (found.tokens, found.languages) == (6, ("zul",))
    np.testing.assert_allclose(found.sums[ATTENTION], x.square().sum(0), rtol=1e-4)
    np.testing.assert_allclose(found.sums[HEAD], final[0].square().sum(0), rtol=1e-4)
    np.testing.assert_allclose(found.means[HEAD], final[0].square().mean(0), rtol=1e-4)
    assert len(found.sums) == 7 * decoder.config.layers + 1


def test_each_language_gives_as_much_as_the_poorest(model_dir: Path) -> None:
    short, long = ["Izulu."], ["The rain came down over the hills and the children ran home."] * 9
    tokens = len(TextTokenizer(model_dir).encode(short[0])) + 1
    both = measure(model_dir, {"zul": short, "eng": long})
    assert both.tokens == 2 * tokens
    alone = [measure(model_dir, {"x": texts}, tokens=tokens).sums[HEAD] for texts in (short, long)]
    np.testing.assert_allclose(both.sums[HEAD], sum(alone), rtol=1e-4)
    with pytest.raises(BadInput, match="there is no text in zul"):
        measure(model_dir, {"zul": [], "eng": long})


def test_no_more_is_read_at_once_than_the_context(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, hidden = [], Decoder.hidden

    def noted(self: Decoder, tokens: torch.Tensor) -> object:
        lengths.append(tokens.shape[1])
        return hidden(self, tokens)

    monkeypatch.setattr(Decoder, "hidden", noted)
    context = load_model(model_dir).config.context
    measure(model_dir, {"zul": ["Izulu liyana. " * context]}, tokens=2 * context + 9)
    assert lengths == [context, context, 9]


def test_no_export_is_weighed_by_what_it_is_verified_on() -> None:
    texts, sample = calibration_texts(None), sample_texts()
    assert set(texts) == set(sample)
    for code, documents in texts.items():
        assert documents == sample[code][LOGIT_DOCUMENTS:]


def test_text_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "zul.txt").write_text("Izulu liyana kakhulu namhlanje ekuseni.", encoding="utf-8")
    assert [text.strip() for text in calibration_texts(tmp_path)["zul"]] == [
        "Izulu liyana kakhulu namhlanje ekuseni."
    ]


def test_the_file_is_llama_cpps(tmp_path: Path, model_dir: Path) -> None:
    found = measure(model_dir, {"zul": ["Izulu liyana."]})
    write_importance(found, tmp_path / "imatrix.gguf")
    reader = gguf.GGUFReader(tmp_path / "imatrix.gguf")
    assert bytes(reader.fields["general.type"].parts[-1]) == b"imatrix"
    tensors = {one.name: one.data for one in reader.tensors}
    assert len(tensors) == 2 * len(found.sums)
    np.testing.assert_allclose(tensors[f"{HEAD}.in_sum2"].reshape(-1), found.sums[HEAD])
    assert float(tensors[f"{HEAD}.counts"].reshape(-1)[0]) == found.tokens


def test_columns_that_matter_are_kept_closer(tmp_path: Path, model_dir: Path) -> None:
    write_gguf(model_dir, tmp_path / "F32.gguf", "F32")
    true = tensor(tmp_path / "F32.gguf", ATTENTION)
    weight = np.ones(true.shape[1], dtype=np.float32)
    weight[::8] = 1e4
    errors = {}
    for name, columns in (("alike", None), ("weighed", {ATTENTION: weight})):
        quantize_gguf(tmp_path / "F32.gguf", tmp_path / f"{name}.gguf", "Q4_K_M", columns)
        error = (tensor(tmp_path / f"{name}.gguf", ATTENTION) - true) ** 2
        errors[name] = error[:, ::8].mean(), error.mean()
    assert errors["weighed"][0] < 0.6 * errors["alike"][0]
    assert errors["weighed"][1] > errors["alike"][1]


def tensor(path: Path, name: str) -> np.ndarray:
    (found,) = (one for one in gguf.GGUFReader(path).tensors if one.name == name)
    return gguf.dequantize(found.data, found.tensor_type)


def test_every_kind_is_written_verified_and_loads(tmp_path: Path, model_dir: Path) -> None:
    few = {"gguf:F32", "gguf:F16", "gguf:Q8_0", "gguf:Q4_K_M"}  # in the exports that other tests read
    kinds = [name for name in bounds() if name.startswith("gguf:") and name not in few]
    figures = export(model_dir, tmp_path / "out", kinds)
    assert list(figures) == kinds
    assert (tmp_path / "out" / "imatrix.gguf").is_file()
    sizes = {name: one["bytes"] for name, one in figures.items()}
    assert sizes["gguf:Q5_K_L"] > sizes["gguf:Q5_K_M"] > sizes["gguf:Q4_K_S"] > sizes["gguf:IQ2_XXS"]
    embedding = {name: kind_of(tmp_path / "out" / artifact_name(name), HEAD) for name in kinds}
    assert {name for name, kind in embedding.items() if kind == "Q8_0"} == {
        "gguf:Q5_K_L",
        "gguf:Q4_K_L",
        "gguf:Q3_K_XL",
    }
    assert embedding["gguf:BF16"] == "BF16"
    for name in ("gguf:BF16", "gguf:Q4_K_L", "gguf:IQ3_M"):
        model = load(tmp_path / "out" / artifact_name(name))
        assert "".join(model.generate("Namhlanje", language="zul", temperature=0, max_tokens=8))
        model.close()


def kind_of(path: Path, name: str) -> str:
    (found,) = (one for one in gguf.GGUFReader(path).tensors if one.name == name)
    return str(found.tensor_type.name)


def test_what_needs_one_says_so(tmp_path: Path, model_dir: Path) -> None:
    with pytest.raises(BadInput, match=r"gguf:IQ2_XS needs an importance matrix\. Leave --text none out"):
        export(model_dir, tmp_path / "out", ["gguf:Q4_K_M", "gguf:IQ2_XS"], text="none")
    with pytest.raises(BadInput, match="no such file"):
        export(model_dir, tmp_path / "out", ["gguf:Q4_K_M"], text=tmp_path / "none.txt")
    export(model_dir, tmp_path / "exact", ["gguf:F16", "gguf:Q8_0"])
    assert not (tmp_path / "exact" / "imatrix.gguf").exists()
    export(model_dir, tmp_path / "out", ["gguf:Q4_0"], text="none")
    assert not (tmp_path / "out" / "imatrix.gguf").exists()
