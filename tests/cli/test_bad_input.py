"""Bad input to the stage commands: one line that names the file, the line and the remedy, exit code 2, and
nothing half-written. `edgelm.cli.main` runs in this process, and as a process of its own where that is quick.
"""

import gzip
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="corpora are built with the extra 'corpus'")


ZULU = "Umfana omncane uyahamba esikoleni namhlanje ekuseni."
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def refused(edgelm: Run, tmp_path: Path) -> Callable[..., None]:
    """`refused([arguments], output, pieces...)`: ends as bad input should, with each piece in the line."""

    def check(arguments: list[object], output: Path | None, *pieces: object) -> None:
        if output is not None:
            arguments = [*arguments, "-o", output]
        before = seen(tmp_path)
        code, out, err = edgelm(*arguments, "-q")
        assert_one_line(code, out, err, pieces)
        assert seen(tmp_path) == before, "nothing is left, whole or half"

    return check


def seen(folder: Path) -> list[str]:
    """All files and folders, hidden ones too, but locks and the finished tokens of a corpus."""
    found = sorted(str(path) for path in folder.rglob("*") if not path.name.endswith(".lock"))
    return [path for path in found if ".tokens" not in path or ".partial" in path]


def assert_one_line(code: int, out: str, err: str, pieces: tuple[object, ...]) -> None:
    assert err.startswith("edgelm: "), err
    assert err.endswith(".\n")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for piece in pieces:
        assert str(piece) in err
    assert re.search(r"\S\. [A-Z]\S+ ", err), f"a remedy: {err}"
    assert code == 2
    assert out == ""


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded sample."""
    from edgelm.corpus.build import build_corpus
    from edgelm.corpus.recipe import load_recipe

    folder = tmp_path_factory.mktemp("bad-input") / "corpus"
    build_corpus(load_recipe("sample"), folder)
    return folder


@pytest.fixture
def broken_corpus(corpus: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(corpus, tmp_path / "broken"))


@pytest.fixture
def broken_model(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "broken"))


# corpus build

TEXT = (ZULU + "\n") * 50
FILES: dict[str, tuple[str, bytes, str]] = {
    "cut gz": (
        "zul.txt.gz",
        gzip.compress(TEXT.encode())[:-20],
        "zul.txt.gz: the compressed data is damaged",
    ),
    "no gz": ("zul.txt.gz", TEXT.encode(), "zul.txt.gz: the compressed data is damaged"),
    "no xz": ("zul.jsonl.xz", TEXT.encode(), "zul.jsonl.xz: the compressed data is damaged"),
    "no zst": ("zul.txt.zst", TEXT.encode(), "zul.txt.zst: the compressed data is damaged"),
    "no parquet": ("zul.parquet", TEXT.encode(), "zul.parquet: is not a Parquet file"),
    "no UTF-8": ("zul.txt", "Ndi ḓo ya\n".encode("utf-16"), "zul.txt, line 1: not UTF-8"),
    "no object": ("zul.jsonl", b"\n[1]\n", "zul.jsonl, line 2: not an object"),
    "no JSON": ("zul.jsonl", b"hello\n", "zul.jsonl, line 1: not JSON"),
    "no text": ("zul.jsonl", b'{"title": "x"}\n', "zul.jsonl, line 1: no text in the field 'text'"),
    "empty": ("zul.txt", b"", "but empty ones"),
    "only unknown": ("a.jsonl", b'{"text": "hello", "language": "tlh"}\n', "unknown language: tlh"),
    "all rejected": ("zul.txt", b"kwa\n", "no document was kept of 1 (too_short 1)"),
}


@pytest.mark.parametrize("name", FILES)
def test_corpus_build_names_a_bad_file(tmp_path, refused, name):
    file, data, problem = FILES[name]
    source = tmp_path / "texts"
    source.mkdir()
    (source / file).write_bytes(data)
    if problem.startswith(file):
        (source / "xho.txt").write_text(TEXT)  # good ones beside it do not hide it
    refused(["corpus", "build", source], tmp_path / "out", problem, source)


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["nowhere"], ["nowhere: no such folder, file or recipe", "default, mzansitext"]),
        (["nowhere.yaml"], ["nowhere.yaml: no such file"]),
        (["empty"], ["empty: holds no .txt .jsonl .parquet .html .htm .warc file"]),
        (["texts", "--language", "klingon"], ["unknown language 'klingon'", "zul"]),
        (
            ["texts", "--text-field", "body"],
            ["zul.jsonl, line 1: no text in the field 'body'", "--text-field"],
        ),
        (["bad.yaml"], ["bad.yaml, line 2: not YAML"]),
        (["default"], ["the recipe names no sources"]),
        (["missing.yaml"], ["nothing-here: no such file or folder"]),
    ],
)
def test_corpus_build_names_a_bad_argument(tmp_path, refused, monkeypatch, arguments, pieces):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "zul.jsonl").write_text(json.dumps({"text": ZULU}) + "\n")
    (tmp_path / "bad.yaml").write_text("name: mine\nsources: }\n")
    (tmp_path / "missing.yaml").write_text("{name: a, extends: default, sources: [{path: nothing-here}]}")
    refused(["corpus", "build", *arguments], tmp_path / "out", *pieces)


def test_corpus_build_does_not_replace_what_it_did_not_make(tmp_path, refused):
    (tmp_path / "zul.txt").write_text(TEXT)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    refused(
        ["corpus", "build", tmp_path / "zul.txt"],
        tmp_path / "mine",
        "mine: exists and was not made by edgelm",
    )
    refused(["corpus", "build", tmp_path / "zul.txt"], tmp_path / "zul.txt", "would replace the input")


@pytest.mark.parametrize("arguments", [["corpus", "build", "in"], ["run", "in", "Sawubona"]])
def test_as_a_process(tmp_path, arguments):
    """The installed command itself: exit code, one line on stderr, nothing on stdout."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "zul.txt.gz").write_bytes(gzip.compress(TEXT.encode())[:-20])
    output = ["-o", "out"] if arguments[0] == "corpus" else []
    command = [str(Path(sys.executable).parent / "edgelm"), *arguments, *output]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert_one_line(done.returncode, done.stdout, done.stderr, ("in",))
    assert seen(tmp_path) == [str(tmp_path / "in"), str(tmp_path / "in" / "zul.txt.gz")]


# a damaged corpus, whoever reads it


def damage_corpus(corpus: Path, how: str) -> Path:
    manifest, shard = corpus / "manifest.json", corpus / "data" / "zul" / "train-00000.parquet"
    if how == "no folder":
        shutil.rmtree(corpus)
    elif how == "no manifest":
        manifest.unlink()
    elif how == "cut manifest":
        manifest.write_text(manifest.read_text(encoding="utf-8")[:500], encoding="utf-8")
    elif how == "no shard":
        shard.unlink()
        return shard
    else:
        shard.write_bytes(shard.read_bytes()[:-100])
        return shard
    return corpus


CORPUS_DAMAGE = ["no folder", "no manifest", "cut manifest", "no shard", "cut shard"]


@pytest.mark.parametrize("how", CORPUS_DAMAGE)
def test_tokenizer_train_names_what_is_wrong_with_a_corpus(tmp_path, refused, broken_corpus, how):
    blamed = damage_corpus(broken_corpus, how)
    refused(["tokenizer", "train", broken_corpus, "--vocab-size", 600], tmp_path / "out", blamed)


@pytest.mark.parametrize("how", CORPUS_DAMAGE)
def test_pretrain_names_what_is_wrong_with_a_corpus(tmp_path, refused, broken_corpus, tiny_model_dir, how):
    blamed = damage_corpus(broken_corpus, how)
    refused(["pretrain", broken_corpus, tiny_model_dir, "--steps", 1], tmp_path / "out", blamed)


@pytest.mark.parametrize("how", CORPUS_DAMAGE)
def test_finetune_names_what_is_wrong_with_its_replay(tmp_path, refused, broken_corpus, tiny_model_dir, how):
    blamed = damage_corpus(broken_corpus, how)
    arguments = ["finetune", tiny_model_dir, "topic", "--replay", broken_corpus, "--steps", 1]
    refused(arguments, tmp_path / "out", blamed)


@pytest.mark.parametrize("how", CORPUS_DAMAGE[:-2])
def test_evaluate_names_what_is_wrong_with_a_corpus(tmp_path, refused, broken_corpus, tiny_model_dir, how):
    blamed = damage_corpus(broken_corpus, how)
    refused(["evaluate", tiny_model_dir, "--corpus", broken_corpus], tmp_path / "out", blamed)


# a damaged model, whoever reads it


def cut(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def other_weights(path: Path) -> None:
    """A whole safetensors file of some other model."""
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    weights.pop(sorted(weights)[0])
    save_file(weights, path)


def other_config(path: Path) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"architectures": ["MambaForCausalLM"]}))


def wider_config(path: Path) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"num_key_value_heads": 3}))


def other_tokenizer(path: Path) -> None:
    """A tokenizer without edgelm's special tokens."""
    from tokenizers import Tokenizer, models

    path.write_text(Tokenizer(models.BPE()).to_str())


MODEL_DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no config": ("config.json", Path.unlink),
    "cut config": ("config.json", cut),
    "config of another kind": ("config.json", other_config),
    "impossible config": ("config.json", wider_config),
    "config is a list": ("config.json", lambda path: path.write_text("[]")),
    "no weights": ("model.safetensors", Path.unlink),
    "cut weights": ("model.safetensors", cut),
    "empty weights": ("model.safetensors", lambda path: path.write_bytes(b"")),
    "weights that do not fit": ("model.safetensors", other_weights),
    "no tokenizer": ("tokenizer.json", Path.unlink),
    "cut tokenizer": ("tokenizer.json", cut),
    "tokenizer of another kind": ("tokenizer.json", other_tokenizer),
    "tokenizer no UTF-8": ("tokenizer.json", lambda path: path.write_bytes(b"\xff\xfe")),
}
COMMANDS: dict[str, list[object]] = {
    "finetune": ["finetune", "MODEL", "topic", "--steps", 1],
    "evaluate": ["evaluate", "MODEL", "topic"],
    "export": ["export", "MODEL", "--to", "gguf:F16"],
    "run": ["run", "MODEL", "Sawubona"],
}


@pytest.mark.parametrize("how", MODEL_DAMAGE)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_model_directory(tmp_path, refused, broken_model, command, how):
    name, damage = MODEL_DAMAGE[how]
    damage(broken_model / name)
    arguments = [broken_model if one == "MODEL" else one for one in COMMANDS[command]]
    refused(arguments, None if command == "run" else tmp_path / "out", broken_model / name)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_no_model_directory(tmp_path, refused, command, place):
    (tmp_path / "empty").mkdir()
    arguments = [tmp_path / place if one == "MODEL" else one for one in COMMANDS[command]]
    refused(arguments, None if command == "run" else tmp_path / "out", tmp_path / place)


@pytest.mark.parametrize("how", ["no tokenizer", "cut tokenizer", "tokenizer of another kind"])
def test_pretrain_names_a_bad_tokenizer(tmp_path, refused, corpus, broken_model, how):
    name, damage = MODEL_DAMAGE[how]
    damage(broken_model / name)
    refused(["pretrain", corpus, broken_model, "--steps", 1], tmp_path / "out", broken_model / name)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.999])
@pytest.mark.parametrize("command", ["evaluate", "run"])
def test_a_gguf_file_that_was_cut_short(tmp_path, refused, tiny_gguf, command, kept):
    path = Path(shutil.copy(tiny_gguf, tmp_path / "model.gguf"))
    cut(path, kept)
    arguments = [path if one == "MODEL" else one for one in COMMANDS[command]]
    refused(arguments, None if command == "run" else tmp_path / "out", f"{path}: ")


def test_a_file_that_is_no_gguf(tmp_path, refused):
    pytest.importorskip("llama_cpp", reason="GGUF files are run with llama-cpp-python")
    (tmp_path / "model.gguf").write_text("hello")
    refused(["run", tmp_path / "model.gguf", "x"], None, tmp_path / "model.gguf")
    refused(["run", tmp_path / "nowhere.gguf", "x"], None, tmp_path / "nowhere.gguf")


@pytest.mark.parametrize(
    ("blamed", "damage"),
    [
        ("model.onnx", lambda folder: None),
        ("config.json", lambda folder: (folder / "config.json").unlink()),
        ("tokenizer.json", lambda folder: (folder / "tokenizer.json").unlink()),
        ("tokenizer.json", lambda folder: cut(folder / "tokenizer.json")),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "run"])
def test_a_damaged_onnx_folder(tmp_path, refused, broken_model, command, blamed, damage):
    (broken_model / "model.safetensors").rename(broken_model / "model.onnx")  # which is no ONNX
    damage(broken_model)
    arguments = [broken_model if one == "MODEL" else one for one in COMMANDS[command]]
    refused(arguments, None if command == "run" else tmp_path / "out", broken_model / blamed)


def test_an_onnx_file_that_was_cut_short(tmp_path, refused, broken_model):
    onnx = pytest.importorskip("onnx", reason="needs the extra 'export'")
    value = onnx.helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, [1, None])
    out = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.INT64, [1, None])
    node = onnx.helper.make_node("Identity", ["input_ids"], ["logits"])
    graph = onnx.helper.make_graph([node], "identity", [value], [out])
    data = onnx.helper.make_model(graph).SerializeToString()
    for kept in (0, len(data) // 2):
        (broken_model / "model.onnx").write_bytes(data[:kept])
        refused(["run", broken_model, "x"], None, broken_model / "model.onnx")


# tasks, languages, options


@pytest.mark.parametrize("command", ["finetune", "evaluate"])
@pytest.mark.parametrize(
    ("task", "pieces"),
    [
        ("nothing", ["unknown task 'nothing'", "topic"]),
        ("nowhere.yaml", ["nowhere.yaml: no such file"]),
        ("list.yaml", ["list.yaml: is not a task"]),
        ("cut.yaml", ["cut.yaml, line 2: not YAML"]),
        ("lines.yaml", ["zul.jsonl, line 2: not JSON"]),
        ("files.yaml", ["eng.jsonl: no such file"]),
    ],
)
def test_a_bad_task(tmp_path, refused, tiny_model_dir, monkeypatch, command, task, pieces):
    monkeypatch.chdir(tmp_path)
    value = {"name": "a", "family": "classification", "licence": "CC0-1.0", "attribution": "a", "folder": "."}
    value |= {"files": "{language}.jsonl", "labels": ["x"], "fields": {"text": "text", "label": "label"}}
    Path("list.yaml").write_text("- a\n")
    Path("cut.yaml").write_text("name: a\nlabels: }\n")
    Path("lines.yaml").write_text(json.dumps(value | {"languages": {"zul": "zul"}}))
    Path("files.yaml").write_text(json.dumps(value | {"languages": {"eng": "eng"}}))
    Path("zul.jsonl").write_text('{"text": "a", "label": "x"}\n{half\n')
    refused([command, tiny_model_dir, task], tmp_path / "out", *pieces)


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["tokenizer", "train", "CORPUS", "--vocab-size", 20], ["--vocab-size 20", "at least"]),
        (["pretrain", "CORPUS", "MODEL", "--preset", "huge"], ["unknown preset 'huge'", "nano"]),
        (["pretrain", "CORPUS", "MODEL", "--steps", 0], ["--steps 0"]),
        (["pretrain", "CORPUS", "MODEL", "--temperature", 0.5], ["--temperature 0.5"]),
        (["pretrain", "CORPUS", "MODEL", "--budget", "5min"], ["--budget does nothing without --plan"]),
        (["pretrain", "CORPUS", "MODEL", "--plan", "--steps", 7], ["--steps does nothing with --plan"]),
        (["pretrain", "CORPUS", "MODEL", "--plan", "--decay", 0.3], ["--decay does nothing with --plan"]),
        (["pretrain", "CORPUS", "MODEL", "--replay", 0.5], ["--replay", "without --extend-languages"]),
        (
            ["pretrain", "CORPUS", "MODEL", "--extend-languages", "zul"],
            ["--extend-languages needs a model", "--init-from"],
        ),
        (["pretrain", "CORPUS", "MODEL", "--max-epochs", 2], ["--max-epochs", "without --sampling unimax"]),
        (["pretrain", "CORPUS", "MODEL", "--schedule", "cosine", "--decay", 0.3], ["--decay"]),
        (["pretrain", "CORPUS", "MODEL", "--strategy", "fsdp"], ["--strategy", "torchrun"]),
        (
            ["pretrain", "CORPUS", "MODEL", *"--init-from MODEL --extend-languages zul --replay 1".split()],
            ["--replay 1.0 is out of range"],
        ),
        (["finetune", "MODEL", "topic", "--languages", "zul,tlh"], ["unknown language 'tlh'"]),
        (["finetune", "MODEL", "topic", "--learning-rate", 7], ["--learning-rate 7"]),
        (["evaluate", "MODEL"], ["nothing to evaluate on", "--corpus"]),
        (["evaluate", "MODEL", "topic", "--split", "dev"], ["dev", "validation"]),
        (["export", "MODEL", "--to", "gguf:Q1"], ["unknown format 'gguf:Q1'", "gguf:Q8_0"]),
        (["export", "MODEL", "--to", "tflite"], ["unknown format 'tflite'"]),
    ],
)
def test_a_bad_option(tmp_path, refused, corpus, tiny_model_dir, arguments, pieces):
    places = {"CORPUS": corpus, "MODEL": tiny_model_dir}
    refused([places.get(str(one), one) for one in arguments], tmp_path / "out", *pieces)


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        (["--language", "tlh"], ["unknown language 'tlh'", "zul"]),
        (["--max-tokens", 0], ["0"]),
        (["--temperature", -1], ["-1"]),
        (["--top-p", 2], ["2"]),
    ],
)
def test_a_bad_option_of_run(refused, tiny_model_dir, options, pieces):
    refused(["run", tiny_model_dir, "Sawubona", *options], None, *pieces)


def test_a_prompt_longer_than_the_context(refused, tiny_model_dir):
    refused(["run", tiny_model_dir, "Sawubona " * 300], None, "context", "Shorten")


@pytest.mark.parametrize("command", ["finetune", "export"])
def test_a_model_is_never_replaced_by_what_is_made_of_it(refused, broken_model, command):
    arguments = [broken_model if one == "MODEL" else one for one in COMMANDS[command]]
    refused(arguments, broken_model, "would replace the input", broken_model)
