"""An ensemble of files: the mean or the median of estimates of one stem, made by any program.

Files are read in blocks, so memory does not depend on their length.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.audio import SongFormat
from demixing.audio.files import read_blocks, song_format, whole_files, write_stems
from demixing.errors import ConfigError, SongError
from demixing.evaluation.metrics.sdr import Meter

FEWEST, FEWEST_FOR_MEDIAN = 2, 3
"""A median of two is their mean."""

Combine = Callable[[Tensor], Tensor]
"""Maps ``(files, channels, samples)`` to ``(channels, samples)``."""


def mean(weights: Sequence[float]) -> Combine:
    """Return the weighted mean.

    Args:
        weights: one per file; their sum is not zero.

    >>> mean([3, 1])(torch.tensor([[[1.0]], [[5.0]]]))
    tensor([[2.]])
    """
    parts = torch.tensor(weights, dtype=torch.float64)
    shares = (parts / parts.sum()).float()
    return lambda files: torch.einsum("f,fcn->cn", shares, files)


def median(files: Tensor) -> Tensor:
    """Return the median of each sample; of an even number, the mean of the two in the middle.

    >>> median(torch.tensor([[[1.0]], [[9.0]], [[2.0]], [[4.0]]]))
    tensor([[3.]])
    """
    ordered = files.sort(dim=0).values
    count = len(ordered)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


def check(files: Sequence[Path], weights: Sequence[float] | None, *, by_median: bool) -> None:
    """Raise unless files can be combined in this way.

    Raises:
        ConfigError: there are too few files, or weights that do not fit.
    """
    fewest = FEWEST_FOR_MEDIAN if by_median else FEWEST
    if len(files) < fewest:
        what = "a median" if by_median else "an ensemble"
        raise ConfigError(f"expected at least {fewest} files for {what}, got {len(files)}")
    if weights is None:
        return
    if by_median:
        raise ConfigError("a median has no weights: leave out --weights or --median")
    if len(weights) != len(files):
        raise ConfigError(f"expected a weight for each of {len(files)} files, got {len(weights)}")
    if not (min(weights) >= 0 and 0 < sum(weights) < float("inf")):
        raise ConfigError(f"expected weights of 0 or more, and one above 0, got {list(weights)}")


def same_format(files: Sequence[Path]) -> SongFormat:
    """The format of all files.

    Raises:
        SongError: a file cannot be read, or differs from the first.
    """
    first, *others = [song_format(path) for path in files]
    for path, other in zip(files[1:], others, strict=True):
        for what, expected, got in (
            ("samples", first.frames, other.frames),
            ("channels", first.channels, other.channels),
            ("Hz", first.sample_rate_hz, other.sample_rate_hz),
        ):
            if expected != got:
                raise SongError(f"expected {expected} {what} as in {files[0]}, got {got} in {path}")
    return first


def write(
    files: Sequence[Path],
    output: Path,
    combine: Combine,
    *,
    bits: str,
    bitrate: int | None = None,
    replace: bool = False,
    reference: Path | None = None,
) -> list[float]:
    """Write the ensemble of some files.

    Args:
        files: estimates of one stem.
        output: the new file; its suffix chooses the format.
        combine: :func:`mean` or :func:`median`.
        bits: of samples; see :func:`demixing.audio.files.write_stems`.
        bitrate: of lossy formats, in kbit/s.
        replace: whether a file that exists is replaced.
        reference: the true stem.

    Returns:
        With a reference, the official SDR of each file, then that of the ensemble; otherwise
        nothing.

    Raises:
        SongError: a file cannot be read, or differs from the others.
        OutputError: the ensemble cannot be written.
    """
    everything = [*files, *([reference] if reference else [])]
    form = same_format(everything)
    meters = [Meter() for _ in (*files, output)] if reference else []

    def blocks() -> Iterator[Tensor]:
        for together in _together(everything):
            estimates = together[: len(files)]
            result = combine(estimates)
            if reference:
                for meter, one in zip(meters, (*estimates, result), strict=True):
                    meter.update(_plain(together[-1]), _plain(one))
            yield result[None]

    with whole_files([output], replace=replace) as (stage,):
        for _ in write_stems(blocks(), {"ensemble": stage}, form, bits=bits, bitrate=bitrate):
            pass
    return [meter.value_db for meter in meters]


def _together(files: Sequence[Path]) -> Iterator[Tensor]:
    """Yield blocks of several files, ``(files, channels, samples)``.

    Raises:
        SongError: a file ends early.
    """
    for blocks in itertools.zip_longest(*map(read_blocks, files)):
        lengths = [0 if block is None else block.shape[-1] for block in blocks]
        if len({*lengths}) > 1:
            shorter = files[lengths.index(min(lengths))]
            raise SongError(f"{shorter} has fewer samples than its header says; write it again")
        yield torch.stack(blocks)


def _plain(block: Tensor) -> NDArray[np.float64]:
    """Convert ``(channels, samples)`` to what the evaluation measures."""
    return block.numpy().T.astype(np.float64)
