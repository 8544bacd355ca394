import json

import pytest
from made_up_tasks import COMMON, jsonl, told, write_task

from edgelm.errors import BadInput
from edgelm.tasks.examples import Pair
from edgelm.tasks.task import load_task

TEXTS = COMMON | {
    "family": "generation",
    "languages": {"xho": "xhosa"},
    "files": {"train": "a.csv"},
    "fields": {"text": "story", "references": "title"},
}
TRIPLES = TEXTS | {
    "files": {"train": "a.data"},
    "references": {"train": "a.text"},
    "fields": None,
    "separator": "*#",
    "pattern": "<s> {entity} <r> {relation} <o> {value} <e>",
    "prompts": {"eng": "In {language}: {entity}, {relation}, {value} = {text}"},
}
PAIRS = COMMON | {
    "family": "generation",
    "files": "{pair}.jsonl",
    "languages": {"eng": "eng", "xho": "xh", "zul": "zu"},
    "pairs": ["eng-xh", "eng-zu"],
    "prompts": {"eng": "{source} > {language}: {text}"},
}


def made_pairs(name: str, count: int, score: float = 0.9) -> str:
    return jsonl(
        *(
            {"eng": f"Sentence  {number}\n", name: f"{name} {number // 2}\n", "score": str(score)}
            for number in range(count)
        )
    )


def test_columns_of_a_table(tmp_path):
    text = 'story,title\n"Once.\nTwice.", A title \nBare,\n'
    task = load_task(write_task(tmp_path, {"a.csv": text}, TEXTS))
    found, reported = told(task, "train", "xho")
    assert found == [Pair("Once.\nTwice.", ("A title",), "xho")]
    assert found[0].line == 2
    assert task.prompt(found[0]) == "Once.\nTwice."
    assert task.answer(found[0]) == "A title"
    assert task.choices(found[0]) is None
    assert [(error.line, "no reference" in str(error)) for error in reported] == [(4, True)]


def test_references_in_several_columns_or_a_list(tmp_path):
    several = load_task(
        write_task(
            tmp_path,
            {"a.csv": "story,one,two\nx,a,b\ny,c,\n"},
            TEXTS,
            fields={"text": "story", "references": ["one", "two"]},
        )
    )
    assert [one.references for one in several.examples("train")] == [("a", "b"), ("c",)]
    listed = load_task(
        write_task(
            tmp_path,
            {"a.jsonl": jsonl({"story": "x", "title": ["a", "b"]})},
            TEXTS,
            files={"train": "a.jsonl"},
        )
    )
    assert [one.references for one in listed.examples("train")] == [("a", "b")]


def test_aligned_lines_with_their_parts(tmp_path):
    data = "<s> Vaal <r> flows_into <o> Orange <e> \n<s> A <r> b <o> c, d <e>"
    text = "IVaal*# ULigwa \nu-A*#\n"
    task = load_task(write_task(tmp_path, {"a.data": data, "a.text": text}, TRIPLES))
    found = task.examples("train")
    assert [one.references for one in found] == [("IVaal", "ULigwa"), ("u-A",)]
    assert found[0].parts == {"entity": "Vaal", "relation": "flows_into", "value": "Orange"}
    assert found[1].text == "A | b | c, d"
    assert task.prompt(found[0]) == "In isiXhosa: Vaal, flows_into, Orange = Vaal | flows_into | Orange"
    assert task.answer(found[0]) == "IVaal"
    assert task.inputs() == [tmp_path / "data" / "a.data", tmp_path / "data" / "a.text"]
    json.dumps(task.config())


def test_references_are_not_mended(tmp_path):
    odd = "Ko\u0308ln KÃ¶ln \ufffd  two\u200b"
    task = load_task(write_task(tmp_path, {"a.data": "<s> A <r> b <o> c <e>", "a.text": odd}, TRIPLES))
    assert task.examples("train")[0].references == ("Köln KÃ¶ln \ufffd  two\u200b",), "but for NFC"


@pytest.mark.parametrize(
    ("data", "text", "problem"),
    [
        ("<s> A <r> b <o> c <e>\n", "x\ny\n", "a.data: has 1 lines, a.text has 2"),
        ("<s> A <r> b <o> c <e>\nA b\n", "x\ny\n", "a.data, line 2: is not put together as <s> {entity}"),
        ("<s> A <r> b <o> c <e> d\n", "x\n", "a.data, line 1: is not put together as <s> {entity}"),
        ("<s> A <r> b <o> c <e>\n\n", "x\ny\n", "a.data, line 2: no text"),
        ("<s> A <r> b <o> c <e>\n<s> A <r> b <o> c <e>", "x\n*#\n", "a.data, line 2: no reference"),
    ],
)
def test_lines_that_do_not_belong_together(tmp_path, data, text, problem):
    task = load_task(write_task(tmp_path, {"a.data": data, "a.text": text}, TRIPLES))
    with pytest.raises(BadInput, match=problem.replace("{", r"\{")):
        task.examples("train")


def test_a_missing_file_of_references_is_named(tmp_path):
    task = load_task(write_task(tmp_path, {"a.data": "<s> A <r> b <o> c <e>"}, TRIPLES))
    with pytest.raises(BadInput, match=r"a\.text: no such file"):
        task.examples("train")


def test_pairs_are_read_in_every_direction(tmp_path):
    files = {"eng-xh.jsonl": made_pairs("xh", 400), "eng-zu.jsonl": made_pairs("zu", 400)}
    task = load_task(write_task(tmp_path, files, PAIRS, fields={"score": "score"}))
    found = [one for split in task.files for one in task.examples(split)]
    assert len(found) == 1600
    into_zulu = [one for one in found if one.language == "zul"]
    assert {one.source for one in into_zulu} == {"eng"}
    assert {one.source for one in found if one.language == "eng"} == {"xho", "zul"} == {*task.partners("eng")}
    assert task.partners("zul") == ["eng"]
    first = next(one for one in into_zulu if one.line == 1)
    assert (first.text, first.references) == ("Sentence 0", ("zu 0",))
    assert task.prompt(first) == "English > isiZulu: Sentence 0"
    assert task.inputs() == [tmp_path / "data" / name for name in files]
    assert task.sources("train", "xho") == [tmp_path / "data" / "eng-xh.jsonl"]


def test_a_threshold_on_scores_moves_no_pair(tmp_path):
    files = {"eng-xh.jsonl": made_pairs("xh", 400), "eng-zu.jsonl": made_pairs("zu", 400, score=0.7)}
    splits = []
    for least in (0.5, 0.8):
        task = load_task(write_task(tmp_path, files, PAIRS, fields={"score": "score"}, minimum_score=least))
        splits.append({split: {one.text for one in task.examples(split, ["xho"])} for split in task.files})
    assert splits[0] == splits[1]
    assert not told(task, "train", "zul")[0]


def test_a_bad_pair_is_named_once_and_the_others_read(tmp_path):
    bad = jsonl({"eng": "x", "xh": " ", "score": 1}, {"eng": "x", "xh": "y", "score": "high"}, {"eng": "x"})
    files = {"eng-xh.jsonl": made_pairs("xh", 2) + bad}
    task = load_task(write_task(tmp_path, files, PAIRS, fields={"score": "score"}, pairs=["eng-xh"]))
    reported = told(task, "train", "eng")[1]
    assert [error.line for error in reported] == [3, 4, 5]
    assert ["'xh'" in str(one) for one in reported] == [True, False, True]
    assert "no number in the field 'score'" in str(reported[1])


def test_pairs_with_the_publishers_own_splits(tmp_path):
    files = {"train/eng-zu.jsonl": made_pairs("zu", 3), "dev/eng-zu.jsonl": made_pairs("zu", 2)}
    value = {"files": {"train": "train/{pair}.jsonl", "validation": "dev/{pair}.jsonl"}, "pairs": ["eng-zu"]}
    task = load_task(write_task(tmp_path, files, PAIRS, **value))
    assert len(task.examples("train", ["zul"])) == 3
    assert len(task.examples("validation", ["zul"])) == 2
