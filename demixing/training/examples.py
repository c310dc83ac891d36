"""Training examples, each a function of (seed, epoch, index) and nothing else.

    excerpts  = a place in a song, then changed by each choice (remix, mixup, silence)
    stems     = the excerpts, read and summed, ``(stems, 2, samples)``
    stems     = each augmentation: ``apply(stems, draw(rng, ...))``

No global generator is used and no state is kept between examples. So any number of DataLoader
workers makes the same examples in any order, and a run resumes with the same examples: it only
needs to store its position in the training.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.training import changes
from demixing.training.augmentations import Apart, Augmentation, Choice, Longer, Only
from demixing.training.changes import Change
from demixing.training.data.song_table import Song, SongTable
from demixing.training.data.songs import read
from demixing.training.sampler import Excerpts, Sampler

Read = Callable[[Song, str, int, int], Tensor]
"""Reads (song, stem, start, samples) as float32 ``(2, samples)``; see :mod:`.data.songs`."""


@dataclass(frozen=True, kw_only=True)
class Examples(Dataset[Tensor]):
    """Examples of a run, as a map from positions.

    Position ``p`` is example ``p % examples_per_epoch`` of epoch ``p // examples_per_epoch``.
    Positions continue throughout the training, so a ``range`` can be the sampler::

        DataLoader(examples, batch_size=8, sampler=range(done, done + 8000), num_workers=2)

    Each of several processes takes ``range(done + rank, end, ranks)``: with a batch of ``b``, their
    simultaneous batches are together one batch of ``b * ranks`` of a single process.

    Attributes:
        songs: songs from :func:`demixing.training.data.songs.index`.
        stems: names, in the order of the first axis of an example.
        samples: length of an example.
        rate_hz: sample rate of all songs.
        seed: seed of all examples.
        examples_per_epoch: number of examples in an epoch.
        augmentations: built objects. Choices act first, in their order, then augmentations.
        weights: how often each song is drawn, relative to the others; see :func:`weighted`.
        active_only: whether at least one stem is active in each excerpt of a song.
        read: reads an excerpt of a stem.
    """

    songs: Sequence[Song]
    stems: tuple[str, ...]
    samples: int
    rate_hz: int
    seed: int = 0
    examples_per_epoch: int = 1000
    augmentations: tuple[Augmentation | Choice | Only, ...] = ()
    weights: Sequence[float] | NDArray[np.float64] | None = None
    active_only: bool = True
    read: Read = read

    def __post_init__(self) -> None:
        for name in ("samples", "rate_hz", "examples_per_epoch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or above, got {getattr(self, name)}")
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or above, got {self.seed}")
        for song in self.songs:
            if song.rate_hz != self.rate_hz:
                raise ConfigError(
                    f"expected songs of {self.rate_hz} Hz, got {song.name!r} of {song.rate_hz}; "
                    "resample its folder or set the rate of the run"
                )
        for augmentation in self.augmentations:
            for stem in augmentation.stems if isinstance(augmentation, Only) else ():
                if stem not in self.stems:
                    known = did_you_mean(stem, list(self.stems))
                    raise ConfigError(f"only: no stem {stem!r} in this run{known}")
        _ = self._sampler  # raises now, and not in a worker, if the songs are invalid

    @cached_property
    def _sampler(self) -> Sampler:
        """Sampler for the choices."""
        return Sampler(self.songs, self.stems, self.weights, active_only=self.active_only)

    def __len__(self) -> int:
        """Number of examples in an epoch; later positions belong to the next epochs."""
        return self.examples_per_epoch

    def __getitem__(self, position: int) -> Tensor:
        """Make the example at a position of the training, ``(stems, 2, samples)``."""
        return self.example(*divmod(position, self.examples_per_epoch))

    def example(self, epoch: int, index: int) -> Tensor:
        """Make one example.

        Args:
            epoch: 0 or above.
            index: 0 or above.

        Returns:
            Stems, float32, ``(stems, 2, samples)``; their sum is the mixture.
        """
        stems = torch.empty(len(self.stems), 2, self.samples)
        self._write(stems, epoch, index)
        return stems

    def batch(self, positions: Sequence[int]) -> Tensor:
        """Make the examples at several positions of the training.

        Returns:
            ``(positions, stems, 2, samples)``; in a worker of a DataLoader in shared memory, so
            that the batch is not copied on its way to the process that trains.
        """
        shape = len(positions), len(self.stems), 2, self.samples
        batch = _shared(shape) if get_worker_info() else torch.empty(shape)
        for stems, position in zip(batch, positions, strict=True):
            self._write(stems, *divmod(position, self.examples_per_epoch))
        return batch

    def _write(self, out: Tensor, epoch: int, index: int) -> None:
        """Make one example in a tensor ``(stems, 2, samples)``."""
        rng = np.random.default_rng([self.seed, epoch, index])
        with _one_thread():
            excerpts = self.excerpts(rng)
            drawn = [
                Change(numbers, one, one.draw(rng, len(numbers), self._needed, self.rate_hz), apart)
                for numbers, one, apart in self._augmentations
            ]
            changes.write(drawn, lambda number: self._sum(excerpts, self.stems[number]), out)

    def excerpts(self, rng: np.random.Generator) -> Excerpts:
        """Draw the excerpts to read: the same place for all stems, then changed by the choices."""
        excerpts = self._sampler.together(rng, self._needed)
        for stems, choice in self._choices:
            some = {stem: excerpts[stem] for stem in stems}
            excerpts = {**excerpts, **choice.choose(rng, some, self._sampler, self._needed)}
        return excerpts

    # Cached, because checking whether an object follows a Protocol is slow.

    @cached_property
    def _choices(self) -> list[tuple[tuple[str, ...], Choice]]:
        """Choices and the names of the stems that they change."""
        return [(stems, inner) for stems, inner in self._inner if isinstance(inner, Choice)]

    @cached_property
    def _augmentations(self) -> list[tuple[list[int], Augmentation, bool]]:
        """Indices of the changed stems, augmentation, and whether it is an :class:`Apart`."""
        return [
            ([self.stems.index(stem) for stem in stems], inner, isinstance(inner, Apart))
            for stems, inner in self._inner
            if isinstance(inner, Augmentation)
        ]

    @cached_property
    def _needed(self) -> int:
        """Number of samples to read, so that enough are valid after all augmentations."""
        samples = self.samples
        for _, augmentation, _ in reversed(self._augmentations):
            if isinstance(augmentation, Longer):
                samples = augmentation.needs(samples)
        return samples

    @property
    def _inner(self) -> list[tuple[tuple[str, ...], Augmentation | Choice]]:
        """All choices and augmentations, with the names of the stems that they change."""
        return [
            (one.stems, one.inner) if isinstance(one, Only) else (self.stems, one)
            for one in self.augmentations
        ]

    def _sum(self, excerpts: Excerpts, stem: str) -> Tensor:
        """Read and sum all excerpts of a stem, ``(2, samples)``."""
        total: Tensor | None = None
        for excerpt in excerpts[stem]:
            piece = self.read(self.songs[excerpt.song], stem, excerpt.start, self._needed)
            piece = piece if excerpt.gain == 1 else piece * excerpt.gain
            total = piece if total is None else total + piece
        return torch.zeros(2, self._needed) if total is None else total


def weighted(
    groups: Iterable[tuple[float, Sequence[Song]]],
) -> tuple[SongTable, NDArray[np.float64]]:
    """Join groups of songs so that each group has its share of all excerpts.

    Within a group, every second of every song is equally likely.

    Args:
        groups: share and songs of each group; shares need not sum to 1.

    Returns:
        All songs, and their weights.
    """
    kept = list(groups)
    songs = SongTable(song for _, group in kept for song in group)
    weights: list[NDArray[np.float64]] = []
    first = 0
    for share, group in kept:
        samples = songs.samples[first : first + len(group)]
        weights.append(share * samples / samples.sum())
        first += len(group)
    return songs, np.concatenate(weights)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, like workers: sums over several threads differ in their last bits."""
    before = torch.get_num_threads()
    if before > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before > 1:
            torch.set_num_threads(before)


def _shared(shape: tuple[int, ...]) -> Tensor:
    """An empty float32 tensor in shared memory."""
    storage = torch.UntypedStorage._new_shared(4 * math.prod(shape))  # type: ignore[no-untyped-call]
    return torch.empty(0).set_(storage, 0, shape)  # type: ignore[call-overload,no-any-return]
