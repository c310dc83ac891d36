"""Short sounds inside of HTML: Ogg/Opus in base64, in an address that starts with ``data:``."""

import base64

import numpy as np
from numpy.typing import NDArray

from demixing import atomic
from demixing.audio import AudioFormat
from demixing.audio.encoders import CODECS, Encoder

BITRATE = 64
"""In kbit/s: enough to recognise faults, and a minute takes 640 kB as text."""

BYTES_PER_S = BITRATE * 1000 / 8 * 4 / 3
"""Characters per second of audio: base64 stores three bytes in four."""


def data_uri(audio: NDArray[np.float32], sample_rate_hz: int) -> str:
    """Encode a sound for the attribute ``src`` of ``<audio>``.

    Args:
        audio: ``(samples, channels)``, full scale at ±1. More than two channels become their mean.
        sample_rate_hz: any; Opus is at 48 kHz.
    """
    if audio.shape[1] not in CODECS["opus"].layouts or audio.shape[1] > 2:
        audio = audio.mean(axis=1, keepdims=True)
    form = AudioFormat(sample_rate_hz=sample_rate_hz, channels=audio.shape[1])
    with atomic.scratch() as folder:
        path = folder / "sound.opus"
        with Encoder(path, form, BITRATE) as encoder:
            encoder.write(audio)
        return "data:audio/ogg;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
