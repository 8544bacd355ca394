"""What `edgelm finetune` makes of its options: a way to train, weights of tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelm.cli.finetune_tables import show_mixture

if TYPE_CHECKING:
    from edgelm.finetune.config import FinetuneConfig
    from edgelm.finetune.repeat import Training
    from edgelm.progress import Progress
    from edgelm.tasks.task import Task


def make_training(
    method: str,
    model: Path,
    tasks: "list[Task[Any]]",
    config: "FinetuneConfig",
    how: dict[str, Any],
    progress: "Progress",
) -> "Training":
    """What trains a decoder with this method; `how` are the method's own arguments."""
    from edgelm.finetune.repeat import Training

    def run(folder: Path, settings: "FinetuneConfig", own: list[str] | None) -> dict[str, Any]:
        common: dict[str, Any] = {"config": settings, "languages": own, "progress": progress, **how}
        if method == "head":
            from edgelm.finetune.head import finetune_head

            return finetune_head(model, tasks[0], folder, **common)
        if method == "ensemble":
            from edgelm.finetune.ensemble import finetune_ensemble

            return finetune_ensemble(model, tasks[0], folder, **common)
        if method == "auto":
            from edgelm.finetune.auto import finetune_auto

            return finetune_auto(model, tasks[0], folder, **common)
        from edgelm.finetune.finetune import finetune as finetune_all

        return finetune_all(model, tasks, folder, show=show_mixture, **common)

    said = {name: repr(one) for name, one in how.items() if name != "replay"}
    inputs = [model, *(file for task in tasks for file in task.inputs(("train", "validation")))]
    if how.get("replay"):
        inputs.append(how["replay"])
    return Training(run, config, {"method": method, "tasks": [one.config() for one in tasks], **said}, inputs)


def read_weights(given: list[str]) -> dict[str, float]:
    """Weights by task from `task=2`."""
    from edgelm.errors import BadInput

    found = {}
    for one in given:
        name, _, number = one.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise BadInput(f"--weight {one} is not a task and a number", remedy="write it as t2x=2")
    return found
