"""Scores whole songs with the same separator and metric as an evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demixing.chunks.overlap_add import OverlapAdd
from demixing.evaluation.metrics.sdr import Meter
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.separators import trained
from demixing.training.data.songs import Song, read
from demixing.training.fitting.song_gram import SILENT_DB

BLOCK_S = 10
"""Length of the blocks in which songs are read, in seconds."""


@dataclass(frozen=True, slots=True)
class ValidSong:
    """A song for validation.

    Attributes:
        folder: label of the folder of ``data.valid`` that it is from; no two folders share one.
        song: the song.
    """

    folder: str
    song: Song

    @property
    def name(self) -> str:
        """Its name in scores, which no other song has."""
        return f"{self.folder}/{self.song.name}"


@dataclass(frozen=True, slots=True)
class Scores:
    """SDR in dB of the songs for validation.

    Attributes:
        songs: scores by folder and name of the song, then by stem; without silent stems.
        folders: label of the folder of each song.
    """

    songs: dict[str, dict[str, float]]
    folders: dict[str, str]

    def stems(self) -> dict[str, float]:
        """Mean SDR in dB over folders of the mean over their songs, by stem."""
        return {
            stem: _mean_of_folders(
                [
                    (self.folders[name], scores[stem])
                    for name, scores in self.songs.items()
                    if stem in scores
                ]
            )
            for stem in sorted({stem for scores in self.songs.values() for stem in scores})
        }

    def mean(self) -> float:
        """Mean SDR in dB over stems; -inf if no song has a stem that is not silent."""
        stems = self.stems()
        return float(np.mean(list(stems.values()))) if stems else -math.inf


@torch.inference_mode()
def score(network: ChunkGeometry, songs: Sequence[ValidSong], stems: Sequence[str]) -> Scores:
    """Separate songs and score them.

    Args:
        network: network in evaluation mode, on any device.
        songs: songs with their stems, at the rate of the network; the mixture is the sum of the
            stems.
        stems: stems of the network, in its order.

    Raises:
        SongError: a file cannot be read.
    """
    separator = trained.of_network(_OnDevice(network), stems)
    scores: dict[str, dict[str, float]] = {}
    for one in songs:
        song = one.song
        meters, energies = [Meter() for _ in stems], np.zeros(len(stems))
        mixed = 0.0
        overlap = OverlapAdd(separator)
        waiting: list[Tensor] = []
        block = BLOCK_S * song.rate_hz
        for start in range(0, song.samples + block, block):
            if start < song.samples:
                length = min(block, song.samples - start)
                truth = torch.stack([read(song, stem, start, length) for stem in stems])
                energies += truth.double().square().sum(dim=(1, 2)).numpy()
                mixed += float(truth.sum(dim=0).double().square().sum())
                waiting.append(truth)
                estimate = overlap.push(truth.sum(dim=0)[None])[0]
            else:
                estimate = overlap.finish()[0]
            truth = torch.cat(waiting, dim=-1)
            for index, meter in enumerate(meters):
                now = truth[index, :, : estimate.shape[-1]].T.double().numpy()
                meter.update(now, estimate[index].T.double().numpy())
            waiting = [truth[..., estimate.shape[-1] :]]
        limit = 10 ** (SILENT_DB / 10) * mixed
        scores[one.name] = {
            stem: meter.value_db
            for stem, meter, energy in zip(stems, meters, energies, strict=True)
            if energy > limit
        }
    return Scores(scores, {one.name: one.folder for one in songs})


class _OnDevice(ChunkGeometry):
    """A network on another device whose input and output are on the CPU."""

    def __init__(self, network: ChunkGeometry) -> None:
        super().__init__()
        self.network = network
        self.sample_rate_hz, self.chunk, self.hop = (
            network.sample_rate_hz,
            network.chunk,
            network.hop,
        )
        self.context, self.step, self.shorter = network.context, network.step, network.shorter

    def forward(self, mixture: Tensor) -> Tensor:
        """Map mixtures, ``(batch, 2, samples)``, to ``(batch, stems, 2, samples)``."""
        device = next((one.device for one in self.network.parameters()), mixture.device)
        return self.network(mixture.to(device)).float().cpu()  # type: ignore[no-any-return]


def _mean_of_folders(values: Sequence[tuple[str, float]]) -> float:
    """Mean over folders of the mean over the songs of a folder."""
    folders = sorted({folder for folder, _ in values})
    means = [np.mean([value for one, value in values if one == folder]) for folder in folders]
    return float(np.mean(means))
