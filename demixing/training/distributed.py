"""Distributed training: a run on one process, or on all that torchrun has started."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from demixing.machine import threads
from demixing.machine.device import chosen_device

LONGEST_WAIT = timedelta(days=1)
"""Limit of the time for which processes wait for each other; the others wait for the first one's
validations, and nccl's default is 10 minutes."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: index of this process, starting at 0.
        size: number of processes.
        device: the device on which this process trains.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that prints and writes files."""
        return self.rank == 0


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Join the other processes, if torchrun has started any, until the block ends.

    Yields:
        The processes of the run.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available()
    if size > 1:
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
    else:
        device = chosen_device()
        threads.use()
    if device.index is not None:
        torch.cuda.set_device(device)
    if size == 1:
        yield Processes(0, 1, device)
        return
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=LONGEST_WAIT)
    try:
        yield Processes(distributed.get_rank(), size, device)
        distributed.barrier()  # the first to leave would close the connections of the others
    finally:
        distributed.destroy_process_group()


def anywhere(ended: bool, processes: Processes) -> bool:
    """Whether ``ended`` is true in any process; all processes must call it."""
    if processes.size == 1:
        return ended
    flag = torch.tensor(int(ended), device=processes.device)
    distributed.all_reduce(flag)
    return bool(flag)
