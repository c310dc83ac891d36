"""Builds what a run needs from its options: network, songs, examples and batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from demixing.errors import ConfigError
from demixing.networks import trainable
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.training import chain, checkpoint
from demixing.training.config import Run, updated
from demixing.training.data import songs
from demixing.training.distributed import Processes
from demixing.training.examples import Examples, weighted
from demixing.training.validation import ValidSong
from demixing.weights import checkpoints, readers


def run_of(folder: Path) -> Run:
    """The options of the run in a folder.

    Raises:
        ConfigError: there is no checkpoint, or it is damaged.
    """
    return updated(Run(), checkpoint.contents(folder / checkpoint.STATE)["run"])


def built(run: Run) -> ChunkGeometry:
    """Build the network of a run, with its initial weights.

    Raises:
        ConfigError: there is no such network, an option is invalid, or the songs have another rate
            than the network.
        CheckpointError: the weights are missing, or belong to another network.
    """
    how = run.network
    try:
        network = trainable.build(how.name, run.stems, how.options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"network: {error}") from error
    if run.sample_rate_hz != network.sample_rate_hz:
        raise ConfigError(
            f"sample_rate_hz must be {network.sample_rate_hz}, the rate of the network "
            f"{how.name!r}, got {run.sample_rate_hz}; set it, and resample the songs if they have "
            "another rate"
        )
    if how.start:
        if how.start.endswith(".safetensors"):
            state = readers.read("safetensors", Path(how.start)).state
        else:
            state = checkpoints.load(checkpoints.find(how.start))
        ready = trainable.warm_start(how.name, state, run.stems, how.options)
        checkpoints.fill(network, ready, how.start)
    network.requires_grad_(requires_grad=True).train()
    return network


def examples(run: Run) -> Examples:
    """Index the songs of a run, and build its examples.

    Raises:
        ConfigError: there are no songs, or an option is invalid.
    """
    found = [songs.index([Path(folder)], run.stems, split="train") for folder in run.data.train]
    shares = run.data.shares or tuple(float(sum(one.samples for one in group)) for group in found)
    if len(shares) != len(found):
        raise ConfigError(
            f"data.shares must have one value per folder, {len(found)} in all, got {len(shares)}"
        )
    everything, weights = weighted(list(zip(shares, found, strict=True)))
    return Examples(
        songs=everything,
        stems=run.stems,
        samples=run.samples,
        rate_hz=run.sample_rate_hz,
        seed=run.seed,
        examples_per_epoch=run.data.examples_per_epoch,
        augmentations=chain.build(run.augmentations),
        weights=weights,
        read=songs.read,
    )


def valid_songs(run: Run) -> list[ValidSong]:
    """Index the songs for validation.

    Raises:
        ConfigError: a folder has none, or all are silent.
        SongError: a file is damaged, or has another sample rate than the run.
    """
    limit, rate_hz = run.data.valid_songs or None, run.sample_rate_hz
    found = [
        ValidSong(label, song)
        for label, folder in zip(_labels(run.data.valid), run.data.valid, strict=True)
        for song in songs.index([Path(folder)], run.stems, split="valid", rate_hz=rate_hz)[:limit]
    ]
    if found and not any(spans for one in found for spans in one.song.active.values()):
        raise ConfigError(
            f"expected a song in data.valid in which {' or '.join(run.stems)} is not silent, got "
            f"none among {len(found)}; name a folder that has one"
        )
    return found


def _labels(folders: Sequence[str]) -> list[str]:
    """Names of folders; with a number if two have the same.

    >>> _labels(["musdb/valid", "moises/valid"])
    ['1_valid', '2_valid']
    """
    names = [Path(folder).absolute().name for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [f"{number}_{name}" for number, name in enumerate(names, 1)]


class _Batches(Sampler[list[int]]):
    """Positions of the examples of one process in each batch, from a step on."""

    def __init__(self, batch: int, done: int, steps: int, offset: int, share: int) -> None:
        self._batch, self._steps = batch, range(done, steps)
        self._part = range(offset, offset + share)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            yield [step * self._batch + one for one in self._part]

    def __len__(self) -> int:
        return len(self._steps)


class _WholeBatches(Dataset[Tensor]):
    """A run's examples; an item is a batch, which is made in place and not copied together."""

    def __init__(self, source: Examples) -> None:
        self._source = source

    def __getitem__(self, positions: list[int]) -> Tensor:
        return self._source.batch(positions)


def loader(source: Examples, run: Run, done: int, processes: Processes) -> Any:
    """Batches of this process, ``(batch, stems, 2, samples)``, after ``done`` steps."""
    share = run.batch // processes.size
    return DataLoader(
        _WholeBatches(source),
        batch_size=None,  # an item of the data is a batch already
        sampler=_Batches(run.batch, done, run.steps, processes.rank * share, share),
        num_workers=run.workers,
        pin_memory=processes.device.type == "cuda",
        prefetch_factor=4 if run.workers else None,
        # A number is drawn at each start; from the shared generator, it would be missing there.
        generator=torch.Generator(),
    )
