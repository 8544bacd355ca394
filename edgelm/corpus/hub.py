"""Read documents from a dataset of the Hugging Face Hub as a stream, or from the folder of one.

Only a recipe that names such a dataset reaches for the network; a folder is read without it.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgelm.corpus.readers import FIELDS, BadRecord, Document, document_of
from edgelm.errors import BadInput, EdgelmError
from edgelm.extras import require


def read_dataset(
    name: str,
    config: str | None = None,
    split: str = "train",
    *,
    text_field: str = "text",
    revision: str | None = None,
) -> Iterator[Document | BadRecord]:
    """Documents and bad records of one split of a dataset, row by row, none but the current ones in memory.

    Ids are `name/split:row`, with the configuration after the name where one is given, and rows counted from
    0 as the Hub's viewer does; `line` is counted from 1.

    Args:
        name: `owner/dataset` on the Hub; or a folder, written by `save_to_disk` or with files that
            `load_dataset` reads. Of a folder only the last part of its path is in the ids.
        revision: commit, tag or branch on the Hub; without it the newest, which may change.

    Raises:
        BadInput: no such dataset, configuration, split or column; it cannot be read to its end; or all its
            records are bad.
        EdgelmError: the Hub cannot be reached.
        MissingExtra: the extra `hub` is not installed.
    """
    folder = Path(name).expanduser()
    local = name != "" and folder.is_dir()
    if not local and (name.count("/") != 1 or name.startswith((".", "/", "~"))):
        raise BadInput(
            f"'{name}' is neither a folder nor a dataset's name", remedy="write the latter as owner/dataset"
        )
    shown = "/".join([folder.resolve().name if local else name, *([config] if config else []), split])
    first_bad: BadRecord | None = None
    good = 0
    try:
        rows = _open(folder, config, split) if local else _stream(name, config, split, revision)
        columns = rows.column_names
        if columns is not None:
            if text_field not in columns:
                raise BadInput(
                    f"no column '{text_field}' among {', '.join(columns[:20])}",
                    file=shown,
                    remedy="name the column that holds the text with text_field",
                )
            # pictures and sounds in other columns would be decoded
            rows = rows.select_columns([one for one in columns if one in {text_field, *FIELDS}])
        for number, row in enumerate(rows):
            record = document_of(row, number + 1, text_field)
            if isinstance(record, BadRecord):
                record.text = json.dumps(row, ensure_ascii=False, default=str)
                first_bad = first_bad or record
            else:
                good += 1
                record.id = f"{shown}:{number}"
            yield record
    except EdgelmError:
        raise
    except Exception as error:  # the library lets through those of every format and protocol it knows
        raise _explained(shown, error) from None
    if first_bad and not good:
        raise BadInput(
            f"{first_bad.reason}, and no other record is good",
            file=shown,
            line=first_bad.line,
            remedy=first_bad.remedy,
        )


def _datasets() -> Any:
    # they would write a line for each of five attempts to reach the Hub, and for errors that we explain
    for library in ("datasets", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return require("datasets", "hub")


def _stream(name: str, config: str | None, split: str, revision: str | None) -> Any:
    return _datasets().load_dataset(name, config, split=split, streaming=True, revision=revision)


def _open(folder: Path, config: str | None, split: str) -> Any:
    datasets = _datasets()
    path = str(folder.resolve())
    if (folder / "dataset_dict.json").is_file():
        saved = datasets.load_from_disk(path)
        if split not in saved:
            raise BadInput(
                f"no split '{split}'", file=folder, remedy=f"choose one of: {', '.join(sorted(saved))}"
            )
        return saved[split].to_iterable_dataset()
    if (folder / "state.json").is_file():
        return datasets.load_from_disk(path).to_iterable_dataset()
    return datasets.load_dataset(path, config, split=split, streaming=True)


def _explained(name: str, error: Exception) -> EdgelmError:
    """One line for what the library raised: the Hub's not answering is no fault of the recipe."""
    reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
    if isinstance(error, ConnectionError | TimeoutError):
        return EdgelmError(
            f"{name}: the Hugging Face Hub cannot be reached ({reason}). Connect to the network, "
            "or name a folder that holds the dataset."
        )
    return BadInput(
        f"the dataset cannot be read ({reason})", file=name, remedy="check the name and the split"
    )
