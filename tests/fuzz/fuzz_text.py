"""Text, JSONL and evaluation files, plain and compressed."""

from pathlib import Path

import fuzz_files as sound
from fuzzing import RAW, Files, Reader, byte_edits, changed, damaged, dumps, edits, odd
from hypothesis import strategies as st

from edgelm.corpus.evaluation_files import read_items
from edgelm.corpus.readers import read_records
from edgelm.corpus.recipe import DOCUMENTS

TEXT = ("\ufeff" + "\n".join(sound.LINES) + "\r\n\n\tcosu\n").encode()
ENDINGS = ("", ".gz", ".xz", ".zst")
CONLL = "".join(f"{word}\tO\n" for word in " ".join(sound.LINES).split()).encode() + b"\n.\tO\n"
CSV = b'text,label\n"one, two",a\nthree,b\n'
EVALUATION = {
    ".txt": TEXT,
    ".jsonl": sound.jsonl(*sound.records()),
    ".conll": CONLL,
    ".csv": CSV,
    ".tsv": CSV,
    ".json": dumps(sound.records()),
}


def _packed(name: str, contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    """A file, changed before or after it is packed."""

    def make(data: bytes, ending: str, changes: list) -> Files:  # type: ignore[type-arg]
        return {f"{name}{ending}": damaged(sound.packed(data, ending), changes if ending else [])}

    return st.builds(make, contents, st.sampled_from(ENDINGS), byte_edits)


def _lines() -> st.SearchStrategy[bytes]:
    line = st.builds(lambda changes: dumps(changed(sound.records()[0], changes)), edits)
    return st.lists(line | odd.map(dumps) | st.sampled_from([*RAW.values()]).map(str.encode), max_size=4).map(
        b"\n".join
    )


def read_all(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        for kind in DOCUMENTS if ".txt" in path.name else DOCUMENTS[:1]:
            for one in read_records(path, documents=kind):
                assert isinstance(one.text, str)


def read_evaluation(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        assert all(isinstance(one, str) for one in read_items(path))


READERS = [
    Reader(
        "text",
        lambda: {"sound.txt": TEXT},
        _packed("news.txt", st.builds(damaged, st.just(TEXT), byte_edits) | st.binary(max_size=50)),
        read_all,
    ),
    Reader(
        "jsonl",
        lambda: {"sound.jsonl": EVALUATION[".jsonl"]},
        _packed("news.jsonl", _lines() | st.builds(damaged, st.just(EVALUATION[".jsonl"]), byte_edits)),
        read_all,
    ),
    Reader(
        "evaluation files",
        lambda: {f"sound{ending}": data for ending, data in EVALUATION.items()},
        st.sampled_from([*EVALUATION]).flatmap(
            lambda ending: _packed(
                f"test{ending}", _lines() | st.builds(damaged, st.just(EVALUATION[ending]), byte_edits)
            )
        ),
        read_evaluation,
    ),
]
