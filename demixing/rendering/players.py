"""The players of a song: the source and the effects of each stem; all ``(2, samples)``."""

from collections.abc import Sequence

import numpy as np

from demixing.rendering import drums as hits
from demixing.rendering import (
    effects,
    electronic,
    fluidsynth,
    kits,
    midi,
    oscillator,
    packages,
    sound,
    strums,
)
from demixing.rendering.notes import Note, notes
from demixing.rendering.sound import Audio
from demixing.rendering.studio import Studio

GUITARS = range(24, 32)
DRIVEN = (29, 30)
"""Programs of General MIDI: overdriven and distorted guitar."""
BASSES = range(32, 40)
MELODIC = (*range(32), *range(40, 96), *range(104, 112))
"""Programs for tunes and chords, without basses, effects and percussion."""
LOWEST_KEY = 23
"""Lowest key of an oscillator's bass: 31 Hz."""
LEVEL_DB = -20.0


def drums(studio: Studio) -> Audio:
    """Play the drums with a soundfont, a sampled kit or a synthesiser, ``(2, samples)``."""
    rng, tracks = studio.rng, studio.song.group("drums")
    kinds = ["font", "kit", "electronic"]
    shares = [0.25, 0.25, 0.5] if studio.electronic else [0.4, 0.55, 0.05]
    kind = str(rng.choice(kinds, p=shares))
    beats = notes(studio.song.score, tracks)
    if kit := _kit(studio, kind, beats):
        audio = hits.play(rng, kit, beats, studio.samples)
    else:
        font = studio.font(drums=True)
        bank, program = font.kits[int(rng.integers(len(font.kits)))]
        studio.note("drums", f"font {program}")
        audio = studio.fluidsynth(font, [fluidsynth.drum_track(t, bank, program) for t in tracks])
    if studio.chance(0.12):
        studio.note("drums", "driven")
        audio = 0.5 * audio + 0.5 * effects.distorted(audio, rng, rng.uniform(0, 12), cabinet=False)
    return audio


def _kit(studio: Studio, kind: str, beats: Sequence[Note]) -> hits.Kit | None:
    """Draw a kit of single hits; None if a soundfont plays."""
    if kind == "electronic":
        kit, description = electronic.draw(studio.rng), "electronic"
    elif kind == "kit" and studio.split.kits:
        complete = [
            (source, path)
            for source, path in studio.files_of(studio.split.kits)
            if path.parent.name not in packages.HELD_OUT_KITS and kits.is_complete(path)
        ]
        source, path = complete[int(studio.rng.integers(len(complete)))]
        kit, description = kits.draw(studio.rng, path), f"kit {path.parent.name}"
    else:
        return None
    if 2 * sum(kit.part(note.key) is not None for note in beats) < len(beats):
        return None  # such as congas, which only soundfonts have
    studio.note("drums", description)
    if kind == "kit":
        studio.use(source, path)
    return kit


def bass(studio: Studio) -> Audio:
    """Play the bass with a soundfont, an oscillator or both, ``(2, samples)``."""
    rng, tracks = studio.rng, studio.song.group("bass")
    audio = np.zeros((2, studio.samples))
    oscillating = studio.chance(0.7 if studio.electronic else 0.15)
    if not oscillating or studio.chance(0.2):
        if studio.chance(0.6):
            program = int(rng.choice(BASSES))
            tracks = [_on(track, program) for track in tracks]
        studio.note("bass", f"font {tracks[0].program}")
        audio = sound.levelled(studio.fluidsynth(studio.font(), tracks), LEVEL_DB)
        if studio.chance(0.25):
            studio.note("bass", "driven")
            driven = effects.distorted(audio, rng, rng.uniform(0, 18), cabinet=studio.chance(0.5))
            audio = driven + rng.uniform(0, 1) * audio
    if oscillating:
        patch = oscillator.bass(rng)
        studio.note("bass", f"oscillator {patch.wave}")
        line = notes(studio.song.score, studio.song.group("bass"))
        wave = oscillator.play(rng, patch, line, studio.samples, lowest=LOWEST_KEY)
        if studio.chance(0.3):
            wave = effects.distorted(wave, rng, rng.uniform(-6, 10), cabinet=False)
        audio = audio + sound.levelled(wave, LEVEL_DB + rng.uniform(-4, 4))
    return audio


def other(studio: Studio) -> Audio:
    """Play all other instruments with effects, and perhaps a strummed guitar, ``(2, samples)``."""
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
            result += sound.levelled(audio, LEVEL_DB + rng.uniform(-5, 5))
    if plain:
        studio.note("other", f"font {[track.program for track in plain]}")
        weight_db = 10 * np.log10(len(plain))
        result += sound.levelled(studio.fluidsynth(studio.font(), plain), LEVEL_DB + weight_db)
    if studio.split.strums and studio.chance(0.1 if studio.electronic else 0.3):
        known = {path: source for source, path in studio.files_of(studio.split.strums)}
        audio, used = strums.play(rng, strums.read_names(known), studio.song, studio.samples)
        for path in used:
            studio.use(known[path], path)
        studio.note("other", "strums")
        if studio.chance(0.3):
            audio = effects.doubled(audio, rng, rng.uniform(0.3, 1))
        result += sound.levelled(audio, LEVEL_DB + rng.uniform(-5, 4))
    return result


def _treated(studio: Studio, track: midi.Track) -> Audio | None:
    """Play one track with effects, ``(2, samples)``; None if it needs none."""
    rng, program = studio.rng, track.program
    if studio.chance(0.5 if studio.electronic else 0.08):
        patch = oscillator.lead(rng)
        studio.note("other", f"oscillator {patch.wave} for {program}")
        found = notes(studio.song.score, [track])
        audio = oscillator.play(rng, patch, found, studio.samples, lowest=40)
        return effects.trembling(audio, rng, rng.uniform(0.2, 8)) if studio.chance(0.1) else audio
    if program in GUITARS and studio.chance(0.8 if program in DRIVEN else 0.35):
        studio.note("other", f"driven {program}")
        takes = effects.distorted(
            studio.fluidsynth(studio.font(), [track]), rng, rng.uniform(3, 30)
        )
        return effects.doubled(takes, rng) if studio.chance(0.5) else takes
    if studio.chance(0.12):
        studio.note("other", f"doubled {program}")
        takes = studio.fluidsynth(studio.font(), [track])
        return effects.doubled(takes, rng, rng.uniform(0.2, 1))
    if studio.chance(0.12):
        second = int(rng.choice(MELODIC))
        studio.note("other", f"layered {program} and {second}")
        below = studio.fluidsynth(studio.font(), [track])
        above = studio.fluidsynth(studio.font(), [_on(track, second)])
        return sound.levelled(below, LEVEL_DB) + sound.levelled(above, rng.uniform(-28, -18))
    if studio.chance(0.05):
        studio.note("other", f"trembling {program}")
        audio = studio.fluidsynth(studio.font(), [track])
        return effects.trembling(audio, rng, rng.uniform(0.2, 8))
    return None


def _on(track: midi.Track, program: int) -> midi.Track:
    """Let another instrument play a track."""
    return track.on_program(track.channel or 0, 0, program)
