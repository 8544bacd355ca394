"""A disk that fills up, and SIGKILL, in an export: nothing looks finished, and the next run succeeds."""

import os
import signal
import subprocess
import time
from pathlib import Path

import exported
import pytest

from edgelm.errors import BadInput
from edgelm.export.export import artifact_name
from edgelm.runtime import load

# Files may not grow beyond so many bytes; then, in the same process as it is slow to start, with no limit.
EXPORT = """
import resource, signal, sys
from pathlib import Path
import onnxruntime, optimum.exporters.onnx
from edgelm.errors import EdgelmError
from edgelm.export.export import export
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
model, output, kind, most = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
for limit in (most, resource.RLIM_INFINITY):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        export(model, output, [kind], text="none")
        print("done", flush=True)
    except EdgelmError as error:
        print(error.exit_code, error, output.exists(), flush=True)
"""
QUANTIZE = """
import resource, signal, sys
from pathlib import Path
from edgelm.errors import EdgelmError
from edgelm.export.gguf import quantize_gguf
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
try:
    quantize_gguf(Path(sys.argv[1]), Path(sys.argv[2]), "Q4_K_M")
except EdgelmError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", ["gguf:Q8_0", "onnx:fp32"])
def test_after_a_kill_and_on_a_full_disk_nothing_looks_finished_and_the_next_run_succeeds(
    tmp_path: Path, tiny_model_dir: Path, kind: str
) -> None:
    output, partial = tmp_path / "out", tmp_path / ".out.partial"
    command = exported.python(EXPORT, str(tiny_model_dir), str(output), kind, "300000")
    unlimited = [*command[:-1], "-1"]
    process = subprocess.Popen(unlimited, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not [*partial.glob("**/model*.onnx"), *partial.glob("*.gguf")] and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    with pytest.raises(BadInput, match="no such model"):
        load(output / artifact_name(kind))

    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    first, last = done.stdout.splitlines()
    assert first.startswith("1 ")
    assert "un th" in first  # the same command again
    assert first.endswith(" False")
    assert last == "done"
    assert not partial.exists()
    load(output / artifact_name(kind)).close()


def test_llama_cpp_s_quantiser_on_a_full_disk_is_one_line(tmp_path: Path, tiny_gguf: Path) -> None:
    pytest.importorskip("llama_cpp", reason="GGUF files are quantised with the extra 'gguf'")
    done = subprocess.run(
        exported.python(QUANTIZE, str(tiny_gguf), str(tmp_path / "out.gguf")),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(
        "out.gguf: llama.cpp could not quantise to Q4_K_M. Is there room on the disk?\n"
    )
