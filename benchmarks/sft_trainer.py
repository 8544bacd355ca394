"""trl's `SFTTrainer` on examples that are given, as the peer `edgelm finetune` is measured against.

    python benchmarks/sft_trainer.py '{"model": "base", "examples": "examples.jsonl"}'

The examples are token numbers, edgelm's own, so that both learn from the same text; the loss is on the
answers only. Nothing is written and nothing evaluated meanwhile. Gradient checkpointing, which trl uses by
default, is off: it would make the peer slower. The figures are the last line it prints.
"""

import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from huggingface_trainer import WARM_UP, _resident


@dataclass(frozen=True, slots=True)
class Job:
    """What the peer is to do."""

    model: str
    """A model directory."""
    examples: str
    """A .jsonl file of `{"input_ids": [...], "completion_mask": [...]}`."""
    steps: int = 10
    batch: int = 8
    """Sequences a step: examples, or packed blocks of `context` tokens."""
    context: int = 512
    packing: bool = False
    precision: str = "fp32"
    """`fp32`, or `bf16` for autocast."""
    learning_rate: float = 0.0005
    weight_decay: float = 0.1
    warmup: int = 3
    threads: int | None = None
    seed: int = 0


def train(job: Job) -> dict[str, Any]:
    """Run the peer in this process.

    Returns:
        `tokens_per_second`: tokens of examples in a step, padding not counted, by the seconds it took, summed
        over the steps after the first `WARM_UP`; `losses` (nats an answer token), `peak_bytes` of resident
        memory, `padding`, the share of computed tokens that were none, `crosstalk`, `optimizer`, `versions`.
    """
    import torch
    import transformers
    import trl
    from datasets import Dataset

    if job.threads:
        torch.set_num_threads(job.threads)
    transformers.set_seed(job.seed)
    lines = Path(job.examples).read_text(encoding="utf-8").splitlines()
    # both are a folder of this machine
    tokenizer = transformers.AutoTokenizer.from_pretrained(job.model)  # nosec B615
    model = transformers.AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32)  # nosec B615
    model.config.use_cache = False
    ends: list[float] = []
    counts: list[tuple[int, int]] = []

    class Clock(transformers.TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as nowhere:
        trainer = trl.SFTTrainer(
            model=model,
            args=trl.SFTConfig(
                output_dir=nowhere,
                max_steps=job.steps,
                per_device_train_batch_size=job.batch,
                max_length=job.context,
                packing=job.packing,
                completion_only_loss=True,
                gradient_checkpointing=False,
                learning_rate=job.learning_rate,
                weight_decay=job.weight_decay,
                adam_beta1=0.9,
                adam_beta2=0.95,
                max_grad_norm=1.0,
                lr_scheduler_type="cosine",
                warmup_steps=job.warmup,
                bf16=job.precision == "bf16",
                use_cpu=True,
                logging_steps=1,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
                seed=job.seed,
            ),
            train_dataset=Dataset.from_list([json.loads(line) for line in lines]),
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        collate = trainer.data_collator

        def counted(features: list[dict[str, Any]]) -> dict[str, Any]:
            batch: dict[str, Any] = collate(features)
            computed = batch["input_ids"].numel()
            counts.append(
                (int(batch["attention_mask"].sum()) if "attention_mask" in batch else computed, computed)
            )
            return batch

        trainer.data_collator = counted
        crosstalk = _crosstalk(model, trainer) if job.packing else 0.0
        counts.clear()
        trainer.train()
    seconds = [end - start for start, end in pairwise(ends)]
    real, computed = zip(*counts[: job.steps], strict=True)
    return {
        "tokens_per_second": round(sum(real[WARM_UP:]) / sum(seconds[WARM_UP:])),
        "step_seconds": [round(one, 4) for one in seconds],
        "tokens_a_step": round(statistics.mean(real)),
        "padding": round(1 - sum(real) / sum(computed), 4),
        "crosstalk": crosstalk,
        "losses": [line["loss"] for line in trainer.state.log_history if "loss" in line],
        "peak_bytes": _resident("VmHWM"),
        "optimizer": type(trainer.optimizer.optimizer).__name__,
        "attention": model.config._attn_implementation,
        "threads": torch.get_num_threads(),
        "versions": {one.__name__: one.__version__ for one in (torch, transformers, trl)},
    }


def _crosstalk(model: Any, trainer: Any) -> float:
    """How far logits of packed examples are from those each would get by itself, at most."""
    import torch

    batch = next(iter(trainer.get_train_dataloader()))
    asked = {name: batch[name] for name in ("input_ids", "position_ids")}
    begins = (asked["position_ids"][0] == 0).nonzero().squeeze(1).tolist()
    model.eval()
    worst = 0.0
    with torch.no_grad():
        packed = model(**asked).logits[0].float()
        for start, end in list(pairwise(begins))[:4]:
            alone = model(input_ids=asked["input_ids"][:, start:end]).logits[0].float()
            worst = max(worst, float((packed[start:end] - alone).abs().max()))
    model.train()
    return round(worst, 4)


if __name__ == "__main__":
    print(json.dumps(train(Job(**json.loads(sys.argv[1])))))
