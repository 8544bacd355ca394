"""A model of 125 million parameters, all the way, on one GPU: EDGELM_DATA=DATA python demo/make_125m.py WORK

    EDGELM_DATA=data python demo/make_125m.py work                           # every step
    EDGELM_DATA=data python demo/make_125m.py work --only pretrain           # one, where the GPU is
    EDGELM_DATA=data python demo/make_125m.py trial --preset nano --steps 40 # what will happen, on a laptop

The corpus is that of the models that ship; docs/results.md has what was measured of this recipe. A step that
is done is not done again, and one that was interrupted goes on where it was. Ends with a table of the minutes
that each took, the speed of training and what came out, and writes it as JSON.
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from make_models import data_folder, run

from edgelm.cli.options import print_table
from edgelm.errors import EdgelmError
from edgelm.model.config import get_preset, presets

STEPS = {
    "corpus": ["edgelm corpus build {recipe} -o corpus --evaluation {tasks}"],
    "tokenizer": ["edgelm tokenizer train corpus -o tokenizer --vocab-size {vocabulary}"],
    "pretrain": [
        "edgelm pretrain corpus tokenizer -o base --preset {preset} --steps {steps} --batch {batch} "
        "--sampling unimax --max-epochs 16 --warmup {warmup} --dropout 0.1 --weight-decay 0.5 --z-loss 1e-4 "
        "--ema 0.998 --select best"
    ],
    "bits": ["ngram.py corpus base -o bits.json"],
    "finetune": [
        "tasks.py base --work tasks --only heads -o heads.json",  # one language, and all of a task
        "tasks.py base --work tasks --only writing -o writing.json",  # text, and many tasks in one model
    ],
    "export": ["edgelm export base -o export --to gguf:Q8_0 --to gguf:Q4_K_M --text corpus"],
}
"""What each step runs: edgelm, or a script of `benchmarks/`."""


def figures(work: Path) -> list[list[str]]:
    """What the records of the steps say: rows of a name and a value."""
    rows = []
    if (speed := work / "base" / "speed.jsonl").exists():
        lines = [json.loads(line) for line in speed.read_text(encoding="utf-8").splitlines()]
        tokens = statistics.median(one["tokens_per_second"] for one in lines)
        rows.append(["tokens/s, median", f"{tokens:,.0f}"])
        if peaks := [one["mfu"] for one in lines if one.get("mfu")]:
            rows.append(["of the device's peak", f"{statistics.median(peaks):.0%}"])
    if (bits := work / "bits.json").exists():
        found = json.loads(bits.read_text(encoding="utf-8"))
        rows += [[f"bits per byte, {name}", f"{one['mean']:.3f}"] for name, one in found.items()]
    rows += [
        [f"{file.name}, MB", f"{file.stat().st_size / 1e6:.1f}"]
        for file in sorted(work.glob("export/model-*.gguf"))
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", choices=STEPS, action="append", help="this step; may be given again")
    parser.add_argument("--preset", choices=presets(), default="125m")
    parser.add_argument("--steps", type=int, default=1500, help="of 131 072 tokens with the other defaults")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--recipe", default="south-africa")
    options = parser.parse_args()
    data = data_folder()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "tasks": shlex.quote(str(data / "tasks")),
        "recipe": shlex.quote(options.recipe),
        "preset": options.preset,
        "vocabulary": get_preset(options.preset).vocab_size,
        "steps": options.steps,
        "batch": options.batch,
        "warmup": max(1, options.steps // 25),
    }
    minutes = {}
    for step in options.only or STEPS:
        began = time.monotonic()
        for line in STEPS[step]:
            run(line.format(**values), work)
        minutes[step] = (time.monotonic() - began) / 60
    found = figures(work)
    rows = [[f"{step}, minutes", f"{taken:.1f}"] for step, taken in minutes.items()]
    print_table(["what", "figure"], rows + found, f"{options.preset}, {options.steps} steps")
    record = {"minutes": minutes, "figures": dict(found)}
    (work / "made.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except EdgelmError as error:
        sys.exit(str(error))
