"""What code here never does: found in its syntax tree, so that a comment or a string is no finding."""

import ast
from collections.abc import Iterator

CODE_IN_DATA = {
    "pickle",
    "_pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
}
"""Modules whose files run code when they are read."""
XML = {"xml", "xmlrpc", "plistlib"}
"""Parsers that swell a few bytes to gigabytes."""
NETWORK = {
    "aiohttp", "asyncore", "curl_cffi", "datasets", "fsspec", "ftplib", "gradio", "gradio_client",
    "http.client", "http.server", "httpx", "huggingface_hub", "imaplib", "nntplib", "poplib", "pycurl", "ray",
    "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib.request", "urllib3",
    "uvicorn", "webbrowser", "websocket", "websockets", "wget",
}  # fmt: skip
"""Modules that open connections, or can be told to."""
IMPORTERS = {"import_module", "require", "importorskip", "__import__"}
RUNNERS = {"eval", "exec", "compile", "execfile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}
SAFE_LOADERS = {"SafeLoader", "CSafeLoader", "BaseLoader", "CBaseLoader"}
YAML_READERS = {"load", "load_all", "compose", "compose_all", "parse", "scan"}
UNSAFE_YAML = {"unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}
NEVER_TRUE = {"trust_remote_code", "allow_pickle", "shell", "allow_dangerous_deserialization"}
"""Options that have to be False where they are given."""


def findings(source: str) -> Iterator[tuple[int, str]]:
    """Line and kind of everything that is never done, network modules apart."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield from ((node.lineno, kind) for kind in _call(node))
        elif isinstance(node, ast.Dict):  # options on their way to a call
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in NEVER_TRUE and not _false(value):
                    yield node.lineno, str(key.value)
    for line, module in imports(source):
        parts = module.split(".")
        if parts[0] in CODE_IN_DATA | XML:
            yield line, parts[0]


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and full name of every module that is imported, by a statement or by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, one.name) for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{one.name}") for one in node.names)
        elif isinstance(node, ast.Call) and _name(node.func).rpartition(".")[2] in IMPORTERS and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def network(source: str) -> set[str]:
    """Those of its imports that open connections."""
    found = {module for _, module in imports(source)}
    return {one for one in NETWORK if any(module == one or module.startswith(one + ".") for module in found)}


def _call(node: ast.Call) -> Iterator[str]:
    name = _name(node.func)
    base, _, last = name.rpartition(".")
    options = {one.arg: one.value for one in node.keywords}
    if name in RUNNERS or (base == "builtins" and last in RUNNERS):
        yield last
    if name in SHELLS or name.startswith(("os.exec", "os.spawn")):
        yield name
    if name == "tempfile.mktemp" or name == "mktemp":
        yield "mktemp"
    if last in ("read_pickle", "extractall", "unpack_archive") or (last == "extract" and "tar" in base):
        yield last
    if name == "torch.load" and not _true(options.get("weights_only")):
        yield "torch.load"
    if base == "yaml" and (last in UNSAFE_YAML or (last in YAML_READERS and not _safe_loader(node, options))):
        yield f"yaml.{last}"
    yield from (one for one in NEVER_TRUE & {*options} if not _false(options[one]))


def _name(node: ast.expr) -> str:
    """A dotted name; what is no name in it is a question mark."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _safe_loader(node: ast.Call, options: dict[str | None, ast.expr]) -> bool:
    """Whether each loader that the call can come to use is a safe one."""
    given = options.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
    if given is None:
        return False
    said = {_name(one).rpartition(".")[2] for one in ast.walk(given) if isinstance(one, ast.Attribute)}
    said |= {str(one.value) for one in ast.walk(given) if isinstance(one, ast.Constant)}
    return bool(said) and {one for one in said if one.endswith("Loader")} == said & SAFE_LOADERS != set()


def _false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def _true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True
