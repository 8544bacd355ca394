"""`edgelm export --target`: every format that runs on a device, measured, and the best that fits kept."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from edgelm import artifacts
from edgelm.bench.bench import MEASURED, Once, Settings, measure_runs
from edgelm.bench.files import model_bytes
from edgelm.errors import BadInput, MissingExtra, Unfit
from edgelm.export.export import IMATRIX, PRUNING, artifact_name, check_packages, export
from edgelm.export.judged import unsampled
from edgelm.export.target import PROMPT_TOKENS, Candidate, Target, choose, judge, nearest_miss
from edgelm.export.verify import get_bound
from edgelm.machine import usable_cores
from edgelm.model.config import read_config
from edgelm.progress import Progress

TARGET = "target.json"
NEW_TOKENS, REPETITIONS = 64, 3
MADE, VERIFICATION = ".candidates", "verification.json"


class NothingFits(Unfit):
    """No format suits the device.

    Attributes:
        figures: what `target.json` would hold.
    """

    def __init__(self, said: str, figures: dict[str, Any]):
        super().__init__(said)
        self.figures = figures


def export_for(
    model: Path,
    output: Path,
    target: Target,
    *,
    text: str | Path = "sample",
    languages: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Export a model directory for a device into `output`: the format that suits it, and `target.json`.

    Args:
        text: as `edgelm.export.export.export` takes it.
        languages: likewise.

    Returns:
        what `target.json` holds (export/README.md).

    Raises:
        BadInput: `model` is no model directory, or the sample has none of its languages and no text is given.
        MissingExtra: the packages of every format are missing.
        NothingFits: the message has the format that comes nearest.
    """
    progress = progress or Progress(silent=True)
    formats = sorted(target.formats, key=lambda name: -get_bound(name).bits)  # the best first
    lacking = _lacking(formats)
    given = [] if text in ("sample", "none") else [Path(text)]

    if not given and (codes := unsampled(model)):
        raise BadInput(
            f"edgelm's sample has no text in {', '.join(codes)} to choose a format by",
            file=model,
            remedy="give text in it, as in: --text my-corpus",
        )

    def work(partial: Path) -> dict[str, Any]:
        made = partial / MADE
        candidates = _export_all(model, made, formats, lacking, text, languages, progress)
        files = {one.format: made / artifact_name(one.format) for one in candidates if not one.failed}
        runs = measure_runs(files, _settings(target), Once(partial / MEASURED), progress)
        parameters = _parameters(model, made)
        for one in candidates:
            if not one.failed:
                _measured(one, files[one.format], runs[one.format], target, parameters)
                judge(one, target)
        chosen = choose(candidates, target.choose)
        figures = _explained(candidates, chosen, target)
        if chosen is None:
            raise NothingFits(_no_fit(candidates, target), figures)
        found = json.loads((made / VERIFICATION).read_text(encoding="utf-8"))
        artifacts.write_json(partial / VERIFICATION, {chosen.format: found[chosen.format]})
        artifacts.write_json(partial / TARGET, figures)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="export",
        config={
            "target": asdict(target),
            "languages": list(languages),
            "text": text if text in ("sample", "none") else "",
        },
        inputs=[model, *given],
        work=work,
        clean=_keep,
    )
    return provenance["results"]


def _lacking(formats: Sequence[str]) -> dict[str, str]:
    """Formats whose packages are not installed, and how to get them.

    Raises:
        MissingExtra: all of them are such.
    """
    failed = {}
    for name in formats:
        try:
            check_packages([name])
        except MissingExtra as error:
            failed[name] = str(error)
    if len(failed) == len(formats):
        raise MissingExtra(failed[formats[0]])
    return failed


def _export_all(
    model: Path,
    made: Path,
    formats: Sequence[str],
    lacking: Mapping[str, str],
    text: str | Path,
    languages: Sequence[str],
    progress: Progress,
) -> list[Candidate]:
    """Every format with what it loses, or why it cannot be made here."""
    possible = [name for name in formats if name not in lacking]
    found = export(model, made, possible, text=text, languages=languages, keep_going=True, progress=progress)
    candidates = []
    for name in formats:
        if why := lacking.get(name) or found[name].get("failed"):
            candidates.append(Candidate(name, failed=why))
            continue
        each = found[name]["languages"].items()
        lost = {code: one["bits_per_byte"] - one["bits_per_byte_before"] for code, one in each}
        worst = max(lost, key=lambda code: lost[code])
        candidates.append(Candidate(name, loss=fmean(lost.values()), worst=(worst, lost[worst])))
    return candidates


def _settings(target: Target) -> Settings:
    threads = (min(target.threads, usable_cores()),) if target.threads else ()
    return Settings(PROMPT_TOKENS, NEW_TOKENS, REPETITIONS, threads)


def _parameters(model: Path, made: Path) -> int:
    """Weights of the model, without those that were pruned."""
    if not (made / PRUNING).exists():
        return read_config(model).parameters
    return int(json.loads((made / PRUNING).read_text(encoding="utf-8"))["bytes"][1]) // 4


def _measured(
    one: Candidate, file: Path, runs: dict[int, list[dict[str, Any]]], target: Target, parameters: int
) -> None:
    every = [run for found in runs.values() for run in found]
    one.size, one.memory = model_bytes(file), max(run["model_bytes"] for run in every)
    one.here = max(fmean(run["new_tokens"] / run["new_seconds"] for run in found) for found in runs.values())
    if not target.elsewhere:
        one.tokens_per_second = one.here
        one.first_token = min(fmean(run["prompt_seconds"] for run in found) for found in runs.values())
        return
    if target.bytes_per_second:
        one.tokens_per_second = target.bytes_per_second / one.size
    if target.operations_per_second:
        one.first_token = 2 * parameters * PROMPT_TOKENS / target.operations_per_second


def _no_fit(candidates: Sequence[Candidate], target: Target) -> str:
    nearest = nearest_miss(candidates)
    if nearest is None:
        return f"{target.name}: no format could be made. {candidates[0].format}: {candidates[0].failed}"
    said = "; ".join(said for _, said in nearest.over.values())
    return (
        f"{target.name}: no format fits. The nearest is {nearest.format}: {said}. "
        "Choose a smaller model or another target."
    )


def _explained(candidates: Sequence[Candidate], chosen: Candidate | None, target: Target) -> dict[str, Any]:
    return {
        "target": {**asdict(target), "formats": list(target.formats)},
        "chosen": chosen and chosen.format,
        "file": chosen and artifact_name(chosen.format),
        "speed": "estimated" if target.elsewhere else "measured here",
        "candidates": [
            {
                "format": one.format,
                "fits": one.fits,
                "why_not": [one.failed] if one.failed else [said for _, said in one.over.values()],
                **(
                    {}
                    if one.failed
                    else {
                        "bits_per_byte_lost": round(one.loss, 4),
                        "most_lost_in": list(one.worst),
                        "bytes": one.size,
                        "memory_bytes": one.memory,
                        "tokens_per_second_here": round(one.here, 1),
                        "tokens_per_second": one.tokens_per_second,
                        "first_token_seconds": one.first_token,
                    }
                ),
            }
            for one in candidates
        ],
    }


def _keep(partial: Path) -> None:
    """Move the chosen format and what belongs to it out of the candidates, and drop the others.

    Killed at any place, it goes on there: each thing is moved by one rename.
    """
    made, name = partial / MADE, json.loads((partial / TARGET).read_text(encoding="utf-8"))["chosen"]
    for own in (artifact_name(name), *([IMATRIX] if name.startswith("gguf:") else []), PRUNING):
        if (made / own).exists():
            (partial / own).parent.mkdir(exist_ok=True)
            (made / own).rename(partial / own)
    if made.exists():
        shutil.rmtree(made)
    (partial / MEASURED).unlink(missing_ok=True)
    artifacts.clear_locks(partial)
