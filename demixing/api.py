"""The library's entry point: :class:`Separator` separates audio in memory.

It has no deadline and no child process, and all errors are raised. The recipe's gates, which serve
the score of the contest, are not applied.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.audio import BLOCK, whole_rate
from demixing.audio.files import SUBTYPES
from demixing.engine import asked, of_checkpoint, optional, separate_file
from demixing.engine.demixer import Demixer
from demixing.engine.normalisation import measured
from demixing.errors import ConfigError, OutputError, SongError
from demixing.machine import threads
from demixing.machine.device import on_device
from demixing.notebook import recipe as recipe_card
from demixing.notebook.stems import Stems
from demixing.recipes import reading, tracks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demixing.engine.progress import Report
    from demixing.recipes.recipe import Recipe

logger = logging.getLogger(__name__)

Audio = TypeVar("Audio", NDArray[Any], Tensor)


class Separator:
    """Separates whole songs with one recipe. Build it once, then call it for each song.

    An object may be used by one thread at a time. Building one may lower torch's number of threads,
    to what the container grants.

    Args:
        recipe: a name from ``demixing list``, such as ``mdx_default`` or ``cdx_default``, or the
            path of a recipe's TOML file. None: ``mdx_default``, unless there is a checkpoint.
        checkpoint: takes the place of a recipe: weights from ``demixing list --systems``, or the
            path of your own file.
        config: path of the YAML file of your own checkpoint; only with ``checkpoint``.
        stems: names of stems: only these are separated, with what they need. ``instrumental`` is
            the mixture without vocals or dialog, ``residual`` what all stems leave of it. None:
            all stems of the recipe.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; None takes the GPU if there is one.
        best: use all of the recipe's test-time augmentation: slower, slightly better.
        progress: is called with a :class:`~demixing.Progress` at the start and after each chunk.

    Attributes:
        stems: names of the stems, in the order of the results.
        missing: optional members of the recipe that are left out because their weights or packages
            are not on this machine. A warning in the log says how to get them.

    Raises:
        ConfigError: there is no such recipe, stem or device, or arguments exclude each other.
        CheckpointError: weights are missing or damaged.

    >>> separator = Separator("mdx_equal_shares")
    >>> stems = separator(np.ones((1000, 2), dtype=np.float32), 44_100)
    >>> {stem: array.shape for stem, array in stems.items()}
    {'bass': (1000, 2), 'drums': (1000, 2), 'other': (1000, 2), 'vocals': (1000, 2)}
    """

    def __init__(
        self,
        recipe: str | Path | None = None,
        *,
        checkpoint: str | Path | None = None,
        config: str | Path | None = None,
        stems: Sequence[str] | None = None,
        device: str | None = None,
        best: bool = False,
        progress: Report | None = None,
    ) -> None:
        if isinstance(stems, str):  # a sequence as well, of letters
            raise ConfigError(f"expected a sequence of stems such as [{stems!r}], got {stems!r}")
        self._best = best
        self._progress = progress
        chosen = _chosen(recipe, checkpoint, config)
        threads.limit()
        with on_device(device):
            self._demixer = Demixer(asked.prepared(chosen, stems))
        self._wanted = asked.relevant(chosen, stems)
        self.missing = optional.absent(self._wanted)
        if self.missing:
            logger.warning("%s", optional.advice(self._wanted))
        self.stems = self._demixer.recipe.outputs

    def __repr__(self) -> str:
        recipe = self._demixer.recipe
        return f"<Separator {recipe.name}: {', '.join(self.stems)}>"

    def _repr_html_(self) -> str:
        """The recipe, its members and what is missing, in a notebook."""
        return recipe_card.card(self._wanted, self.missing, optional.advice(self._wanted))

    def __call__(self, audio: Audio, sample_rate_hz: int) -> Stems[Audio]:
        """Separate one song.

        Args:
            audio: floats with full scale at ±1. A NumPy array is ``(samples, channels)``, as
                soundfile reads it; a torch tensor is ``(channels, samples)``. Mono may be
                ``(samples,)`` in either. At most 16 channels. Not modified.
            sample_rate_hz: 8000 to 192000.

        Returns:
            A dict with an entry per stem, with the type, shape, precision and device of ``audio``.
            In a notebook it shows players and waveforms.

        Raises:
            SongError: the audio is empty, not finite, or has an unsupported shape or type.
            OutputError: a separator returned a NaN or an infinity.
        """
        rate_hz = whole_rate(sample_rate_hz)
        song = as_song(audio)
        blocks = torch.split(song, BLOCK, dim=-1)
        statistics = None
        if self._demixer.normalises:
            statistics = measured(self._demixer.recipe, blocks, rate_hz)
        stream = self._demixer.stream(
            blocks,
            rate_hz,
            samples=song.shape[-1],
            best=self._best,
            statistics=statistics,
            report=self._progress,
        )
        stems = as_given(stream, audio, len(self.stems))
        return Stems(dict(zip(self.stems, stems, strict=True)), rate_hz)

    def separate_file(
        self, song: str | Path, folder: str | Path, *, bits: str = "32f"
    ) -> dict[str, Path]:
        """Separate a file of any length in constant memory.

        Args:
            song: an audio file.
            folder: gets ``STEM.wav`` for each stem. Files that exist are replaced; all stems appear
                together, or none.
            bits: of a sample: ``16``, ``24`` or ``32f``, which keeps peaks above full scale.

        Returns:
            The path of each stem.

        Raises:
            SongError: the song cannot be read or separated.
            OutputError: the stems cannot be written, or one would replace the song.
            ConfigError: there is no such depth.
        """
        if bits not in SUBTYPES:
            raise ConfigError(f"expected bits to be one of {', '.join(SUBTYPES)}, got {bits!r}")
        paths = {stem: Path(folder) / f"{stem}.wav" for stem in self.stems}
        for path in paths.values():
            if _is_same_file(path, Path(song)):
                raise OutputError(f"{path} is both the song and an output; choose another folder")
        order = separate_file.Order(song=Path(song), paths=paths, bits=bits, best=self._best)
        separate_file.separate_file(self._demixer, order, self._progress)
        return paths


def _chosen(
    recipe: str | Path | None, checkpoint: str | Path | None, config: str | Path | None
) -> Recipe:
    """Read the recipe, or make that of the checkpoint.

    Raises:
        ConfigError: there is none, or the arguments exclude each other.
        CheckpointError: the checkpoint is missing or damaged.
    """
    if checkpoint is not None:
        if recipe is not None:
            raise ConfigError(
                f"checkpoint takes the place of a recipe, got {str(recipe)!r} too: leave one out"
            )
        return of_checkpoint.recipe(str(checkpoint), str(config or ""))
    if config:
        raise ConfigError(f"config is for a checkpoint, got {str(config)!r} alone: name one too")
    default = reading.default_name(tracks.by_name("mdx"))
    return reading.load(str(default if recipe is None else recipe))


def _is_same_file(path: Path, song: Path) -> bool:
    """Whether writing a path would change a song; links are followed."""
    try:
        return path.samefile(song)
    except (OSError, ValueError):  # one is missing, or cannot be a path
        return False


def as_song(given: object) -> Tensor:
    """Convert the caller's audio to a float32 tensor ``(channels, samples)`` on the CPU.

    Raises:
        SongError: it is not a non-empty array or tensor of floats with one or two axes.
    """
    if not isinstance(given, np.ndarray | Tensor):
        raise SongError(f"expected a NumPy array or a torch tensor, got {type(given).__name__}")
    if not (given.is_floating_point() if isinstance(given, Tensor) else given.dtype.kind == "f"):
        raise SongError(
            f"expected floats with full scale at 1, got {given.dtype}; "
            "divide integers by their full scale"
        )
    if 0 in given.shape:
        raise SongError(f"expected audio of at least one sample, got shape {tuple(given.shape)}")
    order = "(channels, samples)" if isinstance(given, Tensor) else "(samples, channels)"
    if given.ndim not in (1, 2):
        raise SongError(f"expected audio of shape {order} or (samples,), got {tuple(given.shape)}")
    if isinstance(given, Tensor):
        song = given.detach().to("cpu", torch.float32)
    else:
        with np.errstate(over="ignore"):  # an overflow is rejected later as an infinity
            song = torch.from_numpy(np.array(given.T, dtype=np.float32, order="C"))
    return song.reshape(-1, song.shape[-1])


def as_given(blocks: Iterable[Tensor], given: Audio, count: int) -> list[Audio]:
    """Join the blocks of stems, in the type and shape of the caller's audio.

    Each stem has memory of its own, so one can be kept or saved without the others. It is written
    as blocks arrive, so the stems are never in memory twice.

    Args:
        blocks: ``(stems, channels, samples)`` each, together as long as the audio.
        given: the caller's audio.
        count: number of stems.

    Raises:
        OutputError: they are not as long as the audio.
    """
    stems = [_empty_like(given) for _ in range(count)]
    done = 0
    for block in blocks:
        for stem, separated in zip(stems, block, strict=True):
            _write(separated, stem, done)
        done += block.shape[-1]
    if done != _length(given):
        raise OutputError(f"expected stems as long as the audio, got {done} samples")
    return stems


def _length(given: NDArray[Any] | Tensor) -> int:
    """Samples of audio in each channel."""
    return given.shape[-1] if isinstance(given, Tensor) else len(given)


def _empty_like(given: Audio) -> Audio:
    """Audio of the same type and shape, with memory of its own."""
    if isinstance(given, Tensor):
        return torch.empty(given.shape, dtype=given.dtype, device=given.device)
    return np.empty(given.shape, given.dtype)


def _write(separated: Tensor, stem: Audio, start: int) -> None:
    """Write a block of one stem, ``(channels, samples)``, from a sample on."""
    part = slice(start, start + separated.shape[-1])
    if isinstance(stem, Tensor):
        stem.view(-1, stem.shape[-1])[:, part] = separated
    else:
        # One channel at a time: a transposed copy of all takes five times as long.
        for channel, samples in zip(stem.reshape(len(stem), -1).T, separated, strict=True):
            channel[part] = samples.numpy()
