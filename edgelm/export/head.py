"""A decoder with a head as ONNX: token ids and a mask in, logits of every token out, no cache.

Key-value heads are repeated to the number of query heads, as ONNX has no attention that shares them.
"""

import copy
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgelm import artifacts
from edgelm.bench.files import model_bytes
from edgelm.errors import BadInput, Unfit
from edgelm.export.export import artifact_name
from edgelm.export.onnx import copy_beside, quantize_blocks, quantize_onnx, silence, write_ort
from edgelm.export.verify import verification_texts
from edgelm.extras import require
from edgelm.model.decoder import Attention, Linear, rotary
from edgelm.model.head_config import HeadConfig
from edgelm.model.heads import Labeller, load_labeller
from edgelm.model.labelling import encode
from edgelm.progress import Progress
from edgelm.runtime.onnx_labeller import OnnxLabeller
from edgelm.runtime.torch_labeller import TorchLabeller
from edgelm.tasks.examples import Labelled, Tagged
from edgelm.tokenizer.text import TextTokenizer

OPSET = 17
FORMATS = {
    "onnx:fp32": 0.999, "onnx:int8": 0.9, "onnx:int4": 0.85,
    "ort:fp32": 0.999, "ort:int8": 0.9, "ort:int4": 0.85,
}  # fmt: skip
"""Share of labels that must be those of PyTorch, on the embedded sample."""
DOCUMENTS = 4  # of each language
QUANTISERS = {"int8": quantize_onnx, "int4": quantize_blocks}


class Graph(nn.Module):
    """What the ONNX file computes: logits [B, T, labels] from ids and a mask [B, T], both int64."""

    def __init__(self, model: Labeller):
        super().__init__()
        self.inner = copy.deepcopy(model).eval()
        for part in self.inner.modules():
            if isinstance(part, Attention):
                _repeat_heads(part, model.config.heads // model.config.kv_heads)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        model, config = self.inner, self.inner.config
        x = model.model.embed_tokens(ids)
        positions = torch.arange(ids.shape[1])
        cos, sin = rotary(positions, config.head_dim, config.rope_theta, config.rope_divisors)
        seen = mask[:, None, None, :].bool()
        if not model.head.both_ways:
            seen = seen & (positions[:, None] >= positions[None, :])[None, None]
        for layer in model.model.layers:
            x, _ = layer(x, cos, sin, seen, None, None)
        x = model.model.norm(x)
        if model.head.pooling == "mean":
            part = mask[:, :, None].to(x.dtype)
            x = ((x * part).sum(1, keepdim=True) / part.sum(1, keepdim=True)).expand_as(x)
        return model.score(x)


def _repeat_heads(attention: Attention, times: int) -> None:
    attention.grouped = False
    for name in ("k_proj", "v_proj"):
        old, bias = getattr(attention, name).weight.data, getattr(attention, name).bias
        rows = old.view(-1, attention.head_dim, old.shape[1]).repeat_interleave(times, dim=0)
        new = Linear(old.shape[1], rows.shape[0] * rows.shape[1], bias is not None)
        new.weight.data = rows.reshape(-1, old.shape[1])
        if bias is not None:
            new.bias.data = bias.data.view(-1, attention.head_dim).repeat_interleave(times, dim=0).flatten()
        setattr(attention, name, new)


def write_head_onnx(model: Labeller, path: Path) -> None:
    """Write one ONNX file, its batch and length free."""
    require("onnx", "export")
    axes = {0: "batch", 1: "length"}
    example = torch.ones(2, 8, dtype=torch.int64)
    with silence(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Graph(model),
            (example, example),
            path,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": axes},
            opset_version=OPSET,
            dynamo=False,
        )


def export_head(
    model: Path, head: HeadConfig, output: Path, formats: list[str], *, progress: Progress | None = None
) -> dict[str, Any]:
    """Export a model with a head to `formats` into `output`; returns the verification of each.

    Raises:
        BadInput: a format is none for a head.
        Unfit: an export labels otherwise than PyTorch.
    """
    progress = progress or Progress(silent=True)
    for name in formats:
        if name not in FORMATS:
            raise BadInput(f"a head cannot be written as {name}", remedy=f"choose from: {', '.join(FORMATS)}")

    def work(partial: Path) -> dict[str, Any]:
        labeller = load_labeller(model, head)
        reference = TorchLabeller(labeller, TextTokenizer(model))
        scratch = partial / ".scratch"
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
        (scratch / "fp32").mkdir(parents=True)
        write_head_onnx(labeller, scratch / "fp32" / "model.onnx")
        copy_beside(model, scratch / "fp32")
        found = {}
        with progress.track(len(formats), "exporting and verifying") as step:
            for name in formats:
                folder, (family, kind) = partial / artifact_name(name), name.split(":")
                shutil.rmtree(folder, ignore_errors=True)
                if not (scratch / kind).exists():
                    QUANTISERS[kind](scratch / "fp32", scratch / kind)
                write = write_ort if family == "ort" else shutil.copytree
                write(scratch / kind, folder)
                found[name] = verify_head(reference, folder, head, name)
                step(1, name)
        shutil.rmtree(scratch)
        artifacts.write_json(partial / "verification.json", found)
        return found

    provenance, _ = artifacts.build(
        output, command="export", config={"formats": formats}, inputs=[model], work=work, say=progress.say
    )
    return provenance["results"]


def verify_head(reference: TorchLabeller, folder: Path, head: HeadConfig, name: str) -> dict[str, Any]:
    """Compare logits and labels with PyTorch's on documents of the embedded sample.

    Raises:
        Unfit: more labels differ than the format may cost.
    """
    exported = OnnxLabeller.open(folder, head)
    texts = [text for found in verification_texts().values() for text in found[:DOCUMENTS]]
    examples: list[Labelled | Tagged]
    if head.kind == "token":
        examples = [Tagged(tuple(text.split()[:40]), (), "") for text in texts]
    else:
        examples = [Labelled(text, "", "") for text in texts]
    asked = [encode(reference.tokenizer, one, reference.context) for one in examples]
    ids = [found for found, _ in asked]
    difference = 0.0
    for ours, theirs, (_, places) in zip(reference.logits(ids), exported.logits(ids), asked, strict=True):
        difference = max(difference, float(np.abs(ours[places] - theirs[places]).max()))
    pairs = [
        pair
        for before, after in zip(reference.label(examples), exported.label(examples), strict=True)
        for pair in zip(before, after, strict=True)
    ]
    same = sum(one == other for one, other in pairs) / len(pairs)
    if same < FORMATS[name]:
        raise Unfit(
            f"{name} gives {same:.3f} of the labels that PyTorch gives, less than {FORMATS[name]}. "
            "Choose another format, or train for longer."
        )
    return {
        "bytes": model_bytes(folder),
        "labels": round(same, 4),
        "logits": difference,
        "compared": len(pairs),
    }
