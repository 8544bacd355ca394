"""ONNX by onnxruntime-genai's builder, and in ORT's own format: what is written, its size, its silence."""

import json
import shutil
from pathlib import Path

import exported
import pytest

pytest.importorskip("onnx", reason="ONNX files are written with the extra 'export'")

import numpy as np
import onnx

from edgelm.errors import EdgelmError
from edgelm.export import onnx as writing
from edgelm.export import onnx_genai
from edgelm.export.export import artifact_name
from edgelm.export.onnx import write_ort
from edgelm.export.verify import bounds, check_size, verify
from edgelm.model.config import get_preset, read_config
from edgelm.runtime import LanguageModel, load
from edgelm.runtime.graph_file import external_files
from edgelm.runtime.onnx_shared import SharedOnnxModel

TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
BUILT = {*TOKENIZER, "config.json", "genai_config.json", "model.onnx", "model.onnx.data"}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_kind_is_written_and_verified(genai_dir: Path, model_dir: Path) -> None:
    figures = json.loads((genai_dir / "verification.json").read_text(encoding="utf-8"))
    assert tuple(figures) == exported.GENAI_FORMATS
    for name, one in figures.items():
        folder, bound = genai_dir / artifact_name(name), bounds()[name]
        assert one["kl"] <= bound.kl
        assert one["bytes"] == sum(path.stat().st_size for path in folder.glob("model.*"))
        for file in TOKENIZER:
            assert (folder / file).read_bytes() == (model_dir / file).read_bytes()
    assert figures["onnx:int4"]["kl"] > figures["onnx:int8-genai"]["kl"] > 0
    assert figures["onnx:int4"]["bytes"] < 0.9 * figures["onnx:int8-genai"]["bytes"]
    assert figures["onnx:int4-all"]["bytes"] < 0.9 * figures["onnx:int4"]["bytes"]
    for kind in ("int4", "int4-all", "int8-genai"):
        assert files(genai_dir / "onnx" / kind) == BUILT
        modes = {path.stat().st_mode for path in (genai_dir / "onnx" / kind).iterdir()}
        assert len(modes) == 1
        config = json.loads((genai_dir / "onnx" / kind / "genai_config.json").read_text(encoding="utf-8"))
        assert config["model"]["context_length"] == read_config(model_dir).context
    assert files(genai_dir / "ort" / "int4") == {*TOKENIZER, "config.json", "model.ort"}


def test_it_stays_in_its_folder_and_says_nothing(
    genai_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "exported"
    done = exported.genai_export(folder)
    assert all("exporting and verifying" in line for line in done.stderr.splitlines())
    for word in ("WARNING", "Reading", "Saving", "builder"):
        assert word not in done.stdout
    assert files(folder / "home") == set()
    assert files(folder / "temporary") == set()
    assert {path.name for path in (folder / "work").iterdir()} <= {"genai", ".genai.lock"}
    assert {path.name for path in genai_dir.iterdir()} == {"onnx", "ort", "verification.json", "edgelm.json"}


def bits_of(folder: Path) -> set[tuple[str, int]]:
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    return {
        (node.op_type, attribute.i)
        for node in graph.node
        for attribute in node.attribute
        if attribute.name == "bits"
    }


def test_the_embedding_is_the_head(genai_dir: Path) -> None:
    for kind, expected in (
        ("int4", {("MatMulNBits", 4), ("MatMulNBits", 8), ("GatherBlockQuantized", 8)}),
        ("int4-all", {("MatMulNBits", 4), ("GatherBlockQuantized", 4)}),
        ("int8-genai", {("MatMulNBits", 8), ("GatherBlockQuantized", 8)}),
    ):
        folder = genai_dir / "onnx" / kind
        assert bits_of(folder) == expected
        graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
        config = read_config(folder)
        rows = [one for one in graph.initializer if config.vocab_size in one.dims and len(one.dims) > 2]
        assert len(rows) == 1


@pytest.mark.parametrize("name", exported.GENAI_FORMATS)
def test_a_shared_embedding_stored_twice_is_too_large(tmp_path: Path, genai_dir: Path, name: str) -> None:
    source, config = genai_dir / artifact_name(name), get_preset("nano", exported.VOCAB_SIZE)
    check_size(source, name, config)
    if name.startswith("ort"):  # as ONNX Runtime's optimiser does it, left to itself
        twice = doubled_by_the_optimiser(genai_dir / "onnx" / "int4", tmp_path)
    else:
        twice = Path(shutil.copytree(source, tmp_path / "twice"))
        graph = onnx.load(twice / "model.onnx")
        weight = next(
            one for one in graph.graph.initializer if config.vocab_size in one.dims and len(one.dims) > 2
        )
        other = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight), "embedding")
        graph.graph.initializer.append(other)
        rows = next(
            node for node in graph.graph.node if node.op_type == "Reshape" and weight.name in node.input
        )
        rows.input[0] = "embedding"
        (twice / "model.onnx.data").unlink()
        onnx.save(graph, twice / "model.onnx", save_as_external_data=True, location="model.onnx.data")
        assert (twice / "model.onnx").stat().st_size < 60_000  # what is too large lies beside the graph
    load(twice).close()
    with pytest.raises(EdgelmError, match="Is a tied weight stored twice"):
        check_size(twice, name, config)


def doubled_by_the_optimiser(source: Path, folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        real = writing.onnxruntime.InferenceSession
        patch.setattr(
            writing.onnxruntime,
            "InferenceSession",
            lambda graph, options, providers, disabled_optimizers: real(graph, options, providers=providers),
        )
        write_ort(source, folder / "twice")
    return folder / "twice"


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_the_format_of_the_mobile_runtime(
    tmp_path: Path, export_dir: Path, model_dir: Path, reference: LanguageModel, kind: str
) -> None:
    write_ort(export_dir / "onnx" / kind, tmp_path / kind)
    name = f"ort:{kind}"
    check_size(tmp_path / kind, name, read_config(model_dir))
    found = verify(reference, model_dir, tmp_path / kind, name, ["ven", "zul"])
    assert found["bytes"] == (tmp_path / kind / "model.ort").stat().st_size
    before, after = load(export_dir / "onnx" / kind), load(tmp_path / kind)
    ids = before.prompt("Namhlanje ekuseni", language="zul")
    np.testing.assert_allclose(after.session().feed(ids), before.session().feed(ids), atol=1e-4)
    assert getattr(after, "alone", None) == getattr(before, "alone", None) == (kind == "int8")


@pytest.fixture(scope="module")
def reference(model_dir: Path) -> LanguageModel:
    return load(model_dir)


def test_a_model_too_large_for_one_file_is_refused(
    tmp_path: Path, genai_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = genai_dir / "onnx" / "int4"
    monkeypatch.setattr(writing, "ORT_BYTES", sum(one.stat().st_size for one in source.glob("model.*")) - 1)
    assert external_files(source / "model.onnx") == [source / "model.onnx.data"]
    with pytest.raises(EdgelmError, match=r"do not fit an \.ort file.*Export onnx:int4 instead"):
        write_ort(source, tmp_path / "int4")
    assert not (tmp_path / "int4").exists()


def test_what_the_builder_says_is_one_line(
    tmp_path: Path, model_dir: Path, genai_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_genai, "BUILDER", "edgelm.nothing")
    with pytest.raises(
        EdgelmError, match=r"cannot build ONNX of it .*No module named edgelm\.nothing"
    ) as caught:
        onnx_genai.build_onnx(model_dir, tmp_path / "out", "int4")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_genai_writes_the_same(genai_dir: Path) -> None:
    """In onnxruntime-genai itself, from the same folder, the same greedy tokens."""
    og = pytest.importorskip("onnxruntime_genai", reason="needs onnxruntime-genai")
    for kind in ("int4", "int4-all", "int8-genai"):
        folder = genai_dir / "onnx" / kind
        model = load(folder)
        assert isinstance(model, SharedOnnxModel)
        theirs = og.Model(str(folder))
        for language, text in (("zul", "Namhlanje ekuseni"), ("ven", "Tshivenḓa")):
            ids = model.prompt(text, language=language)
            parameters = og.GeneratorParams(theirs)
            parameters.set_search_options(do_sample=False, max_length=len(ids) + 24, min_length=len(ids) + 24)
            generator = og.Generator(theirs, parameters)
            generator.append_tokens(ids)
            session, new, said = model.session(), ids, []
            for _ in range(24):
                generator.generate_next_token()
                logits = session.feed(new, last_only=True)[-1]
                logits[[model.eos, model.end]] = -np.inf  # as min_length does there
                new = [int(logits.argmax())]
                said += new
            assert generator.get_sequence(0).tolist() == ids + said
        assert og.Tokenizer(theirs).encode("Namhlanje, š ḓ 👩🏾‍🌾 <|end|>a").tolist()
        model.close()
