import json
import re

import pytest
from made_up_tasks import MOOD, jsonl, line, write_task

from edgelm.tasks.task import task_names

FILES = {
    "zulu/train.jsonl": line("Ngiyajabula") + line("Ngidabukile", "sad"),
    "english/train.jsonl": line("I am glad") + line("I am sad", "sad"),
    "zulu/test.jsonl": line("Yebo"),
    "english/test.jsonl": line("Yes"),
}


def test_list_names_every_task_without_any_data(edgelm, monkeypatch):
    monkeypatch.delenv("EDGELM_DATA", raising=False)
    code, out, err = edgelm("tasks", "list")
    assert (code, err) == (0, "")
    assert [name for name in task_names() if f"\n {name} " not in out] == []
    row = next(row for row in out.splitlines() if row.startswith(" topic "))
    assert row.split()[-6:] == ["440", "88", "176", "8", "macro_f1", "CC0-1.0"]


def test_list_counts_what_is_there(edgelm, monkeypatch, tmp_path):
    folder = tmp_path / "tasks" / "afrisenti_tso" / "tso"
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_text("tweet\tlabel\na\tnegative\nb\tpositive\nc\tangry\n")
    monkeypatch.setenv("EDGELM_DATA", str(tmp_path))
    _, out, _ = edgelm("tasks", "list")
    row = next(row for row in out.splitlines() if row.startswith(" afrisenti "))
    assert row.split()[3:6] == ["2", "0", "0"]
    row = next(row for row in out.splitlines() if row.startswith(" afrixnli "))
    assert re.search(r" -\s+0\s+0\s", row), "it has no training split"


def test_show_is_what_a_model_reads(edgelm, tmp_path):
    path = write_task(
        tmp_path,
        FILES,
        prompts={"eng": "{text}\nMood:", "zul": "{text}\nUmoya:"},
        verbalisers={"zul": {"glad": "jabula"}},
    )
    code, out, _ = edgelm("tasks", "show", path, "--language", "zul", "-n", 1)
    assert code == 0
    assert "zul, train, line 1\n  > Ngiyajabula\n  > Mood:\n  < glad\n    of: glad, sad\n" in out
    assert "Ngidabukile" not in out
    assert "I am" not in out
    _, out, _ = edgelm("tasks", "show", path, "--native", "--split", "test")
    assert "zul, test, line 1\n  > Yebo\n  > Umoya:\n  < jabula\n" in out
    assert "eng, test, line 1\n  > Yes\n  > Mood:\n  < glad\n" in out


def test_show_of_a_conversation_has_every_turn(edgelm, tmp_path):
    roles = ("system", "user", "assistant", "user", "assistant")
    said = ("Be brief.", "Hi", "Yebo", "Why?", "So.")
    turns = [{"role": role, "content": content} for role, content in zip(roles, said, strict=True)]
    record = {"messages": turns}
    files = {"zulu/train.jsonl": jsonl(record)}
    changes = {"family": "chat", "fields": {"messages": "messages"}, "labels": None}
    _, out, _ = edgelm("tasks", "show", write_task(tmp_path, files, **changes), "--language", "zul")
    assert "line 1\n  # Be brief.\n  > Hi\n  < Yebo\n  > Why?\n  < So.\n" in out


def test_show_passes_over_lines_that_are_bad(edgelm, tmp_path):
    good = FILES["zulu/train.jsonl"]
    files = FILES | {"zulu/train.jsonl": "{\n" + good + line("x", "angry")}
    path = write_task(tmp_path, files)
    code, out, err = edgelm("tasks", "show", path, "--language", "zul", "-n", 5)
    assert (code, err) == (0, "")
    assert "zul, train, line 2\n  > Ngiyajabula\n" in out
    assert "line 3\n  > Ngidabukile\n" in out
    assert (
        f"\n2 bad lines were left out: {tmp_path / 'data' / 'zulu' / 'train.jsonl'}, line 1: not JSON" in out
    )
    assert f"edgelm tasks check {path} shows all that is wrong." in out
    (tmp_path / "data" / "zulu" / "train.jsonl").write_text("{\n")
    code, _, err = edgelm("tasks", "show", path, "--language", "zul")
    assert code == 2
    assert "line 1: not JSON" in err


@pytest.mark.parametrize(("columns", "more"), [(80, False), (120, True)])
def test_the_list_fits_its_terminal(edgelm_terminal, monkeypatch, columns, more):
    monkeypatch.delenv("EDGELM_DATA", raising=False)
    lines = edgelm_terminal(columns, "tasks", "list")
    assert max(map(len, lines)) <= columns
    row = next(line.split() for line in lines if line.startswith(" masakhanews "))
    assert row[: 5 - more] == ["masakhanews", *([] if more else ["*"]), "classification", "eng", "xho"]
    topic = next(line.split() for line in lines if line.startswith(" topic "))
    assert [*topic, *("440", "88", "176", "8", "macro_f1", "CC0-1.0")][-6:] == topic[-6:] or not more
    assert any(line.startswith("labels, metric, licence") for line in lines) is not more


def test_check_of_sound_data(edgelm, tmp_path):
    code, out, err = edgelm("tasks", "check", write_task(tmp_path, FILES))
    assert (code, err) == (0, "")
    assert "glad 1, sad 1" in out
    assert out.endswith("mood: 6 examples, 0 bad lines, 0 leaks between splits, 0 duplicates.\n")


def test_check_of_data_with_everything_wrong(edgelm, tmp_path):
    files = FILES | {
        "zulu/train.jsonl": line("Yebo") + line("yebo") + line("x", "angry") * 30,
        "english/test.jsonl": line("I am glad") + "{\n",
    }
    report = tmp_path / "out" / "found.json"
    code, out, err = edgelm("tasks", "check", write_task(tmp_path, files), "--json", report)
    assert (code, err) == (1, "")
    folder = tmp_path / "data"
    assert f"{folder / 'zulu' / 'train.jsonl'}, line 3: unknown label 'angry'. Known: glad, sad; " in out
    assert f"{folder / 'english' / 'test.jsonl'}, line 2: not JSON" in out
    assert "... and 10 more bad lines.\n" in out
    assert "zulu/train.jsonl and zulu/test.jsonl: a text stands in both splits, lines 1 and 1.\n" in out
    assert "english/train.jsonl and english/test.jsonl: a text stands in both splits, lines 1 and 1.\n" in out
    assert "zulu/train.jsonl: a text stands twice in its split, lines 1 and 2.\n" in out
    assert out.endswith("mood: 6 examples, 31 bad lines, 2 leaks between splits, 1 duplicates.\n")
    found = json.loads(report.read_text())
    assert (found["task"], found["error_count"], len(found["leaks"])) == ("mood", 31, 2)


def test_check_says_which_files_are_not_there(edgelm, tmp_path):
    path = write_task(tmp_path, {name: text for name, text in FILES.items() if "test" not in name})
    code, out, _ = edgelm("tasks", "check", path)
    assert code == 0
    assert f"{tmp_path / 'data' / 'zulu' / 'test.jsonl'}: no such file." in out
    (tmp_path / "none").mkdir()
    code, out, _ = edgelm("tasks", "check", write_task(tmp_path / "none", {}))
    assert code == 1
    assert out.endswith("mood: none of its files is there.\n")


@pytest.mark.parametrize("command", ["show", "check"])
@pytest.mark.parametrize(
    ("changes", "pieces"),
    [
        ({"label": []}, ("mood.yaml: key 'label': is not known. Did you mean 'labels'?",)),
        ({"folder": "${NOWHERE_AT_ALL}"}, ("NOWHERE_AT_ALL is not set. Set it",)),
    ],
)
def test_a_mistake_in_the_yaml_is_one_line(edgelm, tmp_path, command, changes, pieces):
    code, out, err = edgelm("tasks", command, write_task(tmp_path, FILES, MOOD, **changes))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    for piece in pieces:
        assert piece in err


def test_show_of_a_split_that_is_not_here(edgelm, tmp_path):
    path = write_task(tmp_path, {name: text for name, text in FILES.items() if "test" not in name})
    code, _, err = edgelm("tasks", "show", path, "--split", "test")
    assert code == 2
    assert "english/test.jsonl: no such file. Check the task's folder, or get it from its publisher." in err
