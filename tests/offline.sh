#!/usr/bin/env bash
# Tests where there is no network: in a namespace with nothing but the loopback. Takes pytest's arguments.
#
#     tests/offline.sh tests/corpus tests/runtime
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${PYTHON:-python}")
exec unshare --map-root-user --net "$python" -c '
import fcntl, os, socket, struct, sys
with socket.socket() as one:  # raise the loopback: ifr_flags IFF_UP | IFF_RUNNING
    fcntl.ioctl(one, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))
os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
' "$@"
