"""`edgelm finetune --method linear | crf`: models that train in seconds and need no decoder.

They are the smallest thing that may work, saved and evaluated as the others are.
"""

from pathlib import Path
from typing import Any, Literal

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.evaluate.evaluate import score_task
from edgelm.evaluate.predict import predict
from edgelm.finetune.crf import ITERATIONS, PENALTIES, train_crf
from edgelm.finetune.linear import COSTS, NGRAMS, train_linear
from edgelm.model.card import finetuned_card
from edgelm.model.crf import crf_about, save_crf
from edgelm.model.linear import linear_about, save_linear
from edgelm.progress import Progress
from edgelm.runtime.labeller import CrfModel, LabelModel, LinearModel
from edgelm.tasks.classification import Classification
from edgelm.tasks.examples import languages_in
from edgelm.tasks.tagging import Tagging
from edgelm.tasks.task import Task

Method = Literal["linear", "crf"]
SUITS: dict[Method, type[Task[Any]]] = {"linear": Classification, "crf": Tagging}


def finetune_small(
    task: Task[Any],
    output: Path,
    method: Method,
    *,
    languages: list[str] | None = None,
    min_df: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train into `output`; returns the scores on validation, which also chose among a few settings.

    Args:
        min_df: leave out n-grams that fewer training texts have, or attributes of words that are rarer.

    Raises:
        BadInput: the method does not suit the task, or its files are missing or damaged.
        MissingExtra: scikit-learn or sklearn-crfsuite is not installed.
    """
    progress = progress or Progress(silent=True)
    if not isinstance(task, SUITS[method]):
        suits = next((name for name, family in SUITS.items() if isinstance(task, family)), "full")
        raise BadInput(f"--method {method} does not suit '{task.name}'", remedy=f"try --method {suits}")

    def work(partial: Path) -> dict[str, Any]:
        train = task.examples("train", languages)
        codes = languages_in(train)
        held_out = task.validation(codes)
        progress.say(f"training {method} on {task.name}: {len(train):,} examples")
        model: LabelModel
        if method == "linear":
            linear = train_linear(train, held_out, task=task.name, seen=min_df)
            save_linear(linear, partial)
            model, about = LinearModel(linear), linear_about(linear)
        else:
            crf = train_crf(train, held_out, task=task.name, seen=min_df)
            save_crf(crf, partial)
            model, about = CrfModel(crf), crf_about(crf)
        found = {task.name: score_task(task, held_out, predict(model, task, held_out))} if held_out else {}
        sizes = {task.name: (len(train), len(held_out))}
        card = finetuned_card([task], method, codes, sizes, found, [about], library="edgelm")
        artifacts.write_text(partial / "README.md", card)
        return {"tasks": found}

    provenance, _ = artifacts.build(
        output,
        command="finetune",
        config={
            "method": method,
            "settings": [
                *([NGRAMS, COSTS] if method == "linear" else [PENALTIES, ITERATIONS]),
                *([min_df] if min_df > 1 else []),
            ],
            "tasks": [task.config()],
            "languages": languages,
        },
        inputs=task.inputs(("train", "validation")),
        work=work,
        say=progress.say,
    )
    return provenance["results"]
