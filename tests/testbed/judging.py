"""What is wrong with how a command took a fault: its words, its exit code, what can be seen of its output.

Bytes are compared of every file but those of `artifacts.CLOCKED`, and of edgelm.json all but `TIMED`.
"""

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawing import Undisturbed
from writing import Command

from edgelm import artifacts

TIMED = ("started", "seconds", "tokens_per_second", "mfu")
"""Fields of edgelm.json that say when and how fast, wherever they stand in it."""
CACHE = ".tokens"
"""Beside a corpus, and may stay there."""
ENDS = ("killed", "error", "unharmed", "recorded")
"""By the signal; with one line; with the undisturbed bytes; with others, recorded as of a damaged input."""


@dataclass
class Run:
    """How one run ended: exit status (negative a signal, None if it hung) and what it said."""

    status: int | None
    seconds: float
    stderr: str
    events: int
    called: list[str]


def judge(
    run: Run, kind: str, command: Command, undisturbed: Undisturbed, work: Path
) -> tuple[str, list[str]]:
    """One of `ENDS` and the defects of a disturbed run."""
    found, expected = content(work, command), undisturbed.content
    status, lines = run.status, run.stderr.splitlines()
    damaged = kind == "damage"
    if status == 1 and command.answers and not lines:
        status, damaged = 0, True  # what cannot be read is what it was asked about
    if status is None:
        return "error", ["hung"]
    if status in (-signal.SIGKILL, -signal.SIGALRM):
        return "killed", shown(found, expected, work, damaged=False)
    if status:
        told = (len(lines) == 1 and lines[0].startswith("edgelm: ")) or run.stderr.startswith(
            "Usage: edgelm "
        )
        defects = [] if status in (1, 2) and told and kind != "network" else [said(run)]
        return "error", defects + shown(found, expected, work, damaged)
    defects = [said(run)] if "Traceback" in run.stderr else []
    if found == expected:
        return "unharmed", defects
    if command.says and not found and lines:
        return "error", defects  # a conversation goes on where it cannot be saved
    if not found:
        return "error", [*defects, "ended well without its output"]
    defects += shown(found, expected, work, damaged, ended=True)
    return "recorded", defects


def said(run: Run) -> str:
    return f"ended with {run.status} and the words: {run.stderr[-1500:]}"


def shown(
    found: dict[str, str], expected: dict[str, str], work: Path, damaged: bool, ended: bool = False
) -> list[str]:
    """What is wrong with what can be seen of an output that is not the undisturbed one.

    Args:
        damaged: an input is, so that an artifact may differ if its digest does.
        ended: the run said that all is well, so that nothing may be missing.
    """
    defects = []
    places = artifacts_in({**expected, **found})
    for place in places:
        seen, wanted = _below(found, place), _below(expected, place)
        if seen == wanted or not (seen or ended):
            continue
        provenance = artifacts.read_provenance(work / place)
        if provenance is None:
            defects.append(f"{place} can be seen and has no edgelm.json")
        elif not artifacts.intact(work / place, provenance):
            defects.append(f"{place} can be seen and is not whole")
        elif not damaged or provenance["digest"] == _digest(expected, place):
            defects += differences(f"{place} says that it is undisturbed", seen, wanted)
    for path in sorted({*found, *expected}):
        missing = path not in found and not ended
        told = missing or (damaged and ended) or _inside(path, places)
        if not told and found.get(path) != expected.get(path):
            defects.append(f"{path} can be seen and is not what it should be")
    return defects


def content(work: Path, command: Command) -> dict[str, str]:
    """Digests of all that can be seen of the output, by path; edgelm.json as text without times."""
    found = {}
    for path in sorted(work.glob("out*")):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            name = file.relative_to(work)
            if not file.is_file() or hidden(name):
                continue
            if name.name in command.timed:
                provenance = artifacts.read_provenance(file.parent) or {}
                found[name.as_posix()] = json.dumps({"digest": provenance.get("digest")})
            elif name.name == artifacts.PROVENANCE:
                found[name.as_posix()] = _untimed(file)
            elif artifacts.CLOCKED.isdisjoint(name.parts):
                found[name.as_posix()] = artifacts.digest_path(file)
    return found


def left_behind(work: Path) -> list[str]:
    """Hidden things that are no input's."""
    found = [path for path in work.iterdir() if hidden(Path(path.name))]
    found += [path for top in work.glob("out*") for path in top.rglob(".*") if path.name != CACHE]
    return sorted(path.relative_to(work).as_posix() for path in found)


def differences(what: str, found: dict[str, str], expected: dict[str, str]) -> list[str]:
    names = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
    return [f"{what}, and from an undisturbed run differ {', '.join(names)}"] if names else []


def hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def artifacts_in(names: dict[str, str]) -> list[str]:
    """Folders that have an edgelm.json, none of them inside another."""
    found = sorted(str(Path(path).parent) for path in names if Path(path).name == artifacts.PROVENANCE)
    return [one for one in found if not _inside(one, [other for other in found if other != one])]


def _untimed(file: Path) -> str:
    """An edgelm.json without its times, and without the sizes and digests of files that have some."""

    def without(value: Any) -> Any:
        if isinstance(value, list):
            return [without(one) for one in value]
        if isinstance(value, dict):
            return {
                key: without(one)
                for key, one in value.items()
                if key not in TIMED and artifacts.CLOCKED.isdisjoint(Path(key).parts)
            }
        return value

    try:
        return json.dumps(without(json.loads(file.read_text(encoding="utf-8"))), sort_keys=True)
    except ValueError:
        return "damaged"


def _digest(names: dict[str, str], place: str) -> str | None:
    text = names.get(f"{place}/{artifacts.PROVENANCE}")
    return json.loads(text)["digest"] if text else None


def _inside(path: str, places: list[str]) -> bool:
    return any(path.startswith(f"{place}/") for place in places)


def _below(names: dict[str, str], place: str) -> dict[str, str]:
    return {path: digest for path, digest in names.items() if path.startswith(f"{place}/")}
