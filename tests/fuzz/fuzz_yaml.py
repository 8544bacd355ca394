"""What users write in YAML: languages, recipes, tasks, targets; and cards, which begin with some."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_files as sound
import yaml
from fuzzing import DEEP, Files, Reader, byte_edits, changed, damaged, dumps, edits
from hypothesis import strategies as st

from edgelm import resources

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
)
VALUES = [
    "!!int ''", "!!int x", "!!float ''", "!!bool x", "!!timestamp x", "2020-13-45", "!!binary '\xff'",
    "!!null x", "!!python/object/apply:os.getcwd []", "!!set {x}", "!!omap [x]", "!!pairs [x]", "!!str [x]",
    "!!seq x", "!x y", "*nothing", "&a [*a]", "&a {x: *a}", "0x" + "f" * 5000, "1" + ":59" * 3000, ".inf",
    "-.inf", ".nan", "1e999", "{? [x] : y}", "{? {x: y} : z}", "{<<: x}", "{<<: [x]}", "{=: x}",
    "'\\ud800'", '"\\ud800"', '"\\0"', '"\\e[2J"', '"a\\nb"', '"\\u2028"', "[" * DEEP, "{a: " * 500,
    "- " * 2000, "? " * 500, "|\n", ">", "%YAML 9.9", "---", "...", "0b" + "1" * 20000, "0o7", "1_000",
    "!!merge x", "yes", "~", "12:30:45", "2001-12-14t21:59:43.10-05:00",
]  # fmt: skip


def text_of(value: Callable[[], Any]) -> st.SearchStrategy[bytes]:
    """A mapping as YAML, changed: in its values, or in its text, with what only YAML has."""

    def with_value(changes: list[Any], place: int, raw: str, style: bool) -> bytes:
        found = changed(value(), changes[:1])
        if not isinstance(found, dict):
            return dumps(found)
        keys = list(found) or ["x"]
        found[keys[place % len(keys)]] = "@@raw@@"
        text = yaml.safe_dump(found, allow_unicode=True, default_flow_style=style, width=10**6)
        return text.replace("'@@raw@@'", raw).replace("@@raw@@", raw).encode("utf-8", "surrogatepass")

    def before(bomb: str, place: int) -> bytes:
        found = dict(value())
        keys = list(found)
        found[keys[place % len(keys)]] = "@@raw@@"
        name = bomb.rstrip("\n").rsplit("\n", 1)[-1].split(":")[0]
        text = yaml.safe_dump(found, allow_unicode=True, width=10**6)
        return (bomb + text.replace("'@@raw@@'", f"*{name}")).encode()

    return st.one_of(
        st.builds(lambda changes: dumps(changed(value(), changes)), edits),
        st.builds(with_value, edits, st.integers(0, 30), st.sampled_from(VALUES), st.booleans()),
        st.builds(before, st.sampled_from([BOMB, MERGES]), st.integers(0, 30)),
        st.builds(lambda changes: damaged(yaml.safe_dump(value()).encode(), changes), byte_edits),
    )


@functools.cache
def _shipped(*parts: str) -> Any:
    return yaml.safe_load(resources.path(*parts).read_text(encoding="utf-8"))


def language() -> Any:
    return {
        **_shipped("corpus", "languages", "zul.yaml"),
        "code": "qaa",
        "bcp47": "qaa",
        "name": "Made up",
        "autonym": "isiMade",
        "aliases": ["qaa_Latn"],
    }


def _recipe() -> Any:
    more = {
        "sources": [{"path": "text", "name": "made up", "licence": "CC0", "language": "zul"}],
        "evaluation": ["text"],
    }
    return {**_shipped("corpus", "recipes", "default.yaml"), **more}


TASKS = ("topic", "masakhaner", "t2x", "sona", "belebele", "afrihg", "instructions", "nchlt_pos")


def _task(name: str) -> Any:
    return {**_shipped("corpus", "tasks", f"{name}.yaml"), "folder": "text"}


def target() -> Any:
    return _shipped("export", "targets", "phone.yaml")


def read_language(folder: Path) -> None:
    from edgelm.languages import find_language, language_of_path, load_languages

    found = load_languages(folder)
    find_language("made up", found)
    language_of_path("news-qaa.txt", found)


def read_recipe(folder: Path) -> None:
    from edgelm.corpus.recipe import load_recipe
    from edgelm.languages import load_languages

    recipe = load_recipe(folder / "recipe.yaml")
    dumps(recipe.config())
    for one in recipe.filters:
        one.bounds(load_languages()["zul"])


def read_task(folder: Path) -> None:
    from edgelm.tasks.check import check_task
    from edgelm.tasks.task import load_task

    task = load_task(folder / "task.yaml", data=False)
    dumps(task.config())
    task.inputs()
    for split in task.files:
        for code in task.languages:
            assert not task.has(split, code) or task.sources(split, code)
    load_task(folder / "task.yaml")
    check_task(task)


def read_target(folder: Path) -> None:
    from edgelm.export.target import Candidate, choose, judge, load_target

    found = load_target(str(folder / "target.yaml"))
    one = Candidate(
        "gguf:Q8_0", loss=0.1, size=10, memory=10, here=3.0, tokens_per_second=2.0, first_token=0.1
    )
    judge(one, found)
    choose([one], found.choose)


def read_model_card(folder: Path) -> None:
    from edgelm.model.card import read_card

    read_card(folder)


def _files(name: str, data: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    return data.map(lambda one: {name: one})


def _beside() -> Files:
    return {"text/zul.jsonl": sound.jsonl(*sound.records())}


READERS = [
    Reader(
        "language",
        lambda: {"qaa.yaml": dumps(language())},
        _files("qaa.yaml", text_of(language)),
        read_language,
    ),
    Reader(
        "recipe",
        lambda: {**_beside(), "recipe.yaml": dumps(_recipe())},
        _files("recipe.yaml", text_of(_recipe)),
        read_recipe,
    ),
    Reader(
        "task",
        lambda: {**_beside(), "task.yaml": dumps(_task("topic"))},
        st.sampled_from(TASKS).flatmap(lambda name: _files("task.yaml", text_of(lambda: _task(name)))),
        read_task,
    ),
    Reader(
        "target",
        lambda: {"target.yaml": dumps(target())},
        _files("target.yaml", text_of(target)),
        read_target,
    ),
    Reader(
        "card",
        lambda: {"README.md": b"---\nlicence: cc0-1.0\n---\n\n# A model\n"},
        _files("README.md", text_of(language).map(lambda one: b"---\n" + one + b"\n---\n\n# A model\n")),
        read_model_card,
    ),
]
