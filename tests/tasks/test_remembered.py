"""A task made again from what a model says of its finetuning."""

import json

import pytest

from edgelm.errors import BadInput
from edgelm.tasks.remembered import from_config
from edgelm.tasks.task import load_task, task_names


@pytest.mark.parametrize("name", task_names())
def test_a_task_through_json_is_the_same_without_its_files(name: str) -> None:
    task = load_task(name, data=False)
    config = json.loads(json.dumps(task.config()))
    found = from_config(config)
    assert type(found) is type(task)
    assert json.loads(json.dumps(found.config())) == config
    assert (found.labels, found.without, found.folder) == (task.labels, task.without, "")
    assert found.config() == task.config(), "lists stand where tuples were"


def test_what_cannot_be_read_is_a_sentence() -> None:
    with pytest.raises(BadInput, match=r"unknown family 'divination'.*Finetune"):
        from_config({"family": "divination", "name": "x"})
    with pytest.raises(BadInput, match=r"not whole .*licence"):
        from_config({"family": "classification", "name": "x"})
    config = load_task("topic").config() | {"of_a_later_version": 1}
    assert from_config(config).name == "topic"
