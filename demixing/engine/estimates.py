"""The data passed between the stages of a pipeline.

Signals are passed by reference: a stage makes new tensors for the stems that it changes, and does
not copy the others.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

STEP = 1 << 16
"""Longer blocks are split into pieces of this many samples: a few signals of this length fit in the
cache, and queues between stages free their memory piece by piece."""

Presence = Tensor | float
"""Weight of a member, from 0 to 1: per sample, ``(groups, 1, samples)``, or a constant."""

Stem = Tensor | int
"""A stem: its samples, ``(groups, 2, samples)``; or the number of stems among which the mixture is
shared equally, so that a stem without output takes neither time nor memory."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """The mixture and the current estimates of the stems, aligned to the sample.

    Attributes:
        mixture: ``(groups, 2, samples)``.
        stems: of the same shape; several may be the same tensor, so none is changed in place. See
            also :meth:`signals`.
        answered: of each member so far.
    """

    mixture: Tensor
    stems: tuple[Stem, ...]
    answered: tuple[Presence, ...] = ()

    @classmethod
    def joined(cls, parts: Sequence["Estimates"]) -> "Estimates":
        """Concatenate estimates in time; a single part is returned as it is."""
        if len(parts) == 1:
            return parts[0]
        mixtures = [part.mixture for part in parts]
        return cls(
            torch.cat(mixtures, dim=-1),
            tuple(
                _joined_stem(stems, mixtures)
                for stems in zip(*(part.stems for part in parts), strict=True)
            ),
            tuple(
                _joined(members, mixtures)
                for members in zip(*(part.answered for part in parts), strict=True)
            ),
        )

    @property
    def samples(self) -> int:
        """Length of the last axis."""
        return self.mixture.shape[-1]

    def signals(self) -> tuple[Tensor, ...]:
        """The samples of all stems."""
        return tuple(signal(stem, self.mixture) for stem in self.stems)

    def split(self, samples: int) -> tuple["Estimates", "Estimates"]:
        """The first ``samples`` samples, and the rest; views."""
        return self._slice(slice(samples)), self._slice(slice(samples, None))

    def _slice(self, part: slice) -> "Estimates":
        return Estimates(
            self.mixture[..., part],
            tuple(one[..., part] if isinstance(one, Tensor) else one for one in self.stems),
            tuple(one[..., part] if isinstance(one, Tensor) else one for one in self.answered),
        )


class Stage(Protocol):
    """A stage of a pipeline; like :class:`demixing.chunks.stream.Stream`, in smaller pieces.

    Results are generated one by one, so that each can leave the pipeline before the next is made.
    """

    def push(self, estimates: Estimates, /) -> Iterable[Estimates]:
        """Add the next samples and generate the results that are final, possibly none."""

    def finish(self) -> Iterable[Estimates]:
        """Generate all remaining results."""


class Queue:
    """A queue of estimates in the pieces that were pushed, so memory is freed piece by piece."""

    def __init__(self) -> None:
        self._pieces: deque[Estimates] = deque()
        self.samples = 0

    def push(self, estimates: Estimates) -> None:
        """Add estimates at the end."""
        if estimates.samples:
            self._pieces.append(estimates)
            self.samples += estimates.samples

    def take(self, samples: int) -> Iterator[Estimates]:
        """Remove and generate the first ``samples`` samples, which must exist."""
        while samples > 0:
            piece = self._pieces.popleft()
            if piece.samples > samples:
                piece, rest = piece.split(samples)
                self._pieces.appendleft(rest)
            samples -= piece.samples
            self.samples -= piece.samples
            yield piece


def signal(stem: Stem, mixture: Tensor) -> Tensor:
    """The samples of a stem, ``(groups, 2, samples)``."""
    return stem if isinstance(stem, Tensor) else mixture / stem


def filled(presence: Presence, like: Tensor) -> Tensor:
    """A presence for each sample of a mixture ``(groups, 2, samples)``."""
    if isinstance(presence, Tensor):
        return presence
    return like.new_full((1, 1, 1), presence).expand(len(like), 1, like.shape[-1])


def reduced(presence: Presence) -> Presence:
    """The same as a number if it is 0 or 1 everywhere."""
    if not isinstance(presence, Tensor) or not presence.numel():
        return presence
    low, high = map(float, torch.aminmax(presence))
    return low if low == high and low in (0.0, 1.0) else presence


def _joined_stem(parts: Sequence[Stem], mixtures: Sequence[Tensor]) -> Stem:
    """Join one stem in time."""
    first = parts[0]
    if not any(isinstance(part, Tensor) for part in parts) and all(part == first for part in parts):
        return first
    return torch.cat([signal(*pair) for pair in zip(parts, mixtures, strict=True)], dim=-1)


def _joined(parts: Sequence[Presence], mixtures: Sequence[Tensor]) -> Presence:
    """Join the presence of one member in time."""
    first = parts[0]
    if not any(isinstance(part, Tensor) for part in parts) and all(part == first for part in parts):
        return first
    pairs = zip(parts, mixtures, strict=True)
    return torch.cat([filled(part, mixture) for part, mixture in pairs], dim=-1)
