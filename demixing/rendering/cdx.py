"""Clips of the CDX track: speech, effects and music, as in films."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demixing.rendering.corpus import Piece
from demixing.rendering.film.audio import STEMS
from demixing.rendering.film.clips import Stock, draw_clip, fill_stock
from demixing.rendering.film.sources import SPLITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Renders clips.

    Attributes:
        split: a key of :data:`demixing.rendering.film.sources.SPLITS`.
        duration_s: length of every clip.
        seed: seed of all random choices.
        packages: folder with one unpacked package per folder.
        stock: the recordings of the split.
    """

    split: str
    duration_s: float
    seed: int
    packages: Path
    stock: Stock

    @property
    def kind(self) -> str:
        """First word of the names of the folders."""
        return "clip"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Values that all clips of a corpus share."""
        return {"split": self.split, "seed": self.seed, "duration_s": self.duration_s}

    def make(self, number: int) -> Piece:
        """Draw one clip."""
        drawn = draw_clip(self.stock, self.duration_s, self.seed, number)
        stems = dict(zip(STEMS, drawn.audio, strict=True))
        sources = {
            **self.identity,
            "silent": next((stem for stem in STEMS if not stems[stem].any()), None),
            "packages": sorted({recording.package for recording in drawn.recordings}),
            "files": [
                ":".join(filter(None, (recording.path.name, recording.member)))
                for recording in drawn.recordings
            ],
        }
        return Piece(stems, sources)


def clips(split: str, duration_s: float, seed: int, packages: Path) -> Clips:
    """Prepare clips of a split.

    Raises:
        ConfigError: a package is missing.
    """
    stock = fill_stock(packages, SPLITS[split])
    return Clips(split=split, duration_s=duration_s, seed=seed, packages=packages, stock=stock)
