"""Songs of the second generation, which are more diverse than a plain band.

For each song, these are drawn: the origin of the score (mma or people), the source of the drums (a
soundfont, a sampled kit or a synthesiser), bass instrument or oscillator, which tracks are doubled,
distorted, layered or played by a synthesiser, whether a guitar is strummed, and whether the kick
drum ducks the rest.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from demixing import atomic
from demixing.rendering import (
    arrangement,
    drums,
    effects,
    packages,
    players,
    scores,
    singing,
    sound,
    tracker,
)
from demixing.rendering.notes import notes
from demixing.rendering.packages import Split
from demixing.rendering.sound import RATE_HZ, Audio
from demixing.rendering.studio import Random, Studio

STEMS = ("bass", "drums", "other", "vocals")
SILENT_ONE_IN = 6
"""One in this many songs lacks vocals, drums or bass."""
LEVELS_DB = {"bass": -19.5, "drums": -18.0, "other": -20.0, "vocals": -18.0}
SPREAD_DB = 5.0
SUB_BASS_DB = 8.0
"""The bass of electronic songs is up to this much louder, and may be the loudest stem."""
PEAK = 0.95
WRITTEN = 0.2
"""Fraction of songs whose score was written by people."""
ELECTRONIC = 0.35
"""Fraction of songs with more synthesisers than instruments."""
ACTORS = 0.4
"""Fraction of voices that are sentences spoken by actors, not single words."""
SHORTEST_S = 0.25
KICKS = drums.ROLES["kick"]


def make(
    rng: Random, split: Split, unpacked: Path, grooves: Sequence[Sequence[str]], duration_s: float
) -> tuple[dict[str, Audio], dict[str, Any]]:
    """Make a song.

    Args:
        rng: source of all randomness.
        split: sources of the split.
        unpacked: folder with one unpacked package per folder.
        grooves: grooves of mma, by file of its library.
        duration_s: length of the song.

    Returns:
        Stems, ``(2, samples)``, and their sources.

    Raises:
        ConfigError: a package or a program is missing.
    """
    silent = _silent(rng)
    with atomic.scratch() as folder:
        written = bool(split.scores) and rng.random() < WRITTEN
        if written:
            files = [path for source in split.scores for path in packages.find(unpacked, source)]
            score, song = scores.draw(rng, files, duration_s)
            name, used = score.name, {source.package for source in split.scores}
        else:
            groove, tempo, song = arrangement.draw(rng, grooves, duration_s, folder)
            name, used = f"{groove} at {tempo}", {"mma"}
        studio = Studio(
            rng=rng,
            split=split,
            packages=unpacked,
            folder=folder,
            samples=round(duration_s * RATE_HZ),
            song=song,
            electronic=bool(rng.random() < ELECTRONIC),
            used=used,
        )
        stems = {
            "drums": players.drums(studio),
            "bass": players.bass(studio),
            "other": players.other(studio),
            "vocals": sing(studio),
        }
    return _finished(studio, stems, silent, name)


def make_of_tracker_song(
    rng: Random, split: Split, unpacked: Path, duration_s: float
) -> tuple[dict[str, Audio], dict[str, Any]]:
    """Make a song from an excerpt of a tracker song, with vocals; see :func:`make`."""
    silent = _silent(rng)
    known = {path: each for each in split.tracker_songs for path in packages.find(unpacked, each)}
    path, stems, song = tracker.draw(rng, list(known), duration_s)
    studio = Studio(
        rng=rng,
        split=split,
        packages=unpacked,
        folder=Path(),  # no files are written
        samples=round(duration_s * RATE_HZ),
        song=song,
        electronic=True,
    )
    studio.use(known[path], path)
    return _finished(studio, {**stems, "vocals": sing(studio)}, silent, path.name)


def _silent(rng: Random) -> str | None:
    """Draw the stem that is left out, if any."""
    if rng.integers(SILENT_ONE_IN):
        return None
    return str(rng.choice(["vocals", "drums", "bass"]))


def _finished(
    studio: Studio, stems: Mapping[str, Audio], silent: str | None, name: str
) -> tuple[dict[str, Audio], dict[str, Any]]:
    """Mix the stems, ``(2, samples)``, and list the sources of the song."""
    audible = {
        stem: np.zeros_like(audio) if stem == silent else audio for stem, audio in stems.items()
    }
    return mix(studio, audible), {
        "score": name,
        "silent": silent,
        "packages": sorted(studio.used),
        "files": studio.files,
        "methods": studio.methods,
    }


def sing(studio: Studio) -> Audio:
    """Sing, sometimes doubled or with a second voice, ``(2, samples)``."""
    rng = studio.rng
    lead = _placed(studio, _voice(studio))
    if studio.chance(0.15):
        studio.note("vocals", "second voice")
        second = sound.placed(_voice(studio), float(rng.uniform(-0.8, 0.8)))
        lead = lead + rng.uniform(0.2, 0.7) * second
    return lead


def _voice(studio: Studio) -> Audio:
    """One singer, ``(samples,)``."""
    split, rng = studio.split, studio.rng
    # By package first: the new packages have more singers than the old ones, but shorter words.
    choices = [split.singers]
    if split.more_singers and not studio.chance(ACTORS):
        names = sorted({singer.package for singer in split.more_singers})
        choices = [tuple(s for s in split.more_singers if s.package == name) for name in names]
    singers = choices[int(rng.integers(len(choices)))]
    singer = singers[int(rng.integers(len(singers)))]
    clips = packages.find(studio.packages, singer)
    voice, used = singing.draw(
        rng, clips, studio.song, studio.samples, shortest_s=SHORTEST_S, again=True
    )
    used = list(dict.fromkeys(used))
    for path in used:
        studio.use(singer, path)
    return voice


def _placed(studio: Studio, voice: Audio) -> Audio:
    """Pan a voice, ``(samples,)``, near the middle, plain or doubled, and sometimes distorted."""
    rng = studio.rng
    stereo = sound.placed(voice, float(rng.uniform(-0.15, 0.15)))
    if studio.chance(0.35):
        stereo = stereo + rng.uniform(0.2, 0.8) * effects.doubled(stereo, rng)
    if studio.chance(0.1):
        studio.note("vocals", "driven")
        stereo = effects.distorted(stereo, rng, rng.uniform(0, 9), cabinet=studio.chance(0.5))
    return stereo


def mix(studio: Studio, stems: Mapping[str, Audio]) -> dict[str, Audio]:
    """Apply effects to stems, ``(2, samples)``, and scale them so that the sum does not clip."""
    rng = studio.rng
    decay_s = rng.uniform(0.25, 2.2)  # one room for all
    done = {}
    for stem in STEMS:
        audio = sound.equalised(stems[stem], rng, fast=True)
        audio = sound.compressed(audio, rng.uniform(-3, 6), rng.uniform(1.5, 5))
        wet = {"bass": 0.04, "drums": 0.2, "other": 0.3, "vocals": 0.35}[stem] * rng.uniform(0, 1.5)
        audio = sound.reverberated(audio, rng, decay_s, wet, fast=True)
        level_db = LEVELS_DB[stem] + SPREAD_DB * rng.uniform(-1, 1)
        if stem == "bass" and studio.electronic:
            level_db += rng.uniform(0, SUB_BASS_DB)
        done[stem] = sound.levelled(audio, level_db)
    if done["drums"].any() and studio.chance(0.6 if studio.electronic else 0.08):
        beats = notes(studio.song.score, studio.song.group("drums"))
        kicks_s = [note.start_s for note in beats if note.key in KICKS]
        depth_db, release_s = rng.uniform(2, 14), rng.uniform(0.08, 0.35)
        if kicks_s:
            studio.note("bass", f"ducked {depth_db:.0f} dB")
        for stem in ("bass", "other"):
            done[stem] = effects.ducked(done[stem], kicks_s, depth_db, release_s)
    if studio.chance(0.5):
        done = effects.glued(done, rng.uniform(-2, 6), rng.uniform(1.5, 4))
    # A distorted bass has an offset.
    clean = {stem: sound.high_pass(audio, sound.HIGH_PASS_HZ) for stem, audio in done.items()}
    done = {stem: sound.faded(audio) for stem, audio in clean.items()}
    peak = max(np.abs(audio).max() for audio in (*done.values(), sum(done.values())))
    return {stem: audio * min(1.0, PEAK / peak) for stem, audio in done.items()}
