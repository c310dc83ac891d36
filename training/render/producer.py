"""Songs of the second generation: as diverse as real ones, which a plain band is not.

What is drawn anew for each song: who wrote it (mma or people), whether drums come from a soundfont,
a sampled kit or a synthesiser, whether the bass is an instrument or an oscillator, which tracks are
doubled, driven, layered or played by a synthesiser, whether a guitar is strummed, and whether the
kick drum ducks the rest.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.render import (
    arrangement,
    band,
    drums,
    effects,
    electronic,
    kits,
    midi,
    oscillator,
    packages,
    scores,
    singing,
    sound,
    strums,
)
from training.render.arrangement import Arrangement
from training.render.notes import notes
from training.render.packages import Font, Source, Split
from training.render.sound import RATE_HZ, Audio

Random = np.random.Generator

GENERATION = 2
STEMS = ("bass", "drums", "other", "vocals")
SILENT_ONE_IN = 6
LEVELS_DB = {"bass": -19.5, "drums": -18.0, "other": -20.0, "vocals": -18.0}
SPREAD_DB = 5.0
PEAK = 0.95
GUITARS = range(24, 32)
DRIVEN = (29, 30)
"""Programs of General MIDI: overdriven and distorted guitar."""
BASSES = range(32, 40)
MELODIC = (*range(32), *range(40, 96), *range(104, 112))
KICKS = drums.ROLES["kick"]
LOWEST_KEY = 26
"""An oscillator's bass is never lower: 37 Hz."""


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

    def files_of(self, sources: tuple[Source, ...]) -> list[tuple[Source, Path]]:
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


def make(
    rng: Random, split: Split, unpacked: Path, grooves: Any, duration_s: float
) -> tuple[dict[str, Audio], dict[str, Any]]:
    """Make a song.

    Args:
        rng: draws everything.
        split: what may be heard.
        unpacked: folder with one unpacked package per folder.
        grooves: of mma, by file of its library.
        duration_s: length of the song.

    Returns:
        Stems as they are written, and what they were made of.
    """
    silent = (
        str(rng.choice(["vocals", "drums", "bass"])) if not rng.integers(SILENT_ONE_IN) else None
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder, written = Path(scratch), bool(split.scores) and rng.random() < 0.2
        if written:
            files = [path for s in split.scores for path in packages.find(unpacked, s)]
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
            electronic=bool(rng.random() < 0.35),
            used=used,
        )
        stems = {
            "drums": play_drums(studio),
            "bass": play_bass(studio),
            "other": play_other(studio),
            "vocals": sing(studio),
        }
    if silent:
        stems[silent] = np.zeros_like(stems[silent])
    mixed = mix(studio, stems)
    return mixed, {
        "score": name,
        "silent": silent,
        "packages": sorted(studio.used),
        "files": studio.files,
        "methods": studio.methods,
    }


def play_drums(studio: Studio) -> Audio:
    """Play the drums by a soundfont, a sampled kit or a synthesiser."""
    rng, tracks = studio.rng, studio.song.group("drums")
    kinds = ["font", "kit", "electronic"]
    shares = [0.25, 0.25, 0.5] if studio.electronic else [0.4, 0.55, 0.05]
    kind = str(rng.choice(kinds, p=shares))
    if kind == "kit" and not studio.split.kits:
        kind = "font"
    if kind == "font":
        font = studio.font(drums=True)
        bank, program = font.kits[int(rng.integers(len(font.kits)))]
        studio.tell("drums", f"font {program}")
        audio = studio.fluidsynth(font, [band.drum_track(t, bank, program) for t in tracks])
    else:
        if kind == "kit":
            complete = [
                (source, path)
                for source, path in studio.files_of(studio.split.kits)
                if path.parent.name not in packages.HELD_OUT_KITS and kits.is_complete(path)
            ]
            source, path = complete[int(rng.integers(len(complete)))]
            studio.use(source, path)
            studio.tell("drums", f"kit {path.parent.name}")
            kit = kits.draw(rng, path)
        else:
            studio.tell("drums", "electronic")
            kit = electronic.draw(rng)
        audio = drums.play(rng, kit, notes(studio.song.score, tracks), studio.samples)
    if studio.chance(0.12):
        studio.tell("drums", "driven")
        audio = 0.5 * audio + 0.5 * effects.distorted(audio, rng, rng.uniform(0, 12), cabinet=False)
    return audio


def play_bass(studio: Studio) -> Audio:
    """Play the bass by a soundfont, an oscillator or both."""
    rng, tracks = studio.rng, studio.song.group("bass")
    audio = np.zeros((2, studio.samples))
    oscillating = studio.chance(0.7 if studio.electronic else 0.15)
    if not oscillating or studio.chance(0.2):
        if studio.chance(0.6):
            program = int(rng.choice(BASSES))
            tracks = [_on(track, program) for track in tracks]
        studio.tell("bass", f"font {tracks[0].program}")
        audio = sound.levelled(studio.fluidsynth(studio.font(), tracks), -20.0)
        if studio.chance(0.25):
            studio.tell("bass", "driven")
            driven = effects.distorted(audio, rng, rng.uniform(0, 18), cabinet=studio.chance(0.5))
            audio = driven + rng.uniform(0, 1) * audio
    if oscillating:
        patch = oscillator.bass(rng)
        studio.tell("bass", f"oscillator {patch.wave}")
        line = notes(studio.song.score, studio.song.group("bass"))
        wave = oscillator.play(rng, patch, line, studio.samples, lowest=LOWEST_KEY)
        if studio.chance(0.3):
            wave = effects.distorted(wave, rng, rng.uniform(-6, 10), cabinet=False)
        audio = audio + sound.levelled(wave, -20.0 + rng.uniform(-4, 4))
    return audio


def play_other(studio: Studio) -> Audio:
    """Play all other instruments, each treated in its own way, and perhaps a strummed guitar."""
    rng = studio.rng
    plain, result = [], np.zeros((2, studio.samples))
    tracks = studio.song.group("other")
    for track in tracks:
        if studio.chance(0.3):
            family = 8 * (track.program // 8)
            near = [program for program in MELODIC if family <= program < family + 8]
            track = _on(track, int(rng.choice(near if near and studio.chance(0.5) else MELODIC)))
        placed = track.panned(float(rng.uniform(-0.8, 0.8)))
        if (audio := _treated(studio, placed)) is None:
            plain.append(placed)
        else:
            result += sound.levelled(audio, -20.0 + rng.uniform(-5, 5))
    if plain:
        studio.tell("other", f"font {[track.program for track in plain]}")
        weight_db = 10 * np.log10(len(plain))
        result += sound.levelled(studio.fluidsynth(studio.font(), plain), -20.0 + weight_db)
    if studio.split.strums and studio.chance(0.1 if studio.electronic else 0.3):
        known = {path: source for source, path in studio.files_of(studio.split.strums)}
        audio, used = strums.play(rng, strums.read_names(known), studio.song, studio.samples)
        for path in used:
            studio.use(known[path], path)
        studio.tell("other", "strums")
        if studio.chance(0.3):
            audio = effects.doubled(audio, rng, rng.uniform(0.3, 1))
        result += sound.levelled(audio, -20.0 + rng.uniform(-5, 4))
    return result


def _treated(studio: Studio, track: midi.Track) -> Audio | None:
    """Play one track in a special way; none if it shall be played plainly with the others."""
    rng, program = studio.rng, track.program
    if studio.chance(0.5 if studio.electronic else 0.08):
        patch = oscillator.lead(rng)
        studio.tell("other", f"oscillator {patch.wave} for {program}")
        found = notes(studio.song.score, [track])
        audio = oscillator.play(rng, patch, found, studio.samples, lowest=40)
        return effects.trembling(audio, rng, rng.uniform(0.2, 8)) if studio.chance(0.1) else audio
    if program in GUITARS and studio.chance(0.8 if program in DRIVEN else 0.35):
        studio.tell("other", f"driven {program}")
        takes = effects.distorted(
            studio.fluidsynth(studio.font(), [track]), rng, rng.uniform(3, 30)
        )
        return effects.doubled(takes, rng) if studio.chance(0.5) else takes
    if studio.chance(0.12):
        studio.tell("other", f"doubled {program}")
        takes = studio.fluidsynth(studio.font(), [track])
        return effects.doubled(takes, rng, rng.uniform(0.2, 1))
    if studio.chance(0.12):
        second = int(rng.choice(MELODIC))
        studio.tell("other", f"layered {program} and {second}")
        below = studio.fluidsynth(studio.font(), [track])
        above = studio.fluidsynth(studio.font(), [_on(track, second)])
        return sound.levelled(below, -20.0) + sound.levelled(above, rng.uniform(-28, -18))
    if studio.chance(0.05):
        studio.tell("other", f"trembling {program}")
        audio = studio.fluidsynth(studio.font(), [track])
        return effects.trembling(audio, rng, rng.uniform(0.2, 8))
    return None


def _on(track: midi.Track, program: int) -> midi.Track:
    """Let another instrument play a track."""
    return track.on_program(track.channel or 0, 0, program)


def sing(studio: Studio) -> Audio:
    """Sing, at times doubled or with a second voice."""
    rng = studio.rng
    lead = effects_of_voice(studio, _voice(studio))
    if studio.chance(0.15):
        studio.tell("vocals", "second voice")
        second = sound.placed(_voice(studio), float(rng.uniform(-0.8, 0.8)))
        lead = lead + rng.uniform(0.2, 0.7) * second
    return lead


def _voice(studio: Studio) -> Audio:
    """One singer, ``(samples,)``."""
    singers = (*studio.split.singers, *studio.split.more_singers)
    # Two of the old ones are as long as all the new together: each half of the songs.
    half = studio.split.singers if studio.chance(0.35) else studio.split.more_singers or singers
    singer = half[int(studio.rng.integers(len(half)))]
    clips = packages.find(studio.packages, singer)
    voice, used = singing.draw(studio.rng, clips, studio.song, studio.samples)
    for path in used:
        studio.use(singer, path)
    return voice


def effects_of_voice(studio: Studio, voice: Audio) -> Audio:
    """Put a voice into the middle, plain or doubled, and at times driven."""
    rng = studio.rng
    stereo = sound.placed(voice, float(rng.uniform(-0.15, 0.15)))
    if studio.chance(0.35):
        stereo = stereo + rng.uniform(0.2, 0.8) * effects.doubled(stereo, rng)
    if studio.chance(0.1):
        studio.tell("vocals", "driven")
        stereo = effects.distorted(stereo, rng, rng.uniform(0, 9), cabinet=studio.chance(0.5))
    return stereo


def mix(studio: Studio, stems: Mapping[str, Audio]) -> dict[str, Audio]:
    """Treat stems as a studio does, and scale them so that neither they nor their sum clip."""
    rng = studio.rng
    decay_s = rng.uniform(0.25, 2.2)  # one room for all
    done = {}
    for stem in STEMS:
        audio = sound.equalised(stems[stem], rng, fast=True)
        audio = sound.compressed(audio, rng.uniform(-3, 6), rng.uniform(1.5, 5))
        wet = {"bass": 0.04, "drums": 0.2, "other": 0.3, "vocals": 0.35}[stem] * rng.uniform(0, 1.5)
        audio = sound.reverberated(audio, rng, decay_s, wet, fast=True)
        level_db = LEVELS_DB[stem] + SPREAD_DB * rng.uniform(-1, 1)
        done[stem] = sound.levelled(audio, level_db)
    if done["drums"].any() and studio.chance(0.6 if studio.electronic else 0.08):
        beats = notes(studio.song.score, studio.song.group("drums"))
        kicks_s = [note.start_s for note in beats if note.key in KICKS]
        depth_db, release_s = rng.uniform(2, 14), rng.uniform(0.08, 0.35)
        studio.tell("bass", f"ducked {depth_db:.0f} dB")
        for stem in ("bass", "other"):
            done[stem] = effects.ducked(done[stem], kicks_s, depth_db, release_s)
    if studio.chance(0.5):
        done = effects.glued(done, rng.uniform(-2, 6), rng.uniform(1.5, 4))
    done = {stem: sound.faded(audio) for stem, audio in done.items()}
    peak = max(np.abs(audio).max() for audio in (*done.values(), sum(done.values())))
    return {stem: audio * min(1.0, PEAK / peak) for stem, audio in done.items()}
