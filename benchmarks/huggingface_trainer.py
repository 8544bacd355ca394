"""Hugging Face's `Trainer` on batches that are given, as the peer `edgelm pretrain` is measured against.

    python benchmarks/huggingface_trainer.py '{"preset": "micro", "tokens": "batches.npy"}'

The peer trains `LlamaForCausalLM` of the same shape on the same tokens with AdamW, a cosine schedule and a
warm-up. Nothing is written and nothing evaluated meanwhile: what is measured is training alone. `measure`
runs it in a process of its own, so that memory and threads are the peer's. The figures are the last line it
prints.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WARM_UP = 3  # steps that count for no speed: they compile, and fill caches


@dataclass(frozen=True, slots=True)
class Job:
    """What the peer is to do."""

    preset: str
    """Of edgelm; the vocabulary is the preset's unless `vocab_size` is given."""
    tokens: str
    """A .npy file of token numbers, [steps, batch, context]; each but the first of a row is predicted."""
    precision: str = "fp32"
    """`fp32`, or `bf16` for autocast."""
    compile: bool = False
    accumulation: int = 1
    """Micro-batches a step; they divide the batch."""
    vocab_size: int | None = None
    weights: str | None = None
    """A model.safetensors to begin with, as edgelm writes it; random weights of `seed` without."""
    learning_rate: float = 0.002
    weight_decay: float = 0.1
    warmup: int = 20
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    threads: int | None = None
    seed: int = 0


def measure(job: Job, environment: dict[str, str] | None = None, timeout: float = 600.0) -> dict[str, Any]:
    """`train` in a process of its own.

    Args:
        environment: variables besides this process's, such as `MALLOC_TRIM_THRESHOLD_`.

    Raises:
        RuntimeError: the process failed; with the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(asdict(job))],
        env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **(environment or {})},
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the peer failed on {job}:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def train(job: Job) -> dict[str, Any]:
    """Run the peer in this process.

    Returns:
        `step_seconds` and `losses` (nats a token) of every step; `tokens_per_second` of the median step after
        the first `WARM_UP`; `peak_bytes` of resident memory, and of these `idle_bytes` that model and imports
        took before training; `gpu_peak_bytes`, 0 on a CPU; `parameters`, `threads`, `device`, `versions`.
    """
    import numpy as np
    import torch
    import transformers

    from edgelm.model.config import get_preset, to_hugging_face

    if job.threads:
        torch.set_num_threads(job.threads)
    batches = np.load(job.tokens)
    steps, batch, context = batches.shape
    if batch % job.accumulation:
        raise ValueError(f"a batch of {batch} does not split into {job.accumulation}")

    class Rows(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
        """In the order given: a Trainer shuffles what it can index."""

        def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
            for row in batches.reshape(steps * batch, context):
                ids = torch.from_numpy(row.astype(np.int64))
                labels = ids.clone()
                labels[0] = -100  # nothing predicts it, but Trainer would divide the loss by it too
                yield {"input_ids": ids, "labels": labels}

    class Clock(transformers.TrainerCallback):
        ends: list[float]

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.ends = [time.perf_counter()]

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())

    transformers.set_seed(job.seed)
    shape = get_preset(job.preset, vocab_size=job.vocab_size)
    config = transformers.LlamaConfig(**to_hugging_face(shape, bos=0, eos=1, pad=2))
    config.use_cache = False
    model = transformers.LlamaForCausalLM(config)
    if job.weights:
        from safetensors.torch import load_file

        missing, unknown = model.load_state_dict(load_file(job.weights), strict=False)
        if unknown or set(missing) - {"lm_head.weight"}:
            raise ValueError(f"{job.weights}: weights missing {missing}, unknown {unknown}")
        model.tie_weights()
    clock = Clock()
    idle = _resident("VmRSS")
    with tempfile.TemporaryDirectory() as nowhere:
        trainer = transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(
                output_dir=nowhere,
                max_steps=steps,
                per_device_train_batch_size=batch // job.accumulation,
                gradient_accumulation_steps=job.accumulation,
                learning_rate=job.learning_rate,
                weight_decay=job.weight_decay,
                adam_beta1=job.betas[0],
                adam_beta2=job.betas[1],
                max_grad_norm=job.clip,
                lr_scheduler_type="cosine",
                warmup_steps=job.warmup,
                bf16=job.precision == "bf16",
                use_cpu=not torch.cuda.is_available(),
                torch_compile=job.compile,
                logging_steps=1,
                report_to="none",
                save_strategy="no",
                eval_strategy="no",
                disable_tqdm=True,
                seed=job.seed,
            ),
            train_dataset=Rows(),
            callbacks=[clock],
        )
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        trainer.train()
        left = [path.name for path in Path(nowhere).rglob("*")]
    if left:
        raise RuntimeError(f"the peer wrote {left} meanwhile")
    seconds = [end - start for start, end in zip(clock.ends, clock.ends[1:], strict=False)]
    counted = seconds[WARM_UP:] or seconds
    return {
        "tokens_per_second": round(batch * context / statistics.median(counted)),
        "step_seconds": [round(one, 4) for one in seconds],
        "losses": [line["loss"] for line in trainer.state.log_history if "loss" in line],
        "peak_bytes": _resident("VmHWM"),
        "idle_bytes": idle,
        "gpu_peak_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def _resident(field: str) -> int:
    """Resident memory of this process in bytes: `VmRSS` now, `VmHWM` at most. 0 where Linux does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field))


def main(argument: str) -> None:
    """Run the job in `argument`, JSON of `Job`, and print its figures as one line."""
    fields = json.loads(argument)
    fields["betas"] = tuple(fields.get("betas", Job.__dataclass_fields__["betas"].default))
    print(json.dumps(train(Job(**fields))))


if __name__ == "__main__":
    main(sys.argv[1])
