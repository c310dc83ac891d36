"""What the players of one song share: the dice, the score, the packages, the books."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from demixing.rendering import band, midi, packages
from demixing.rendering.arrangement import Arrangement
from demixing.rendering.packages import Font, Source, Split
from demixing.rendering.sound import Audio

Random = np.random.Generator


@dataclass(slots=True)
class Studio:
    """What all players of one song share.

    Attributes:
        rng: draws everything.
        split: what may be heard.
        packages: folder with one unpacked package per folder.
        folder: for files.
        samples: length of the song.
        song: what is played.
        electronic: whether it is more synthesisers than instruments.
        used: sources of the sound, by name of the package.
        methods: how each stem was made, for people.
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
        """Toss a coin."""
        return bool(self.rng.random() < share)

    def tell(self, stem: str, method: str) -> None:
        """Note how a stem was made."""
        self.methods.setdefault(stem, []).append(method)

    def files_of(self, sources: Sequence[Source]) -> list[tuple[Source, Path]]:
        """All files of some sources."""
        return [(s, path) for s in sources for path in packages.find(self.packages, s)]

    def fluidsynth(self, font: Font, tracks: list[midi.Track]) -> Audio:
        """Let a soundfont play."""
        self.use(font.source, Path(font.source.path))
        path = packages.find(self.packages, font.source)[0]
        score = self.song.score.only(tracks)
        return band.play(packages.tool("fluidsynth"), path, score, self.samples, self.folder)

    def font(self, *, drums: bool = False) -> Font:
        """Choose a soundfont."""
        fonts = [font for font in self.split.fonts if font.instruments or drums]
        return fonts[int(self.rng.integers(len(fonts)))]

    def use(self, source: Source, path: Path) -> None:
        """Note a source."""
        self.used.add(source.package)
        name = f"{path.parent.name}/{path.name}"
        if name not in self.files:
            self.files.append(name)
