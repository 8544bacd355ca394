"""What the code here never does, whatever it is given: SECURITY.md names these tests."""

import json
import re
from pathlib import Path

import pytest
from forbidden import findings, network

ROOT = Path(__file__).parents[1]
FOLDERS = ("edgelm", "demo", "benchmarks", "export", "corpus")
SOURCES = [ROOT / "hatch_build.py", *(file for one in FOLDERS for file in sorted((ROOT / one).rglob("*.py")))]
SCRIPTS = sorted((ROOT / "export" / "phone").glob("*.js"))

NETWORK = {
    "edgelm/cli/corpus.py": {"webbrowser"},  # `corpus report --open` shows a file of this machine
    "edgelm/corpus/engine.py": {"ray", "socket"},  # the cluster that --ray names
    "edgelm/corpus/hub.py": {"datasets"},  # a source that a recipe writes as hub:NAME
    "edgelm/export/npm.py": {"urllib.request"},  # `export phone --fetch` and the build of a wheel
    "edgelm/export/site_server.py": {"http.server", "socket"},  # `export phone --serve` listens
    "edgelm/serve/server.py": {"socket", "uvicorn"},  # `edgelm serve` listens
    "edgelm/cli/serve.py": {"uvicorn"},  # says that it is missing
    "edgelm/cli/demo.py": {"gradio"},  # says that it is missing
    "benchmarks/server_load.py": {"http.client", "socket"},  # a client of a server of this machine
    "benchmarks/deduplication.py": {"datasets"},  # a folder of this machine, for the program compared with
    "benchmarks/sft_trainer.py": {"datasets"},  # the same
}
"""The files that may open connections, and with what; the page of the demo is beside them."""
PAGE = "demo/edgelm_demo/"
"""Every file of the page is written with Gradio; edgelm_demo/server.py alone listens."""


def test_no_code_from_data_no_shell_and_no_unsafe_reader() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {kind}"
        for file in SOURCES
        for line, kind in findings(file.read_text(encoding="utf-8"))
    ]
    assert not found


def test_only_the_files_listed_can_open_connections() -> None:
    found: dict[str, set[str]] = {}
    for file in SOURCES:
        name = file.relative_to(ROOT).as_posix()
        used = network(file.read_text(encoding="utf-8"))
        if name.startswith(PAGE):
            used -= {"gradio"}
            assert used <= ({"socket"} if name == f"{PAGE}server.py" else set()), name
        elif used:
            found[name] = used
    assert found == NETWORK


def test_the_checked_files_are_all_there_are() -> None:
    assert len(SOURCES) > 200
    assert {file.parts[len(ROOT.parts)] for file in SOURCES} >= {
        "edgelm",
        "demo",
        "benchmarks",
        "hatch_build.py",
    }


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import importlib; importlib.import_module('marshal')", "marshal"),
        ("def f():\n    import joblib", "joblib"),
        ("from xml.etree import ElementTree", "xml"),
        ("eval('1')", "eval"),
        ("import builtins; builtins.exec(x)", "exec"),
        ("compile(text, 'name', 'exec')", "compile"),
        ("__import__(name)", "__import__"),
        ("torch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=False)", "torch.load"),
        ("torch.load(path, weights_only=safe)", "torch.load"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("AutoModel.from_pretrained(path, trust_remote_code=given)", "trust_remote_code"),
        ("options = {'trust_remote_code': True}", "trust_remote_code"),
        ("subprocess.run(line, shell=True)", "shell"),
        ("os.system(line)", "os.system"),
        ("os.execvp(line, [])", "os.execvp"),
        ("subprocess.getoutput(line)", "subprocess.getoutput"),
        ("tempfile.mktemp()", "mktemp"),
        ("yaml.load(text)", "yaml.load"),
        ("yaml.load(text, Loader=yaml.Loader)", "yaml.load"),
        ("yaml.load(text, yaml.FullLoader)", "yaml.load"),
        ("yaml.load(text, Loader=getattr(yaml, 'CLoader', yaml.SafeLoader))", "yaml.load"),
        ("yaml.load(text, Loader=given)", "yaml.load"),
        ("yaml.compose(text)", "yaml.compose"),
        ("yaml.unsafe_load(text)", "yaml.unsafe_load"),
        ("archive.extractall(folder)", "extractall"),
        ("tar.extract(member)", "extract"),
        ("shutil.unpack_archive(file)", "unpack_archive"),
    ],
)
def test_each_is_found(source: str, kind: str) -> None:
    assert {found for _, found in findings(source)} == {kind}


@pytest.mark.parametrize(
    "source",
    [
        "# pickle.load(x)\n'eval(1)'",
        "model.eval()\nre.compile(x)\ntorch.compile(f)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "AutoModel.from_pretrained(path, trust_remote_code=False)",
        "yaml.load(text, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))",
        "yaml.safe_load(text)\nyaml.compose(text, Loader=yaml.SafeLoader)",
        "subprocess.run([program], shell=False)",
        "archive.extractfile(member)",
    ],
)
def test_what_is_allowed_is_no_finding(source: str) -> None:
    assert not list(findings(source))


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import http.client", {"http.client"}),
        ("from urllib import request", {"urllib.request"}),
        ("from urllib.request import urlopen", {"urllib.request"}),
        ("require('datasets', 'hub')", {"datasets"}),
        ("import importlib\nimportlib.import_module('requests')", {"requests"}),
        ("from urllib.parse import quote\nfrom edgelm.serve import requests\nimport sockets", set()),
        ("import http\nhttp.HTTPStatus.OK", set()),
    ],
)
def test_modules_of_the_network_are_found(source: str, modules: set[str]) -> None:
    assert network(source) == modules


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_the_phone_app_writes_text_and_no_markup(file: Path) -> None:
    """What a model writes or a person types goes into text nodes; nothing is run as a script."""
    found = re.findall(
        r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|createContextualFragment"
        r"|setHTMLUnsafe|eval|new Function|setTimeout\(\s*[\"'`])",
        file.read_text(encoding="utf-8"),
    )
    assert not found


def test_the_phone_app_may_load_nothing_from_elsewhere() -> None:
    page = (ROOT / "export" / "phone" / "index.html").read_text(encoding="utf-8")
    said = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert said is not None
    rules = {rule.split()[0]: set(rule.split()[1:]) for rule in said[1].split(";")}
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == {"'none'"}
    assert all(places <= {"'self'", "'none'", "blob:", "'wasm-unsafe-eval'"} for places in rules.values())


def test_the_security_page_names_tests_that_are_there() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    said = re.findall(r"`((?:tests/[a-z]+/)?test_\w+\.py|tests/[\w./]+)`", page)
    assert len(said) > 20
    there = {file.name for file in (ROOT / "tests").rglob("*")}
    assert not [one for one in said if not ((ROOT / one).is_file() if "/" in one else one in there)]


HEADS = {("source", "licence", "by"): (2, 1), ("task", "kind", "licence", "from"): (3, 2)}
"""Of the tables of data in a model's card; and which columns say who it is from, and its licence."""


def test_the_notice_names_whose_work_ships() -> None:
    """Every source that a shipped model's card names, and what the phone app locks."""
    notice = " ".join((ROOT / "NOTICE").read_text(encoding="utf-8").split())
    cards = sorted((ROOT / "demo" / "models").glob("*/README.md"))
    assert len(cards) >= 6
    named: list[str] = []
    for card in cards:
        assert card.parent.name in notice
        columns = None
        for line in card.read_text(encoding="utf-8").splitlines():
            row = [cell.strip() for cell in line.split("|")[1:-1]]
            began = [HEADS[head] for head in HEADS if tuple(row[: len(head)]) == head]
            columns = began[0] if began else columns if row else None
            if columns and row[0] not in ("source", "task", "---"):
                named.append(f"{row[columns[0]]}: {row[columns[1]]}")
    assert len(named) >= 21
    assert not [one for one in named if one not in notice]
    lock = json.loads((ROOT / "export" / "phone" / "package-lock.json").read_text(encoding="utf-8"))
    for place, package in lock["packages"].items():
        assert place.removeprefix("node_modules/") in notice
        assert not place or f"{package['version']}, {package['license']}" in notice
