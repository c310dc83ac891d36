"""Measures how much of a stem's quiet places comes from another stem of its song.

A song is divided into cells of a few seconds by half an octave. In a cell where a stem is at least
:data:`QUIET_DB` softer than another, its spectrum is predicted from those of all other stems, with
one complex factor per stem and frequency, fitted by least squares to one half of the frames. The
cell's share is the part of the stem's power in the other half that these factors predict. It is
near 0 where the stem has a sound of its own, or none, and near 1 where it is a linear copy of other
stems, through any equaliser. Envelopes that merely move together predict nothing, because the
phases must agree in both halves. Those of steady tones do so by chance. So the prediction is
repeated with the other stems delayed, and only the excess counts.

Where a stem bleeds, many of its quiet places have a high share, all with the same gain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUIET_DB = 10
"""A stem is quiet if it is this much softer than another; half the cells at -20 dB of bleeding."""
SILENT_DB = -90
"""A softer cell counts as silent, so nothing bleeds: 16 bits do not resolve it."""
AUDIBLE_DB = -60
"""Another stem must be at least this loud in a cell, otherwise the cell is not used."""
INDEPENDENT = 40
"""Independent frames in half a cell: neighbouring frames overlap, and sounds last."""
BAND_EDGES_HZ = tuple(round(100 * 2 ** (step / 2)) for step in range(15))
"""Half octaves from 100 Hz to 12.8 kHz."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A quiet place of a stem.

    Attributes:
        stem: index of the stem.
        source: index of the stem that predicts most of it.
        share: part of its power that other stems predict, 0 to 1.
        gain_db: gain of the source in the stem.
    """

    stem: int
    source: int
    share: float
    gain_db: float


@dataclass(frozen=True, slots=True)
class Leak:
    """Evidence in the quiet places of a stem that one other stem leaks into it.

    Attributes:
        source: name of the other stem.
        places: number of cells in which it predicts more than the rest.
        share: third quartile of the shares of these cells, 0 to 1.
        gain_db: gain of the source in the stem: median over the best quarter of the cells.
        spread_db: interquartile range of that gain.
    """

    source: str
    places: int
    share: float
    gain_db: float
    spread_db: float


def leaks(found: Sequence[Cell], stem: int, names: Sequence[str]) -> list[Leak]:
    """Summarise the cells of a stem, by source; the highest share first."""
    result = []
    for source in range(len(names)):
        of_pair = [cell for cell in found if (cell.stem, cell.source) == (stem, source)]
        if not of_pair:
            continue
        shares = np.array([cell.share for cell in of_pair])
        best = float(np.quantile(shares, 0.75))
        gains = np.array([cell.gain_db for cell in of_pair])[shares >= best]
        low, middle, high = np.quantile(gains, (0.25, 0.5, 0.75))
        numbers = (round(best, 3), round(float(middle), 1), round(float(high - low), 1))
        result.append(Leak(names[source], len(of_pair), *numbers))
    return sorted(result, key=lambda leak: -leak.share)


def cells(spectra: NDArray[np.complex64], rate_hz: int) -> list[Cell]:
    """Find the quiet places of all stems in a few seconds of a song.

    Args:
        spectra: ``(stems, channels, frames, bins)``.
        rate_hz: sample rate of the audio.
    """
    stems, _, frames, bins = spectra.shape
    if stems < 2 or frames < 4 * stems:
        return []
    edges = np.searchsorted(np.arange(bins) * rate_hz / (2 * bins - 2), BAND_EDGES_HZ)
    edges = np.unique(edges[edges < bins])
    if len(edges) < 2:
        return []
    kept = spectra[..., edges[0] : edges[-1]]
    halves = kept[:, :, : frames // 2], kept[:, :, frames // 2 :]
    crosses = [_cross(half, half) for half in halves]
    late = [_cross(np.roll(half, frames // 4, axis=2), half) for half in halves]
    cross = (crosses[0] + crosses[1]) / 2
    starts = edges[:-1] - edges[0]
    power = np.einsum("fii->if", cross).real
    levels = 10 * np.log10(np.add.reduceat(power, starts, axis=1) + 1e-30)
    found = []
    for stem in range(stems):
        others = [other for other in range(stems) if other != stem]
        loudest = levels[others].max(axis=0)
        quiet = (loudest > AUDIBLE_DB) & (levels[stem] < loudest - QUIET_DB)
        if not quiet.any():
            continue
        shares = explained(crosses, [half[:, stem] for half in crosses], stem, others, starts)
        chance = explained(crosses, [half[:, stem] for half in late], stem, others, starts)
        shares = (shares - chance) / (1 - chance.clip(max=0.9))
        sources, gains = loudest_parts(cross, stem, others, starts)
        for band in np.flatnonzero(quiet):
            silent = levels[stem, band] < SILENT_DB
            found.append(
                Cell(
                    stem=stem,
                    source=int(sources[band]),
                    share=0.0 if silent else float(shares[band].clip(0, 1)),
                    gain_db=float(gains[band]),
                )
            )
    return found


def _cross(one: NDArray[np.complex64], two: NDArray[np.complex64]) -> NDArray[np.complex128]:
    """Mean over channels and frames of the products of two stems.

    Args:
        one: spectra, ``(stems, channels, frames, bins)``.
        two: the same, conjugated in the products.

    Returns:
        ``(bins, stems, stems)``.
    """
    stems, channels, frames, bins = one.shape
    # Channels count as additional frames. In a sum, sounds out of phase between them would vanish.
    left = one.transpose(3, 0, 1, 2).reshape(bins, stems, -1)
    right = two.conj().transpose(3, 1, 2, 0).reshape(bins, -1, stems)
    result: NDArray[np.complex128] = (left @ right).astype(np.complex128) / (channels * frames)
    return result


def explained(
    crosses: Sequence[NDArray[np.complex128]],
    outer: Sequence[NDArray[np.complex128]],
    stem: int,
    others: list[int],
    starts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The share of a stem's power that others predict, with factors fitted to other frames.

    Args:
        crosses: cross spectra of two halves, each ``(bins, stems, stems)``.
        outer: cross spectra of the stem with all stems, each ``(bins, stems)``.
        stem: index of the stem.
        others: indices of the other stems.
        starts: first bin of each band, ``(bands,)``.

    Returns:
        ``(bands,)``, from 0 to 1.
    """
    total = crosses[0][:, stem, stem].real + crosses[1][:, stem, stem].real
    left = np.zeros(len(total))
    for learnt, tested in ((0, 1), (1, 0)):
        factors = _factors(crosses[learnt], outer[learnt], stem, others)
        inner = crosses[tested][:, others][:, :, others]
        predicted = (factors[:, None] @ inner @ factors[:, :, None].conj())[:, 0, 0].real
        common = (factors * outer[tested][:, others].conj()).sum(axis=1).real
        left += crosses[tested][:, stem, stem].real - 2 * common + predicted
    shares: NDArray[np.float64] = np.add.reduceat(left, starts)
    return (1 - shares / (np.add.reduceat(total, starts) + 1e-30)).clip(0, 1)


def loudest_parts(
    cross: NDArray[np.complex128], stem: int, others: list[int], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each band, the other stem that predicts most of a stem.

    Args:
        cross: cross spectra, ``(bins, stems, stems)``.
        stem: index of the stem.
        others: indices of the other stems.
        starts: first bin of each band, ``(bands,)``.

    Returns:
        Index of the other stem, and its gain in dB, both ``(bands,)``.
    """
    factors = _factors(cross, cross[:, stem], stem, others)
    levels = np.einsum("fii->if", cross).real[others]
    parts = np.add.reduceat(np.square(np.abs(factors.T)) * levels, starts, axis=1)
    best = parts.argmax(axis=0)
    columns = np.arange(len(starts))
    loud = np.add.reduceat(levels, starts, axis=1)[best, columns] + 1e-30
    gains = 10 * np.log10(parts[best, columns] / loud + 1e-12)
    return np.array(others)[best], gains


def _factors(
    cross: NDArray[np.complex128], outer: NDArray[np.complex128], stem: int, others: list[int]
) -> NDArray[np.complex128]:
    """Least-squares factors of other stems, with a prior towards small ones.

    Args:
        cross: cross spectra, ``(bins, stems, stems)``.
        outer: cross spectra of the stem with all stems, ``(bins, stems)``.
        stem: index of the stem.
        others: indices of the other stems.

    Returns:
        ``(bins, others)``.
    """
    # Ridge regression with a prior mean square of 1 for the factors. It keeps the factors of stems
    # small that are too soft here to be estimated.
    doubt = cross[:, stem, stem].real / INDEPENDENT + 1e-14
    inner = cross[:, others][:, :, others] + doubt[:, None, None] * np.eye(len(others))
    # The outer products are the factors times the inner ones, which are Hermitian.
    solved = np.linalg.solve(inner.transpose(0, 2, 1), outer[:, others, None])
    return solved[:, :, 0].astype(np.complex128)
