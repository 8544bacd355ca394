"""Known vulnerabilities of what is installed beside this Python, by pip-audit: one not accepted is an error.

Where the service that knows them cannot be reached there is nothing to say, and no error.
"""

import json
import subprocess
import sys

ACCEPTED: dict[str, str] = {}
"""Findings by their id, and why they may stay."""
SECONDS = 60


def judge(answer: str) -> tuple[int, str]:
    """Exit code and what to say of pip-audit's answer; a package that it could not look up has no `vulns`."""
    try:
        packages = json.loads(answer)["dependencies"]
        known = [one for one in packages if "vulns" in one]
    except (ValueError, KeyError, TypeError):
        known = []
    if not known:
        return 0, "dependency audit: the service that knows vulnerabilities is not reachable"
    found = [
        f"{one['name']} {one['version']}: {each['id']}, fixed in "
        + ", ".join(each.get("fix_versions") or ["no version"])
        for one in known
        for each in one["vulns"]
        if each["id"] not in ACCEPTED
    ]
    return int(bool(found)), "\n".join(found) or f"dependency audit: {len(known)} packages, nothing found"


def main() -> None:
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--timeout",
        "10",
    ]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS).stdout
    except subprocess.TimeoutExpired:
        answer = ""
    code, said = judge(answer)
    print(said)
    sys.exit(code)


if __name__ == "__main__":
    main()
