"""`edgelm corpus build`: documents in; Parquet shards, rejects with reasons, a card and a report out.

1. `ingest`: every source file is read and repaired into shards.
2. `measure`: every shard is measured, with what the first pass found in all text at hand.
3. `cluster`: duplicates and near-duplicates of the whole corpus are found from their keys and signatures.
4. `decide`: predicates over the measured columns, then splits; no text is read.
5. `write`: texts are streamed to where they belong, with card and report.

The first two keep what is finished when a build is killed, and take the work up there.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgelm import __version__, artifacts, resources
from edgelm.corpus import report, summary
from edgelm.corpus.decide import Decisions, decide
from edgelm.corpus.engine import Engine, open_engine
from edgelm.corpus.files import list_files
from edgelm.corpus.ingest import Input, ingest, input_number
from edgelm.corpus.recipe import Filter, Recipe, Source
from edgelm.corpus.splits import assign_splits
from edgelm.corpus.table import Table
from edgelm.corpus.write import save_decisions, write_language
from edgelm.errors import BadInput
from edgelm.extras import require
from edgelm.files import allocate
from edgelm.languages import VARIABLE, get_language, load_languages
from edgelm.machine import release_memory
from edgelm.progress import Progress

MANY = 2_000_000  # documents, from which deciding wants the memory of idle workers


def build_corpus(
    recipe: Recipe,
    output: Path,
    *,
    language: str | None = None,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Build the corpus `output` after `recipe`; returns its manifest.

    Args:
        language: code of the language every document is in, where neither records nor file names say it.
        engine: `local` processes or `ray` tasks; the bytes are the same.
        workers: local processes; as many as there are cores by default.
        address: of the Ray cluster.

    Raises:
        BadInput: a source is missing or damaged, or no document was kept.
    """
    for module in ("pyarrow", "numba", "ftfy"):
        require(module, "corpus")
    if recipe.evaluation and not any(rule.column == "contaminated" for rule in recipe.filters):
        contaminated = Filter("contaminated", "contaminated", max=0)
        recipe = replace(recipe, filters=(*recipe.filters, contaminated))
    progress = progress or Progress(silent=True)
    languages = load_languages()
    forced = get_language(language, languages).code if language else None
    inputs, skipped = _inputs(recipe, output)

    def work(partial: Path) -> dict[str, Any]:
        scratch, cleared = partial / "work", partial / "cleared"
        shutil.rmtree(cleared, ignore_errors=True)  # there if a run was killed while it cleared its work away
        with open_engine(engine, workers, address) as run:
            shards, contamination = _measure_all(inputs, scratch, recipe, forced, run, progress)
            table = Table(shards)
            if len(table) > MANY:
                run.rest()
            _cluster(table, scratch, recipe, progress)
            decisions = decide(table, recipe, languages)
            check_kept(decisions, recipe)
            splits = assign_splits(table, decisions.kept, recipe)
            release_memory()
            facts = {**_facts(inputs, skipped, table), "contamination": contamination}
            manifest = write_corpus(table, decisions, splits, recipe, partial, run, progress, facts)
        artifacts.write_json(partial / "manifest.json", manifest)
        report.write(partial, manifest, recipe, languages)
        shutil.rmtree(scratch.rename(cleared))
        return {name: manifest[name] for name in ("documents", "kept", "bytes")}

    artifacts.build(
        output,
        command="corpus build",
        config={
            "recipe": recipe.config(),
            "language": forced,
            "registry": {code: asdict(one) for code, one in sorted(languages.items())},
            "names": [[one.name, one.group, one.declared(languages, forced)] for one in inputs],
            "identifier": artifacts.digest_path(resources.path("corpus", "langid", "model.xz")),
            "version": __version__,
        },
        inputs=[*(path for one in inputs for path in one.paths), *recipe.evaluation],
        work=work,
    )
    return report.read_manifest(output)


def _inputs(recipe: Recipe, output: Path) -> tuple[list[Input], list[tuple[str, str]]]:
    """Every file and dataset to read, in order, and the files that are passed over, with the reason."""
    inputs: list[Input] = []
    skipped: list[tuple[str, str]] = []
    for number, source in enumerate(recipe.sources):
        prefix = f"{_name(recipe.sources, number)}/" if len(recipe.sources) > 1 else ""
        if source.path is None:
            inputs.append(Input(len(inputs), source, None, None, prefix))
            continue
        listing = list_files(source.path)
        for file in listing.files:
            if output.absolute() not in file.absolute().parents:
                inputs.append(Input(len(inputs), source, file, source.path, prefix))
        mine = (output.name, f".{output.name}.")  # of this build, or of one that was killed
        skipped += [
            (path.name, reason)
            for path, reason in listing.skipped
            if path.absolute().parent != output.absolute().parent or not path.name.startswith(mine)
        ]
    if not inputs:
        raise BadInput("the recipe names no sources", remedy="give a folder of text instead of the recipe")
    terms: dict[str, dict[str, str]] = {}
    for one in inputs:
        if terms.setdefault(one.group, _terms(one.source)) != _terms(one.source):
            raise BadInput(
                f"two sources with different terms are named '{one.group}'",
                file=one.source.path,
                remedy="give one of them another name: in the recipe",
            )
    return inputs, skipped


def _name(sources: Sequence[Source], number: int) -> str:
    """What tells the documents of a source from those of others in their ids."""
    names = [
        one.name or (one.path.name.split(".")[0] if one.path else str(one.hub).rsplit("/", 1)[-1])
        for one in sources[: number + 1]
    ]
    return names[-1] if names.count(names[-1]) == 1 else f"{names[-1]}-{names.count(names[-1])}"


def _terms(source: Source) -> dict[str, str]:
    return {name: getattr(source, name) for name in ("licence", "attribution", "genre")}


def _measure_all(
    inputs: Sequence[Input],
    scratch: Path,
    recipe: Recipe,
    forced: str | None,
    run: Engine,
    progress: Progress,
) -> tuple[list[Path], list[dict[str, Any]]]:
    """The two passes over the texts; measured shards in order, and what of evaluation files is in them."""
    from edgelm.corpus.common import contamination, gather
    from edgelm.corpus.measure import measure_shard

    read, measured = scratch / "read", scratch / "measured"
    for folder in (read, measured):
        folder.mkdir(parents=True, exist_ok=True)
    # the longest first, so that no core waits at the end
    jobs = [(one, read, recipe, forced) for one in sorted(inputs, key=lambda one: -one.size)]
    answers: dict[int, dict[str, Any]] = {}
    total = sum(one.size for one in inputs)
    with progress.track(total, "reading documents") as step:
        for index, answer in run.map(ingest, jobs, total):
            answers[jobs[index][0].number] = answer
            step(jobs[index][0].size, jobs[index][0].name)
    common = gather(read, answers, scratch / "common", recipe)
    shards = [
        (name, answers[number]["group"]) for number in sorted(answers) for name in answers[number]["shards"]
    ]
    outputs = [measured / name for name, _ in shards]
    todo = [
        (read / name, group, output, common, recipe)
        for (name, group), output in zip(shards, outputs, strict=True)
        if not output.exists()
    ]
    todo.sort(key=lambda job: -job[0].stat().st_size)
    total = sum(job[0].stat().st_size for job in todo)
    with progress.track(total, "measuring documents") as step:
        for index, _ in run.map(measure_shard, todo, total):
            step(todo[index][0].stat().st_size)
    return outputs, contamination(common, outputs)


def _cluster(table: Table, scratch: Path, recipe: Recipe, progress: Progress) -> None:
    """Add the columns `cluster`, the first row of each document's cluster of duplicates, and its size."""
    from edgelm.corpus import minhash

    keys = table["key"] if recipe.exact_duplicates else None
    if keys is not None:  # what could not be read is no duplicate of anything
        unreadable = np.flatnonzero(table.codes("reading")[0] >= 0)
        keys = keys.copy()
        keys[unreadable] = -1 - unreadable
    with progress.track(1, "finding duplicates") as step:
        if near := recipe.near_duplicates:
            path = scratch / "signatures.npy"
            found = np.lib.format.open_memmap(path, "w+", np.uint8, (len(table), near.permutations))
            allocate(path)
            for start, packed in table.binary("minhash", near.permutations):
                found[start : start + len(packed)] = packed
            cluster = minhash.cluster(minhash.band_columns(found, near.bands), found, keys, near.threshold)
        else:
            nothing = np.zeros((len(table), 1), dtype=np.uint8)
            cluster = minhash.cluster([], nothing, keys)
        sizes = np.bincount(cluster, minlength=len(table))[cluster] if len(table) else cluster
        step(1)
    table.derived |= {"cluster": cluster, "cluster_size": sizes.astype(np.int32)}


def check_kept(decisions: Decisions, recipe: Recipe) -> None:
    """Raise `BadInput` where every document was rejected, with the commonest reasons."""
    if not decisions.kept.any():
        counts = np.bincount(decisions.first, minlength=len(decisions.names))
        most = [number for number in np.argsort(-counts, kind="stable")[:4] if counts[number]]
        why = ", ".join(f"{decisions.names[number]} {counts[number]}" for number in most)
        source, remedy = recipe.sources[0], "give more text, or a recipe with other filters"
        if why.startswith("other_language "):
            remedy = (
                "where the text is in a language that edgelm does not know, describe it in a YAML file "
                f"({VARIABLE}) and say which it is, by --language or in the files' names"
            )
        raise BadInput(
            f"no document was kept of {len(decisions.first)}{f' ({why})' if why else ''}",
            file=source.path or source.hub,
            remedy=remedy,
        )


def write_corpus(
    table: Table,
    decisions: Decisions,
    splits: np.ndarray,
    recipe: Recipe,
    output: Path,
    run: Engine,
    progress: Progress,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Write the shards of a decided corpus in parallel over languages; returns its manifest."""
    decided = output / "decided"
    arrays = {name: table[name] for name in ("cluster", "cluster_size")}
    save_decisions(decided, arrays | {"first": decisions.first, "failed": decisions.failed, "split": splits})
    samples = summary.choose_samples(table, decisions)
    language, codes = table.codes("language")
    jobs: list[tuple[Any, ...]] = []
    sizes = []
    for number, code in enumerate(codes):
        rows = np.flatnonzero(language == number)
        places = np.unique(np.searchsorted(table.starts, rows, side="right") - 1)
        shards = [(table.shards[place], int(table.starts[place])) for place in places]
        own = samples[language[samples] == number].tolist()
        filters = [rule.reason for rule in recipe.filters]
        jobs.append((code, shards, decided, output, decisions.names, filters, own))
        sizes.append(len(rows))
    shown: dict[int, dict[str, Any]] = {}
    order = sorted(range(len(jobs)), key=lambda place: -sizes[place])
    with progress.track(len(table), "writing shards") as step:
        for index, found in run.map(write_language, [jobs[place] for place in order], 64 * len(table)):
            shown |= found
            step(sizes[order[index]])
    shutil.rmtree(decided)
    return {
        "recipe": recipe.config(),
        **summary.summarise(table, decisions, splits, recipe),
        **facts,
        "confusion": summary.confusion(table),
        "unidentified": summary.unidentified(table),
        "distributions": summary.distributions(table, decisions, recipe),
        "samples": summary.describe_samples(shown, table, decisions),
    }


def _facts(inputs: Sequence[Input], skipped: list[tuple[str, str]], table: Table) -> dict[str, Any]:
    """What the manifest says of the sources besides counts."""
    terms: dict[str, dict[str, str]] = {}
    source, names = table.codes("source")
    for shard, start, rows in zip(table.shards, table.starts, table.rows, strict=False):
        one = inputs[input_number(shard)]
        for name in np.unique(source[start : start + rows]):  # a record may name a source of its own
            known = terms.setdefault(names[name], _terms(one.source))
            for term, value in _terms(one.source).items():  # of a name that records of several sources give
                if value not in known[term].split("; "):
                    known[term] += f"; {value}"
    return {
        "guessed": int(table["guessed"].sum()),
        "terms": dict(sorted(terms.items())),
        "skipped": [{"file": name, "reason": reason} for name, reason in skipped],
    }
