"""The processes that share a run: one, or as many as torchrun has started."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import distributed

from demixing import threads


@dataclass(frozen=True, slots=True)
class World:
    """The processes that share a run.

    Attributes:
        rank: of this one.
        size: how many there are.
        device: of this one.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes what there is to write."""
        return self.rank == 0


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """Join the processes that torchrun has started, if it has."""
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    elif size == 1:
        threads.use()
    if size == 1:
        yield World(0, 1, device)
        return
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield World(distributed.get_rank(), size, device)
        distributed.barrier()  # who leaves first would take the others' connections away
    finally:
        distributed.destroy_process_group()


def anywhere(ended: bool, world: World) -> bool:
    """Let all processes know what the first one knows."""
    if world.size == 1:
        return ended
    flag = torch.tensor(int(ended), device=world.device)
    distributed.all_reduce(flag)
    return bool(flag)
