"""`edgelm tasks`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgelm.cli.options import make_console, print_table

if TYPE_CHECKING:
    from edgelm.tasks.check import Findings
    from edgelm.tasks.task import Task

app = typer.Typer(
    no_args_is_help=True, help="Labelled data: which there is, what a model reads, what is wrong."
)
Name = Annotated[str, typer.Argument(help="A task by name or YAML file.")]
MARKS = {"system": "#", "user": ">", "assistant": "<"}
"""What stands before each line of who says it."""
SHOWN = 5
WIDE = 110
"""Characters that the whole list of tasks needs."""
MANY = 20
"""Labels; more than that are counted one by one in the JSON only."""


@app.callback()
def tasks() -> None:
    """Labelled data: which there is, what a model reads, what is wrong."""


@app.command("list")
def list_tasks() -> None:
    """The tasks that ship with edgelm, with counts where their data is there."""
    from edgelm.tasks.task import SPLITS, load_task, task_names

    rows = []
    wide = make_console().width >= WIDE
    for name in task_names():
        task = load_task(name, data=False)
        mark = " *" if task.measurement_only else ""
        codes = " ".join(sorted(task.languages))
        if wide:
            more = [str(len(task.labels) or "-"), task.metric, task.licence + mark]
            rows.append([name, task.family, codes, *_counts(task), *more])
        else:
            codes = codes if len(task.languages) <= 3 else f"{len(task.languages)} languages"
            rows.append([name + mark, task.family, codes, *_counts(task)])
    columns = ["labels", "metric", "licence"] if wide else []
    print_table(["task", "family", "languages", *SPLITS, *columns], rows)
    print("0: the publisher has such a split, and it is not here. -: there is none.")
    print("*: only for measuring; no model that is given away may have been trained on it.")
    if not wide:
        print("labels, metric, licence, languages: edgelm tasks show TASK")


@app.command()
def show(
    name: Name,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test; else the first there is.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Only examples in this language.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many of each language.")] = 2,
    native: Annotated[
        bool, typer.Option(help="Prompts and answers in the example's language, where there are some.")
    ] = False,
) -> None:
    """Examples as a model reads them: prompt, answer, and the answers it chooses from."""
    from edgelm.errors import BadInput
    from edgelm.tasks.records import Remark
    from edgelm.tasks.task import load_task

    bad: list[BadInput] = []

    def report(error: BadInput) -> None:
        if error.line is None:  # a whole file
            raise error
        if not isinstance(error, Remark):
            bad.append(error)

    task = load_task(name)
    split = split or next((one for one in task.files if task.inputs([one])), next(iter(task.files)))
    try:
        examples = task.examples(split, [language] if language else None, report)
    except BadInput as error:  # not one line is good
        raise (bad or [error])[0] from None
    print(f"{task.name}: {task.attribution}. {_end(task.licence)}")
    print(_about(task))
    for code in dict.fromkeys(one.language for one in examples):
        for one in [one for one in examples if one.language == code][:count]:
            print(f"\n{code}, {split}, line {one.line}")
            for role, said in task.messages(one, native):
                print(_indented(said, MARKS[role]))
            print(_indented(task.answer(one, native), "<"))
            choices = task.choices(one, native)
            if choices is not None:
                print(_indented(f"of: {', '.join(choices)}", " "))
    if bad:
        lines = "1 bad line was" if len(bad) == 1 else f"{len(bad):,} bad lines were"
        print(f"\n{lines} left out: {bad[0]}\nedgelm tasks check {name} shows all that is wrong.")


@app.command()
def check(
    name: Name,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all that was found to this file.")
    ] = None,
) -> None:
    """Find all that is wrong with a task's data; exit code 1 if a line is bad or a text in two splits."""
    import json

    from edgelm.artifacts import write_json
    from edgelm.tasks.check import check_task
    from edgelm.tasks.task import load_task

    task = load_task(name)
    found = check_task(task)
    for line in [*found.errors, *found.remarks]:
        print(line)
    hidden = found.error_count - len(found.errors)
    if hidden:
        print(f"... and {hidden:,} more bad lines.")
    _print_pairs("stands in both splits", found.leaks, task.root)
    _print_pairs("stands twice in its split", found.duplicates, task.root)
    for path in found.absent:
        print(f"{path}: no such file. Get it from the set's publisher, if you mean to use that split.")
    _print_counts(found)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        write_json(json_file, json.loads(json.dumps(found.record())))
    print(_verdict(found))
    if not found.sound:
        raise typer.Exit(1)


def _counts(task: "Task[Any]") -> list[str]:
    """Examples of each split in the files that are there; a stroke where the task has no such split."""
    from edgelm.errors import BadInput
    from edgelm.tasks.task import SPLITS

    found = []
    for split in SPLITS:
        total = 0
        for code in task.languages:
            try:
                if task.has(split, code) and all(path.is_file() for path in task.sources(split, code)):
                    total += sum(1 for _ in task.read(split, code, lambda _: None))
            except BadInput:  # the variable that names the folder is not set
                continue
        found.append(f"{total:,}" if split in task.files else "-")
    return found


def _about(task: "Task[Any]") -> str:
    parts = [task.family, f"judged by {task.metric}", f"in {', '.join(sorted(task.languages))}"]
    if task.labels:
        parts.append(f"{len(task.labels)} labels: {', '.join(task.labels)}")
    return "; ".join(parts) + "."


def _print_counts(found: "Findings") -> None:
    rows = []
    for (split, language), one in found.counted.items():
        labels = ", ".join(f"{label} {count:,}" for label, count in sorted(one.labels.items()))
        if len(one.labels) > MANY:
            labels = (
                f"{len(one.labels)}, {min(one.labels.values()):,} to {max(one.labels.values()):,} of each"
            )
        leaked = ", ".join(f"{count:,} from {earlier}" for earlier, count in one.leaked.items())
        rows.append(
            [
                split,
                language,
                f"{one.examples:,}",
                f"{one.duplicates:,}",
                f"{one.disagreeing:,}",
                leaked or "0",
                labels,
            ]
        )
    header = ["split", "language", "examples", "twice", "disagreeing", "leaked", "labels"]
    if rows:
        print_table(header, rows, found.task)


def _print_pairs(what: str, pairs: list[Any], root: Path) -> None:
    """The first pairs of each two files, and how many more there are."""
    by_files: dict[tuple[Path, Path], list[Any]] = {}
    for pair in pairs:
        by_files.setdefault((pair[0].file, pair[1].file), []).append(pair)
    for (first, second), found in by_files.items():
        lines = ", ".join(f"{before.line} and {after.line}" for before, after in found[:SHOWN])
        files = (
            _short(first, root) if first == second else f"{_short(first, root)} and {_short(second, root)}"
        )
        more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
        print(f"{files}: a text {what}, lines {lines}{more}.")


def _verdict(found: "Findings") -> str:
    if not found.counted:
        return f"{found.task}: none of its files is there."
    examples = sum(one.examples for one in found.counted.values())
    parts = [f"{found.task}: {examples:,} examples", f"{found.error_count:,} bad lines"]
    parts += [f"{len(found.leaks):,} leaks between splits", f"{len(found.duplicates):,} duplicates"]
    return ", ".join(parts) + "."


def _short(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _indented(text: str, mark: str) -> str:
    text = text if len(text) <= 1200 else f"{text[:600]} ... {text[-600:]}"
    return "\n".join(f"  {mark} {line}" for line in text.split("\n"))


def _end(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
