"""Parts of a text as slots, and what a task makes of them."""

import json
from pathlib import Path

import pytest
from made_up_tasks import write_triples

from edgelm.errors import BadInput
from edgelm.tasks.slots import delexicalise, fill
from edgelm.tasks.task import load_task


@pytest.mark.parametrize(
    ("entity", "value", "sentence", "expected"),
    [
        ("Bana Dam", "Zodwa", "iBana Dam isebenzisa uZodwa.", "i{entity} isebenzisa u{value}."),
        ("Bana Dam", "Bana", "I-bana dam ise-Bana.", "I-{entity} ise-{value}."),
        ("Bana", "Bana Dam", "iBana Dam ngu Bana", "i{value} ngu {entity}"),
        ("Bana (dam)", "12.0", "iBana ngu12 m", "i{entity:bare} ngu{value:number} m"),
        ("Bana_Dam", "12", "iBana-Dam ngo2012 ne12", "i{entity} ngo2012 ne{value}"),
        ("Bana, Kapa", "3.5 (m)", "iBana ngu3.5", "i{entity:head} ngu{value:bare}"),
        ("B", "C", "iBana B C", "iBana {entity} {value}"),
        ("value", "entity", "i-entity ye-value", "i-{value} ye-{entity}"),
        ("Bana", "Zodwa", "Akukho.", "Akukho."),
        ("Bana", "Zodwa", "iBana ku{entity}", "iBana ku{entity}"),
    ],
)
def test_slots_stand_where_entity_and_value_stood(
    entity: str, value: str, sentence: str, expected: str
) -> None:
    assert delexicalise(sentence, {"entity": entity, "value": value}, ("entity", "value")) == expected


def test_slots_are_filled_in_their_form() -> None:
    parts = {"entity": "Bana (dam)", "value": "12.0"}
    assert fill("i{entity:bare} ngu{value:number}, {value}", parts) == "iBana ngu12, 12.0"
    strange = "{relation} {value:} {value:long} {entity value}"
    assert fill(strange, parts) == strange


def test_a_task_with_slots_and_without(tmp_path: Path) -> None:
    task = load_task(write_triples(tmp_path))
    first, second = task.examples("train")
    assert (task.answer(first), task.answer(second)) == ("i{entity} ino{value}.", "I{entity}: u{value}.")
    assert first.references == ("iBana inoZodwa.",)
    assert task.finish("u{value} {relation}", first) == "uZodwa {relation}"
    plain = load_task(write_triples(tmp_path / "plain", []))
    assert plain.answer(first) == "iBana inoZodwa."
    assert plain.finish("u{value}", first) == "u{value}"
    assert plain.config() != task.config()
    with pytest.raises(BadInput, match=r"key 'slots': 'colour' is not known\. Known: entity,"):
        load_task(write_triples(tmp_path / "other", ["colour"]))
    value = json.loads(write_triples(tmp_path / "third").read_text(encoding="utf-8"))
    (tmp_path / "third" / "mood.yaml").write_text(json.dumps({**value, "pattern": None}))
    with pytest.raises(BadInput, match="are parts of a 'pattern'"):
        load_task(tmp_path / "third" / "mood.yaml")
