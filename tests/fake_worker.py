"""A child process without torch, for the tests of isolation: ``fake_worker.py BEHAVIOUR FD``.

Its stems are fixed parts of the mixture, but it misbehaves as its argument specifies.
"""

import ctypes
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np

from demixing.engine.omissions import Omission
from demixing.engine.progress import SEPARATING, Progress, Report
from demixing.errors import ConfigError, SongError
from demixing.process.worker import Array, AtWork, Request, Work, serve
from demixing.recipes.recipe import Recipe

WHILE_BUILT = " while it is built"
"""End of the name of a behaviour that comes before the first song."""


def misbehave(behaviour: str) -> None:
    match behaviour:
        case "hold the lock":
            ctypes.PyDLL(None).sleep(1000)
        case "segmentation fault":
            os.close(2)  # the report of the fault is not needed
            ctypes.string_at(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "sleep":
            time.sleep(1000)
        case "song error":
            raise SongError("a song that cannot be separated")
        case "bug":
            raise KeyError("bug")
        case "full disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "file cut short":
            raise EOFError
        case "print":
            os.write(1, b"hello from a library\n" * 100)
        case "fine" | "partly":
            pass
        case "build slowly":
            time.sleep(0.05)
        case _:
            raise AssertionError(behaviour)


def make(chosen: Recipe, without: frozenset[int], at_work: AtWork) -> Work:
    """Its member 0 misbehaves at second 1 of each song; without that member, nothing fails."""
    behaviour = sys.argv[1]
    stems = len(chosen.track.stems)
    if behaviour == "refuse":
        raise ConfigError("a recipe that cannot be built")
    if behaviour == "fail":
        raise RuntimeError("no home\n" + 10_000 * "x")
    if behaviour.endswith(WHILE_BUILT) and 0 not in without:
        at_work(0)
        misbehave(behaviour.removesuffix(WHILE_BUILT))
        at_work(-1)
    return Fake(behaviour, without, at_work, stems)


class Fake:
    """See :func:`make`."""

    def __init__(
        self, behaviour: str, without: frozenset[int], at_work: AtWork, stems: int
    ) -> None:
        self.behaviour, self.without, self.at_work, self.stems = behaviour, without, at_work, stems

    def omissions(self) -> Sequence[Omission]:
        if self.behaviour != "partly":
            return []
        return [Omission(member="good", part=0.5, reason="it was tired")]

    def __call__(
        self, blocks: Iterator[Array], request: Request, report: Report
    ) -> Iterator[Array]:
        behaviour, without, at_work = self.behaviour, self.without, self.at_work
        done = 0
        for block in blocks:
            done += block.shape[-1]
            if done >= request.sample_rate_hz and 0 not in without:
                at_work(0)
                if behaviour == "not finite":
                    block = block * np.nan
                elif behaviour == "too much":
                    block = np.concatenate([block, block], axis=-1)
                elif behaviour == "too little":
                    block = block[:, :-1]
                elif not behaviour.endswith(WHILE_BUILT):
                    misbehave(behaviour)
                at_work(-1)
            weights = np.arange(1, self.stems + 1, dtype=np.float32)
            report(Progress(stage=SEPARATING, done=done / request.samples))
            yield (weights / weights.sum())[:, None, None] * block


if __name__ == "__main__":
    serve(make, int(sys.argv[2]))
