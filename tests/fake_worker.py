"""A child process without torch, for the tests of isolation: ``fake_worker.py BEHAVIOUR FD``.

It answers with half of the mixture for every stem, but misbehaves in the way that it is told.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator

import numpy as np

from my_submission.errors import ConfigError, SongError
from my_submission.process.worker import Array, Asked, Order, Work, serve
from my_submission.recipe import Recipe


def misbehave(behaviour: str) -> None:
    match behaviour:
        case "hold the lock":
            ctypes.PyDLL(None).sleep(1000)
        case "segmentation fault":
            os.close(2)  # the report of the fault is of no interest
            ctypes.string_at(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "sleep":
            time.sleep(1000)
        case "song error":
            raise SongError("a song that nobody likes")
        case "bug":
            raise KeyError("bug")
        case "print":
            os.write(1, b"hello from a library\n" * 100)
        case "fine":
            pass
        case _:
            raise AssertionError(behaviour)


def make(chosen: Recipe, without: frozenset[int], asked: Asked) -> Work:
    """Its member 0 misbehaves at second 1 of each song; without it all is well."""
    behaviour = sys.argv[1]
    stems = len(chosen.track.stems)
    if behaviour == "refuse":
        raise ConfigError("a recipe that nobody likes")
    if behaviour == "hang while it is built" and 0 not in without:
        asked(0)
        ctypes.PyDLL(None).sleep(1000)

    def work(blocks: Iterator[Array], order: Order) -> Iterator[Array]:
        done = 0
        for block in blocks:
            done += block.shape[-1]
            if done >= order.sample_rate_hz and 0 not in without:
                asked(0)
                if behaviour == "not finite":
                    block = block * np.nan
                elif behaviour == "too much":
                    block = np.concatenate([block, block], axis=-1)
                elif behaviour == "too little":
                    block = block[:, :-1]
                elif behaviour != "hang while it is built":
                    misbehave(behaviour)
                asked(-1)
            weights = np.arange(1, stems + 1, dtype=np.float32)
            yield (weights / weights.sum())[:, None, None] * block

    return work


if __name__ == "__main__":
    serve(make, int(sys.argv[2]))
