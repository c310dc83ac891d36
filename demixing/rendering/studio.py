"""The context that all players of a song share: randomness, score, packages and notes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from demixing.rendering import fluidsynth, midi, packages
from demixing.rendering.arrangement import Arrangement
from demixing.rendering.packages import Font, Source, Split
from demixing.rendering.sound import Audio

Random = np.random.Generator


@dataclass(slots=True)
class Studio:
    """The context of a song.

    Attributes:
        rng: source of all randomness.
        split: sources of the split.
        packages: folder with one unpacked package per folder.
        folder: folder for temporary files.
        samples: length of the song.
        song: its arrangement.
        electronic: whether it has more synthesisers than instruments.
        used: names of the packages used.
        files: names of the files used.
        methods: how each stem was made, in words.
    """

    rng: Random
    split: Split
    packages: Path
    folder: Path
    samples: int
    song: Arrangement
    electronic: bool
    used: set[str] = field(default_factory=set)
    files: list[str] = field(default_factory=list)
    methods: dict[str, list[str]] = field(default_factory=dict)

    def chance(self, share: float) -> bool:
        """True with a probability of ``share``."""
        return bool(self.rng.random() < share)

    def note(self, stem: str, method: str) -> None:
        """Record how a stem was made."""
        self.methods.setdefault(stem, []).append(method)

    def files_of(self, sources: Sequence[Source]) -> list[tuple[Source, Path]]:
        """All files of some sources."""
        return [(s, path) for s in sources for path in packages.find(self.packages, s)]

    def fluidsynth(self, font: Font, tracks: list[midi.Track]) -> Audio:
        """Play tracks with a soundfont, ``(2, samples)``."""
        self.use(font.source, Path(font.source.path))
        path = packages.find(self.packages, font.source)[0]
        score = self.song.score.only(tracks)
        return fluidsynth.play(packages.tool("fluidsynth"), path, score, self.samples, self.folder)

    def font(self, *, drums: bool = False) -> Font:
        """Draw a soundfont."""
        fonts = [font for font in self.split.fonts if font.instruments or drums]
        return fonts[int(self.rng.integers(len(fonts)))]

    def use(self, source: Source, path: Path) -> None:
        """Record that a file of a source is used."""
        self.used.add(source.package)
        name = f"{path.parent.name}/{path.name}"
        if name not in self.files:
            self.files.append(name)
