"""GGUF files that someone damaged, or made to do damage: one line, no crash, no hang, no memory taken."""

import os
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import exported
import pytest
from damaging import Damage, damage, fields, number, swap, tensor

from edgelm.errors import BadInput
from edgelm.runtime import gguf_check, load
from edgelm.runtime.gguf_check import check_gguf
from edgelm.runtime.gguf_header import BLOCKS, Header, read_header

FILES = 500
USE_EACH = """
import resource, sys
from edgelm.errors import EdgelmError
from edgelm.runtime import gguf_check, load
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
for path in sys.stdin:
    try:
        model = load(path.strip(), threads=1)
        model.detokenize(range(model.vocab_size))
        model.score(model.prompt("Molo, 12 ḓ"), model.tokenize("namhlanje <|eos|> 👩🏾‍🌾"))
        model.close()
        print("used", flush=True)
    except EdgelmError as error:
        print(error.exit_code, error, flush=True)
"""
Q = "blk.1.attn_q.weight"
HOSTILE: dict[str, tuple[Damage, str]] = {
    "empty": (lambda data: b"", "is not a whole GGUF file"),
    "another kind": (swap(b"GGUF", b"GGML"), "begins with b'GGML', version 3"),
    "a later version": (lambda data: data[:4] + b"\x63" + data[5:], "version 99"),
    "a byte short": (lambda data: data[:-1], "ends at byte"),
    "2^60 tensors": (lambda data: data[:8] + struct.pack("<Q", 2**60) + data[16:], "is not a whole GGUF"),
    "2^60 values": (lambda data: data[:16] + struct.pack("<Q", 2**60) + data[24:], "is not a whole GGUF"),
    "a key of 2^60 bytes": (lambda data: data[:24] + struct.pack("<Q", 2**60) + data[32:], "ends at byte"),
    "2^60 merges": (number("tokenizer.ggml.merges", "Q", 2**60, after=8), "ends at byte"),
    "a key twice": (swap(b"tokenizer.ggml.eos_token_id", b"tokenizer.ggml.bos_token_id"), "is there twice"),
    "an alignment of 1": (swap(b"general.file_type", b"general.alignment"), "general.alignment is 1"),
    "a token less": (number("tokenizer.ggml.tokens", "Q", 511, after=8), "a value is of type"),
    "types of tokens that are none": (number("tokenizer.ggml.token_type", "I", 9, after=16), "does not fit"),
    "one layer": (number("llama.block_count", "I", 1), "block_count is 1, and there are more"),
    "three layers": (number("llama.block_count", "I", 3), r"no tensor blk\.2\."),
    "no layer": (number("llama.block_count", "I", 0), "block_count is 0"),
    "2^32 layers": (number("llama.block_count", "I", 2**32 - 1), "block_count is 4294967295"),
    "another width": (number("llama.embedding_length", "I", 512), "has the shape"),
    "another inner width": (number("llama.feed_forward_length", "I", 512), "has the shape"),
    "no heads": (number("llama.attention.head_count", "I", 0), "head_count is 0"),
    "more heads for keys": (number("llama.attention.head_count_kv", "I", 8), "head_count_kv is 8"),
    "three heads for keys": (number("llama.attention.head_count_kv", "I", 3), "do not divide"),
    "heads that turn too far": (number("llama.rope.dimension_count", "I", 66), "dimension_count is 66"),
    "no context": (number("llama.context_length", "I", 0), "context_length is 0"),
    "a context of 2^31": (number("llama.context_length", "I", 2**31), "context_length is 2147483648"),
    "another vocabulary": (number("llama.vocab_size", "I", 511), "vocab_size does not fit"),
    "no frequency": (number("llama.rope.freq_base", "f", 0.0), "freq_base is 0"),
    "an endless frequency": (number("llama.rope.freq_base", "f", float("inf")), "freq_base is inf"),
    "a special token beyond": (number("tokenizer.ggml.bos_token_id", "I", 512), "bos_token_id is 512"),
    "a token twice": (swap(b"<|bos|>", b"<|eos|>"), "a token is there twice"),
    "a token that is no text": (swap(b"<|bos|>", b"<|b\xffs|>"), "tokens is not UTF-8"),
    "a merge of no tokens": (swap(b"l e", b"l \xc3"), "the merge .* is not of tokens"),
    "a tensor missing": (swap(Q.encode(), b"blk.1.attn_x.weight"), "no tensor blk.1.attn_q.weight"),
    "a tensor twice": (swap(Q.encode(), b"blk.0.attn_q.weight"), "twice"),
    "5 dimensions": (tensor(Q, 0, "I", 5), "has 5 dimensions"),
    "dimensions that overflow": (tensor(Q, 12, "Q", 2**62), "has the shape"),
    "a dimension of 0": (tensor(Q, 12, "Q", 0), "has the shape"),
    "no known type": (tensor(Q, 20, "I", 99), "is of type 99"),
    "whole numbers": (tensor("blk.0.attn_norm.weight", 12, "I", 26), "is of type 26"),
    "an offset outside": (tensor(Q, 24, "Q", 2**40), "begins at 1099511627776"),
    "an offset into another": (tensor(Q, 24, "Q", 0), "begins at 0"),
}


@pytest.fixture(scope="module")
def sound(tiny_gguf: Path) -> bytes:
    return tiny_gguf.read_bytes()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_false_header_is_one_line(tmp_path: Path, sound: bytes, name: str) -> None:
    change, problem = HOSTILE[name]
    data = change(sound)
    assert data != sound
    path = tmp_path / "hostile.gguf"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=problem) as caught:
        check_gguf(path)
    assert str(caught.value).startswith(f"{path}: is ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_weights_that_are_no_numbers_are_found(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(sound[:-4] + struct.pack("<f", float("nan")))
    with pytest.raises(BadInput, match=r"damaged\.gguf: its weights are damaged\. Copy or export"):
        load(path)


def test_the_sound_file_passes(tiny_gguf: Path, sound: bytes) -> None:
    found = check_gguf(tiny_gguf)
    assert found.values["llama.block_count"] == 2
    assert found.tensors["token_embd.weight"].shape == (256, 512)
    assert len(fields(sound)) > 100


def change(found: Header, key: str, value: object) -> None:
    found.values[f"tokenizer.ggml.{key}"] = value


def retype(found: Header, name: str, kind: int) -> None:
    found.tensors[name] = replace(found.tensors[name], kind=kind)


FALSE: dict[str, tuple[Callable[[Header], object], str]] = {
    "no tokens": (lambda found: change(found, "tokens", []), "no list of strings"),
    "tokens that are numbers": (lambda found: change(found, "tokens", (1, 2)), "no list of strings"),
    "a type too few": (lambda found: change(found, "token_type", (1,) * 511), "token_type does not fit"),
    "a type that is none": (lambda found: change(found, "token_type", (7,) * 512), "token_type does not fit"),
    "a score too few": (lambda found: change(found, "scores", (0.0,) * 511), "scores does not fit"),
    "a special token one beyond": (lambda found: change(found, "eot_token_id", 512), "eot_token_id is 512"),
    "merges that are numbers": (lambda found: change(found, "merges", (1, 2)), "has no attribute"),
    "no merges": (lambda found: found.values.pop("tokenizer.ggml.merges"), "lacks 'tokenizer.ggml.merges'"),
    "a merge to no token": (lambda found: change(found, "merges", [b"z z"]), "is not of tokens"),
    "a norm in half precision": (lambda found: retype(found, "output_norm.weight", 1), "not of float32"),
}


@pytest.mark.parametrize("name", FALSE)
def test_what_does_not_fit_is_said(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What damage to the bytes does not reach, as it would move all that follows."""
    make, problem = FALSE[name]
    found = read_header(tiny_gguf)
    make(found)
    monkeypatch.setattr(gguf_check, "read_header", lambda path: found)
    with pytest.raises(BadInput, match=problem):
        check_gguf(tiny_gguf)


def test_damaged_at_random_it_stops_no_process(tmp_path: Path, sound: bytes) -> None:
    draw = random.Random(5)
    paths = [tmp_path / f"{place}.gguf" for place in range(FILES)]
    for path in paths:
        path.write_bytes(damage(sound, draw))
    done = subprocess.run(
        exported.python(USE_EACH),
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (lines[-1], paths[len(lines)], done.stderr[-500:])
    assert len(lines) == FILES
    refused = [line for line in lines if line != "used"]
    assert len(refused) > FILES / 2
    assert [line for line in refused if not line.startswith("2 ")] == []
    shutil.rmtree(tmp_path)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pipe.gguf"
    os.mkfifo(path)
    yield path
    path.unlink()


def test_a_pipe_is_not_waited_for(pipe: Path) -> None:
    with pytest.raises(BadInput, match=r"pipe\.gguf: is no file"):
        load(pipe)


def test_a_link_to_a_file_is_that_file(tmp_path: Path, tiny_gguf: Path) -> None:
    (tmp_path / "link.gguf").symlink_to(tiny_gguf)
    load(tmp_path / "link.gguf", threads=1).close()
    (tmp_path / "zero.gguf").symlink_to("/dev/zero")
    with pytest.raises(BadInput, match="is no file"):
        load(tmp_path / "zero.gguf")


def test_a_large_file_is_not_read_whole(tmp_path: Path, sound: bytes) -> None:
    """As much more behind the weights, which GGUF allows, takes no time and no memory."""
    path = tmp_path / "large.gguf"
    path.write_bytes(sound)
    with path.open("r+b") as file:
        file.truncate(2**38)
    begin = time.perf_counter()
    assert check_gguf(path).tensors
    assert time.perf_counter() - begin < 1


def test_sizes_of_blocks_are_those_of_the_gguf_package() -> None:
    import gguf

    sizes = {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert {kind: sizes[kind] for kind in BLOCKS if kind in sizes} == {
        kind: size for kind, size in BLOCKS.items() if kind in sizes
    }


def test_every_kind_of_file_is_taken(export_dir: Path) -> None:
    for path in sorted(export_dir.glob("model-*.gguf")):
        assert check_gguf(path).tensors.keys() == read_header(path).tensors.keys()


@pytest.mark.parametrize(
    ("kind", "said"), [("adapter", "LoRA adapter.*--adapter"), ("imatrix", "importance")]
)
def test_what_lies_beside_models_is_named(tmp_path: Path, kind: str, said: str) -> None:
    gguf = pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
    writer = gguf.GGUFWriter(tmp_path / "beside.gguf", "llama")
    writer.add_type(kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(BadInput, match=f"is an? {said}"):
        check_gguf(tmp_path / "beside.gguf")


def test_a_kind_of_file_that_is_no_text_is_passed_over(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="GGUF files are written with the gguf package")
    writer = gguf.GGUFWriter(tmp_path / "list.gguf", "llama")
    writer.add_array("general.type", ["adapter"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(BadInput, match="is no model that can be run"):
        check_gguf(tmp_path / "list.gguf")
