"""`edgelm quantize --qat`: a trained model goes on learning as what few bits leave of it.

It reads text beside its parent, the model as it was, and learns to predict what the parent predicts, while
its weights are those that the format can hold. Rounding has no useful gradient, so what is learnt is added to
weights that are kept unrounded (the straight-through estimator, Bengio et al., 2013). What is written are the
rounded ones, which `edgelm export` to the same format finds where it would round them to, or the unrounded,
where it would not.
"""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelm import artifacts
from edgelm.export.export import artifact_name, check_packages, write_format
from edgelm.export.finishing_data import finishing_source, finishing_texts
from edgelm.export.foreign import check_gguf
from edgelm.export.grid import Grid, check_format, is_weighed, make_grid
from edgelm.export.importance import TOKENS, calibration_texts, measure
from edgelm.export.onnx_genai import check_tied
from edgelm.export.verify import compare, get_bound
from edgelm.finetune.config import windows
from edgelm.model.card import reserved_by, table
from edgelm.model.config import read_config
from edgelm.model.decoder import IGNORE, Decoder, target_weights
from edgelm.model.directory import load_model, save_model
from edgelm.model.divergence import divergence
from edgelm.pretrain.checkpoint import clear_checkpoints
from edgelm.pretrain.config import TrainConfig
from edgelm.pretrain.loop import train
from edgelm.pretrain.packing import Packer
from edgelm.pretrain.validation import BLOCK_TOKENS, HeldOut
from edgelm.progress import Progress
from edgelm.runtime import load
from edgelm.runtime.inside import check_decoder
from edgelm.runtime.torch import TorchModel
from edgelm.tokenizer.text import TextTokenizer

REFRESH = 8
"""Steps between two roundings: between them a weight keeps the error that it was last rounded by."""
VALIDATIONS = 5
MOVED = 1.02
"""Times the divergence, from which on weights that were rounded once more have moved."""
FIGURES, SCRATCH, OFFSET = "finishing.json", ".scratch", "offset"


class Finishing(Decoder):
    """A decoder whose parameters are rounded weights; a buffer beside each holds what rounding added."""

    def __init__(self, parent: Decoder, grid: Grid):
        super().__init__(parent.config)
        self.load_state_dict(parent.state_dict())
        self.parent, self.grid = [parent], grid  # in a list, as it is no part of this model
        for module in self.modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and weight.dim() == 2:
                module.register_buffer(OFFSET, torch.zeros_like(weight))

    @torch.no_grad()
    def refresh(self) -> None:
        """Round the weights as they have become by now."""
        buffers = dict(self.named_buffers())
        weights = dict(self.named_parameters())
        for name, weight in weights.items():
            if (offset := buffers.get(_offset(name))) is not None:
                weight.sub_(offset)
        for name, rounded in self.grid(weights).items():
            if (offset := buffers.get(_offset(name))) is not None:
                value = rounded.to(offset.device)
                offset.copy_(value - weights[name])
                weights[name].copy_(value)

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        documents: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        total: float | None = None,
        z_loss: float = 0.0,
    ) -> Tensor:
        """Mean divergence from the parent, in nats, over the targets that `Decoder.loss` would predict."""
        parent = self.parent[0].to(tokens.device)
        parent.dtype = self.dtype
        with torch.no_grad():
            known, _ = parent.hidden(tokens, documents)
        hidden, _ = self.hidden(tokens, documents)
        weight = target_weights(targets.flatten(), weights, total)
        return divergence(hidden.flatten(0, 1), self.output, known.flatten(0, 1), parent.output, weight)

    def validate(self, held: HeldOut) -> dict[str, float]:
        """`divergences` of the weights as they would be written now."""
        self.refresh()
        return self.divergences(held)

    @torch.no_grad()
    def divergences(self, held: HeldOut) -> dict[str, float]:
        """Mean KL from the parent at each held-out token, nats, in float32: by language, and their mean."""
        training, dtype = self.training, self.dtype
        self.eval()
        self.dtype = torch.float32
        found = {}
        rows = max(BLOCK_TOKENS // held.context, 1)
        for code, blocks in held.blocks.items():
            nats, count = 0.0, 0
            for start in range(0, len(blocks), rows):
                parts = held.tensors(blocks[start : start + rows])
                tokens, targets = (one.to(self.output.device) for one in parts[:2])
                learnt = int((targets != IGNORE).sum())
                nats += float(self.loss(tokens, targets, parts[2])) * learnt
                count += learnt
            found[code] = round(max(nats, 0.0) / count, 6)
        self.train(training)
        self.dtype = dtype
        return {**found, "mean": round(sum(found.values()) / len(found), 6)}

    @torch.no_grad()
    def decoder(self, held: HeldOut, lost: float) -> Decoder:
        """A plain decoder of the rounded weights or, where rounding them anew moves them, of those behind.

        Args:
            lost: mean divergence of the rounded weights on `held`, nats.

        Kinds of two bits seldom find the scale again that a block was rounded with.
        """
        weights, buffers = dict(self.named_parameters()), dict(self.named_buffers())
        rounded = {name: weight.clone() for name, weight in weights.items()}
        for name, again in self.grid(rounded).items():
            weights[name].copy_(again)
        moved = self.divergences(held)["mean"] > MOVED * lost
        for name, weight in weights.items():
            weight.copy_(rounded[name])
            if moved and (offset := buffers.get(_offset(name))) is not None:
                rounded[name] -= offset
        found = Decoder(self.config)
        found.load_state_dict(rounded)
        return found.eval()


def finish(
    model: Path,
    output: Path,
    name: str,
    *,
    text: Path,
    config: TrainConfig,
    context: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Finish a model directory for the format `name`, such as `gguf:Q4_0`, into `output`.

    Args:
        text: a corpus, or a file or folder of text like that the model is for.
        config: of the training; the weights nearest to the parent on held-out text are given out.
        context: tokens of a sequence, as `ModelConfig.window` takes them.

    Returns:
        `before` and `after`: what `edgelm.export.verify.compare` finds in the file of the parent and in that
        of the finished model, both against the parent in float32, on text that nothing was chosen by;
        `helped`; `held_out`: the divergences that decided; and figures of the training. `finishing.json` has
        the same.
        Where it did not help, `output` holds the parent's weights.

    Raises:
        BadInput: the format has nothing to win back, or `model` or `text` is missing or damaged.
        MissingExtra: what writes or runs the format is not installed.
    """
    progress = progress or Progress(silent=True)
    get_bound(name)
    check_format(name)
    check_packages([name])
    check_decoder(model)
    family, kind = name.split(":")
    if family == "gguf":
        check_gguf(model, [kind])
    else:
        check_tied(model, kind)
    weighed = is_weighed(name)
    config = replace(config, select="best")
    tokenizer, inherited, shape = TextTokenizer(model), reserved_by(model), read_config(model)
    window = shape.window(context)

    def work(partial: Path) -> dict[str, Any]:
        scratch = partial / SCRATCH
        scratch.mkdir(exist_ok=True)
        parent = load_model(model)
        chosen_by, told_on, learnt = finishing_texts(text)
        importance: dict[str, np.ndarray] = {}
        if weighed:
            weighing = learnt or calibration_texts(text)
            with progress.track(len(weighing), "measuring what weights matter") as step:
                importance = measure(model, weighing, step=step).means
        student = Finishing(parent, make_grid(name, model, importance, scratch))
        held = HeldOut(chosen_by, tokenizer, window)
        before = student.validate(held)["mean"]
        said = f"{before:.5f} nats from the parent without{windows(shape, window)}"
        progress.say(f"finishing for {name}: {said}")
        source = finishing_source(text, learnt, tokenizer, config.seed, scratch / "tokens", progress)
        figures = train(
            student,
            Packer(source, batch=config.batch, context=window, pad=tokenizer.pad),
            config,
            partial,
            progress,
            "finishing",
            validate=lambda one: student.validate(held),
            validate_every=max(config.steps // VALIDATIONS, 1),
            measures="nats from the parent",
            before_step=lambda step: None if step % REFRESH else student.refresh(),
        )
        student.to("cpu")
        after = student.divergences(held)["mean"]
        del source  # some systems keep a memory-mapped file from being removed

        def told(directory: Path) -> dict[str, Any]:
            folder = scratch / "written"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            write_format(directory, folder, name, importance)
            with contextlib.closing(load(folder / artifact_name(name))) as exported:
                return compare(TorchModel(parent, tokenizer), exported, told_on)

        progress.say("comparing both files with the parent")
        found: dict[str, Any] = {"before": told(model), "helped": after < before}
        if found["helped"]:
            save_model(student.decoder(held, after), model, partial, "")
            found["after"] = told(partial)
            found["helped"] = found["after"]["kl"] < found["before"]["kl"]
        if not found["helped"]:
            save_model(parent, model, partial, "")
            found["after"] = found["before"]
        found = {"format": name, **found, "held_out": {"before": before, "after": after}, **figures}
        artifacts.write_text(partial / "README.md", _card(model, found))
        artifacts.write_json(partial / FIGURES, found)
        return found

    def clean(partial: Path) -> None:
        clear_checkpoints(partial)
        shutil.rmtree(partial / SCRATCH, ignore_errors=True)

    provenance, _ = artifacts.build(
        output,
        command="quantize",
        config={
            "format": name,
            "imatrix": TOKENS if weighed else 0,
            "inherited": inherited,
            "context": window,
            **config.decisive(),
        },
        inputs=[model, text],
        work=work,
        clean=clean,
        say=progress.say,
    )
    return provenance["results"]


def _card(parent: Path, found: dict[str, Any]) -> str:
    """The parent's card, and what was done to the model since."""
    try:
        text = (parent / "README.md").read_text(encoding="utf-8").rstrip()
    except (OSError, ValueError):
        text = f"# {parent.resolve().name}"
    rows = [
        [what, f"{one['kl']:.5f}", f"{one['top1']:.3f}", f"{one['bits_per_byte']:.4f}"]
        for what, one in (("as it was", found["before"]), ("finished", found["after"]))
    ]
    kind = found["format"]
    if found["helped"]:
        said = f"Went on learning as what {kind} leaves of it, towards what it predicted in float32 before."
        then = f"An export to {kind} leaves of its weights those that it learnt with."
    else:
        said, then = f"Finishing for {kind} did not help.", "The weights are as they were."
    header = ["in this format", "KL, nats", "same top token", "bits per byte"]
    lines = [f"## Finished for {kind}", "", f"{said} {then}", "", *table(header, rows)]
    return "\n".join([text, "", *lines, ""])


def _offset(name: str) -> str:
    return f"{name.rpartition('.')[0]}.{OFFSET}"
