import pytest
from made_up_tasks import COMMON, told, write_task

from edgelm.errors import BadInput
from edgelm.tasks.examples import Tagged
from edgelm.tasks.records import Remark
from edgelm.tasks.task import load_task

RIVERS = COMMON | {
    "family": "tagging",
    "files": {"train": "{language}.txt"},
    "languages": {"zul": "zulu"},
    "scheme": "bio",
    "labels": ["RIVER", "DAY"],
}
TEXT = "UThukela B-RIVER\nuyageleza O\n. O\n\n\nI B-RIVER\nKe I-RIVER\nizolo B-DAY\n"


def test_sentences_between_blank_lines(tmp_path):
    task = load_task(write_task(tmp_path, {"zulu.txt": "-DOCSTART- O\n\n" + TEXT}, RIVERS))
    found = task.examples("train")
    assert found == [
        Tagged(("UThukela", "uyageleza", "."), ("B-RIVER", "O", "O"), "zul"),
        Tagged(("I", "Ke", "izolo"), ("B-RIVER", "I-RIVER", "B-DAY"), "zul"),
    ]
    assert [one.line for one in found] == [3, 8], "the second has no blank line after it"
    assert task.tags == ("O", "B-RIVER", "I-RIVER", "B-DAY", "I-DAY")
    assert task.metric == "span_f1"
    assert task.prompt(found[0]) == "UThukela uyageleza ."
    assert task.answer(found[1]) == "B-RIVER I-RIVER B-DAY"
    assert task.choices(found[0]) is None


def test_columns_a_header_and_no_blank_lines(tmp_path):
    text = (
        "TOKEN\tPARTS\tPOS\nYebo\tye-bo\tINTJ\n.\t.\tPUNCT\nHamba kahle\tx y\tVERB\n?\t?\tPUNCT\n"
        "Na\tna\tINTJ\n"
    )
    task = load_task(
        write_task(
            tmp_path,
            {"zulu.txt": text},
            RIVERS,
            scheme="flat",
            labels=["INTJ", "VERB", "PUNCT"],
            fields={"word": 1, "tag": 3},
            header=True,
            sentence_ends=[".", "?"],
        )
    )
    found = task.examples("train")
    assert [one.words for one in found] == [("Yebo", "."), ("Hamba kahle", "?"), ("Na",)]
    assert [one.line for one in found] == [2, 4, 6]
    assert found[1].tags == ("VERB", "PUNCT")
    assert task.tags == task.labels
    assert task.metric == "accuracy"


@pytest.mark.parametrize(
    ("text", "number", "problem"),
    [
        (TEXT + "Vaal B-LAKE\n", 9, "unknown tag 'B-LAKE'. Known: O, B-RIVER"),
        (TEXT + "Vaal\n", 9, "has 1 column, not 2"),
        (TEXT.encode() + b"V\xe9 O\n", 9, "not UTF-8"),
    ],
)
def test_a_bad_line_is_named_and_the_others_read(tmp_path, text, number, problem):
    task = load_task(write_task(tmp_path, {"zulu.txt": text}, RIVERS))
    with pytest.raises(BadInput) as caught:
        task.examples("train")
    assert str(caught.value).startswith(f"{tmp_path / 'data' / 'zulu.txt'}, line {number}: {problem}")
    found, reported = told(task, "train", "zul")
    assert found[0].words[0] == "UThukela"
    assert {tag for one in found for tag in one.tags} <= set(task.tags)
    assert [error.line for error in reported] == [number]


def test_a_tag_without_a_word_is_left_out_with_a_remark(tmp_path):
    task = load_task(write_task(tmp_path, {"zulu.txt": "Hamba O\n O\n\u200b O\nKe O\n"}, RIVERS))
    assert [one.words for one in task.examples("train")] == [("Hamba", "Ke")]
    _, reported = told(task, "train", "zul")
    assert [(type(one), one.line) for one in reported] == [(Remark, 2), (Remark, 3)]


def test_words_are_normalised(tmp_path):
    task = load_task(write_task(tmp_path, {"zulu.txt": "e\u0302ma\u200b O\n"}, RIVERS))
    assert task.examples("train")[0].words == ("êma",)
