"""Interprets a child's messages about a song."""

import dataclasses
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from demixing.engine.omissions import Omission
from demixing.engine.progress import Progress
from demixing.process.child import LostError, failure, user_error
from demixing.process.handover import SongBuffer
from demixing.process.messages import BrokenMessageError, Message

EARLY = 0.03
EARLY_S = 0.3
"""The child's deadline is earlier by this fraction of its time, and at least by this many
seconds."""


def continued(event: Progress, part: float) -> Progress:
    """Convert a child's progress to that of the whole song.

    Args:
        event: as the child reports it.
        part: fraction of the song that was left for the child; the rest is done.

    >>> continued(Progress(stage="separating", done=0.5, audio_s=10.0), 0.25).done
    0.875
    """
    return dataclasses.replace(
        event, done=1 - part * (1 - event.done), audio_s=event.audio_s / part
    )


def end_s(left_s: float) -> float:
    """The ``time.monotonic`` by which a child with ``left_s`` seconds left must be done."""
    if left_s == math.inf:
        return math.inf
    return time.monotonic() + left_s - max(EARLY * left_s, EARLY_S)


def omissions_of(message: Message, part: float) -> Iterator[Omission]:
    """Yield the omissions of a child in its part of the song.

    Args:
        message: from the child.
        part: fraction of the song that was left for the child.
    """
    for one in message.header.get("omissions", ()):
        omission = Omission(**one)
        yield dataclasses.replace(omission, part=part * omission.part)


def pushed(message: Message, song: SongBuffer, channels: int) -> Tensor:
    """Add a child's stems to a song; return what is final, ``(stems, channels, samples)``.

    Args:
        message: with the stems.
        song: to which they are added.
        channels: of the song.

    Raises:
        LostError: they are not stems of the song, or the child reports a bug.
        DemixError: the child reports an error that a user can fix.
    """
    header = message.header
    if header["kind"] == "error":
        raise user_error(header) or failure(header)
    try:
        if header["kind"] != "stems":
            raise ValueError(f"sent {header['kind']!r}")
        return song.push(torch.from_numpy(message.array(song.stems, channels)))
    except (ValueError, BrokenMessageError) as error:
        raise LostError(f"sent no valid stems: {error}") from error


def finished(song: SongBuffer) -> Tensor:
    """Return the last stems of a song that a child has ended, ``(stems, channels, samples)``.

    Raises:
        LostError: there are not enough stems for the whole song.
    """
    if not song.complete:
        raise LostError("ended a song too early")
    return song.finish()
