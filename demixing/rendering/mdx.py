"""Songs of the MDX track: a band played by mma and fluidsynth, and vocals made from speech.

A song depends only on its number, the seed, the length and the split. So an interrupted run can be
continued, and a longer run starts with the songs of a shorter one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demixing import atomic
from demixing.errors import ConfigError
from demixing.rendering import arrangement, fluidsynth, packages, producer, singing, sound
from demixing.rendering.corpus import Piece
from demixing.rendering.packages import SPLITS
from demixing.rendering.packages import grooves as find_grooves
from demixing.rendering.sound import RATE_HZ, Audio

GENERATIONS = {"train": 2, "valid": 1}
"""Default generation of a split: recipes were fitted on validation songs of the first."""
STEMS = ("bass", "drums", "other", "vocals")
SILENT_ONE_IN = 6
"""One in this many songs lacks vocals, drums or bass."""
LEVELS_DB = {"bass": -20.0, "drums": -18.5, "other": -20.0, "vocals": -17.5}
SPREAD_DB = 3.0
PEAK = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Songs:
    """Makes songs.

    Attributes:
        split: a key of :data:`demixing.rendering.packages.SPLITS`.
        duration_s: length of every song.
        seed: seed of all random choices.
        packages: folder with one unpacked package per folder.
        grooves: names of mma's grooves by file of its library.
        generation: 1 for a plain band, 2 for songs of :mod:`demixing.rendering.producer`.
        tracker_share: part of the songs that are excerpts of tracker songs, 0 to 1.
    """

    split: str
    duration_s: float
    seed: int
    packages: Path
    grooves: tuple[tuple[str, ...], ...]
    generation: int
    tracker_share: float = 0.0

    @property
    def kind(self) -> str:
        """First word of the names of the folders."""
        return "song"

    @property
    def identity(self) -> Mapping[str, Any]:
        """The values that all songs of a corpus share."""
        return {
            "split": self.split,
            "seed": self.seed,
            "duration_s": self.duration_s,
            "generation": self.generation,
            "modules": self.tracker_share,
        }

    def make(self, number: int) -> Piece:
        """Make one song."""
        if self.generation == 1:
            plain, about = _song(self, number)
            return Piece(plain, asdict(about))
        split = SPLITS[self.split]
        key = [self.seed, sorted(SPLITS).index(self.split), number, self.generation]
        rng = np.random.default_rng(key)
        # A separate generator keeps the other songs the same for any share.
        if np.random.default_rng([*key, 1]).random() < self.tracker_share:
            stems, sources = producer.make_of_tracker_song(
                rng, split, self.packages, self.duration_s
            )
        else:
            stems, sources = producer.make(rng, split, self.packages, self.grooves, self.duration_s)
        return Piece(stems, {**self.identity, **sources})


def songs(
    split: str,
    duration_s: float,
    seed: int,
    packages: Path,
    generation: int | None = None,
    tracker_share: float = 0.0,
) -> Songs:
    """Prepare songs of a split; the generation is the default of the split if None.

    Raises:
        ConfigError: a package is missing, or the split has no tracker songs.
    """
    grooves = find_grooves(packages, SPLITS[split])
    generation = generation or GENERATIONS[split]
    if not 0 <= tracker_share <= 1 or (
        tracker_share and (generation == 1 or not SPLITS[split].tracker_songs)
    ):
        raise ConfigError(
            "expected --tracker-songs from 0 to 1, and only for training songs of the second "
            f"generation, got {tracker_share:g} for {split} songs of generation {generation}"
        )
    return Songs(
        split=split,
        duration_s=duration_s,
        seed=seed,
        packages=packages,
        grooves=grooves,
        generation=generation,
        tracker_share=tracker_share,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Sources of a song, for its licences.

    Attributes:
        split: split of the song.
        seed: seed of the song.
        duration_s: duration of the song.
        groove: groove of mma.
        tempo: tempo in beats per minute.
        silent: the stem that was left out, if any.
        packages: Debian packages of all sounds.
        files: soundfonts, and the singer's clips.
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
    """Make one song: its stems, ``(2, samples)``, and their sources."""
    splits = sorted(packages.SPLITS)
    rng = np.random.default_rng([job.seed, splits.index(job.split), number])
    split = packages.SPLITS[job.split]
    samples = round(job.duration_s * RATE_HZ)
    silent = (
        str(rng.choice(["vocals", "drums", "bass"])) if not rng.integers(SILENT_ONE_IN) else None
    )
    with atomic.scratch() as scratch:
        groove, tempo, song = arrangement.draw(rng, job.grooves, job.duration_s, scratch)
        stems, fonts = _band(rng, job.packages, split, song, samples, scratch)
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
    """Play drums, bass and other instruments.

    Returns:
        Dry stems, ``(2, samples)``, and the soundfonts.
    """
    program_path = packages.tool("fluidsynth")
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
            tracks = [fluidsynth.drum_track(track, bank, program) for track in tracks]
        elif stem == "other":
            tracks = [track.panned(float(rng.uniform(-0.8, 0.8))) for track in tracks]
        path = packages.find(unpacked, font.source)[0]
        stems[stem] = fluidsynth.play(program_path, path, song.score.only(tracks), samples, folder)
    return stems, list(dict.fromkeys(font.source for font in chosen.values()))


def _doubled(rng: np.random.Generator, voice: Audio) -> Audio:
    """Pan a voice, ``(samples,)``, to the middle, sometimes with two late copies at the sides."""
    stereo = sound.placed(voice, float(rng.uniform(-0.1, 0.1)))
    if rng.random() < 0.4:
        for side in (-0.7, 0.7):
            late = round(rng.uniform(0.012, 0.03) * RATE_HZ)
            copy = np.concatenate([np.zeros(late), voice[: len(voice) - late]])
            stereo = stereo + sound.placed(0.4 * copy, side)
    return stereo


def _mixed(rng: np.random.Generator, stems: dict[str, Audio]) -> dict[str, Audio]:
    """Apply effects to stems, ``(2, samples)``, and scale them so that the sum does not clip."""
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
