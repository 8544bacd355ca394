"""What edgelm's own stages leave: manifest.json of a corpus, edgelm.json of everything."""

import functools
import json
from pathlib import Path

import fuzz_files as sound
from fuzz_models import json_of
from fuzzing import Files, Reader, one_of


@functools.cache
def corpus() -> Files:
    import made_up

    folder = made_up.make_corpus(sound.scratch() / "made-up", {"zul": 24, "xho": 12})
    return sound.read_folder(folder)


@functools.cache
def finetuned() -> Files:
    """A decoder with what a finetuning would have recorded of it."""
    from edgelm.tasks.task import load_task

    task = load_task("topic").config()
    config = {
        "method": "full",
        "languages": ["zul"],
        "tasks": [task],
        "steps": 3,
        "batch": 2,
        "prompts": "native",
    }
    record = {
        "command": "finetune",
        "digest": "0" * 64,
        "config": config,
        "inputs": {"/nowhere/base": "0" * 64},
        "versions": {"edgelm": "0.1"},
        "results": {"validation_bits_per_byte": {"mean": 2.0, "zul": 2.0}},
        "outputs": {},
        "seconds": 1.0,
    }
    return {
        "config.json": sound.decoder()["config.json"],
        "edgelm.json": json.dumps(record, default=str).encode(),
    }


def read_corpus(folder: Path) -> None:
    from edgelm.cli.corpus import report
    from edgelm.corpus.page.facts import Facts
    from edgelm.corpus.report import read_manifest
    from edgelm.corpus.shards import languages_of
    from edgelm.corpus.tune import Tuning
    from edgelm.languages import load_languages
    from edgelm.tokenizer.texts import read_source, size_of

    manifest = read_manifest(folder)
    size_of(folder, "all")
    sum(len(text) for _, text in read_source(folder, "all"))
    languages_of(folder)
    report(folder, False)
    Facts(manifest, load_languages()).total("read", "bytes")
    Tuning(folder).change(*(f"{one['reason']}.min=5" for one in manifest["recipe"].get("filters", ())))


def read_record(folder: Path) -> None:
    from edgelm.artifacts import read_provenance
    from edgelm.evaluate.languages import finetuning, learnt_languages, learnt_tasks
    from edgelm.model.card import training_summary
    from edgelm.runtime.inside import check_decoder, no_model

    read_provenance(folder)
    training_summary(folder)
    finetuning(folder)
    for task in learnt_tasks(folder):
        learnt_languages(folder, task)
        task.config()
    str(no_model(folder))
    check_decoder(folder)


READERS = [
    Reader(
        "manifest.json", corpus, one_of(**{"manifest.json": json_of(corpus, "manifest.json")}), read_corpus
    ),
    Reader(
        "edgelm.json", finetuned, one_of(**{"edgelm.json": json_of(finetuned, "edgelm.json")}), read_record
    ),
]
