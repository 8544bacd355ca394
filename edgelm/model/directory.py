"""Hugging Face model directories: `config.json`, `model.safetensors`, the tokenizer, a card."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.files import check_file, read_json
from edgelm.model.config import ModelConfig, read_config, to_hugging_face
from edgelm.model.decoder import Decoder
from edgelm.tokenizer.text import TextTokenizer

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
)  # fmt: skip
WEIGHTS, INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model*.bin*"


def save_model(
    model: Decoder, tokenizer: Path, directory: Path, card: str, more: dict[str, Any] | None = None
) -> None:
    """Write a directory that `transformers.AutoModelForCausalLM` loads, the tokenizer's files with it.

    Args:
        more: of `config.json`, where the model is more than a decoder.
    """
    directory.mkdir(exist_ok=True)
    text = TextTokenizer(tokenizer)
    save_weights(dict(model.state_dict()), directory / WEIGHTS, {"format": "pt"})
    ids = {"bos": text.bos, "eos": text.eos, "pad": text.pad}
    artifacts.write_json(directory / "config.json", to_hugging_face(model.config, **ids) | (more or {}))
    artifacts.write_json(
        directory / "generation_config.json",
        {"bos_token_id": text.bos, "eos_token_id": sorted({text.eos, text.end}), "pad_token_id": ids["pad"]},
    )
    for name in TOKENIZER_FILES:
        if (tokenizer / name).exists():
            shutil.copyfile(tokenizer / name, directory / name)
    artifacts.write_text(directory / "README.md", card)


def load_model(directory: Path, *, to_write: bool = True, mapped: bool = False) -> Decoder:
    """The decoder in a model directory, in float32 on the CPU, in evaluation mode.

    Args:
        to_write: it is to continue text, and has to be one that can.
        mapped: leave weights in the file that are float32 there, mapped into memory; whoever then writes into
            that file changes the model. For those who only read.

    Raises:
        BadInput: a file is missing or damaged, or the weights do not fit `config.json`; or the model reads
            both ways and is to write.
    """
    config = read_config(directory)
    if config.both_ways and to_write:
        raise BadInput(
            "reads both ways, for heads, and cannot write",
            file=directory,
            remedy="give it to edgelm finetune --method head, or take the model it was made from",
        )
    check_room(config, directory)
    model = Decoder(config)
    load_weights(model, directory, in_place=mapped)
    return model.eval()


def check_room(config: ModelConfig, directory: Path) -> None:
    """See that a directory holds as many weights as `config.json` describes, before memory is taken for them.

    Raises:
        BadInput: it does not, or a file of weights is missing or damaged.
    """
    files, remedy = _weight_files(directory), "copy the model again"
    for file in files:
        try:
            check_file(file)
            with safe_open(file, "np"):
                pass
        except FileNotFoundError:
            raise BadInput(
                "no such file", file=file, remedy="give a model directory, as edgelm pretrain writes"
            ) from None
        except (OSError, ValueError, SafetensorError) as error:
            raise BadInput(f"is not a safetensors file ({error})", file=file, remedy=remedy) from None
    held = sum(file.stat().st_size for file in files)
    if config.parameters > held:  # a weight has a byte at least
        said = f"does not fit config.json ({config.parameters:,} weights in {held:,} bytes)"
        raise BadInput(said, file=directory / WEIGHTS, remedy=remedy)


def load_weights(model: Decoder, directory: Path, in_place: bool = False) -> None:
    """Fill a model with the weights of its directory, or with `in_place` make them its own where they are.

    Raises:
        BadInput: they are missing or damaged, or do not fit.
    """
    weights = read_weights(directory)
    if model.config.tied:
        weights.pop("lm_head.weight", None)  # the embedding once more
    try:
        model.load_state_dict(weights, assign=in_place)
    except RuntimeError as error:
        raise BadInput(
            f"does not fit config.json ({str(error).splitlines()[1].strip()})",
            file=directory / WEIGHTS,
            remedy="copy the model again",
        ) from None


def read_weights(directory: Path) -> dict[str, torch.Tensor]:
    """The weights of a directory by name, in float32, whether they lie in one file or in several.

    Raises:
        BadInput: a file is missing or damaged, or they are there as pickle only.
    """
    weights: dict[str, torch.Tensor] = {}
    for path in _weight_files(directory):
        try:
            for name, weight in load_file(path).items():
                if not name.endswith((".inv_freq", "score.bias")):  # computed; of a head, and zero
                    weights[name] = weight.float()
        except FileNotFoundError:
            raise BadInput(
                "no such file", file=path, remedy="give a model directory, as edgelm pretrain writes"
            ) from None
        except (SafetensorError, OSError) as error:
            raise BadInput(
                f"is not a safetensors file ({error})", file=path, remedy="copy the model again"
            ) from None
    return weights


def weights_digest(directory: Path) -> str:
    """SHA-256 of the file of weights; of several, of their digests."""
    digests = [artifacts.digest_path(file) for file in _weight_files(directory)]
    return digests[0] if len(digests) == 1 else artifacts.digest_of(digests)


def _weight_files(directory: Path) -> list[Path]:
    whole, index = directory / WEIGHTS, directory / INDEX
    if whole.exists() or not index.exists():
        if not whole.exists() and (pickled := sorted(directory.glob(PICKLED))):
            raise BadInput(
                "is pickle, which can run code and is never loaded",
                file=pickled[0],
                remedy="save the model again with transformers, which writes safetensors",
            )
        return [whole]
    try:
        names = {*read_json(index)["weight_map"].values()}
        if strange := [name for name in names if Path(name).name != name]:
            raise ValueError(f"{strange[0]!r} is no name of a file beside it")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"is not an index of weights ({error})", file=index, remedy="copy the model again"
        ) from None
    return [directory / name for name in sorted(names)]


def save_weights(
    weights: dict[str, torch.Tensor], path: Path, metadata: dict[str, Any] | None = None
) -> None:
    """Write a safetensors file atomically."""
    contiguous = {name: weight.contiguous() for name, weight in weights.items()}
    artifacts.write_bytes(path, save(contiguous, metadata))
