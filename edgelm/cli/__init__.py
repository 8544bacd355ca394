"""The command line. One thin file a command group: parse, call, render.

A command's file imports what it needs when the command runs, so `edgelm --help` is instant.
"""

import io
import os
import sys

import typer

from edgelm import __version__
from edgelm.cli.bench import bench
from edgelm.cli.chat import chat
from edgelm.cli.corpus import app as corpus
from edgelm.cli.demo import demo
from edgelm.cli.doctor import doctor
from edgelm.cli.evaluate import evaluate
from edgelm.cli.export import export
from edgelm.cli.finetune import finetune
from edgelm.cli.phone import ExportCommand
from edgelm.cli.pretrain import pretrain
from edgelm.cli.quantize import quantize
from edgelm.cli.quickstart import quickstart
from edgelm.cli.run import run
from edgelm.cli.serve import serve
from edgelm.cli.tasks import app as tasks
from edgelm.cli.tokenizer import app as tokenizer
from edgelm.errors import EdgelmError, out_of_memory

OUT_OF_MEMORY = "out of memory. Close other programs, or choose a smaller model or fewer things at a time."
MEND = "Run the same command again once this is mended."
app = typer.Typer(
    help="From raw text in any language to a small language model that answers offline.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(quickstart)
app.add_typer(corpus, name="corpus")
app.add_typer(tokenizer, name="tokenizer")
app.add_typer(tasks, name="tasks")
for command in (pretrain, finetune, evaluate, quantize, export, bench, run, chat, serve, demo, doctor):
    app.command(cls=ExportCommand if command is export else None)(command)


@app.callback(invoke_without_command=True)
def version(
    show: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
) -> None:
    if show:
        print(f"edgelm {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point: one line and an exit code for a user's mistake and for Ctrl-C, never a traceback."""
    # two OpenMP threads that spin against another busy process slow training down tenfold
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):  # ḓ ṱ š, whatever the system's code page
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        app()
    except EdgelmError as error:
        print(f"edgelm: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as stop:  # typer leaves with 130 for the former, without a word
        if isinstance(stop, SystemExit) and stop.code != 130:
            raise
        print(" ".join(["edgelm: stopped.", *_notes(stop)]), file=sys.stderr)
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        print(f"edgelm: {OUT_OF_MEMORY}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # outside of what `artifacts.build` makes
        if error.errno is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"edgelm: {place}{error.strerror}. {MEND}", file=sys.stderr)
        sys.exit(1)


def _notes(error: BaseException | None) -> list[str]:
    """What was noted on an error or on those that led to it."""
    if error is None:
        return []
    return [*getattr(error, "__notes__", []), *_notes(error.__context__)]
