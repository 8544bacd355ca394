"""The folder of somebody who tries what the pages say, with all that the pages take for granted."""

import json
import shutil
from itertools import chain
from pathlib import Path

import documented
import published
import yaml

from edgelm import resources
from edgelm.export import npm
from edgelm.tokenizer.texts import sample_texts
from edgelm.tokenizer.train import save_tokenizer, train_on

LANGUAGES = ("eng", "xho", "zul", "ven", "tso")
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def bring(folder: Path, model: Path, gguf: Path) -> None:
    """What a reader has before the first command: text, models, a task, a recipe, a schema.

    Args:
        model: a model directory that bears being quantised.
        gguf: any model as a GGUF file.
    """
    for name in ("FOLDER", "texts"):
        (folder / name).mkdir()
        for code in LANGUAGES:  # and in isiZulu a document of a kind that a filter turns away
            lines = [text.replace("\n", " ") for text in sample_texts()[code]]
            lines += ["Namhlanje ekuseni izulu lihle kakhulu 12 45 78 90 23 56 81"] * (code == "zul")
            (folder / name / f"{code}.txt").write_text("\n".join(lines), encoding="utf-8")
    shutil.copytree(folder / "FOLDER", folder / "SOURCE")
    shutil.copytree(folder / "FOLDER", folder / "YOUR_FOLDER")
    (folder / "text.txt").write_text("Namhlanje ekuseni izulu lihle.\nDie son skyn.\n", encoding="utf-8")
    (folder / "letter.txt").write_text("Namhlanje ekuseni\n", encoding="utf-8")
    (folder / "questions.txt").write_text("Sawubona\nUnjani?\n", encoding="utf-8")
    (folder / "person.json").write_text(json.dumps(SCHEMA))
    recipe = {
        "name": "mine",
        "extends": "default",
        "sources": [{"path": "FOLDER", "licence": "CC0-1.0", "attribution": "nobody"}],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    for name in ("MODEL", "tiny"):
        shutil.copytree(model, folder / name)
    shutil.copy(gguf, folder / "model.gguf")
    _bring_tokenizers(folder)
    _bring_tasks(folder)
    phone = yaml.safe_load(resources.path("export", "targets", "phone.yaml").read_text(encoding="utf-8"))
    few = phone | {"formats": ["gguf:Q8_0", "onnx:int8"]}
    (folder / "phone-of-few-formats.yaml").write_text(yaml.safe_dump(few))
    (folder / "my-languages").mkdir()
    shutil.copy(resources.path("corpus", "languages", "zul.yaml"), folder / "my-languages")
    published.write(folder / "data-of-others")
    _bring_wllama(folder / "cache")


def _bring_tokenizers(folder: Path) -> None:
    (folder / "other").mkdir()
    save_tokenizer(train_on(chain(*sample_texts().values()), 400), folder / "other")
    shutil.copy(folder / "other" / "tokenizer.json", folder / "third.json")
    for name in ("gemma3", "gpt4o", "llama3_1", "qwen3"):
        shutil.copytree(folder / "other", folder / name)


def _bring_tasks(folder: Path) -> None:
    """The task that docs/tasks.md describes, under each of the names that pages give one."""
    (text,) = [
        one.text
        for one in documented.blocks("yaml")
        if one.page == "docs/tasks.md" and "name: mood" in one.text
    ]
    for name in ("mood.yaml", "mine.yaml", "my-task.yaml"):
        (folder / name).write_text(text, encoding="utf-8")
    texts = {"glad": "Ngijabulile namhlanje", "sad": "Ngiyakhala namhlanje"}
    for place, language in enumerate(("isizulu", "venda")):
        (folder / "data" / language).mkdir(parents=True)
        for begin, split in enumerate(("train", "dev", "test")):
            rows = [
                f"{text} {1000 * place + 100 * begin + number}\t{label}\n"
                for number in range(8)
                for label, text in texts.items()
            ]
            path = folder / "data" / language / f"{split}.tsv"
            path.write_text("sentence\tmood\n" + "".join(rows), encoding="utf-8")


def _bring_wllama(cache: Path) -> None:
    """Stands for wllama, which is fetched from the network: its files' names, with nothing of use in them."""
    source = resources.path("export", "phone")
    folder = cache / "edgelm" / "npm" / npm.cache(source).name
    folder.mkdir(parents=True)
    for files in npm.wanted(source).values():
        for name in files.values():
            (folder / name).write_text(name)
