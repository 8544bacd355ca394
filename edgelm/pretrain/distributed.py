"""Several processes, one training run: what `torchrun` starts, with DDP or FSDP2.

Every process packs the same batches and computes its rows of them, so that N processes take the steps that
one would take.
"""

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from edgelm.errors import BadInput, EdgelmError
from edgelm.model.decoder import Decoder

Strategy = Literal["ddp", "fsdp"]
WAIT = timedelta(hours=1)
"""For another process, which may have a large corpus to read first."""
PATIENCE_S = 5.0
"""Before a process complains that is not the first to fail: torchrun ends it sooner."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run; one alone by default.

    Attributes:
        strategy: `ddp` keeps the whole model in every process, `fsdp` a share of it.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    strategy: Strategy = "ddp"

    @property
    def main(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """The rows of a batch that are this process's."""
        if batch % self.size:
            raise BadInput(
                f"--batch {batch} cannot be shared by {self.size} processes",
                remedy=f"give a multiple of {self.size}",
            )
        share = batch // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def sum(self, value: float) -> float:
        """The sum of every process's `value`."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return float(tensor)

    def tell(self, message: Any = None) -> Any:
        """What the main process says, in every process."""
        if self.size == 1:
            return message
        box = [message]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def alone() -> World:
    """This process by itself, on a GPU where there is one."""
    return World(device="cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def join_world(strategy: Strategy = "ddp") -> Iterator[World]:
    """The world that `torchrun` has set up around this process, or this process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    cuda = torch.cuda.is_available()
    if size == 1:
        yield alone()
        return
    try:
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if cuda else "gloo", timeout=WAIT)
    except (KeyError, ValueError, RuntimeError) as error:
        raise EdgelmError(
            f"WORLD_SIZE is {size}, but the processes cannot find each other or a GPU each "
            f"({str(error).splitlines()[0]}). Start them with torchrun, one for each GPU."
        ) from error
    main = dist.get_rank() == 0
    try:
        yield World(dist.get_rank(), size, "cuda" if cuda else "cpu", strategy)
    except KeyboardInterrupt:
        if not main:  # one process says it for all
            raise SystemExit(1) from None
        raise
    except Exception as error:
        deserted = isinstance(error, RuntimeError) and (
            isinstance(error, dist.DistError) or "gloo" in str(error)
        )
        if deserted or not main:
            time.sleep(PATIENCE_S)
        if deserted:
            raise EdgelmError("another process of this run has ended. Its own message says why.") from error
        raise
    finally:
        dist.destroy_process_group()


class Objective(nn.Module):
    """A decoder whose forward pass is its loss, as DDP wants it."""

    def __init__(self, model: Decoder):
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        return self.model.loss(*arguments, **options)


def share(model: Decoder, world: World) -> nn.Module:
    """The loss of `model` as a module whose gradients are the same in every process."""
    if world.size == 1:
        return Objective(model)
    if world.strategy == "ddp":
        return nn.parallel.DistributedDataParallel(Objective(model))
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # keys: nothing alters them
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    register_fsdp_forward_method(model, "loss")
    register_fsdp_forward_method(model, "hidden")
    return Objective(model)


def unshare(model: Decoder, world: World) -> Decoder:
    """The model for one process to use without the others; every process has to call it."""
    weights = {name: whole(value) for name, value in model.state_dict().items()}
    world.tell()  # no process is ahead of another that still reads what the main one is about to remove
    if world.size == 1 or world.strategy == "ddp":
        return model
    with torch.device("meta"):
        found = Decoder(model.config)
    found.load_state_dict(weights, assign=True)
    return found.eval()


def set_sync(objective: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """A context in which gradients are summed over processes only with the last micro-batch of a step."""
    if isinstance(objective, nn.parallel.DistributedDataParallel):
        return nullcontext() if last else objective.no_sync()
    if isinstance(objective.model, FSDPModule):
        objective.model.set_requires_gradient_sync(last)
    return nullcontext()


def whole(value: Tensor) -> Tensor:
    """All of a tensor of which each process may hold a part only."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def like(value: Tensor, model: Tensor) -> Tensor:
    """A whole tensor, laid out over the processes as `model` is."""
    if isinstance(model, DTensor):
        return distribute_tensor(
            value.to(model.device), model.device_mesh, model.placements, src_data_rank=None
        )
    return value
