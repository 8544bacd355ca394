"""What the pages for readers show works: every command, in the pages' order, in a folder of a stranger's.

All pages share one folder, as all say `corpus`, `base` and `model`. Labelled data is made up there, in the
layout of the publishers' files; text and models are small.
"""

import io
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import documented
import pytest
import stranger
from documented import ROOT, Command
from single import one_thread  # noqa: F401

from edgelm.cli import main
from edgelm.cli.reference import commands as known_commands
from edgelm.corpus.recipe import load_recipe

SMALLER = {
    # a call that begins so | gets these too, which only say how much is done; the last one given counts
    r"tokenizer train": "--vocab-size 1000",
    r"tokenizer sweep": "--sizes 400,800",
    r"pretrain .*--init-from": "--steps 10 --batch 4",
    r"pretrain (?!.*--plan)": "--preset nano --steps 10 --batch 4",
    r"finetune .*--method (linear|crf)": "--few 4",
    r"finetune (?!.*--method (linear|crf))": "--few 4 --steps 2 --batch 2",
    r"evaluate": "--languages zul",
    r"export .*--target phone": "--target phone-of-few-formats.yaml",
    r"quantize": "--steps 1 --batch 1",
    r"bench": "-p 8 -n 4 -r 1",
    r"serve|demo|export phone .*--serve": "--port 0",
}
PARSED_ONLY = {
    # a line: why it is not run
    "edgelm corpus build south-africa -o corpus": "reads 68 MB of published sources, which are not here",
    "edgelm bench model export/model-Q8_0.gguf export/onnx/int8 -o bench --text corpus --tasks topic": (
        "scores a task thrice; the guide's line measures, tests/bench/test_bench.py scores"
    ),
    "edgelm quantize tiny -o finished --qat --to gguf:Q3_K_M --text corpus --steps 32 --batch 4 "
    "--learning-rate 0.0002 --precision bf16": "the guide's line finishes for Q4_0 in the same way",
    "RAY_ADDRESS=HEAD:6379 edgelm corpus build /nfs/text -o /nfs/corpus --engine ray": (
        "wants a cluster; tests/corpus/test_engine.py builds with Ray on one machine"
    ),
    "uvx --from '.[gguf-prebuilt]' edgelm run \"Namhlanje ekuseni\" --language zul": (
        "fetches from a registry of packages"
    ),
    "torchrun --standalone --nproc-per-node 4 -m edgelm pretrain corpus tokenizer -o base --preset 125m": (
        "wants four large processes; tests/pretrain/test_distributed.py trains with two small ones"
    ),
}
RUN_BY = {
    # a line: the file of tests that runs it, word for word
    "edgelm quickstart": "tests/test_quickstart.py",
    "edgelm quickstart --source FOLDER": "tests/test_quickstart.py",
}
TYPED = {"chat": "Sawubona\n", "run": "Namhlanje ekuseni\n"}
"""What somebody types where a command waits for it."""
STAYS = re.compile(r"edgelm (serve|demo)\b|--serve\b")
QUANTISER = pytest.mark.skipif(
    find_spec("llama_cpp") is None, reason="K-quants are llama.cpp's own: pip install 'edgelm[gguf]'"
)
BROWSER = f"{sys.executable} -c \"import sys; open('opened', 'w').write(sys.argv[1])\" %s"
SECONDS = 200

COMMANDS = documented.commands()
WHOLE = {one.text: one for one in reversed(COMMANDS) if one.whole and not documented.is_mention(one)}
ONCE = {one.call: one for one in reversed(COMMANDS) if WHOLE.get(one.text) is one}
ORDER = [one for one in COMMANDS if ONCE.get(one.call) is one and one.text not in {**PARSED_ONLY, **RUN_BY}]
STAGES = {one.relative_to(ROOT).as_posix() for one in documented.PAGES} - {
    "README.md", "docs/commands.md", "docs/results.md", "CONTRIBUTING.md",
}  # fmt: skip
DONE: dict[str, str] = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_gguf: Path, model_dir: Path) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stranger")
    stranger.bring(folder, model_dir, tiny_gguf)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EDGELM_DATA", str(folder / "data-of-others"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("BROWSER", BROWSER)
        patch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin")
        yield folder


@pytest.mark.parametrize(
    "command",
    [pytest.param(one, marks=QUANTISER if re.search(r"Q\d_K", one.text) else ()) for one in ORDER],
    ids=lambda one: f"{one.page}:{one.text}",
)
def test_a_command_that_a_page_shows_works(command: Command, folder: Path, capfd) -> None:
    for one in ORDER[: ORDER.index(command) + 1]:  # those before it too, where this test runs alone
        if one.text not in DONE:
            try:
                DONE[one.text] = attempt(one) or capfd.readouterr().err[-2000:]
            except (AssertionError, OSError) as error:
                DONE[one.text] = repr(error)
    assert DONE[command.text] == "works", f"{command.place}: {command.text}"


def attempt(one: Command) -> str:
    """Run a line; `works`, or what it said, if that was not to this process."""
    shutil.rmtree("OUT", ignore_errors=True)  # stands for a folder of the reader's choice
    if "edgelm-quickstart" in one.text and not Path("edgelm-quickstart").exists():
        for stage in ("corpus", "model", "export"):  # as quickstart's own stages have left them for the guide
            shutil.copytree(stage, f"edgelm-quickstart/{stage}")
    if one.shell or "--open" in one.words:
        done = subprocess.run(["sh", "-c", one.text], capture_output=True, text=True, timeout=SECONDS)
        opened = "--open" not in one.words or Path("opened").read_text().endswith("/report.html")
        return "works" if done.returncode == 0 and opened else done.stderr
    words = " ".join(one.words)
    more = next((more for start, more in SMALLER.items() if re.match(start, words)), "").split()
    if STAYS.search(one.text):
        return stays([*one.words, *more])
    return "works" if run([*one.words, *more], TYPED.get(one.words[0], "")) == 0 else ""


def test_a_line_that_is_not_run_is_parsed() -> None:
    wrong = {}
    for one in COMMANDS:
        try:
            _, command, rest = documented.named(one.words)  # there is such a command
            if documented.is_mention(one):
                taken = {name for option in command.params for name in option.opts}
                assert {word for word in rest if word.startswith("-")} <= taken, "no such option"
            else:
                documented.check(one.words)
        except Exception as error:
            wrong[one.place] = f"{one.text}: {getattr(error, 'message', '') or repr(error)}"
    assert wrong == {}


def test_an_exception_is_of_a_line_that_a_page_has() -> None:
    assert {*PARSED_ONLY, *RUN_BY} <= {one.text for one in COMMANDS}
    for line, file in RUN_BY.items():
        assert f'"{line}"' in (ROOT / file).read_text(encoding="utf-8"), line
    calls = [" ".join(one.words) for one in ORDER]
    for start in SMALLER:
        assert any(re.match(start, call) for call in calls), start


def test_every_command_stands_on_a_page_of_its_stage_and_no_other_does() -> None:
    shown = {
        documented.named(one.words)[0]
        for one in COMMANDS
        if one.page in STAGES and (one.text in WHOLE or one.text in RUN_BY)
    }
    assert shown == {name for name, _ in known_commands()}


@pytest.mark.parametrize("page", sorted({one.page for one in documented.blocks("python")}))
def test_the_python_of_a_page_runs(page: str, folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    Path("export").mkdir(exist_ok=True)
    if not Path("export/model-Q8_0.gguf").exists():
        shutil.copy("model.gguf", "export/model-Q8_0.gguf")
    space: dict[str, object] = {}
    for block in documented.blocks("python"):
        if block.page != page:
            continue
        if "127.0.0.1:8080" not in block.text:
            exec(compile("\n" * block.line + block.text, block.page, "exec"), space)
            continue
        with started(["serve", "model.gguf", "--port", "0"]) as (_, address):
            exec(block.text.replace("http://127.0.0.1:8080/v1", address), {})


def test_the_requests_of_the_servers_page_are_answered(folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    (text,) = (one.text for one in documented.blocks("bash") if "curl" in one.text)
    requests = text[text.index("curl") :].replace("curl ", "curl --fail --silent ")
    with started(["serve", "model.gguf", "--port", "0"]) as (_, address):
        here = requests.replace("http://127.0.0.1:8080/v1", address)
        done = subprocess.run(["sh", "-ec", here], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert '"object":"chat.completion"' in done.stdout.replace(" ", "")
    assert done.stdout.rstrip().endswith("data: [DONE]")


def test_the_recipe_of_the_corpus_page_is_one(tmp_path: Path) -> None:
    recipe, filters = (one.text for one in documented.blocks("yaml") if one.page == "docs/corpus.md")
    for name in ("texts/radio", "tests/sib200"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "mine.yaml").write_text(recipe + filters, encoding="utf-8")
    found = load_recipe(tmp_path / "mine.yaml")
    assert (found.name, len(found.sources)) == ("mine", 2)
    assert "word_length" in {one.reason for one in found.filters}


def run(words: list[str], typed: str) -> object:
    """Run `edgelm` in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["edgelm", *words])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        try:
            main()
        except SystemExit as left:
            return left.code or 0
    return 0


def stays(words: list[str]) -> str:
    """Start a command that stays up, ask it for a page, stop it."""
    with started(words) as (process, address):
        with urllib.request.urlopen(address.replace("/v1", "/v1/models"), timeout=SECONDS) as answer:
            assert answer.status == 200
            assert answer.read()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
    return "works" if process.returncode in (0, 130) else said


@contextmanager
def started(words: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command that stays up, and the address that it gives."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgelm", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(
            signal.signal, signal.SIGINT, signal.SIG_DFL
        ),  # a job in the background has it ignored
    )
    too_late = threading.Timer(SECONDS, process.kill)
    too_late.start()
    said, address = "", None
    try:
        while address is None:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (said, process.communicate()[1])
            said += line
            address = re.search(r"http://(?:127\.0\.0\.1|localhost):\d+(?:/v1)?", line)
        yield process, address[0]
    finally:
        too_late.cancel()
        if process.poll() is None:
            process.kill()
        process.communicate()
