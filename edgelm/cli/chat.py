"""`edgelm chat`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelm.cli.options import Adapter, Quiet, Threads

if TYPE_CHECKING:
    from edgelm.runtime import Generation
    from edgelm.runtime.conversation import Conversation

PROMPT = "> "
PASTE_SECONDS = 0.03
"""Lines that follow one so soon were pasted together with it: nobody types as fast."""
HELP = """\
/help        this list
/new         forget what was said and begin again
/save FILE   write the conversation to a file, as a line of instruction data
/exit        leave; Ctrl-D does so too, and Ctrl-C stops an answer
"""


def chat(
    model: Annotated[Path, typer.Argument(help="A .gguf file, an ONNX folder or a model directory.")],
    adapter: Adapter = None,
    system: Annotated[str, typer.Option(help="What the model is told before all else.")] = "",
    max_tokens: Annotated[int, typer.Option(help="Longest answer.", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 0.7,
    top_p: Annotated[
        float, typer.Option(help="Sample from the likeliest tokens of this probability.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the first answer; the next has the next.", min=0)] = 0,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Talk to a model: it answers message by message and remembers what was said.

    Where the input is no terminal, each line is a message.
    """
    from edgelm.runtime import load
    from edgelm.runtime.conversation import ONLY_PRETRAINED, Conversation, only_pretrained
    from edgelm.runtime.sampling import Options
    from edgelm.shipped import find

    Options(
        max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed
    )  # or the first answer fails
    model = find(model)
    loaded = load(model, threads=threads, adapter=adapter)
    loaded.frame()  # a model without a chat format is refused now, not at the first message
    terminal = sys.stdin.isatty()
    if adapter is None and only_pretrained(loaded, model):  # what an adapter was trained for nobody knows
        _say(ONLY_PRETRAINED)
    if terminal and not quiet:
        _say(f"{loaded.name}. /help lists the commands, /exit leaves.")
    talk = Conversation(
        loaded, system, max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed
    )
    told = False
    for text in _typed() if terminal else _piped():
        if text.startswith("/") and "\n" not in text:
            if text.split()[0] == "/exit":
                break
            told = told and text.split()[0] != "/new"
            _command(talk, text)
            continue
        _answer(talk, text)
        if talk.forgets and not told:
            _say(f"all that was said is more than {loaded.context} tokens; the oldest turns are forgotten.")
            told = True
    loaded.close()


def _typed() -> Iterator[str]:
    """Messages from a terminal, until Ctrl-D."""
    try:
        import readline  # lines can be edited, and a paste comes as one line

        readline.parse_and_bind("set enable-bracketed-paste on")
    except ImportError:
        pass
    hinted = False
    while True:
        try:
            lines = [input(PROMPT)]
            while _more():
                lines.append(input())
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            if not hinted:
                _say("Ctrl-D or /exit leaves.")
            hinted = True
            continue
        if text := "\n".join(lines).strip():
            yield text


def _more() -> bool:
    """Whether more of a paste is there to be read."""
    if os.name != "posix":
        return False
    import select

    return bool(select.select([sys.stdin], [], [], PASTE_SECONDS)[0])


def _piped() -> Iterator[str]:
    """Messages from a file or another program, one a line."""
    from edgelm.errors import BadInput

    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise BadInput(f"line {number} of the input is not UTF-8", remedy="convert it first") from None
        if text:
            yield text


def _answer(talk: "Conversation", text: str) -> None:
    from edgelm.runtime import Generation

    report = Generation()
    with _stoppable(report):
        for piece in talk.ask(text, report):
            print(piece, end="", flush=True)
    print(" [stopped]" if report.ended == "cancelled" else "", flush=True)
    if not report.tokens and report.ended == "stop":
        _say("the model ended its answer at once.")


@contextmanager
def _stoppable(report: "Generation") -> Iterator[None]:
    """Ctrl-C ends the answer between two tokens, where the cache is whole."""
    before = signal.signal(signal.SIGINT, lambda number, frame: report.cancel())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _command(talk: "Conversation", text: str) -> None:
    from edgelm.errors import BadInput

    name, _, rest = text.partition(" ")
    if name == "/help":
        print(HELP, end="")
    elif name == "/new":
        talk.new()
    elif name == "/save" and rest.strip():
        try:
            talk.save(Path(rest.strip()).expanduser())
            _say(f"written to {rest.strip()}")
        except BadInput as error:
            _say(str(error))
    elif name == "/save":
        _say("give a file: /save FILE")
    else:
        _say(f"there is no command {name}; /help lists them.")


def _say(message: str) -> None:
    """A word of the program's, not the model's."""
    print(f"edgelm: {message}", file=sys.stderr, flush=True)
