"""`edgelm corpus build`: documents in; Parquet shards, rejects with reasons, a card and a report out.

First every source file is measured once, independently of the others, into `measured/`; then decisions are
taken over the measured columns of all of them, and the texts are streamed to their shards. A killed build
keeps the files it has measured.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np

from edgelm import artifacts
from edgelm.corpus import report
from edgelm.corpus.langid import default_identifier
from edgelm.corpus.readers import BadRecord, Document, find_files, read_records
from edgelm.corpus.recipe import Recipe
from edgelm.corpus.statistics import Statistics, measure, repair, text_key
from edgelm.errors import BadInput, EdgelmError
from edgelm.extras import require
from edgelm.languages import Language, find_language, get_language, language_of_path, load_languages
from edgelm.machine import usable_cores
from edgelm.progress import Progress

STATISTICS = tuple(column.name for column in fields(Statistics))
BATCH = 4096
FEWEST_TO_SPLIT = 10  # documents
UNKNOWN = "unknown"
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def build_corpus(
    recipe: Recipe, output: Path, *, language: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Build the corpus `output` after `recipe`; returns its manifest.

    Args:
        language: code of the language every document is in, where neither records nor file names say it.

    Raises:
        BadInput: a source is missing or damaged, or no document was kept.
    """
    require("pyarrow", "corpus")
    progress = progress or Progress(silent=True)
    languages = load_languages()
    forced = get_language(language, languages).code if language else None
    files = [(file, source.path) for source in recipe.sources for file in find_files(source.path)]
    files = [(file, root) for file, root in files if Path(os.path.abspath(output)) not in file.parents]
    if not files:
        raise BadInput("the recipe names no sources", remedy="give a folder of text instead of the recipe")

    def work(partial: Path) -> dict[str, Any]:
        shards = _measure_all(files, partial / "measured", recipe, forced, progress)
        manifest = _decide_and_write(shards, partial, recipe, languages, progress)
        _remove(partial / "measured")
        artifacts.write_json(partial / "manifest.json", manifest)
        report.write(partial, manifest, recipe, languages)
        return {name: manifest[name] for name in ("documents", "kept", "bytes")}

    artifacts.build(
        output,
        command="corpus build",
        config={
            "recipe": recipe.config(),
            "language": forced,
            "registry": {code: asdict(one) for code, one in sorted(languages.items())},
            "names": [file.relative_to(root.parent).as_posix() for file, root in files],
        },
        inputs=[file for file, _ in files],
        work=work,
    )
    return report.read_manifest(output)


def _measure_all(
    files: list[tuple[Path, Path]], folder: Path, recipe: Recipe, forced: str | None, progress: Progress
) -> list[Path]:
    """Measure each file into a Parquet file of its own, in as many processes as there are cores."""
    folder.mkdir(exist_ok=True)
    shards = [folder / f"{number:05d}.parquet" for number in range(len(files))]
    todo = [
        (file, root, shard, recipe.text_field, forced)
        for (file, root), shard in zip(files, shards, strict=True)
        if not shard.exists()
    ]
    todo.sort(key=lambda job: -job[0].stat().st_size)  # the longest first, so that no core waits at the end
    workers = min(usable_cores(), len(todo))
    with progress.track(sum(job[0].stat().st_size for job in todo), "measuring documents") as step:
        if workers <= 1 or sum(job[0].stat().st_size for job in todo) < 2_000_000:
            for job in todo:
                _measure_file(*job)
                step(job[0].stat().st_size, job[0].name)
        else:
            with ProcessPoolExecutor(workers, get_context("spawn"), _follow_parent) as pool:
                with _interrupt_held():
                    futures = {pool.submit(_measure_file, *job): job[0] for job in todo}
                try:
                    for future in as_completed(futures):
                        future.result()
                        step(futures[future].stat().st_size, futures[future].name)
                except BrokenProcessPool:
                    raise EdgelmError(
                        "a process that measured documents was killed, most likely for lack of memory. "
                        "Free some, or split the largest file; then run the same command again to continue."
                    ) from None
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
    return shards


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Hold Ctrl-C back while workers start, from them too: they would answer with a traceback."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        _release_interrupt()


def _release_interrupt() -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _follow_parent() -> None:
    """Let a worker end with its parent, however that ends, and without a traceback at Ctrl-C.

    Else a killed build would leave workers that write beside those of the next one.
    """
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    _release_interrupt()
    threading.Thread(target=_end_after, args=[parent_process()], daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _measure_file(file: Path, root: Path, shard: Path, text_field: str, forced: str | None) -> None:
    """Read, repair, identify and measure the documents of one file."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    languages = load_languages()
    by_name = language_of_path(file.relative_to(root.parent), languages)
    default = by_name.code if by_name else forced
    inside = file.relative_to(root).parts if file != root else ()
    name = "/".join(inside) or file.name
    source = inside[0] if len(inside) > 1 else root.name.split(".")[0] if root != file else root.parent.name
    schema = _schema(arrow)
    part = shard.with_suffix(f".{os.getpid()}.part")
    with parquet.ParquetWriter(part, schema) as writer:
        rows: list[dict[str, Any]] = []
        for record in read_records(file, text_field):
            rows.append(_row(record, default, source, name, languages))
            if len(rows) == BATCH:
                writer.write_table(arrow.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(arrow.Table.from_pylist(rows, schema))
    part.replace(shard)


def _row(
    record: Document | BadRecord, default: str | None, source: str, name: str, languages: dict[str, Language]
) -> dict[str, Any]:
    text = repair(record.text)
    row: dict[str, Any]
    if isinstance(record, BadRecord):
        row = {"id": f"{name}:{record.line}", "source": source, "reason": f"bad record: {record.reason}"}
        language = default or UNKNOWN
    else:
        language, reason = _language(record, text, default, languages)
        guessed = record.language is None and default is None and reason is None
        row = {
            "id": record.id or f"{name}:{record.line}",
            "source": record.source or source,
            "reason": reason,
            "split": record.split,
            "guessed": guessed,
        }
    measured = measure(text)  # asdict would copy deeply, for a quarter of all time
    row |= {name: getattr(measured, name) for name in STATISTICS}
    return {**row, "text": text, "language": language, "key": text_key(text)}


def _language(
    record: Document, text: str, default: str | None, languages: dict[str, Language]
) -> tuple[str, str | None]:
    """The language a document is in, by field, file name or identification; and why it is rejected, if so."""
    if record.language is not None:
        found = find_language(record.language, languages)
        return (found.code, None) if found else (UNKNOWN, f"unknown language: {record.language[:40]}")
    if default is not None:
        return default, None
    return (default_identifier().identify(text)[0], None) if text else (UNKNOWN, "empty")


def _schema(arrow: Any) -> Any:
    kinds = {"words": arrow.int32(), "characters": arrow.int32(), "bytes": arrow.int32()}
    return arrow.schema(
        [(name, arrow.string()) for name in ("id", "text", "language", "source", "split", "reason")]
        + [("key", arrow.int64()), ("guessed", arrow.bool_())]
        + [(name, kinds.get(name, arrow.float32())) for name in STATISTICS]
    )


def _decide_and_write(
    shards: list[Path], output: Path, recipe: Recipe, languages: dict[str, Language], progress: Progress
) -> dict[str, Any]:
    """Decide over all measured columns, then stream each shard's rows to where they belong."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    columns = ["language", "split", "reason", "key", *STATISTICS]
    measured = arrow.concat_tables([parquet.read_table(shard, columns=columns) for shard in shards])
    reason = decide(measured, recipe, languages)
    split = assign_splits(measured, reason, recipe)
    if not any(one is None for one in reason):
        why = ", ".join(f"{name} {count}" for name, count in Counter(reason).most_common(4))
        raise BadInput(
            f"no document was kept of {len(reason)}{f' ({why})' if why else ''}",
            file=recipe.sources[0].path,
            remedy="give more text, or a recipe with other filters",
        )

    manifest = report.Counts(recipe)
    done = 0
    with ExitStack() as stack, progress.track(len(reason), "writing shards") as step:
        writers: dict[Path, Any] = {}
        for shard in shards:
            for batch in parquet.ParquetFile(shard).iter_batches(batch_size=BATCH):
                rows = slice(done, done + len(batch))
                done += len(batch)
                manifest.add(batch, reason[rows], split[rows])
                table = arrow.Table.from_batches([batch]).drop_columns(["reason", "split", "key", "guessed"])
                places = np.array(
                    [
                        f"rejected/{language}.parquet" if why else f"data/{language}/{part}-00000.parquet"
                        for language, why, part in zip(
                            batch["language"].to_pylist(), reason[rows], split[rows], strict=True
                        )
                    ]
                )
                for place in sorted(set(places)):
                    chosen = places == place
                    column, values = ("reason", reason) if place.startswith("rejected") else ("split", split)
                    picked = table.filter(arrow.array(chosen)).append_column(
                        column, arrow.array(values[rows][chosen], arrow.string())
                    )
                    path = output / place
                    if path not in writers:
                        path.parent.mkdir(parents=True, exist_ok=True)
                        writers[path] = stack.enter_context(parquet.ParquetWriter(path, picked.schema))
                    writers[path].write_table(picked)
                step(len(batch))
    return manifest.manifest()


def decide(measured: Any, recipe: Recipe, languages: dict[str, Language]) -> np.ndarray:
    """The first reason to reject each document, or None: an object array as long as the table.

    Of documents with the same key, the first one that passes every filter stays.
    """
    language = np.asarray(measured["language"].to_pylist(), dtype=object)
    reason = np.asarray(measured["reason"].to_pylist(), dtype=object)
    keep = reason == None  # noqa: E711 (elementwise)
    masks = {code: language == code for code in set(language)}
    for rule in recipe.filters:
        values = measured[rule.column].to_numpy()
        for code, mask in masks.items():
            low, high = rule.bounds(languages.get(code))
            fails = keep & mask & ((values < low) | (values > high))
            reason[fails] = rule.reason
            keep &= ~fails
    kept = np.flatnonzero(keep)
    _, first = np.unique(measured["key"].to_numpy()[kept], return_index=True)
    repeats = np.ones(len(kept), dtype=bool)
    repeats[first] = False
    reason[kept[repeats]] = "duplicate"
    return reason


def assign_splits(measured: Any, reason: np.ndarray, recipe: Recipe) -> np.ndarray:
    """`train`, `validation` or `test` for each document, by its own claim or by the hash of its text.

    A split takes the documents with the smallest hashes of its share, up to its bytes in each language; and
    at least one document of a language that has `FEWEST_TO_SPLIT`.
    """
    language = np.asarray(measured["language"].to_pylist(), dtype=object)
    claimed = np.asarray(measured["split"].to_pylist(), dtype=object)
    size = measured["bytes"].to_numpy()
    draw = (measured["key"].to_numpy().astype(np.uint64) * MULTIPLIER).astype(np.float64) / 2.0**64
    split = np.where(claimed == None, "train", claimed).astype(object)  # noqa: E711 (elementwise)
    free = (claimed == None) & (reason == None)  # noqa: E711
    for code in set(language[free]):
        rows = np.flatnonzero(free & (language == code))
        rows = rows[np.argsort(draw[rows], kind="stable")]
        start = 0.0
        for name, rule in (("test", recipe.test), ("validation", recipe.validation)):
            inside = rows[(draw[rows] >= start) & (draw[rows] < start + rule.share)]
            inside = inside[size[inside] <= rule.max_bytes]
            chosen = inside[np.cumsum(size[inside]) <= rule.max_bytes]
            if not len(chosen) and rule.share and len(rows) >= FEWEST_TO_SPLIT:
                chosen = rows[split[rows] == "train"][:1]
            split[chosen] = name
            start += rule.share
    return split


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
