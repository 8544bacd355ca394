"""The light commands where there is no network: a namespace with nothing but the loopback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="a corpus is Parquet: the extra 'corpus'")

PROGRAM = """
import fcntl, json, socket, struct, sys
with socket.socket() as one:  # raise the loopback: ifr_flags IFF_UP | IFF_RUNNING
    fcntl.ioctl(one, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))
assert [name for _, name in socket.if_nameindex()] == ["lo"], "there is a network"
from edgelm.cli import main
for command in json.loads(sys.argv.pop(1)):
    sys.argv[1:] = command
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (command, ended.code)
"""
COMMANDS = (
    "corpus build sample -o corpus --quiet",
    "tokenizer train corpus -o tokenizer --vocab-size 1024 --quiet",
    "tasks list",
    "run topics Namhlanje",
    "doctor",
)


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    found = [shutil.which("unshare") or "", "--map-root-user", "--net"]
    if not found[0] or subprocess.run([*found, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    return found


def test_the_light_commands_need_no_network(unshare: list[str], tmp_path: Path) -> None:
    """No proxy, no mirror and no cache of the user helps either."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / "cache")}
    home["PYTHONPATH"] = os.pathsep.join(sys.path)

    words = json.dumps([line.split() for line in COMMANDS])
    command = [*unshare, sys.executable, "-c", PROGRAM, words]
    done = subprocess.run(command, cwd=tmp_path, env=kept | home, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "tokenizer" / "tokenizer.json").is_file()
    assert "masakhanews" in done.stdout
