"""Faults in every command that writes: kills, full disks, failing calls, lost rights, no network, damage.

    python benchmarks/faults.py --minutes 30 [-o faults.json]
    python benchmarks/faults.py --only corpus --kind kill --seed 7

Prints one table of commands and kinds of faults: tried, recovered (the next run ended with the bytes of an
undisturbed one), and how the disturbed runs ended. Every defect is printed with the seed that shows it again.
Exit code 1 if there was one. `tests/testbed/faults.py` says what counts as a defect.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "testbed"))

from drawing import KINDS
from faults import Faults, Trial
from judging import ENDS
from writing import COMMANDS

SLOW = ("quickstart", "bench", "langid", "backend", "auto")
"""Commands that are tried a fifth as often."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--only", choices=COMMANDS, action="append", help="this command; repeat for more")
    parser.add_argument("--kind", choices=KINDS, action="append", help="this kind; repeat for more")
    parser.add_argument("--seed", type=int, help="this one only, once")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    commands, kinds = options.only or [*COMMANDS], options.kind or KINDS
    seed = options.first if options.seed is None else options.seed
    found: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder, Faults(Path(folder) / "faults") as faults:
        while options.seed is None or seed == options.seed:
            pairs = [(name, kind) for name in commands for kind in kinds if name not in SLOW or not seed % 5]
            random.Random(seed).shuffle(pairs)  # whatever the time, all kinds and commands have their share
            for name, kind in pairs:
                if time.monotonic() > until:
                    break
                found.append(faults.trial(name, kind, seed))
                if found[-1].defects or options.seed is not None:
                    print(f"{name} --kind {kind} --seed {seed}: {found[-1].ends} after {found[-1].faults}")
                    print("\n".join(found[-1].defects or ["no defect"]), end="\n\n", flush=True)
                if options.output:
                    options.output.write_text(json.dumps([asdict(one) for one in found], indent=1))
            if time.monotonic() > until:
                break
            seed += 1
    print_table(found)
    sys.exit(any(one.defects for one in found))


def print_table(found: list[Trial]) -> None:
    columns = ("command", "fault", "trials", "faults", "recovered", *ENDS, "defects")
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
    groups: dict[tuple[str, str], list[Trial]] = {}
    for one in found:
        for command in (one.command, "all"):
            groups.setdefault((command, one.kind), []).append(one)
        groups.setdefault(("all", "all"), []).append(one)
    order = [*COMMANDS, "all"]
    for (command, kind), trials in sorted(groups.items(), key=lambda item: order.index(item[0][0])):
        ends = Counter(end for one in trials for end in one.ends)
        defects = sum(bool(one.defects) for one in trials)
        figures = [
            len(trials),
            ends.total(),
            sum(one.recovered for one in trials),
            *(ends[end] for end in ENDS),
            defects,
        ]
        print(f"| {command} | {kind} | " + " | ".join(map(str, figures)) + " |")


if __name__ == "__main__":
    main()
