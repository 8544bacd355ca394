"""What only some systems have is used behind a look at whether it is there. Only Linux runs these tests."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("edgelm/**/*.py"), *ROOT.glob("demo/**/*.py")])
MODULES = {"fcntl", "grp", "pty", "pwd", "readline", "resource", "termios", "tty", "select"}
"""What Windows lacks, or has for sockets alone."""
NAMES = {
    "os": {
        "fork", "forkpty", "getloadavg", "getpgid", "getuid", "geteuid", "killpg", "link", "mkfifo", "nice",
        "posix_fadvise", "sched_getaffinity", "sched_setaffinity", "setsid", "statvfs", "symlink", "sysconf",
        "uname", "wait", "waitpid", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK",
    },
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm"},
    "socket": {"AF_UNIX", "SO_REUSEPORT"},
}  # fmt: skip
METHODS = {"symlink_to", "hardlink_to", "add_signal_handler"}
PLACES = ("/proc", "/sys/", "/dev/", "/tmp", "/etc", "libc.so")
GUARDS = ("hasattr", "sys.platform", "os.name", "platform.system")
REASONS = {
    # file: places of Linux in it, and what stands in for them elsewhere
    "edgelm/bench/energy.py": "/sys/class/powercap: no figure where it cannot be read",
    "edgelm/doctor.py": "/proc/cpuinfo: where it is not there, instruction sets are unknown and it says so",
    "edgelm/machine.py": "/proc/self/status: where it is not there psutil or getrusage says",
}


def found(code: str) -> list[tuple[int, str]]:
    """Lines of what only some systems have, where no `try`, `suppress`, condition or return guards it."""
    problems: list[tuple[int, str]] = []

    def visit(node: ast.AST, guarded: bool) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module | ast.ClassDef):
            for inner in node.body:
                visit(inner, guarded)
                leaves = isinstance(inner, ast.If) and isinstance(inner.body[-1], ast.Return | ast.Raise)
                guarded = guarded or (leaves and _asks(inner.test))
            return
        if isinstance(node, ast.Try):
            kept = any(_excepts(one) for one in node.handlers)
            for part in (node.body, node.handlers, node.orelse, node.finalbody):
                for inner in part:
                    visit(inner, guarded or (kept and part is node.body))
            return
        if isinstance(node, ast.If | ast.IfExp | ast.With):
            asked = node.items if isinstance(node, ast.With) else [node.test]
            guarded = guarded or any(_asks(one) for one in asked)
        what = _named(node)
        if what and not guarded:
            problems.append((node.lineno, what))
        for inner in ast.iter_child_nodes(node):
            visit(inner, guarded)

    visit(ast.parse(code), False)
    return problems


def _asks(test: ast.AST) -> bool:
    text = ast.unparse(test)
    return any(guard in text for guard in (*GUARDS, "suppress("))


def _excepts(handler: ast.ExceptHandler) -> bool:
    """Whether it is for what is raised where something is not there."""
    text = ast.unparse(handler.type) if handler.type else "OSError"
    return any(one in text for one in ("ImportError", "AttributeError", "OSError"))


def _named(node: ast.AST) -> str:
    """What the node names that only some systems have, or nothing."""
    if isinstance(node, ast.Import):
        return next((one.name for one in node.names if one.name in MODULES), "")
    if isinstance(node, ast.ImportFrom):
        return node.module if node.module in MODULES else ""
    if isinstance(node, ast.Attribute):
        of = node.value.id if isinstance(node.value, ast.Name) else ""
        if node.attr in NAMES.get(of, ()) or node.attr in METHODS:
            return f"{of}.{node.attr}"
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(PLACES):
        return node.value
    return ""


def test_what_only_some_systems_have_is_guarded() -> None:
    problems = {}
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        for line, what in found(path.read_text(encoding="utf-8")):
            if not (name in REASONS and what in REASONS[name]):
                problems[f"{name}:{line}"] = what
    assert problems == {}


def test_a_reason_is_of_a_file_that_needs_one() -> None:
    for name in REASONS:
        assert found((ROOT / name).read_text(encoding="utf-8")), name


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os\nos.fork()", "os.fork"),
        ("import os\nif hasattr(os, 'fork'):\n    os.fork()", ""),
        ("import os\nn = os.nice(1) if hasattr(os, 'nice') else 0", ""),
        ("def f():\n    import fcntl", "fcntl"),
        ("try:\n    import fcntl\nexcept ImportError:\n    pass", ""),
        ("try:\n    import fcntl\nexcept ValueError:\n    pass", "fcntl"),
        ("import os\ndef f():\n    if os.name != 'posix':\n        return 1\n    import resource", ""),
        (
            "import os\ndef f():\n    import resource\n    if os.name != 'posix':\n        return 1",
            "resource",
        ),
        ("path.symlink_to('a')", "path.symlink_to"),
        ("open('/proc/meminfo')", "/proc/meminfo"),
    ],
)
def test_the_search_sees_what_it_should(code: str, problem: str) -> None:
    assert [what for _, what in found(code)] == ([problem] if problem else [])
