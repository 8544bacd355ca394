"""`edgelm finetune`: a pretrained decoder learns to answer tasks, answers only.

All its weights learn, or with `lora` a small adapter. With a replay corpus, half of the tokens go on being
plain text, so that the model keeps writing as well as it did.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgelm import artifacts
from edgelm.corpus.shards import languages_of
from edgelm.errors import BadInput
from edgelm.evaluate.bits_per_byte import bits_per_byte, corpus_texts
from edgelm.evaluate.evaluate import score_task
from edgelm.evaluate.predict import PLAIN, Asking, predict
from edgelm.finetune.config import FinetuneConfig, check_judged, check_layers, prepare, windows
from edgelm.finetune.examples import ExampleSource, Mixture, answer_item
from edgelm.finetune.lora import ADAPTER, Lora, add_adapter, save_adapter
from edgelm.finetune.regime import Mixing, Pair, check_weights, languages_by_task, mix
from edgelm.finetune.repeat import main_score
from edgelm.finetune.watching import telling, watched
from edgelm.model.card import about_decoder, finetuned_card, reserved_by
from edgelm.model.config import read_config
from edgelm.model.decoder import Decoder
from edgelm.model.directory import load_model, save_model
from edgelm.pretrain.checkpoint import clear_checkpoints
from edgelm.pretrain.loop import train
from edgelm.pretrain.packing import Item, Packer, Source
from edgelm.pretrain.pretrain import VALIDATION_BYTES
from edgelm.pretrain.sampling import corpus_source
from edgelm.progress import Progress, Step
from edgelm.runtime.inside import check_decoder
from edgelm.runtime.torch import TorchModel
from edgelm.tasks.examples import Example, Tagged, languages_in
from edgelm.tasks.task import Task, check_names
from edgelm.tokenizer.text import TextTokenizer

REPLAY_SHARE = 0.5
Messages = tuple[tuple[str, str], ...]
"""Role and content of each."""
Prompts = Literal["english", "native", "both"]


def finetune(
    model: Path,
    tasks: Sequence[Task],
    output: Path,
    *,
    config: FinetuneConfig,
    languages: list[str] | None = None,
    lora: Lora | None = None,
    mixing: Mixing | None = None,
    prompts: Prompts = "english",
    replay: Path | None = None,
    temperature: float = 2.0,
    validate_every: int = 0,
    validation_examples: int | None = None,
    show: Callable[[Sequence[Pair]], None] = lambda pairs: None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Finetune a model directory into `output`; returns validation scores and figures of the run.

    Args:
        languages: train on these languages of the tasks only; with `mixing`, on those a task has of them.
        lora: train an adapter of this size, kept in `output/adapter` and merged into the model beside it.
        mixing: shares of the tasks and their languages; without it all examples are alike.
        prompts: in English, in the example's language where the task has one in it, or of either kind as
            `config.seed` draws for each example.
        replay: a corpus whose training documents take half of the tokens.
        validate_every: steps between two validations on the tasks; 0 validates at the end only.
        validation_examples: of each task at these validations, the same each time; 0 is all, None what suits
            the task (`edgelm.finetune.watching`). The validation at the end always reads all.
        show: told before training begins what `mixing` comes to.

    Raises:
        BadInput: model, task or corpus is missing or damaged.
        MissingExtra: an adapter is asked for and peft is not installed.
    """
    progress = progress or Progress(silent=True)
    check_decoder(model)
    context = read_config(model).window(config.context)
    check_layers(read_config(model).layers, config, adapter=lora is not None)
    _check(tasks, mixing, config, lora)
    codes_of = languages_by_task(tasks, languages) if mixing else {task.name: languages for task in tasks}
    text = TextTokenizer(model)
    inherited = reserved_by(model)

    def work(partial: Path) -> dict[str, Any]:
        decoder = load_model(model)
        shape = decoder.config
        examples = {task.name: task.examples("train", codes_of[task.name]) for task in tasks}
        held_out = {task.name: task.validation(languages_in(examples[task.name])) for task in tasks}
        check_judged(config, any(held_out.values()))
        count = sum(map(len, examples.values()))
        progress.say(f"finetuning on {', '.join(examples)}: {count:,} examples{windows(shape, context)}")
        items: dict[tuple[str, str], list[Item]] = {}
        for task in tasks:
            own = [part for one in examples[task.name] for part in fitting(task, one, text, context)]
            said = taught(task, own, prompts, config.seed)
            for one, (asked, answer) in zip(own, said, strict=True):
                item = answer_item(asked, answer, text, context)
                items.setdefault((task.name, one.language), []).append(item)
        codes = sorted({language for _, language in items})
        asking = Asking(native=frozenset(codes)) if prompts == "native" else PLAIN
        source: Source
        pairs: list[Pair] = []
        if mixing:
            share = 1 - REPLAY_SHARE if replay else 1.0
            tokens = share * config.steps * config.batch * context
            source, pairs = mix(items, mixing, tokens, config.seed)
            show(pairs)
        else:
            source = ExampleSource([one for own in items.values() for one in own], config.seed)
        if replay:
            replayed = languages_of(replay)
            codes = sorted({*codes, *replayed})
            texts = corpus_source(
                replay,
                replayed,
                text,
                partial / "tokens",
                seed=config.seed,
                temperature=temperature,
                progress=progress,
            )
            shares = {"examples": 1 - REPLAY_SHARE, "replay": REPLAY_SHARE}
            source = Mixture({"examples": source, "replay": texts}, shares)
            del texts
        packer = Packer(source, batch=config.batch, context=context, pad=text.pad)
        prepare(decoder, config)
        learnt = () if lora and lora.shared_base else text.framing()
        adapted = add_adapter(decoder, lora, config.seed, config.freeze, learnt) if lora else None
        if config.freeze and not lora:
            progress.say("--freeze leaves the chat's tokens as they are: for a model that has chatted before")

        def scored(one: Decoder, given: dict[str, list[Any]], step: Step | None = None) -> dict[str, Any]:
            runtime = TorchModel(one, text)
            found = {}
            for task in (one for one in tasks if given[one.name]):
                predicted = predict(runtime, task, given[task.name], step, asking)
                found[task.name] = score_task(task, given[task.name], predicted)
            return found

        looked_at = {task.name: watched(task, held_out[task.name], validation_examples) for task in tasks}

        def error(one: Decoder) -> dict[str, float]:
            one.eval()
            found = {
                name: round(1 - main_score(scores), 4) for name, scores in scored(one, looked_at).items()
            }
            one.train()
            return {**found, "mean": round(sum(found.values()) / len(found), 4)}

        figures = train(
            decoder,
            packer,
            config,
            partial,
            progress,
            "finetuning",
            validate=telling(error, looked_at.values(), held_out.values(), progress.say)
            if validate_every and any(held_out.values())
            else None,
            validate_every=validate_every,
            measures="validation error",
            patience=config.patience,
            layer_decay=config.layer_decay,
        )
        decoder.to("cpu")
        if adapted:
            save_adapter(adapted, model, partial / ADAPTER)
            adapted.merge_and_unload()
        if pairs:
            figures["mixture"] = [asdict(one) for one in pairs]
        plain = corpus_texts(replay, "validation", VALIDATION_BYTES) if replay else {}
        total = sum(map(len, plain.values())) + sum(map(len, held_out.values()))
        with progress.track(total, "validating") as step:
            figures["tasks"] = scored(decoder, held_out, step)
            figures["validation_bits_per_byte"] = bits_per_byte(TorchModel(decoder, text), plain, step)
        sizes = {name: (len(own), len(held_out[name])) for name, own in examples.items()}

        def card(library: str) -> str:
            return finetuned_card(
                tasks,
                "lora" if lora else "full",
                codes,
                sizes,
                figures["tasks"],
                about_decoder(shape),
                bits_per_byte=figures["validation_bits_per_byte"],
                library=library,
                inherited=inherited,
            )

        save_model(decoder, model, partial, card("transformers"))
        if lora:
            artifacts.write_text(partial / ADAPTER / "README.md", card("peft"))
        del source, packer  # some systems keep a memory-mapped file from being removed
        return figures

    provenance, _ = artifacts.build(
        output,
        command="finetune",
        config={
            "method": "lora" if lora else "full",
            "lora": asdict(lora) if lora else None,
            "mixing": asdict(mixing) if mixing else None,
            "prompts": prompts,
            "tasks": [task.config() for task in tasks],
            "languages": languages,
            "replay": REPLAY_SHARE if replay else 0,
            "temperature": temperature,
            "validate_every": validate_every,
            "validation_examples": validation_examples,
            "inherited": inherited,
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


def fitting(task: Task, example: Example, tokenizer: TextTokenizer, context: int) -> list[Example]:
    """A sentence in parts that fit the context with their tags; anything else as it is."""
    if not isinstance(example, Tagged) or len(example.words) < 2:
        return [example]
    answer = len(tokenizer.encode(task.answer(example))) + 1
    prompt = max(len(tokenizer.chat(task.prompt(example, native))) for native in (False, True))
    if prompt + answer <= context:
        return [example]
    count = len(example.words)
    parts = (example.part(0, count // 2), example.part(count // 2, count))
    return [piece for part in parts for piece in fitting(task, part, tokenizer, context)]


def taught(task: Task, examples: Sequence[Any], prompts: Prompts, seed: int) -> list[tuple[Messages, str]]:
    """What is asked and the answer to it, of each example.

    Raises:
        BadInput: native prompts are asked for, and the task has none for any of the examples.
    """

    def said(native: bool) -> list[tuple[Messages, str]]:
        return [(task.messages(one, native), task.answer(one, native)) for one in examples]

    english = said(False)
    if prompts == "english":
        return english
    native = said(True)
    if native == english:
        codes = languages_in(examples)
        raise BadInput(
            f"the task '{task.name}' has no prompt and no answers in {', '.join(codes)}",
            file=task.place,
            remedy="write them into its YAML, or leave --prompt out",
        )
    if prompts == "native":
        return native
    drawn = np.random.default_rng([seed, len(examples)]).random(len(examples)) < 0.5
    return [own if here else other for own, other, here in zip(native, english, drawn, strict=True)]


def _check(tasks: Sequence[Task], mixing: Mixing | None, config: FinetuneConfig, lora: Lora | None) -> None:
    if not tasks:
        raise BadInput("no task was given", remedy="name at least one, as in: edgelm finetune MODEL topic")
    check_names(tasks)
    if mixing:
        check_weights(mixing, tasks)
    if lora and config.reinit:
        raise BadInput("--reinit does nothing with an adapter", remedy="leave it out, or use --method full")
