import pytest
from made_up_tasks import jsonl, told, write_task

from edgelm.errors import BadInput
from edgelm.tasks.examples import Choice
from edgelm.tasks.task import load_task

READING = {
    "flores_passage": "The Vaal flows into the Orange.",
    "question": "Where to?",
    "mc_answer1": "The sea",
    "mc_answer2": "The Orange",
    "mc_answer3": "A dam",
    "mc_answer4": "Nowhere",
    "correct_answer_num": "2",
}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The folder that EDGELM_DATA names; writes a file in it."""
    monkeypatch.setenv("EDGELM_DATA", str(tmp_path))

    def write(name: str, text: str):
        path = tmp_path / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_belebele(data):
    data("belebele/data/zul_Latn.jsonl", jsonl(READING, READING | {"correct_answer_num": 4}))
    task = load_task("belebele")
    found = task.examples("test", ["zul"])
    options = ("The sea", "The Orange", "A dam", "Nowhere")
    assert found[0] == Choice("The Vaal flows into the Orange.\nWhere to?", options, 1, "zul")
    assert [(one.answer, one.line) for one in found] == [(1, 1), (3, 2)]
    assert task.choices(found[0]) == options
    assert task.answer(found[0]) == "The Orange"
    assert task.prompt(found[0]).startswith(
        "The Vaal flows into the Orange.\nWhere to?\n- The sea\n- The Orange\n"
    )


def test_afrixnli(data):
    data(
        "afrixnli/data/xho/test.tsv",
        'premise\thypothesis\tlabel\nIt rains.\tIt is wet.\t0\n"It ""rains""."\tIt is dry.\tcontradiction\n',
    )
    task = load_task("afrixnli")
    found = task.examples("test", ["xho"])
    assert [(one.text, task.answer(one)) for one in found] == [
        ("It rains.\nIt is wet.", "entailment"),
        ('It "rains".\nIt is dry.', "contradiction"),
    ]
    assert task.choices(found[0]) == ("entailment", "neutral", "contradiction")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"correct_answer_num": "5"}, "unknown answer '5'. Known: 1, 2, 3, 4"),
        ({"correct_answer_num": None}, "unknown answer None"),
        ({"mc_answer3": " "}, "no text in the field 'mc_answer3'"),
        ({"mc_answer3": None}, "no text in the field 'mc_answer3'"),
        ({"question": None}, "no text in the fields flores_passage, question"),
    ],
)
def test_a_bad_line_is_named(data, changes, problem):
    path = data("belebele/data/zul_Latn.jsonl", jsonl(READING, READING | changes, READING))
    task = load_task("belebele")
    with pytest.raises(BadInput) as caught:
        task.examples("test", ["zul"])
    assert str(caught.value).startswith(f"{path}, line 2: {problem}")
    assert len(told(task, "test", "zul")[0]) == 2


def test_answers_as_the_file_calls_them(tmp_path):
    path = write_task(
        tmp_path,
        {"a.jsonl": jsonl({"q": "Wet?", "r": "y"}, {"q": "Dry?", "r": "n"})},
        {
            "name": "wet",
            "family": "choice",
            "licence": "CC0-1.0",
            "attribution": "nobody",
            "folder": "data",
            "files": {"test": "a.jsonl"},
            "languages": {"eng": "eng"},
            "fields": {"text": "q", "answer": "r"},
            "options": ["yes", "no"],
            "answers": ["y", "n"],
        },
    )
    task = load_task(path)
    assert [task.answer(one) for one in task.examples("test")] == ["yes", "no"]
