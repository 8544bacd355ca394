"""Batches made ready in the background, while a GPU computes."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait

import torch

from edgelm.pretrain.packing import Batch, Packer, State


class Prefetched:
    """A packer whose next batches a thread prepares, in pinned memory where there is a GPU.

    To its user it is the packer: its state is that after the batch last handed out, and what the packer
    raises, `next_batch` raises.

    Args:
        depth: batches to have ready.
    """

    def __init__(self, packer: Packer, depth: int = 2):
        self.packer, self.depth = packer, depth
        self.batch, self.context = packer.batch, packer.context
        self.pinned = torch.cuda.is_available()
        self.last = packer.state()
        self.ready: deque[Future[tuple[Batch, State]]] = deque()
        self.thread = ThreadPoolExecutor(1, "packer")

    def next_batch(self) -> Batch:
        while len(self.ready) <= self.depth:
            self.ready.append(self.thread.submit(self._prepare))
        batch, self.last = self.ready.popleft().result()
        return batch

    def _prepare(self) -> tuple[Batch, State]:
        batch = self.packer.next_batch()
        if self.pinned:
            batch = Batch(*(part.pin_memory() for part in batch))
        return batch, self.packer.state()

    def state(self) -> State:
        return self.last

    def restore(self, state: State) -> None:
        for future in self.ready:
            future.cancel()
        wait(self.ready)
        self.ready.clear()
        self.packer.restore(state)
        self.last = state

    def close(self) -> None:
        """End the thread and leave the packer where its user is, not ahead of it."""
        self.restore(self.last)
        self.thread.shutdown()
