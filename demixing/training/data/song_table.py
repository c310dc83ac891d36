"""Songs as columns of numbers, so that a large index is small and stays shared between processes.

Workers of a DataLoader are forks that share the memory of the index until it is written to. Reading
a Python object writes its reference count, so an index of objects is copied into each worker, page
by page, during a run. An array of numpy is one object, and reading it writes nothing.
"""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Spans = tuple[tuple[int, int], ...]
"""Ranges of whole seconds, ends excluded: ``((0, 3), (7, 8))`` is 0, 1, 2 and 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Song:
    """A song whose stems are known.

    Attributes:
        name: path of its folder below the folder of the data set, with ``/``.
        stems: by name, the files whose sum is the stem; none for a silent stem.
        samples: length of the longest stem; silence follows shorter ones.
        rate_hz: sample rate of all files.
        active: by stem, the seconds in which it is not silent; the last may be partial.
        loudness_db: by stem, mean power of the active seconds in dB; -120 if there are none. The
            powers of several files are added, as if they were uncorrelated.
        kind: ``labelnoise`` or ``bleeding`` if the data set marks the song as corrupted.
    """

    name: str
    stems: Mapping[str, tuple[Path, ...]]
    samples: int
    rate_hz: int
    active: Mapping[str, Spans] = field(default_factory=dict)
    loudness_db: Mapping[str, float] = field(default_factory=dict)
    kind: str = ""


class SongTable(Sequence[Song]):
    """Songs in columns; a :class:`Song` is made when it is asked for.

    Args:
        songs: read once, one at a time.

    Attributes:
        samples: length of each song.
        rates_hz: sample rate of each song.
    """

    def __init__(self, songs: Iterable[Song]) -> None:
        kinds: dict[str, int] = {}
        stems: dict[str, int] = {}
        numbers: list[tuple[int, int, int]] = []
        names, paths, cells = _Texts(), _Texts(), _Cells()
        for song in songs:
            numbers.append((song.samples, song.rate_hz, kinds.setdefault(song.kind, len(kinds))))
            names.add([os.fsencode(song.name)])
            for stem in dict.fromkeys((*song.stems, *song.active, *song.loudness_db)):
                cells.add(stems.setdefault(stem, len(stems)), song, stem)
                paths.add(os.fsencode(path) for path in song.stems.get(stem, ()))
            cells.close()
        columns = np.array(numbers, np.int64).reshape(-1, 3)
        self.samples, self.rates_hz = columns[:, 0].copy(), columns[:, 1].astype(np.int32)
        self._kinds, self._kind = tuple(kinds), columns[:, 2].astype(np.uint8)
        self._stems = tuple(stems)
        self._names, self._paths = names.packed(), paths.packed()
        self._cells = cells.packed()

    @overload
    def __getitem__(self, number: int) -> Song: ...
    @overload
    def __getitem__(self, number: slice) -> "SongTable": ...
    def __getitem__(self, number: int | slice) -> "Song | SongTable":
        if isinstance(number, slice):
            return SongTable(self[one] for one in range(*number.indices(len(self))))
        if not -len(self) <= number < len(self):
            raise IndexError(f"expected a song below {len(self)}, got {number}")
        return self._song(number % len(self))

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Song]:
        return map(self._song, range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same songs."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    @property
    def size_bytes(self) -> int:
        """Size of all columns."""
        packed = (self._names, self._paths, self._cells)
        columns = [one for group in packed for one in vars(group).values()]
        return sum(one.nbytes for one in (self.samples, self.rates_hz, self._kind, *columns))

    def _song(self, number: int) -> Song:
        """Make one song."""
        files: dict[str, tuple[Path, ...]] = {}
        active: dict[str, Spans] = {}
        loudness_db: dict[str, float] = {}
        cells = self._cells
        for cell in range(int(cells.of_song[number]), int(cells.of_song[number + 1])):
            stem, has = self._stems[cells.stem[cell]], int(cells.has[cell])
            if has & FILES:
                texts = self._paths.of(cell)
                files[stem] = tuple(Path(os.fsdecode(text)) for text in texts)
            if has & ACTIVE:
                spans = cells.spans[cells.of_cell[cell] : cells.of_cell[cell + 1]].tolist()
                active[stem] = tuple((begin, end) for begin, end in spans)
            if has & LOUDNESS:
                loudness_db[stem] = float(cells.loudness_db[cell])
        (name,) = self._names.of(number)
        return Song(
            name=os.fsdecode(name),
            stems=files,
            samples=int(self.samples[number]),
            rate_hz=int(self.rates_hz[number]),
            active=active,
            loudness_db=loudness_db,
            kind=self._kinds[self._kind[number]],
        )


FILES, ACTIVE, LOUDNESS = 1, 2, 4
"""Flags: whether a song has files, active seconds and a loudness of a stem, even if empty."""


@dataclass(frozen=True)
class _PackedTexts:
    """Groups of texts: all bytes, the end of each text, and the first text of each group."""

    bytes: NDArray[np.uint8]
    ends: NDArray[np.int64]
    groups: NDArray[np.int32]

    def of(self, group: int) -> list[Any]:
        """The texts of a group."""
        first, last = int(self.groups[group]), int(self.groups[group + 1])
        edges = self.ends[first : last + 1].tolist()
        return [self.bytes[a:b].tobytes() for a, b in itertools.pairwise(edges)]


class _Texts:
    """Collects groups of texts."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends, self._groups = [0], [0]

    def add(self, texts: Iterable[bytes]) -> None:
        """Add a group."""
        for text in texts:
            self._bytes += text
            self._ends.append(len(self._bytes))
        self._groups.append(len(self._ends) - 1)

    def packed(self) -> _PackedTexts:
        """All groups so far."""
        return _PackedTexts(
            np.frombuffer(bytes(self._bytes), np.uint8),
            np.array(self._ends, np.int64),
            np.array(self._groups, np.int32),
        )


@dataclass(frozen=True)
class _PackedCells:
    """What is known of a stem of a song: a cell, of which a song has several.

    Attributes:
        of_song: first cell of each song, and the number of cells.
        stem: index of the stem.
        has: flags.
        loudness_db: see :class:`Song`.
        of_cell: first span of each cell, and the number of spans.
        spans: begin and end of each span in seconds, ``(spans, 2)``.
    """

    of_song: NDArray[np.int32]
    stem: NDArray[np.int32]
    has: NDArray[np.uint8]
    loudness_db: NDArray[np.float64]
    of_cell: NDArray[np.int32]
    spans: NDArray[np.int32]


class _Cells:
    """Collects cells."""

    def __init__(self) -> None:
        self._of_song, self._of_cell = [0], [0]
        self._stem: list[int] = []
        self._has: list[int] = []
        self._loudness_db: list[float] = []
        self._spans: list[tuple[int, int]] = []

    def add(self, number: int, song: Song, stem: str) -> None:
        """Add a stem of a song; ``number`` is its index."""
        flags = ((song.stems, FILES), (song.active, ACTIVE), (song.loudness_db, LOUDNESS))
        self._stem.append(number)
        self._has.append(sum(flag for known, flag in flags if stem in known))
        self._loudness_db.append(song.loudness_db.get(stem, 0.0))
        self._spans += song.active.get(stem, ())
        self._of_cell.append(len(self._spans))

    def close(self) -> None:
        """End a song."""
        self._of_song.append(len(self._stem))

    def packed(self) -> _PackedCells:
        """All cells so far."""
        return _PackedCells(
            np.array(self._of_song, np.int32),
            np.array(self._stem, np.int32),
            np.array(self._has, np.uint8),
            np.array(self._loudness_db),
            np.array(self._of_cell, np.int32),
            np.array(self._spans, np.int32).reshape(-1, 2),
        )
