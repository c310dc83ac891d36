"""Songs of the MDX track: a band by mma and fluidsynth, and vocals out of speech.

A song depends on its number, the seed, the length and the split alone, so a run that was
interrupted goes on, and a longer run begins with the songs of a shorter one.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demixing.errors import ConfigError
from demixing.rendering import arrangement, band, packages, producer, singing, sound
from demixing.rendering.corpus import Piece
from demixing.rendering.packages import SPLITS
from demixing.rendering.packages import grooves as find_grooves
from demixing.rendering.sound import RATE_HZ, Audio

GENERATIONS = {"train": 2, "valid": 1}
"""What a split usually is made by: recipes were fitted on validation songs of the first."""
STEMS = ("bass", "drums", "other", "vocals")
SILENT_ONE_IN = 6
"""One song in so many lacks vocals, drums or bass."""
LEVELS_DB = {"bass": -20.0, "drums": -18.5, "other": -20.0, "vocals": -17.5}
SPREAD_DB = 3.0
PEAK = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Songs:
    """Makes songs.

    Attributes:
        split: a key of :data:`demixing.rendering.packages.SPLITS`.
        duration_s: length of every song.
        seed: of all that is random.
        packages: folder with one unpacked package per folder.
        grooves: names of mma's grooves by file of its library.
        generation: 1 is a plain band, 2 what :mod:`demixing.rendering.producer` makes of it.
        modules: share of the songs that are pieces of tracker modules.
    """

    split: str
    duration_s: float
    seed: int
    packages: Path
    grooves: tuple[tuple[str, ...], ...]
    generation: int
    modules: float = 0.0

    @property
    def kind(self) -> str:
        """First word of the names of the folders."""
        return "song"

    @property
    def identity(self) -> Mapping[str, Any]:
        """What all songs of a corpus have in common."""
        return {
            "split": self.split,
            "seed": self.seed,
            "duration_s": self.duration_s,
            "generation": self.generation,
            "modules": self.modules,
        }

    def make(self, number: int) -> Piece:
        """Make one song."""
        if self.generation == 1:
            stems, sources = _song(self, number)
            return Piece(stems, asdict(sources))
        split = SPLITS[self.split]
        key = [self.seed, sorted(SPLITS).index(self.split), number, self.generation]
        rng = np.random.default_rng(key)
        # Chosen by dice of its own, so that the other songs are the same with any share.
        if np.random.default_rng([*key, 1]).random() < self.modules:
            stems, told = producer.make_of_module(rng, split, self.packages, self.duration_s)
        else:
            stems, told = producer.make(rng, split, self.packages, self.grooves, self.duration_s)
        return Piece(stems, {**self.identity, **told})


def songs(
    split: str,
    duration_s: float,
    seed: int,
    packages: Path,
    generation: int | None = None,
    modules: float = 0.0,
) -> Songs:
    """Get ready to make songs of a split; without a generation, of the split's usual one.

    Raises:
        ConfigError: a package is missing, or modules are asked for where there are none.
    """
    grooves = find_grooves(packages, SPLITS[split])
    generation = generation or GENERATIONS[split]
    if not 0 <= modules <= 1 or (modules and (generation == 1 or not SPLITS[split].modules)):
        raise ConfigError(
            "expected --modules from 0 to 1, and only for training songs of the second "
            f"generation, got {modules:g} for {split} songs of generation {generation}"
        )
    return Songs(
        split=split,
        duration_s=duration_s,
        seed=seed,
        packages=packages,
        grooves=grooves,
        generation=generation,
        modules=modules,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a song was made of: the sources of its licences.

    Attributes:
        split: of the song.
        seed: of the song.
        duration_s: of the song.
        groove: of mma.
        tempo: in beats per minute.
        silent: the stem that was left out, if any.
        packages: Debian packages that the sound comes from.
        files: soundfonts, and clips that were sung.
    """

    split: str
    seed: int
    duration_s: float
    groove: str
    tempo: int
    silent: str | None
    packages: tuple[str, ...]
    files: tuple[str, ...]


def _song(job: Songs, number: int) -> tuple[dict[str, Audio], Sources]:
    """Make one song: its stems as they are written, and what they were made of."""
    splits = sorted(packages.SPLITS)
    rng = np.random.default_rng([job.seed, splits.index(job.split), number])
    split = packages.SPLITS[job.split]
    samples = round(job.duration_s * RATE_HZ)
    silent = (
        str(rng.choice(["vocals", "drums", "bass"])) if not rng.integers(SILENT_ONE_IN) else None
    )
    with tempfile.TemporaryDirectory() as scratch:
        groove, tempo, song = arrangement.draw(rng, job.grooves, job.duration_s, Path(scratch))
        stems, fonts = _band(rng, job.packages, split, song, samples, Path(scratch))
    singer = split.singers[rng.integers(len(split.singers))]
    voice, clips = singing.draw(rng, packages.find(job.packages, singer), song, samples)
    stems["vocals"] = _doubled(rng, voice)
    if silent:
        stems[silent] = np.zeros((2, samples))
    used = [*fonts, singer] if silent != "vocals" else fonts
    files = [Path(font.path).name for font in fonts]
    files += [f"{path.parent.name}/{path.name}" for path in clips] if singer in used else []
    return _mixed(rng, stems), Sources(
        split=job.split,
        seed=job.seed,
        duration_s=job.duration_s,
        groove=groove,
        tempo=tempo,
        silent=silent,
        packages=tuple(sorted({"mma", *(source.package for source in used)})),
        files=tuple(files),
    )


def _band(
    rng: np.random.Generator,
    unpacked: Path,
    split: packages.Split,
    song: arrangement.Arrangement,
    samples: int,
    folder: Path,
) -> tuple[dict[str, Audio], list[packages.Source]]:
    """Play drums, bass and other instruments; return them dry, and the soundfonts."""
    fluidsynth = packages.tool("fluidsynth")
    complete = [font for font in split.fonts if font.instruments]
    chosen = {
        "drums": split.fonts[rng.integers(len(split.fonts))],
        "bass": complete[rng.integers(len(complete))],
        "other": complete[rng.integers(len(complete))],
    }
    stems = {}
    for stem, font in chosen.items():
        tracks = song.group(stem)
        if stem == "drums":
            bank, program = font.kits[rng.integers(len(font.kits))]
            tracks = [band.drum_track(track, bank, program) for track in tracks]
        elif stem == "other":
            tracks = [track.panned(float(rng.uniform(-0.8, 0.8))) for track in tracks]
        path = packages.find(unpacked, font.source)[0]
        stems[stem] = band.play(fluidsynth, path, song.score.only(tracks), samples, folder)
    return stems, list(dict.fromkeys(font.source for font in chosen.values()))


def _doubled(rng: np.random.Generator, voice: Audio) -> Audio:
    """Put the voice into the middle; at times with two late copies at the sides."""
    stereo = sound.placed(voice, float(rng.uniform(-0.1, 0.1)))
    if rng.random() < 0.4:
        for side in (-0.7, 0.7):
            late = round(rng.uniform(0.012, 0.03) * RATE_HZ)
            copy = np.concatenate([np.zeros(late), voice[: len(voice) - late]])
            stereo = stereo + sound.placed(0.4 * copy, side)
    return stereo


def _mixed(rng: np.random.Generator, stems: dict[str, Audio]) -> dict[str, Audio]:
    """Treat stems as a studio does, and scale them so that neither they nor their sum clip."""
    decay_s = rng.uniform(0.3, 1.8)  # one room for all
    done = {}
    for stem in STEMS:
        audio = sound.equalised(stems[stem], rng)
        audio = sound.compressed(audio, rng.uniform(0, 6), rng.uniform(1.5, 4))
        wet = {"bass": 0.05, "drums": 0.2, "other": 0.3, "vocals": 0.35}[stem] * rng.uniform(0, 1.5)
        audio = sound.reverberated(audio, rng, decay_s, wet)
        level_db = LEVELS_DB[stem] + SPREAD_DB * rng.uniform(-1, 1)
        done[stem] = sound.faded(sound.levelled(audio, level_db))
    peak = max(np.abs(audio).max() for audio in (*done.values(), sum(done.values())))
    return {stem: audio * min(1.0, PEAK / peak) for stem, audio in done.items()}
