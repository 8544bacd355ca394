"""`edgelm finetune --method head`: a decoder learns to label texts or words through one linear layer.

It reads what it labels and nothing else, no prompt, and needs one pass for all labels of a sentence: this is
how tagging is done on a device.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.evaluate import score_task
from edgelm.evaluate.predict import predict
from edgelm.finetune.config import FinetuneConfig, check_judged, check_layers, prepare, windows
from edgelm.finetune.examples import ExampleSource
from edgelm.finetune.watching import telling, watched
from edgelm.model.card import about_decoder, finetuned_card, reserved_by
from edgelm.model.config import read_config
from edgelm.model.crf import MARK_INSIDE
from edgelm.model.decoder import IGNORE, Decoder
from edgelm.model.directory import load_model
from edgelm.model.head_config import HeadConfig, read_head
from edgelm.model.heads import Labeller, goes_on, load_labeller, save_labeller, with_head
from edgelm.model.labelling import encode, parts
from edgelm.pretrain.checkpoint import clear_checkpoints
from edgelm.pretrain.loop import train
from edgelm.pretrain.packing import Item, Packer
from edgelm.progress import Progress
from edgelm.runtime.inside import check_decoder
from edgelm.runtime.torch_labeller import TorchLabeller
from edgelm.tasks.classification import Classification
from edgelm.tasks.examples import Labelled, Tagged, languages_in
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task
from edgelm.tokenizer.text import TextTokenizer


def finetune_head(
    model: Path,
    task: Task[Any],
    output: Path,
    *,
    config: FinetuneConfig,
    languages: list[str] | None = None,
    both_ways: bool = False,
    validate_every: int = 0,
    validation_examples: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a head, and the decoder below it, into `output`; returns validation scores and figures.

    Args:
        languages: train and validate on these languages of the task only.
        both_ways: let tokens attend to those after them, as a model that learnt to read so always does.
        model: a decoder; of one with a head, this goes on learning where it has the task's labels in their
            order, and a new one begins elsewhere.
        validation_examples: at these validations, the same each time; 0 is all, as always at the end.
        validate_every: steps between two validations; with `config.select` "best", the weights of the best
            are given out.

    Raises:
        BadInput: model or task is missing or damaged, or the task has neither labels nor tags.
    """
    check_decoder(model, heads=True)
    progress = progress or Progress(silent=True)
    shape, earlier = read_config(model), read_head(model)
    context = shape.window(config.context)
    check_layers(shape.layers, config)
    if shape.family != "llama":
        raise BadInput(
            f"is a {shape.family}, and heads are put on Llamas alone",
            file=model,
            remedy="choose --method full or lora, or another model",
        )
    head = head_of(task, both_ways or shape.both_ways or (earlier is not None and earlier.both_ways))
    text = TextTokenizer(model)
    inherited = reserved_by(model)

    def work(partial: Path) -> dict[str, Any]:
        examples = task.examples("train", languages)
        decoder = load_labeller(model, earlier) if earlier else load_model(model, to_write=False)
        labeller = with_head(decoder, _seen(head, examples), config.seed)
        if goes_on(decoder, head):
            progress.say(f"the head of {model} goes on learning, as its labels are the same")
        prepare(labeller, config)
        shape = labeller.config
        codes = languages_in(examples)
        held_out = task.validation(codes)
        check_judged(config, bool(held_out))
        said = f"{len(examples):,} examples{windows(shape, context)}"
        progress.say(f"finetuning a head on {task.name}: {said}")
        pieces = [piece for one in examples for piece in parts(text, one, context)]
        items = [head_item(text, one, head, context) for one in pieces]
        source = ExampleSource(items, config.seed)
        packer = Packer(source, batch=config.batch, context=context, pad=text.pad)

        looked_at = watched(task, held_out, validation_examples)

        def scored(one: Labeller, given: list[Any]) -> dict[str, Any]:
            return score_task(task, given, predict(TorchLabeller(one, text), task, given))

        def error(one: Decoder) -> dict[str, float]:
            assert isinstance(one, Labeller)
            one.eval()
            found = scored(one, looked_at)
            one.train()
            by_language = found["languages"].items()
            each = {code: round(1 - part[part["metric"]], 4) for code, part in by_language}
            return {**each, "mean": round(1 - found[found["metric"]], 4)}

        figures = train(
            labeller,
            packer,
            config,
            partial,
            progress,
            "finetuning",
            validate=telling(error, [looked_at], [held_out], progress.say)
            if validate_every and held_out
            else None,
            validate_every=validate_every,
            epoch_tokens=sum(len(item.ids) for item in items),
            measures="validation error",
            patience=config.patience,
            layer_decay=config.layer_decay,
        )
        labeller.to("cpu")
        figures["tasks"] = {task.name: scored(labeller, held_out)} if held_out else {}
        card = finetuned_card(
            [task],
            "head",
            codes,
            {task.name: (len(examples), len(held_out))},
            figures["tasks"],
            about_decoder(shape),
            library="edgelm" if head.both_ways else "transformers",
            inherited=inherited,
        )
        save_labeller(labeller, model, partial, card)
        return figures

    return build_labeller(
        "head",
        model,
        task,
        output,
        work,
        config=config,
        languages=languages,
        both_ways=both_ways,
        validate_every=validate_every,
        validation_examples=validation_examples,
        clean=clear_checkpoints,
        say=progress.say,
    )


def build_labeller(
    method: str,
    model: Path,
    task: Task[Any],
    output: Path,
    work: Callable[[Path], dict[str, Any]],
    *,
    config: FinetuneConfig,
    languages: list[str] | None,
    both_ways: bool,
    validate_every: int,
    validation_examples: int,
    clean: Callable[[Path], object],
    say: Callable[[str], object],
) -> dict[str, Any]:
    """Make a model that labels with `artifacts.build`; returns what `work` does."""
    provenance, _ = artifacts.build(
        output,
        command="finetune",
        config={
            "method": method,
            "both_ways": both_ways,
            "tasks": [task.config()],
            "languages": languages,
            "validate_every": validate_every,
            "validation_examples": validation_examples,
            "inherited": reserved_by(model),
            **config.decisive(),
        },
        inputs=[model, *task.inputs(("train", "validation"))],
        work=work,
        clean=clean,
        say=say,
    )
    found: dict[str, Any] = provenance["results"]
    return found


def head_of(task: Task[Any], both_ways: bool) -> HeadConfig:
    """The head that a task asks for.

    Raises:
        BadInput: it has neither labels nor tags.
    """
    if isinstance(task, Tagging):
        return HeadConfig("token", task.tags, both_ways, task.scheme)
    if isinstance(task, Classification):
        return HeadConfig("sequence", task.labels, both_ways, pooling="mean" if both_ways else "last")
    raise BadInput(
        f"the task '{task.name}' has no labels for a head",
        remedy="choose a task of classification or tagging",
    )


def _seen(head: HeadConfig, examples: Sequence[Labelled | Tagged]) -> HeadConfig:
    """The head, knowing how its training data cuts text into words."""
    words = (word for one in examples if isinstance(one, Tagged) for word in one.words)
    return replace(head, marks_inside=any(MARK_INSIDE.search(word) for word in words))


def head_item(tokenizer: TextTokenizer, example: Labelled | Tagged, head: HeadConfig, context: int) -> Item:
    """An example whose targets are numbers of labels where labels are asked for, `IGNORE` elsewhere."""
    number = {label: place for place, label in enumerate(head.labels)}
    ids, places = encode(tokenizer, example, context)
    targets = np.full(len(ids), IGNORE, dtype=np.int64)
    targets[places] = [number[label] for label in true_labels(example)]
    return Item(np.asarray(ids, dtype=np.int64), targets)


def true_labels(example: Labelled | Tagged) -> Sequence[str]:
    """What `LabelModel.label` should say."""
    return example.tags if isinstance(example, Tagged) else [example.label]
