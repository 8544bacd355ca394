"""`edgelm finetune --method ensemble`: a head and the cheap model of its task, weighed to decide together."""

from pathlib import Path
from typing import Any

import numpy as np

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.evaluate import score_task
from edgelm.evaluate.predict import predict
from edgelm.finetune.config import FinetuneConfig, check_layers
from edgelm.finetune.head import build_labeller, finetune_head, true_labels
from edgelm.finetune.small import SUITS, Method, finetune_small
from edgelm.model.card import about_decoder, finetuned_card, reserved_by
from edgelm.model.config import read_config
from edgelm.progress import Progress
from edgelm.runtime import load_labeller
from edgelm.runtime.ensemble import HEAD, ensemble_config, log_scores
from edgelm.runtime.inside import check_decoder
from edgelm.runtime.labeller import LabelModel
from edgelm.runtime.sampling import log_softmax
from edgelm.tasks.examples import Labelled, Tagged, languages_in
from edgelm.tasks.task import Task

PRIOR = 1.0


def finetune_ensemble(
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
    """Train both models of a task into `output`, each of which also works alone; see `finetune_head`.

    Returns:
        the validation scores of the two together, which were also weighed on them; `weights`, and `alone`,
        the score of each, by method.

    Raises:
        BadInput: the task has neither labels nor tags, or no validation split; or a file is missing.
    """
    check_decoder(model, heads=True)
    shape = read_config(model)
    shape.window(config.context)
    check_layers(shape.layers, config)
    progress = progress or Progress(silent=True)
    cheap = cheap_method(task)
    held_out = validation_of(task, languages)
    if not held_out:
        raise BadInput(
            f"'{task.name}' has no validation split to weigh two models on",
            remedy=f"use --method head or {cheap}",
        )
    inherited = reserved_by(model)

    def work(partial: Path) -> dict[str, Any]:
        alone = {
            cheap: finetune_small(task, partial / cheap, cheap, languages=languages, progress=progress),
            HEAD: finetune_head(
                model,
                task,
                partial / HEAD,
                config=config,
                languages=languages,
                both_ways=both_ways,
                validate_every=validate_every,
                validation_examples=validation_examples,
                progress=progress,
            ),
        }
        parts = [load_labeller(partial / name) for name in (HEAD, cheap)]
        weights = weigh([one for one in parts if one], held_out)
        artifacts.write_json(partial / "config.json", ensemble_config(cheap, weights))
        together = load_labeller(partial)
        assert together is not None
        scores = {task.name: score_task(task, held_out, predict(together, task, held_out))}
        train = task.examples("train", languages)
        card = finetuned_card(
            [task],
            "ensemble",
            languages_in(train),
            {task.name: (len(train), len(held_out))},
            scores,
            [*about_decoder(read_config(partial / HEAD)), "", f"Beside it: `{cheap}`."],
            library="edgelm",
            inherited=inherited,
        )
        artifacts.write_text(partial / "README.md", card)
        return {
            "tasks": scores,
            "weights": {name: round(one, 4) for name, one in zip((HEAD, cheap), weights, strict=True)},
            "alone": {name: one["tasks"][task.name][task.metric] for name, one in alone.items()},
        }

    return build_labeller(
        "ensemble",
        model,
        task,
        output,
        work,
        config=config,
        languages=languages,
        both_ways=both_ways,
        validate_every=validate_every,
        validation_examples=validation_examples,
        clean=artifacts.clear_locks,
        say=progress.say,
    )


def cheap_method(task: Task[Any]) -> Method:
    """The method without a decoder that suits a task.

    Raises:
        BadInput: none does, as it asks for text.
    """
    for method, family in SUITS.items():
        if isinstance(task, family):
            return method
    raise BadInput(
        f"'{task.name}' has neither labels nor tags, and only methods for these are weighed or compared",
        remedy="use --method full or lora, and edgelm evaluate, which sets it beside baselines",
    )


def validation_of(task: Task[Any], languages: list[str] | None) -> list[Any]:
    """Validation examples of the languages that are learnt."""
    return task.validation(languages_in(task.examples("train", languages)))


def weigh(models: list[LabelModel], examples: list[Labelled | Tagged]) -> list[float]:
    """How much each model is to count: the weights, none below 0, that make the right labels likeliest.

    The labels are those of the first model.
    """
    labels = models[0].head.labels
    number = {label: place for place, label in enumerate(labels)}
    truth = np.array([number[label] for one in examples for label in true_labels(one)])
    logs = np.stack([np.concatenate(log_scores(one, examples, labels)) for one in models])
    return fit_weights(logs, truth)


def fit_weights(logs: np.ndarray, truth: np.ndarray) -> list[float]:
    """Weights of the greatest likelihood, a convex problem with one number a model (stacking: Wolpert, 1992).

    As if there were `PRIOR` items more that speak for equal weights, or a few easy ones would make them huge.

    Args:
        logs: float [models, N, labels].
        truth: numbers of the right labels, int [N].
    """
    from scipy.optimize import minimize

    logs = logs.astype(np.float64)
    rows = np.arange(len(truth))
    right = logs[:, rows, truth]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        pooled = log_softmax(np.tensordot(weights, logs, 1))
        expected = (np.exp(pooled) * logs).sum(-1)
        away = weights - start
        prior = PRIOR / (len(truth) + PRIOR)
        gradient = (expected - right).mean(1) + 2 * prior * away
        return -pooled[rows, truth].mean() + prior * float(away @ away), gradient

    start = np.full(len(logs), 1 / len(logs))
    found = minimize(loss, start, jac=True, bounds=[(0, None)] * len(logs), method="L-BFGS-B")
    return [float(one) for one in found.x]
