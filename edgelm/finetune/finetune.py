"""`edgelm finetune`: a pretrained decoder learns to answer a task, all weights, answers only.

It trains on all languages of the task, or on those named. With a replay corpus, half of the tokens go on
being plain text, so that the model keeps writing as well as it did.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm import artifacts
from edgelm.corpus.shards import languages_of
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.evaluate.evaluate import score_task
from edgelm.evaluate.predict import predict
from edgelm.finetune.examples import ExampleSource, Mixture, answer_item
from edgelm.model.card import model_card
from edgelm.model.directory import load_model, save_model
from edgelm.pretrain.checkpoint import clear_checkpoints
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.loop import train
from edgelm.pretrain.packing import Packer, Source
from edgelm.pretrain.pretrain import VALIDATION_BYTES
from edgelm.pretrain.sampling import corpus_source
from edgelm.progress import Progress
from edgelm.runtime.torch import TorchModel
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task, check_names
from edgelm.tokenizer.special import PAD
from edgelm.tokenizer.text import TextTokenizer

REPLAY_SHARE = 0.5


def finetune(
    model: Path,
    tasks: Sequence[Task],
    output: Path,
    *,
    config: TrainConfig,
    languages: list[str] | None = None,
    replay: Path | None = None,
    temperature: float = 2.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Finetune a model directory into `output`; returns validation scores and figures of the run.

    Args:
        languages: train on these languages of the tasks only.
        replay: a corpus whose training documents take half of the tokens.

    Raises:
        BadInput: model, task or corpus is missing or damaged.
    """
    progress = progress or Progress(silent=True)
    if not tasks:
        raise BadInput("no task was given", remedy="name at least one, as in: edgelm finetune MODEL topic")
    for task in tasks:
        if isinstance(task, Tagging):
            raise BadInput(
                f"'{task.name}' asks for a tag a word, which a model that writes gets wrong",
                remedy="finetune a head: --method head",
            )
    check_names(tasks)
    text = TextTokenizer(model)

    def work(partial: Path) -> dict[str, Any]:
        decoder = load_model(model)
        shape = decoder.config
        examples = [(task, one) for task in tasks for one in task.examples("train", languages)]
        taught = [(task.prompt(one), task.answer(one)) for task, one in examples]
        held_out = {task.name: task.validation(languages) for task in tasks}
        progress.say(f"finetuning on {', '.join(task.name for task in tasks)}: {len(examples):,} examples")
        source: Source = ExampleSource(
            [answer_item(prompt, answer, text, shape.context) for prompt, answer in taught], config.seed
        )
        codes = sorted({one.language for _, one in examples})
        if replay:
            codes = languages_of(replay)
            texts = corpus_source(
                replay,
                codes,
                text,
                partial / "tokens",
                seed=config.seed,
                temperature=temperature,
                progress=progress,
            )
            shares = {"examples": 1 - REPLAY_SHARE, "replay": REPLAY_SHARE}
            source = Mixture({"examples": source, "replay": texts}, shares)
            del texts
        packer = Packer(source, batch=config.batch, context=shape.context, pad=text.id(PAD))
        figures = train(decoder, packer, config, partial, progress, "finetuning")
        runtime = TorchModel(decoder.to("cpu"), text)
        figures["tasks"] = {}
        plain = corpus_texts(replay, "validation", VALIDATION_BYTES) if replay else {}
        items = sum(map(len, plain.values())) + sum(map(len, held_out.values()))
        with progress.track(items, "validating") as step:
            for task in (one for one in tasks if held_out[one.name]):
                predicted = predict(runtime, task, held_out[task.name], step)
                figures["tasks"][task.name] = score_task(task, held_out[task.name], predicted)
            figures["validation_bits_per_byte"] = bits_per_byte(runtime, plain, step)
        name = f"edgelm, finetuned on {', '.join(task.name for task in tasks)}"
        save_model(
            decoder, model, partial, model_card(name, codes, figures["validation_bits_per_byte"], shape)
        )
        del source, packer  # some systems keep a memory-mapped file from being removed
        return figures

    provenance, _ = artifacts.build(
        output,
        command="finetune",
        config={
            "tasks": [task.config() for task in tasks],
            "languages": languages,
            "replay": REPLAY_SHARE if replay else 0,
            "temperature": temperature,
            **config.decisive(),
        },
        inputs=[
            model,
            *([replay] if replay else []),
            *(file for task in tasks for file in task.inputs(("train", "validation"))),
        ],
        work=work,
        clean=clear_checkpoints,
        say=progress.say,
    )
    return provenance["results"]
