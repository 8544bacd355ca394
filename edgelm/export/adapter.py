"""LoRA adapters as files for llama.cpp: one base, one small file a task or language.

An adapter of llama.cpp's adds to matrices; it cannot alter rows of an embedding that is the head too. The
rows of the chat's tokens, which `edgelm finetune --method lora` trains beside the matrices, are therefore put
into the base, where nothing had trained them. Adapters trained with `--shared-base` leave them alone and so
share any export of their base.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

from edgelm import artifacts
from edgelm.errors import BadInput
from edgelm.export.export import export
from edgelm.export.gguf import finish, rotary_rows, tensor_name, write_gguf
from edgelm.export.verify import get_bound, verify
from edgelm.extras import require
from edgelm.files import read_json
from edgelm.finetune.lora import ADAPTER, NAMED
from edgelm.model.card import training_summary
from edgelm.model.config import ModelConfig
from edgelm.model.decoder import Decoder, Linear
from edgelm.model.directory import load_model, save_weights, weights_digest
from edgelm.progress import Progress
from edgelm.runtime.adapter import WEIGHTS
from edgelm.runtime.llama_c import llama_cpp
from edgelm.runtime.torch import TorchModel
from edgelm.shape import fits
from edgelm.tokenizer.text import TextTokenizer

FAMILY = "lora:"
BASE, FIGURES = "base", "verification.json"
ROWS = "model.embed_tokens.token_adapter.trainable_tokens_delta"
UNLIKE_PLAIN_LORA = ("use_dora", "fan_in_fan_out", "lora_bias", "modules_to_save", "layer_replication")
"""Settings of peft's that change what an adapter computes."""


SLOW, QUANTIFIER, MOST_QUANTIFIERS = re.compile(r"\)[*+{]"), re.compile(r"[*+{]"), 3
"""Of a regular expression: what takes exponential time, and of what takes polynomial time the most."""


class PeftConfig(TypedDict):
    """Of peft's `adapter_config.json`, what is read here."""

    peft_type: str
    lora_alpha: float
    base_model_name_or_path: str
    bias: NotRequired[str]
    alpha_pattern: NotRequired[dict[str, float] | None]
    trainable_token_indices: NotRequired[list[int] | dict[str, list[int]] | None]


@dataclass(frozen=True, slots=True)
class Adapter:
    """What an adapter adds to a model.

    Attributes:
        place: peft's directory.
        base: directory of the model it goes on.
        alpha: of its `adapter_config.json`.
        matrices: by the names of the weights: A [rank, columns] and B [rows, rank] of what is added, which is
            alpha / rank * B @ A.
        rows: of the embedding, by token.
    """

    place: Path
    base: Path
    alpha: float
    matrices: dict[str, tuple[np.ndarray, np.ndarray]]
    rows: dict[int, np.ndarray] = field(default_factory=dict)

    def delta(self, name: str) -> np.ndarray:
        a, b = self.matrices[name]
        added: np.ndarray = self.alpha / len(a) * (b @ a)
        return added


def read_adapter(directory: Path) -> Adapter:
    """Read the adapter in peft's directory, or in one that `edgelm finetune --method lora` wrote.

    Raises:
        BadInput: there is none, it is damaged, it is no plain LoRA of linear layers, or its base is gone.
    """
    place = directory / ADAPTER if (directory / ADAPTER).is_dir() else directory
    path = place / "adapter_config.json"
    try:
        config = read_json(path)
        if not fits(config, PeftConfig) or not config["lora_alpha"]:
            raise ValueError("a setting is missing or of the wrong kind")
        weights = load_file(place / "adapter_model.safetensors")
        kind, alpha = config["peft_type"], float(config["lora_alpha"])
        base = Path(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadInput(
            f"is no LoRA adapter ({error})",
            file=path,
            remedy="give a model that edgelm finetune --method lora wrote, or peft's directory",
        ) from None
    odd = [name for name in UNLIKE_PLAIN_LORA if config.get(name)]
    if kind != "LORA" or odd or config.get("bias", "none") != "none":
        said = ", ".join(odd) or (kind if kind != "LORA" else f"bias {config['bias']}")
        raise BadInput(f"is not plain LoRA: {said}", file=path, remedy="merge it into its model with peft")
    if not base.is_dir():
        raise BadInput(
            f"its base model {base} is not there",
            file=path,
            remedy="write where it is under base_model_name_or_path",
        )
    matrices, rows = {}, {}
    for full, value in weights.items():
        name = full.removeprefix(NAMED)
        if name.endswith(".lora_A.weight"):
            part = name.removesuffix(".lora_A.weight")
            a = value.astype(np.float32)
            b = weights.get(full.replace("lora_A", "lora_B"))
            if b is None or b.ndim != 2 or a.ndim != 2 or b.shape[1] != len(a) or not len(a):
                raise BadInput(f"{part} has no two matrices that fit", file=place, remedy="copy it again")
            strength = _scaling(config, part, len(a)) * len(a) / alpha  # 1, where all layers are alike
            matrices[f"{part}.weight"] = a, b.astype(np.float32) * np.float32(strength)
        elif name == ROWS:
            rows = dict(zip(_tokens(config, len(value)), value.astype(np.float32), strict=True))
        elif not name.endswith(".lora_B.weight"):
            raise BadInput(f"trains {name} too", file=place, remedy="merge it into its model with peft")
    return Adapter(place, base, alpha, matrices, rows)


def export_adapter(
    model: Path,
    output: Path,
    formats: Sequence[str],
    *,
    text: str | Path = "sample",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Export the adapter of `model` as `lora:F16` or `lora:F32`, and its base in the other formats.

    `output` gets `adapter-F16.gguf`, its `verification.json`, which is against PyTorch with the adapter
    merged, and what `edgelm export` writes of the base under `base`. Returns the verification by format.

    Raises:
        BadInput: there is no adapter that can be exported, or an unknown format.
        MissingExtra: what writes or runs the files is not installed.
        EdgelmError: llama.cpp with the adapter differs from PyTorch beyond the bound.
    """
    progress = progress or Progress(silent=True)
    formats = list(dict.fromkeys(formats))
    for name in formats:
        get_bound(name)
    require("gguf", "export")
    llama_cpp()
    adapter = read_adapter(model)
    own = [name for name in formats if name.startswith(FAMILY)]
    others = [name for name in formats if name not in own]

    def work(partial: Path) -> dict[str, Any]:
        for leftover in partial.iterdir():
            if leftover.name != ".digest":
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        scratch = partial / ".scratch"
        scratch.mkdir()
        base = base_directory(adapter, scratch / BASE)
        reference = TorchModel(_merged(adapter, base, model), TextTokenizer(base))
        write_gguf(base, scratch / "base-F32.gguf", "F32")
        figures = {}
        with progress.track(len(own), "exporting and verifying") as step:
            for name in own:
                file = partial / f"adapter-{name.removeprefix(FAMILY)}.gguf"
                write_adapter(adapter, base, reference.model.config, file, model)
                figures[name] = verify(reference, base, file, name, base=scratch / "base-F32.gguf")
                step(1, name)
        artifacts.write_json(partial / FIGURES, figures)
        if others:
            found = export(base, partial / BASE, others, text=text, progress=progress)
            figures |= {f"{BASE} {name}": one for name, one in found.items()}
        shutil.rmtree(scratch)
        artifacts.clear_locks(partial)
        return figures

    provenance, _ = artifacts.build(
        output,
        command="export",
        config={"formats": formats, "adapter": True, "text": text if text in ("sample", "none") else ""},
        inputs=[model, adapter.base, *([] if text in ("sample", "none") else [Path(text)])],
        work=work,
    )
    return provenance["results"]


def write_adapter(adapter: Adapter, base: Path, shape: ModelConfig, path: Path, model: Path) -> None:
    """Write llama.cpp's file of an adapter, in the type that `path` ends with.

    Args:
        base: the directory whose exports it goes on, as `base_directory` gives.
        shape: of the base.
        model: what the file is called after.
    """
    gguf = require("gguf", "export")
    kind = getattr(gguf.GGMLQuantizationType, path.stem.rpartition("-")[2])
    writer = gguf.GGUFWriter(path, shape.family)
    writer.add_type("adapter")
    writer.add_name(model.resolve().name)
    if summary := training_summary(model):
        writer.add_description(summary)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", adapter.alpha)
    writer.add_string(WEIGHTS, weights_digest(base))
    for name, (a, b) in sorted(adapter.matrices.items()):
        rows = rotary_rows(name, len(b), shape)
        for suffix, value in (("lora_a", a), ("lora_b", b if rows is None else b[rows])):
            data = gguf.quantize(np.ascontiguousarray(value), kind)
            writer.add_tensor(f"{tensor_name(name)}.{suffix}", data, raw_dtype=kind)
    finish(writer, path)


def base_directory(adapter: Adapter, folder: Path) -> Path:
    """The base itself, or where the adapter came with rows of the embedding a copy with these in `folder`."""
    if not adapter.rows:
        return adapter.base
    decoder = load_model(adapter.base)
    _put_rows(decoder, adapter)
    folder.mkdir()
    for file in adapter.base.iterdir():
        if file.is_file() and file.suffix in (".json", ".md", ".jinja"):
            shutil.copyfile(file, folder / file.name)
    save_weights(dict(decoder.state_dict()), folder / "model.safetensors", {"format": "pt"})
    return folder


def _merged(adapter: Adapter, base: Path, model: Path) -> Decoder:
    """The base with the adapter in it; it has to be the model that was written, where one was."""
    decoder = load_model(base)
    linear = {f"{name}.weight": one for name, one in decoder.named_modules() if isinstance(one, Linear)}
    with torch.no_grad():
        for name in adapter.matrices:
            added = torch.from_numpy(adapter.delta(name))
            if name not in linear or linear[name].weight.shape != added.shape:
                raise BadInput(
                    f"{name} is no linear layer of the base",
                    file=adapter.place,
                    remedy=f"check {adapter.base}",
                )
            linear[name].weight += added
    if model != adapter.place:
        written = load_model(model).state_dict()
        if not all(
            torch.allclose(one, written[name], atol=1e-4) for name, one in decoder.state_dict().items()
        ):
            raise BadInput(
                f"was not made from the base as it is now, {adapter.base}",
                file=model,
                remedy="finetune again, or put the base back",
            )
    return decoder


def _put_rows(decoder: Decoder, adapter: Adapter) -> None:
    embedding = decoder.model.embed_tokens.weight
    if any(row.shape != embedding.shape[1:] for row in adapter.rows.values()) or max(adapter.rows) >= len(
        embedding
    ):
        raise BadInput("its rows do not fit the base", file=adapter.place, remedy=f"check {adapter.base}")
    with torch.no_grad():
        for token, row in adapter.rows.items():
            embedding[token] = torch.from_numpy(row)


def _scaling(config: dict[str, Any], part: str, rank: int) -> float:
    """What B @ A is multiplied by in one layer, as peft has it."""
    patterns = config.get("alpha_pattern") or {}
    if any(SLOW.search(key) or len(QUANTIFIER.findall(key)) > MOST_QUANTIFIERS for key in patterns):
        raise BadInput("its alpha_pattern could take for ever", remedy="write the layers' names in it")
    try:
        found = (alpha for key, alpha in patterns.items() if re.match(rf"(.*\.)?({key})$", part))
        alpha = float(next(found, config["lora_alpha"]))
    except re.error as error:
        raise BadInput(f"its alpha_pattern is wrong ({error})", remedy="copy the adapter again") from None
    return alpha / rank**0.5 if config.get("use_rslora") else alpha / rank


def _tokens(config: dict[str, Any], count: int) -> list[int]:
    """The tokens whose rows were trained, in the rows' order."""
    given = config.get("trainable_token_indices")
    tokens = given.get("embed_tokens", []) if isinstance(given, dict) else given or []
    if len(tokens) != count:
        raise BadInput(f"has {count} rows for {len(tokens)} tokens", remedy="copy the adapter again")
    return [int(token) for token in tokens]
