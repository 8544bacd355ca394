"""The audit of dependencies tells what is sound from what could not be looked up."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"


@pytest.fixture
def audit():
    if not SCRIPT.is_file():
        pytest.skip("a source distribution has no .ci")
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SOUND = {"name": "a", "version": "1", "vulns": []}
FOUND = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (1)"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([SOUND, UNKNOWN], 0, "1 packages, nothing found"),
        ([SOUND, FOUND], 1, "b 2: PYSEC-1, fixed in 3"),
        ([UNKNOWN], 0, "not reachable"),
        ([], 0, "not reachable"),
    ],
)
def test_what_is_said(audit, packages, code, said):
    found = audit.judge(json.dumps({"dependencies": packages, "fixes": []}))
    assert found[0] == code
    assert said in found[1]


def test_no_answer_is_no_finding_and_an_accepted_one_none_either(audit, monkeypatch):
    assert audit.judge("")[0] == audit.judge("[]")[0] == 0
    monkeypatch.setitem(audit.ACCEPTED, "PYSEC-1", "it is not called here")
    assert audit.judge(json.dumps({"dependencies": [FOUND]})) == (
        0,
        "dependency audit: 1 packages, nothing found",
    )
