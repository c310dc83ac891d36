"""Separates songs and computes their Gram matrices, or reads these from a cache."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

from demixing import atomic, audio
from demixing.engine import normalisation
from demixing.engine.demixer import Demixer
from demixing.engine.leakage_filter import BANDS, in_bands
from demixing.engine.member_weights import made_with
from demixing.errors import EvaluationError, OutputError
from demixing.evaluation import stem_file
from demixing.evaluation.audio import Layout, blocks
from demixing.evaluation.songs import Song
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.training.fitting import truth
from demixing.training.fitting.song_gram import MIXTURE, SongGram, signal_name

LAYOUT = f"products in {BANDS} bands, and the rate"
"""Layout of a cached file. It is part of the key, so files of another layout are not found."""

MOST_CHANNELS = 2
"""Members separate pairs of channels; only the first pair is measured."""

FINE = 2**15
"""Number of bins on which band edges are computed, accurate to less than a hertz."""


def of_song(song: Song, demixer: Demixer, cache: Path | None) -> SongGram:
    """Separate a song and compute its Gram matrix, or read it from a cache.

    Args:
        song: its mixture is the sum of its stems; see :func:`demixing.training.fitting.truth.known`
            for stems without a file.
        demixer: demixer of the recipe.
        cache: folder of the cache; None: no cache.

    Raises:
        EvaluationError: the song has no stems, or one is damaged or has another format.
        OutputError: the cache cannot be written.
    """
    recipe = demixer.recipe
    folder = str(song.folder.parent)
    kept = cache / f"{song.name}-{_key(song, recipe)}.npz" if cache else None
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as file:
            signals = tuple(map(str, file["signals"]))
            return SongGram(
                signals,
                file["products"],
                song=song.name,
                folder=folder,
                sample_rate_hz=int(file["rate_hz"]),
            )
    gram = dataclasses.replace(_measured(song, demixer), folder=folder)
    if kept is not None:
        with _errors_about(kept.parent):
            kept.parent.mkdir(parents=True, exist_ok=True)
            with atomic.file(kept) as unfinished:
                np.savez(
                    unfinished,
                    signals=np.array(gram.signals),
                    products=gram.products,
                    rate_hz=gram.sample_rate_hz,
                )
    return gram


def prepare(cache: Path) -> None:
    """Make the folder of a cache; call it before long work.

    Raises:
        OutputError: it cannot be made, or nothing can be written into it.
    """
    with _errors_about(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with atomic.staging(cache):
            pass


@contextlib.contextmanager
def _errors_about(cache: Path) -> Iterator[None]:
    """Convert errors of the file system while the cache is written."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to the cache {str(cache)!r} ({error.strerror}); choose another --cache"
        ) from error


def of_stems(song: Song, stems: Sequence[str]) -> SongGram:
    """The Gram matrix of a song's true stems and their sum, in one band, without separating it.

    Args:
        song: see :func:`of_song`.
        stems: stems of the track.

    Raises:
        EvaluationError: see :func:`of_song`.
    """
    known = truth.known(song, stems)
    layout = _layout(song)
    names = (MIXTURE, *known)
    products = np.zeros((1, len(names), len(names)))
    files = [blocks(path, layout.samples) for path in song.stems.values()]
    for parts in zip(*files, strict=True):
        here = dict(zip(song.stems, parts, strict=True))
        silence = np.zeros_like(parts[0])
        rows = [np.sum(parts, axis=0), *(here.get(stem, silence) for stem in known)]
        signals = np.stack([row.reshape(-1) for row in rows])
        products[0] += signals @ signals.T
    return SongGram(
        names,
        products,
        song=song.name,
        folder=str(song.folder.parent),
        sample_rate_hz=layout.sample_rate_hz,
    )


def _key(song: Song, recipe: Recipe) -> str:
    """Key of the cache: a hash of what decides the measurements.

    That is path, size and time of the audio, each member's input and options, and its weights.
    """
    subtracted = {stem for member in recipe.members for stem in member.subtract}
    used = [repr(blend) for blend in recipe.blends if blend.stem in subtracted]
    files = [
        (stem, str(path.resolve()), status.st_size, status.st_mtime)
        for stem, path in song.stems.items()
        for status in [stem_file.file_of(path).stat()]
    ]
    members = [repr(_asked(member, subtracted)) for member in recipe.members]
    text = json.dumps([LAYOUT, members, made_with(recipe), used, files])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _asked(member: Member, subtracted: set[str]) -> Member:
    """A member without the fields that do not affect its estimate: gains, and perhaps its doubt."""
    settings = tuple(dataclasses.replace(one, gain_db=0.0) for one in member.settings)
    doubt = member.doubt if subtracted.intersection(member.outputs) else None
    return dataclasses.replace(member, settings=settings, doubt=doubt)


def _measured(song: Song, demixer: Demixer) -> SongGram:
    """Stream a song through the recipe, and compute the Gram matrix of all estimates."""
    stems = demixer.recipe.track.stems
    known = truth.known(song, stems)
    layout = _layout(song)
    true = {
        stem: np.concatenate(list(blocks(path, layout.samples))).astype(np.float32).T.copy()
        for stem, path in song.stems.items()
    }  # (channels, samples)
    if layout.channels == 1:
        true = {stem: np.repeat(one, 2, axis=0) for stem, one in true.items()}
    mixture = torch.from_numpy(np.sum(list(true.values()), axis=0))
    estimates: dict[str, list[torch.Tensor]] = {}

    def tap(member: str, stem: str, pairs: torch.Tensor) -> None:
        if pairs.shape[-1]:
            estimates.setdefault(signal_name(member, stem), []).append(pairs[0].clone())

    cut = torch.split(mixture, audio.BLOCK, dim=-1)
    statistics = normalisation.measured(demixer.recipe, cut, layout.sample_rate_hz)
    for _ in demixer.stream(cut, layout.sample_rate_hz, tap=tap, statistics=statistics):
        pass
    signals = {name: torch.cat(estimates.pop(name), dim=-1).numpy() for name in list(estimates)}
    signals[MIXTURE] = mixture.numpy()
    silence = np.zeros_like(signals[MIXTURE])
    signals |= {stem: true.pop(stem, silence) for stem in known}
    names = tuple(signals)
    rate_hz = layout.sample_rate_hz
    return SongGram(
        names, products_of(signals, rate_hz), song=song.name, folder="", sample_rate_hz=rate_hz
    )


def _layout(song: Song) -> Layout:
    """The format of all stems of a song.

    Raises:
        EvaluationError: they differ, or have more channels than members are measured with.
    """
    layout = truth.common_layout(song)
    if layout.channels > MOST_CHANNELS:
        raise EvaluationError(
            f"expected mono or stereo stems in {str(song.folder)!r}, got {layout.channels} "
            "channels; leave the song out, or mix its stems down"
        )
    return layout


def products_of(
    signals: dict[str, NDArray[np.float32]], sample_rate_hz: int
) -> NDArray[np.float64]:
    """Gram matrix of all signals, band by band; by Parseval's theorem, it is that of the samples.

    Args:
        signals: ``(channels, samples)`` each, by name. The dict is emptied, because spectra take
            as much memory as signals.
        sample_rate_hz: sample rate of all signals.

    Returns:
        ``(bands, signals, signals)``. Bands are rectangular, and have the frequencies with the
        largest weight in that band of :func:`demixing.engine.leakage_filter.in_bands`.
    """
    samples = next(iter(signals.values())).shape[-1]
    length = fft.next_fast_len(samples, real=True)
    spectra = []
    for name in list(signals):
        spectrum = fft.rfft(signals.pop(name).astype(np.float64), length)
        # A bin counts for two frequencies, except the first and, for even lengths, the last.
        spectrum[:, 0] *= np.sqrt(0.5)
        if length % 2 == 0:
            spectrum[:, -1] *= np.sqrt(0.5)
        spectra.append(spectrum.astype(np.complex64))
    bins = length // 2 + 1
    edges = [*edges_of(bins, sample_rate_hz), bins]
    products = np.zeros((BANDS, len(spectra), len(spectra)))
    for band, (first, end) in enumerate(itertools.pairwise(edges)):
        for start in range(first, end, audio.BLOCK):  # float64 for a block at a time
            stop = min(start + audio.BLOCK, end)
            block = np.stack([spectrum[:, start:stop].reshape(-1) for spectrum in spectra])
            parts = block.view(np.float32).astype(np.float64)  # real and imaginary, in turn
            products[band] += parts @ parts.T
    products *= 2 / length
    return products


def edges_of(bins: int, sample_rate_hz: int) -> list[int]:
    """First bin of each band."""
    bands = in_bands(FINE + 1, sample_rate_hz).argmax(dim=1)
    firsts = torch.searchsorted(bands, torch.arange(BANDS))
    return [-(-int(first) * (bins - 1) // FINE) for first in firsts]
