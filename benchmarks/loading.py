"""Training examples per second of processor time, ours and three other ways to read songs.

    whole files   decodes whole files for each example and takes an excerpt: the naive reader;
                  its augmentations change all stems of an example together
    ByteSep       one HDF5 file per song with int16 stems, and an index of segments; each example
                  opens the files of its random segments and reads them
    Thanatoz      the whole set in memory as float32; each stem from a random place of a random
                  song, then gain and clipping with new parameters for 2 of 8 examples

The last two are our own implementations, from the descriptions of ByteSep's and Thanatoz' trainers,
which cannot be installed here. All readers run in one thread on cached files, like a worker of a
DataLoader, and processor time is measured. A slow disk, which affects whole files most, is not.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from benchmarks.songs import SAMPLE_RATE_HZ, song
from benchmarks.timing import Line, compare
from demixing.errors import ConfigError
from demixing.training import chain
from demixing.training.augmentations import Augmentation
from demixing.training.data import metadata, songs
from demixing.training.data.song_table import Song
from demixing.training.examples import Examples

STEMS = ("vocals", "drums", "bass", "other")
EXAMPLE_S = 12
Audio = NDArray[np.float32]
Make = Callable[[int], object]
"""Returns the example at an index, ``(stems, 2, samples)``."""


def run(*, quick: bool) -> Iterator[Line]:
    """Measure the same number of examples on both sides.

    Raises:
        ConfigError: h5py is not installed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker of a DataLoader
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield from _lines(Path(folder), 3 if quick else 4, 40 if quick else 180, quick)
    finally:
        torch.set_num_threads(threads)


def _lines(folder: Path, count: int, duration_s: int, quick: bool) -> Iterator[Line]:
    """Measure with ``count`` songs of ``duration_s`` seconds, written to a folder."""
    paths = write_songs(folder / "songs", count, duration_s)
    samples = EXAMPLE_S * SAMPLE_RATE_HZ
    found = songs.index([folder / "songs"], STEMS)

    def ours(*names: str) -> Make:
        return _examples(found, *names).__getitem__

    naive = WholeFiles(paths, samples)
    for what, theirs, make in (
        ("both remixed", naive.example, ours("remix")),
        ("both with the standard chain", _chained(naive, _examples(found)), ours()),
        ("ours with the standard chain", naive.example, ours()),
    ):
        yield _compared(f"loading: whole files, {what}", theirs, make, quick)
    yield _many(folder / "many", paths, naive, 200 if quick else 10_000, quick)
    flac = write_songs(folder / "flac", count, duration_s, "flac")
    make = _examples(songs.index([folder / "flac"], STEMS), "remix").__getitem__
    what = "loading: whole files of FLAC, both remixed"
    yield _compared(what, WholeFiles(flac, samples).example, make, quick)
    began_s = time.perf_counter()
    memory = InMemory(paths, samples)
    loaded_s = time.perf_counter() - began_s
    held = f"; it first loads for {loaded_s:.1f} s, and keeps {memory.size_bytes / 2**30:.1f} GiB"
    make = ours("remix", "gain", "clip")
    yield _compared(
        "loading: Thanatoz' way, both remixed, gain, clipping", memory.example, make, quick, held
    )
    del memory
    segments = Hdf5Segments(paths, folder / "hdf5", samples)
    make = ours("remix")
    yield _compared("loading: ByteSep's way, both remixed", segments.example, make, quick)


def _examples(found: Sequence[Song], *names: str) -> Examples:
    """Examples with some augmentations of the standard chain, or with all."""
    tables = [table for table in chain.STANDARD if table["name"] in names or not names]
    return Examples(
        songs=found,
        stems=STEMS,
        samples=EXAMPLE_S * SAMPLE_RATE_HZ,
        rate_hz=SAMPLE_RATE_HZ,
        augmentations=chain.build(tables),
    )


def _chained(naive: "WholeFiles", chained: Examples) -> Make:
    """The naive reader with the augmentations of our examples, which change all stems together."""
    changes = [one for one in chained.augmentations if isinstance(one, Augmentation)]

    def example(number: int) -> object:
        stems = torch.from_numpy(naive.example(number))
        rng = np.random.default_rng(number)
        for change in changes:
            drawn = change.draw(rng, len(stems), stems.shape[-1], SAMPLE_RATE_HZ)
            stems = change.apply(stems, drawn)
        return stems

    return example


def _many(
    folder: Path, paths: Sequence[dict[str, Path]], naive: "WholeFiles", count: int, quick: bool
) -> Line:
    """Compare on many songs, which share the files of a few; their metadata is cached."""
    known = {path: metadata.decoded(path) for stems in paths for path in stems.values()}
    cached = {}
    for number in range(count):
        (place := folder / f"song {number}").mkdir(parents=True)
        for path in paths[number % len(paths)].values():
            (place / path.name).hardlink_to(path)
            cached[f"{place.name}/{path.name}"] = known[path]
    metadata.save(metadata.place_of(folder, None), cached)
    began_s = time.process_time()
    found = songs.index([folder], STEMS)
    note = (
        f"; {time.process_time() - began_s:.1f} s to start with a cached index of "
        f"{found.size_bytes / count:.0f} bytes a song"
    )
    make = _examples(found, "remix").__getitem__
    return _compared(
        f"loading: whole files, both remixed, {count} songs", naive.example, make, quick, note
    )


def _compared(what: str, theirs: Make, ours: Make, quick: bool, more: str = "") -> Line:
    """Time a few examples, taking turns."""
    each = 4 if quick else 8
    numbers = iter(range(1 << 30))

    def several(make: Make) -> Callable[[], None]:
        def do() -> None:
            for _ in range(each):
                make(next(numbers))

        return do

    make_theirs, make_ours = several(theirs), several(ours)
    make_theirs(), make_ours()  # one-off work does not count
    return compare(
        what,
        make_theirs,
        make_ours,
        repeats=3 if quick else 5,
        clock=time.process_time,
        note=lambda theirs_s, ours_s: (
            f"{each / theirs_s:.1f} and {each / ours_s:.1f} examples/s of {EXAMPLE_S} s{more}"
        ),
    )


def write_songs(
    folder: Path, count: int, duration_s: int, suffix: str = "wav"
) -> list[dict[str, Path]]:
    """Write songs as 16-bit files, and return the path of each stem, by song."""
    frames = song(duration_s).T.numpy()
    paths = []
    for number in range(count):
        place = folder / f"song {number}"
        place.mkdir(parents=True)
        paths.append({stem: place / f"{stem}.{suffix}" for stem in STEMS})
        for path in paths[-1].values():
            soundfile.write(path, frames, SAMPLE_RATE_HZ, subtype="PCM_16")
    return paths


@dataclass(frozen=True)
class WholeFiles:
    """Decodes whole files.

    Attributes:
        paths: paths of each song's stems.
        samples: length of an example.
    """

    paths: Sequence[dict[str, Path]]
    samples: int

    def example(self, number: int) -> Audio:
        """Return an example ``(stems, 2, samples)`` of stems of different songs."""
        rng = np.random.default_rng(number)
        pieces = []
        for stem in STEMS:
            path = self.paths[int(rng.integers(len(self.paths)))][stem]
            audio, _ = soundfile.read(path, dtype="float32")
            start = rng.integers(len(audio) - self.samples)
            pieces.append(audio[start : start + self.samples].T)
        return np.stack(pieces)


class Hdf5Segments:
    """Reads segments of int16 out of one HDF5 file per song.

    Args:
        paths: paths of each song's stems; they are packed first.
        folder: folder for the packed files.
        samples: length of an example.

    Raises:
        ConfigError: h5py is not installed.
    """

    def __init__(self, paths: Sequence[dict[str, Path]], folder: Path, samples: int) -> None:
        try:
            import h5py
        except ImportError as error:
            raise ConfigError(
                "loading needs h5py; run `pip install -r benchmarks/requirements.txt`"
            ) from error
        self._h5py: Any = h5py
        folder.mkdir()
        self._index: list[tuple[Path, int]] = []
        self._samples = samples
        for number, stems in enumerate(paths):
            packed = folder / f"{number}.h5"
            with h5py.File(packed, "w") as file:
                for stem, path in stems.items():
                    audio, rate_hz = soundfile.read(path, dtype="int16")
                    file.create_dataset(stem, data=np.ascontiguousarray(audio.T))
            self._index += [(packed, at) for at in range(0, len(audio) - samples, rate_hz)]

    def example(self, number: int) -> Audio:
        """Return an example ``(stems, 2, samples)`` of segments of different songs."""
        rng = np.random.default_rng(number)
        pieces = []
        for stem in STEMS:
            packed, start = self._index[int(rng.integers(len(self._index)))]
            with self._h5py.File(packed, "r") as file:
                piece = file[stem][:, start : start + self._samples]
            pieces.append(piece.astype(np.float32) / 32768)
        return np.stack(pieces)


@dataclass
class InMemory:
    """Keeps all songs in memory.

    Attributes:
        paths: paths of each song's stems.
        samples: length of an example.
        audio: audio of each song's stems, ``(2, samples)``.
        gain: linear factor, last drawn value.
        ceiling: level of clipping, last drawn value.
    """

    paths: Sequence[dict[str, Path]]
    samples: int
    audio: list[dict[str, Audio]] = field(default_factory=list)
    gain: float = 1.0
    ceiling: float = 1.0

    def __post_init__(self) -> None:
        for stems in self.paths:
            read = {stem: soundfile.read(path, dtype="float32")[0] for stem, path in stems.items()}
            self.audio.append({stem: np.ascontiguousarray(a.T) for stem, a in read.items()})

    @property
    def size_bytes(self) -> int:
        """Size of all samples."""
        return sum(audio.nbytes for stems in self.audio for audio in stems.values())

    def example(self, number: int) -> Audio:
        """Return an example ``(stems, 2, samples)`` of stems of different songs."""
        rng = np.random.default_rng(number)
        if rng.random() < 2 / 8:
            self.gain, self.ceiling = 10 ** (rng.uniform(-12, 12) / 20), rng.uniform(0.5, 1)
        pieces = []
        for stem in STEMS:
            audio = self.audio[int(rng.integers(len(self.audio)))][stem]
            start = rng.integers(audio.shape[1])
            piece = np.zeros((2, self.samples), np.float32)
            part = audio[:, start : start + self.samples]
            piece[:, : part.shape[1]] = part
            pieces.append((self.gain * piece).clip(-self.ceiling, self.ceiling))
        return np.stack(pieces)
