"""Read the documents of a built corpus."""

from collections.abc import Iterator
from pathlib import Path

from edgelm.corpus.report import read_manifest
from edgelm.errors import BadInput
from edgelm.extras import require


def languages_of(corpus: Path) -> list[str]:
    """Codes of the languages a corpus holds documents of, sorted.

    Raises:
        BadInput: not a corpus directory, or one of its shards is missing.
    """
    manifest = read_manifest(corpus)
    for code, one in manifest["languages"].items():
        for split, counts in one["splits"].items():
            if counts["documents"] and not any((corpus / "data" / code).glob(f"{split}-*.parquet")):
                missing = corpus / "data" / code / f"{split}-00000.parquet"
                raise BadInput("no such file", file=missing, remedy="build the corpus again")
    return [code for code, one in manifest["languages"].items() if one["kept"]]


def read_texts(corpus: Path, language: str, split: str) -> Iterator[str]:
    """Texts of one language and split, in order; none where the split is empty.

    Raises:
        BadInput: a shard is damaged.
    """
    arrow, parquet = require("pyarrow", "corpus"), require("pyarrow.parquet", "corpus")
    for shard in sorted((corpus / "data" / language).glob(f"{split}-*.parquet")):
        try:
            for batch in parquet.ParquetFile(shard).iter_batches(columns=["text"]):
                texts = batch.column("text")
                if texts.null_count or not arrow.types.is_string(texts.type):
                    raise ValueError("its texts are none")
                yield from texts.to_pylist()
        except (arrow.ArrowException, OSError, ValueError, LookupError) as error:
            raise BadInput(f"cannot be read ({error})", file=shard, remedy="build the corpus again") from None
