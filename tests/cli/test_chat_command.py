"""`edgelm chat`: in a terminal, a pseudo-terminal of its own, and through a pipe."""

import io
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted import uniform

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.runtime import Generation, load
from edgelm.runtime.conversation import Conversation, only_pretrained

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
Run = Callable[..., tuple[int, str, str]]
SECONDS = 30
CODES = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]|\r")
SLOW = """
import time
from edgelm.cli import main
from edgelm.runtime import sampling
real = sampling.sample
def sample(logits, *options):
    time.sleep(0.05)
    return real(logits, *options)
sampling.sample = sample
main()
"""


class Terminal:
    """A chat in a terminal: what is typed, and what is seen."""

    def __init__(self, *arguments: object, program: tuple[str, ...] = ("-m", "edgelm")):
        self.screen, ours = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "INPUTRC": "/dev/null"}
        command = [sys.executable, *program, "chat", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=ours, stdout=ours, stderr=ours, env=environment, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(ours)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def wait(self, text: str, after: int = 0) -> int:
        """Read until something is seen; the place behind it."""
        return self.wait_for(re.compile(re.escape(text)), after)

    def wait_for(self, text: re.Pattern[str], after: int = 0) -> int:
        end = time.monotonic() + SECONDS
        while not (found := text.search(self.seen, after)):
            assert time.monotonic() < end, self.seen
            if select.select([self.screen], [], [], 0.2)[0]:
                try:
                    read = os.read(self.screen, 65536).decode("utf-8", "replace")
                    self.seen = CODES.sub("", self.seen + read)
                except OSError:  # the other end is closed
                    assert text.search(self.seen, after), self.seen
        return found.end()

    def end(self) -> int:
        return self.process.wait(SECONDS)


@pytest.fixture
def terminal(tiny_model_dir: Path) -> Iterator[Terminal]:
    found = Terminal(tiny_model_dir, "--max-tokens", 100, "--threads", 1)
    found.wait("> ")
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()
    os.close(found.screen)


def said(path: Path) -> list[tuple[str, str]]:
    (line,) = path.read_text(encoding="utf-8").splitlines()
    return [(one["role"], one["content"]) for one in json.loads(line)["messages"]]


def test_a_conversation_in_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    place = terminal.wait("/help lists the commands")
    terminal.type("Sawubona\n")
    place = terminal.wait("\n> ", terminal.wait("Sawubona", place))
    terminal.type("/help\n")
    place = terminal.wait("\n> ", terminal.wait("/save FILE", place))  # what is typed sooner is echoed twice
    terminal.type(f"/save {tmp_path / 'talk.jsonl'}\n")
    place = terminal.wait("\n> ", terminal.wait("talk.jsonl", place))
    terminal.type("/new\n")
    place = terminal.wait("\n> ", terminal.wait("/new", place))
    terminal.type("Unjani?\n")
    place = terminal.wait("\n> ", terminal.wait("Unjani?", place))
    terminal.type(f"/save {tmp_path / 'new.jsonl'}\n")
    terminal.wait("\n> ", terminal.wait("new.jsonl", place))
    terminal.type("/exit\n")
    assert terminal.end() == 0
    assert [role for role, _ in said(tmp_path / "talk.jsonl")] == ["user", "assistant"]
    assert said(tmp_path / "talk.jsonl")[0][1] == "Sawubona"
    assert said(tmp_path / "new.jsonl")[0][1] == "Unjani?"


@pytest.mark.parametrize("paste", ["first\nsecond\n\nthird\n", "\x1b[200~first\nsecond\n\nthird\x1b[201~\n"])
def test_a_paste_of_several_lines_is_one_message(terminal: Terminal, tmp_path: Path, paste: str) -> None:
    terminal.type(paste)
    terminal.wait("\n> ", terminal.wait("third"))
    assert terminal.seen.count("\n> ") == 2  # before it and after the answer
    terminal.type(f"/save {tmp_path / 'talk.jsonl'}\n")
    terminal.wait("> ", terminal.wait("talk.jsonl"))
    terminal.type("\x04")
    assert terminal.end() == 0
    assert [text for role, text in said(tmp_path / "talk.jsonl") if role == "user"] == [
        "first\nsecond\n\nthird"
    ]


def test_a_paste_that_begins_with_a_stroke_is_no_command(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("/exit\nis what it said\n")
    terminal.wait("\n> ", terminal.wait("is what it said"))
    terminal.type(f"/save {tmp_path / 'talk.jsonl'}\n")
    terminal.wait("> ", terminal.wait("talk.jsonl"))
    terminal.type("\x04")
    assert terminal.end() == 0
    assert said(tmp_path / "talk.jsonl")[0] == ("user", "/exit\nis what it said")


def test_ctrl_c_stops_an_answer_and_not_the_program(tiny_model_dir: Path, tmp_path: Path) -> None:
    terminal = Terminal(tiny_model_dir, "--threads", 1, program=("-c", SLOW))
    place = terminal.wait("> ")
    time.sleep(1)  # a signal between readline's prompt and its waiting for a key is seen at the next key only
    terminal.type("\x03")
    place = terminal.wait("Ctrl-D or /exit leaves", place)
    place = terminal.wait("> ", place)
    terminal.type("Sawubona\n")
    place = terminal.wait("Sawubona\n", place)
    terminal.wait_for(re.compile(r"\w"), place)  # of the answer
    terminal.type("\x03")
    place = terminal.wait("[stopped]\n> ", place)
    terminal.type(f"/save {tmp_path / 'talk.jsonl'}\n")
    terminal.wait("> ", terminal.wait("talk.jsonl", place))
    terminal.type("\x04")
    assert terminal.end() == 0
    os.close(terminal.screen)
    (_, (role, answer)) = said(tmp_path / "talk.jsonl")
    assert (role, bool(answer)) == ("assistant", True)


@pytest.fixture
def piped(edgelm: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    def run(model: Path, text: bytes, *options: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return edgelm("chat", model, *options)

    return run


def test_a_pipe_has_a_message_a_line(piped: Run, tiny_model_dir: Path, tmp_path: Path) -> None:
    save = tmp_path / "talk.jsonl"
    lines = f"Sawubona ḓ\n\n/save {save}\nUnjani?\n/save {save}\n/nothing\n/save\nYebo".encode()
    code, out, err = piped(tiny_model_dir, lines, "--system", "Phendula.", "--max-tokens", 20)
    assert code == 0
    messages = said(save)
    assert [text for role, text in messages if role != "assistant"] == ["Phendula.", "Sawubona ḓ", "Unjani?"]
    answers = [text for role, text in messages if role == "assistant"]
    assert out.startswith("".join(f"{answer}\n" for answer in answers))
    assert err == (
        2 * f"edgelm: written to {save}\n" + "edgelm: there is no command /nothing; /help lists them.\n"
        "edgelm: give a file: /save FILE\n"
    )
    assert piped(tiny_model_dir, b"a\n/exit\nb\n", "--max-tokens", 3)[1].count("\n") >= 1
    assert piped(tiny_model_dir, b"\xff\n")[2] == (
        "edgelm: line 1 of the input is not UTF-8. Convert it first.\n"
    )


def test_the_oldest_turns_go_and_it_is_said_once(piped: Run, tiny_model_dir: Path) -> None:
    lines = ("umoya uyabanda namhlanje kakhulu\n" * 8).encode()
    code, _, err = piped(tiny_model_dir, lines, "--max-tokens", 60)
    assert code == 0
    assert err == "edgelm: all that was said is more than 256 tokens; the oldest turns are forgotten.\n"
    assert piped(tiny_model_dir, lines[:33], "--max-tokens", 60)[2] == ""


def test_options_out_of_range_are_one_line(piped: Run, tiny_model_dir: Path, tmp_path: Path) -> None:
    code, _, err = piped(tiny_model_dir, b"a\n", "--temperature", 9)
    assert (code, err.count("\n")) == (2, 1)
    assert "temperature 9.0 is out of range" in err
    code, _, err = piped(tmp_path / "none", b"a\n")
    assert (code, err.count("\n")) == (2, 1)


def test_a_model_that_was_only_pretrained_is_warned_of(
    piped: Run, tiny_model_dir: Path, tmp_path: Path
) -> None:
    model = load(tiny_model_dir)
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    assert not only_pretrained(model, folder)
    for command, warned in (("pretrain", True), ("finetune", False)):
        (folder / artifacts.PROVENANCE).write_text(
            json.dumps({"command": command, "config": {}, "digest": ""})
        )
        assert only_pretrained(model, folder) == warned
    (folder / artifacts.PROVENANCE).write_text(
        json.dumps({"command": "pretrain", "config": {}, "digest": ""})
    )
    _, _, err = piped(folder, b"a\n", "--max-tokens", 2)
    assert err == (
        "edgelm: this model has learnt to continue text, not to answer. Finetune it on conversations first.\n"
    )


def test_a_model_without_a_chat_format_is_refused_before_a_prompt(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="makes the foreign model")
    import foreign

    folder = tmp_path / "model"
    foreign.save_model("nine-heads", folder)
    terminal = Terminal(folder, "--threads", 1)
    terminal.wait("no chat format that edgelm knows. It can continue text, as edgelm run does.\n")
    assert terminal.end() == 2
    os.close(terminal.screen)
    assert terminal.seen.splitlines() == [
        "edgelm: this model has no chat format that edgelm knows. It can continue text, as edgelm run does."
    ]


def test_a_gguf_file_says_how_it_was_trained(tiny_model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
    pytest.importorskip("llama_cpp", reason="GGUF files are run with llama-cpp-python")
    from edgelm.export.gguf import write_gguf

    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    for command, warned in (("pretrain", True), ("finetune", False)):
        record = {
            "command": command,
            "config": {"steps": 5, "batch": 4},
            "versions": {"edgelm": "0.1"},
            "digest": "",
        }
        (folder / artifacts.PROVENANCE).write_text(json.dumps(record))
        write_gguf(folder, tmp_path / f"{command}.gguf", "F16")
        model = load(tmp_path / f"{command}.gguf", threads=1)
        assert only_pretrained(model, tmp_path / f"{command}.gguf") == warned
        model.close()


def test_turns_keep_the_cache_and_the_tokens_that_were_written(tiny_model_dir: Path) -> None:
    model = load(tiny_model_dir)
    talk = Conversation(model, "Phendula.", max_tokens=20, temperature=1.0, seed=7)
    first, second = Generation(), Generation()
    answers = ["".join(talk.ask("Sawubona", first)), "".join(talk.ask("Unjani?", second))]
    assert second.reused == first.prompt_tokens + len(first.ids) - (first.ended == "length")
    turns = [
        ("system", model.tokenize("Phendula.")),
        ("user", model.tokenize("Sawubona")),
        ("assistant", first.ids),
        ("user", model.tokenize("Unjani?")),
    ]
    options = {"max_tokens": 20, "temperature": 1.0}
    expected = "".join(model.generate(model.conversation(turns), seed=8, **options))  # type: ignore[arg-type]
    assert answers[1] == expected
    assert [one["content"] for one in talk.messages] == [
        "Phendula.",
        "Sawubona",
        answers[0],
        "Unjani?",
        answers[1],
    ]
    talk.new()
    assert [one["role"] for one in talk.messages] == ["system"]


def test_a_file_of_anothers_is_not_written_over(tmp_path: Path) -> None:
    talk = Conversation(uniform())
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="is there already"):
        talk.save(tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    talk.save(tmp_path / "talk.jsonl")
    talk.save(tmp_path / "talk.jsonl")
    with pytest.raises(BadInput, match="cannot be written"):
        talk.save(tmp_path / "none" / "talk.jsonl")
