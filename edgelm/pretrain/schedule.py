"""The learning rate over a run."""

import math

from edgelm.pretrain.config import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of a step: linear up over the warm-up, then as the schedule says.

    * `wsd`: stable, then linear to zero over the last `decay` share of the steps, or what the
      warm-up leaves of them (Hu et al., 2024).
    * `cosine`: half a cosine from the peak to a tenth of it (Hoffmann et al., 2022).
    """
    peak, steps = config.learning_rate, config.steps
    if step < config.warmup:
        return peak * (step + 1) / config.warmup
    if config.schedule == "cosine":
        done = (step - config.warmup) / max(steps - config.warmup, 1)
        return peak * (0.55 + 0.45 * math.cos(math.pi * done))
    falling = max(min(int(steps * config.decay), steps - config.warmup), 1)
    return peak * min(1.0, (steps - step) / falling)
