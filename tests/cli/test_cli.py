"""The command line as a user meets it: real processes, their output and exit codes."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import exported
import made_up
import pytest

from edgelm import __version__
from edgelm.runtime import load

EDGELM = str(Path(sys.executable).parent / "edgelm")
HEAVY = ("torch", "transformers", "gradio", "onnxruntime", "sklearn", "pyarrow", "starlette", "uvicorn")
COMMANDS = [
    ["quickstart"], ["corpus"], ["corpus", "build"], ["tokenizer"], ["tokenizer", "train"], ["pretrain"],
    ["tokenizer", "report"], ["tokenizer", "compare"], ["tokenizer", "sweep"],
    ["finetune"], ["evaluate"], ["quantize"], ["export"], ["run"], ["chat"], ["serve"], ["demo"], ["doctor"],
]  # fmt: skip
MAIN = "import sys; from edgelm.cli import main; main()"
SECONDS = 0.3


def run(*arguments: str, given: bytes = b"", command: list[str] | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors of `edgelm`, or of another command that runs it."""
    done = subprocess.run(
        [*(command or [EDGELM]), *arguments],
        input=given,
        capture_output=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", "PYTHONUTF8": "1"},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def processor_seconds(command: list[str]) -> float:
    """Of the best of five runs. Processor time: the wall clock of a busy machine measures its other work."""
    found = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


@pytest.mark.parametrize("command", [[EDGELM, "--help"], [sys.executable, "-c", "import edgelm"]])
def test_instant(command: list[str]) -> None:
    assert processor_seconds(command) < SECONDS


def test_help_of_every_command_imports_nothing_heavy() -> None:
    code = f"""
import sys
import edgelm, edgelm.cli
for command in {[[], *COMMANDS]!r}:
    try:
        edgelm.cli.app([*command, "--help"])
    except SystemExit as stop:
        assert not stop.code, command
print("heavy:", *({{name.split(".")[0] for name in sys.modules}} & set({HEAVY!r})))
"""
    code, out, err = run(command=[sys.executable, "-c", code])
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "heavy:"
    assert out.count("Usage: ") == 1 + len(COMMANDS)


def test_help_names_every_command() -> None:
    out = run("--help")[1]
    for command in COMMANDS:
        assert re.search(rf"\b{command[0]}\b", out)
    assert run("-h")[1] == out
    assert run("--version") == (0, f"edgelm {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "modules", "extra"),
    [
        (["quickstart", "-o", "out"], "torch", "train"),
        (["quickstart", "-o", "out"], "pyarrow", "corpus"),
        (["corpus", "build", "sample", "-o", "out"], "pyarrow", "corpus"),
        (["pretrain", "corpus", "tokenizer", "-o", "out"], "torch", "train"),
        (["finetune", "MODEL", "topic", "-o", "out"], "torch", "train"),
        (["evaluate", "GGUF", "topic", "-o", "out"], "sklearn", "train"),
        (["export", "MODEL", "-o", "out", "--to", "gguf:F16"], "torch", "train"),
        (["export", "MODEL", "-o", "out", "--to", "gguf:F16"], "gguf", "export"),
        (["export", "MODEL", "-o", "out", "--to", "gguf:F16"], "llama.cpp", "gguf"),
        (["export", "MODEL", "-o", "out", "--to", "onnx:fp32"], "optimum", "export"),
        (["run", "MODEL", "a"], "torch", "train"),
        (["run", "GGUF", "a"], "llama.cpp", "gguf"),
        (["demo", "GGUF"], "gradio", "demo"),
    ],
)
def test_a_missing_extra_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model_dir: Path,
    export_dir: Path,
    arguments: list[str],
    modules: str,
    extra: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"MODEL": str(model_dir), "GGUF": str(export_dir / "model-Q8_0.gguf")}
    arguments = [places.get(one, one) for one in arguments]
    blocked = ("llama_cpp", "xllamacpp") if modules == "llama.cpp" else (modules,)
    code, out, err = run(*arguments, command=exported.python(MAIN, blocked=blocked))
    assert (code, out) == (1, "")
    line = err.splitlines()[-1]
    assert line.startswith(f"edgelm: {modules} is not installed")
    assert "Run: pip install" in line
    assert line.endswith(f"pip install 'edgelm[{extra}]'")
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_run_continues_a_text(export_dir: Path) -> None:
    path = export_dir / "model-Q8_0.gguf"
    model = load(path)
    options = ("--max-tokens", "12", "--seed", "4")

    def says(text: str, **given: object) -> str:
        return "".join(model.generate(text, max_tokens=12, seed=4, **given))  # type: ignore[arg-type]

    code, out, err = run("run", str(path), "Namhlanje ḓ", *options)
    assert (code, out) == (0, "Namhlanje ḓ" + says("Namhlanje ḓ") + "\n")
    assert re.fullmatch(r"\[GGUF Q8_0: \d+ tokens, \d+ tokens/s\]\n", err)
    assert run("run", str(path), "-", *options, "-q", given="Namhlanje ḓ\n".encode()) == (0, out, "")
    tagged = "Go" + says("Go", language="zul") + "\n"
    assert run("run", str(path), "Go", "--language", "zul", *options, "-q") == (0, tagged, "")
    assert tagged != "Go" + says("Go") + "\n"
    assert run("run", str(path), "Go", "--chat", *options, "-q") == (0, says("Go", chat=True) + "\n", "")
    model.close()


def test_run_takes_every_kind_of_model(model_dir: Path, export_dir: Path) -> None:
    texts = set()
    for path in (model_dir, export_dir / "onnx" / "fp32", export_dir / "model-F32.gguf"):
        code, out, err = run("run", str(path), "Sawubona", "--temperature", "0", "-q")
        assert (code, err) == (0, "")
        texts.add(out)
    assert len(texts) == 1


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, export_dir: Path) -> None:
    gguf = str(export_dir / "model-Q8_0.gguf")
    (tmp_path / "noise.gguf").write_bytes(os.urandom(3000))
    (tmp_path / "noise").mkdir()
    for name in ("model.onnx", "config.json", "tokenizer.json"):
        (tmp_path / "noise" / name).write_bytes((export_dir / "onnx" / "int8" / name).read_bytes()[:-500])
    (tmp_path / "noise" / "config.json").write_bytes((export_dir / "onnx/int8/config.json").read_bytes())
    cases: list[tuple[list[str], bytes, str]] = [
        (["run", "nothing.gguf", "a"], b"", r"nothing\.gguf: no such model"),
        (["run", str(tmp_path / "noise.gguf"), "a"], b"", r"noise\.gguf: is not a whole GGUF file"),
        (["run", str(tmp_path / "noise"), "a"], b"", r"tokenizer\.json: is not a tokenizer"),
        (["run", gguf, "a", "--language", "xx"], b"", "unknown language 'xx'"),
        (["run", gguf, "a", "--temperature", "9"], b"", "temperature 9.0 is out of range"),
        (["run", gguf, "a", "--max-tokens", "0"], b"", "max_tokens 0 is out of range"),
        (["run", gguf, "a " * 300], b"", "the prompt has 601 tokens|the prompt has 30. tokens"),
        (["run", gguf, "-"], b"a\xff\n", "the text is not UTF-8"),
        (["run", gguf, os.fsdecode(b"a\xff")], b"", "the text is not UTF-8"),
        (["evaluate", gguf, "-o", str(tmp_path / "out")], b"", "nothing to evaluate on"),
        (["evaluate", gguf, "nonsense", "-o", str(tmp_path / "out")], b"", "unknown task 'nonsense'"),
    ]
    for arguments, given, problem in cases:
        code, out, err = run(*arguments, given=given)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert re.match(f"edgelm: .*({problem})", err), err
    assert not (tmp_path / "out").exists()


def test_a_wrong_option_is_exit_code_2() -> None:
    for arguments in (
        ["run"],
        ["nonsense"],
        ["run", "m", "a", "--seed", "-1"],
        ["pretrain", "--precision", "x"],
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert "Traceback" not in err


def test_ctrl_c_is_one_line_and_130(export_dir: Path) -> None:
    waiting = exported.python("print(flush=True); " + MAIN, "run", str(export_dir / "model-Q8_0.gguf"), "-")
    process = subprocess.Popen(
        waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.0)  # it waits for its input by then
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == ("", "edgelm: stopped.\n")  # there is nothing to continue


@pytest.mark.parametrize("arguments", [["--help"], ["run", "MODEL", "Sawubona", "--max-tokens", "200"]])
def test_a_closed_pipe_is_no_traceback(export_dir: Path, arguments: list[str]) -> None:
    arguments = [str(export_dir / "model-Q8_0.gguf") if one == "MODEL" else one for one in arguments]
    process = subprocess.Popen(
        [EDGELM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 1
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_evaluate_prints_a_table_beside_baselines(tmp_path: Path, export_dir: Path) -> None:
    corpus, task = made_up.make_corpus(tmp_path), made_up.make_task(tmp_path)
    gguf, output = str(export_dir / "model-Q8_0.gguf"), str(tmp_path / "out")
    code, out, err = run("evaluate", gguf, str(task), "--corpus", str(corpus), "-o", output, "-q")
    assert (code, err) == (0, "")
    lines = [line.strip() for line in out.splitlines()]
    rows = {tuple(line.split()[:2]) for line in lines if line.startswith("made-up ")}
    assert rows == {("made-up", "GGUF"), ("made-up", "majority"), ("made-up", "TF-IDF")}
    found = [line.split() for line in lines if re.fullmatch(r"\w{3,4} +\d\.\d{3} +[\d,]+\.\d", line)]
    bits = {code: value for code, value, _ in found}
    assert "perplexity is per token of this model's tokenizer of 2,048 tokens" in lines
    assert list(bits) == ["eng", "xho", "zul", "mean"]
    assert float(bits["mean"]) == pytest.approx(sum(map(float, list(bits.values())[:3])) / 3, abs=2e-3)
