"""Instruments: fluidsynth plays a group of tracks with a soundfont."""

from pathlib import Path

import numpy as np
import soundfile

from demixing.errors import ConfigError
from demixing.machine import programs
from demixing.rendering import midi
from demixing.rendering.sound import RATE_HZ, Audio

TIMEOUT_S = 300
GAIN = 0.3
"""Low enough to avoid clipping; levels are set afterwards."""


def play(fluidsynth: str, font: Path, song: midi.Midi, samples: int, folder: Path) -> Audio:
    """Play all tracks of a song without effects, ``(2, samples)``.

    Args:
        fluidsynth: path of the program.
        font: a soundfont.
        song: the score.
        samples: length of the result, cut or padded with silence.
        folder: folder for temporary files.

    Raises:
        ConfigError: fluidsynth fails.
    """
    score, output = folder / "group.mid", folder / "group.wav"
    score.write_bytes(midi.encode(song))
    output.unlink(missing_ok=True)
    command = [fluidsynth, "-ni", "-q", "-R", "0", "-C", "0", "-g", str(GAIN)]
    command += ["-r", str(RATE_HZ), "-T", "wav", "-O", "float", "-F", str(output)]
    if font.suffix == ".sf3":  # compressed: decode only the samples that are played
        command += ["-o", "synth.dynamic-sample-loading=1"]
    command += [str(font), str(score)]
    done = programs.run(command, timeout_s=TIMEOUT_S)
    if done.returncode or not output.is_file():
        printed = " ".join(done.stderr.split())
        raise ConfigError(f"expected fluidsynth to play {str(font)!r}, but it printed: {printed}")
    audio, _ = soundfile.read(output, frames=samples, always_2d=True)
    result = np.zeros((2, samples))
    result[:, : len(audio)] = audio.T
    return result


def drum_track(track: midi.Track, bank: int, program: int) -> midi.Track:
    """Play a track with a drum kit in any bank of its soundfont."""
    # fluidsynth looks for the drums of channel 10 only in bank 128.
    channel = midi.DRUM_CHANNEL if bank == 128 else 0
    return track.on_program(channel, 0, program)
