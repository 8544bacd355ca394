"""`edgelm serve` and the demo page at the machine's limit, amid clients that mean them harm.

    python benchmarks/load.py MODEL --minutes 10

Honest clients ask without a pause, hostile ones (tests/testbed/hostile.py) hold connections, send what is
slow, huge or broken, and leave in the middle. Printed: honest requests, errors, how long an answer took, and
the memory of the server's process at the start, in the middle, at the end and after it.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "testbed"))

from hostile import Held, Target, ask, siege  # noqa: E402

DEMO = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from edgelm_demo.page import build
from edgelm_demo.server import launch
print("at", launch(build([Path(sys.argv[1])])), flush=True)
time.sleep(1e6)
"""


def start(what: str, model: Path) -> tuple[subprocess.Popen[str], Target]:
    if what == "serve":
        command = [sys.executable, "-m", "edgelm", "serve", str(model), "--port", "0"]
        body: dict[str, Any] = {"prompt": "Namhlanje", "max_tokens": 40, "stream": True}
        page, post = "/v1/models", "/v1/completions"
    else:
        command = [sys.executable, "-c", DEMO, str(model), str(ROOT / "demo")]
        body = {"data": [None] * 8, "fn_index": 0, "session_hash": "load"}
        page, post = "/", "/gradio_api/queue/join"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    address = next(word for word in process.stdout.readline().split() if word.startswith("http"))
    port = int(address.removesuffix("/").removesuffix("/v1").rpartition(":")[2])
    return process, Target(port, page, post, json.dumps(body).encode())


def measure(what: str, model: Path, seconds: float, clients: int, held: int) -> dict[str, Any]:
    process, target = start(what, model)
    took: list[float] = []
    errors: list[str] = []
    over = threading.Event()

    def honest(number: int) -> None:
        while not over.is_set():
            try:
                took.append(ask(target, whole=what == "serve" and number % 2 == 0))
            except (OSError, AssertionError, ValueError) as error:
                errors.append(repr(error))

    try:
        with siege(target, 60):  # what first requests bring stays
            for _ in range(5):
                ask(target)
        held_by = [Held.by(process.pid)]
        threads = [threading.Thread(target=honest, args=(number,)) for number in range(clients)]
        with siege(target, held) as done:
            for one in threads:
                one.start()
            for _ in range(2):
                time.sleep(seconds / 2)
                held_by.append(Held.by(process.pid))
            over.set()
            for one in threads:
                one.join()
        time.sleep(3)
        last = Held.by(process.pid)
    finally:
        process.kill()
        process.communicate()
    took.sort()
    every = [*held_by, last]
    return {
        "server": what,
        "seconds": seconds,
        "requests": len(took),
        "errors": len(errors),
        "first errors": errors[:5],
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
        "longest": took[-1],
        "hostile": sum(done.made.values()),
        "closed": done.closed,
        "MB": [round(one.memory / 1e6) for one in every],
        "files": [one.files for one in every],
        "threads": [one.threads for one in every],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="for each of the two")
    parser.add_argument("--clients", type=int, default=max(2, os.cpu_count() or 2), help="honest ones")
    parser.add_argument("--held", type=int, default=400, help="connections that hostile clients hold")
    parser.add_argument("-o", "--output", type=Path, default=Path("load.json"))
    options = parser.parse_args()
    rows = [
        measure(what, options.model, 60 * options.minutes, options.clients, options.held)
        for what in ("serve", "demo")
    ]
    options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"{'server':8}{'requests':>9}{'errors':>8}{'p50':>8}{'p99':>8}{'hostile':>9}", end="  ")
    print("MB at start, middle, end, after")
    for row in rows:
        print(
            f"{row['server']:8}{row['requests']:9,}{row['errors']:8}{row['p50']:7.2f}s{row['p99']:7.2f}s"
            f"{row['hostile']:9,}  {', '.join(map(str, row['MB']))}"
        )


if __name__ == "__main__":
    main()
