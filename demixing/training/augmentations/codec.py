"""Encodes and decodes stems as MP3 or AAC: no highs, smeared transients, holes in the spectrum.

The mixture is the sum of its stems, so each stem is encoded separately, at its own bit rate. PyAV's
wheels include FFmpeg's encoders. Encoding takes longer than all other augmentations together, so
its probability should be low.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.training.augmentation_helpers import (
    EachStem,
    check_probability,
    check_range,
    each,
    for_some,
)

ENCODERS = {"mp3": "libmp3lame", "aac": "aac"}
DECODERS = {"mp3": "mp3float", "aac": "aac"}
DELAY = {"mp3": 0, "aac": 1024}
"""Delay in samples. The decoder removes LAME's delay, which is in the header of the stream.
tests/test_augmentations.py measures both."""
RATES_HZ = (32_000, 44_100, 48_000)
KBIT_S = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
"""Bit rates of MP3."""
PEAK = 0.9
"""Peak of the encoder's input; encoders may clip above 1."""


@dataclass(frozen=True, slots=True)
class Coding:
    """Drawn parameters of a stem.

    Attributes:
        codec: ``mp3`` or ``aac``.
        kbit_s: bit rate of both channels together.
        rate_hz: sample rate of the stem.
    """

    codec: str
    kbit_s: int
    rate_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec(EachStem):
    """Encode and decode stems.

    Attributes:
        low_kbit_s: lowest bit rate.
        high_kbit_s: highest; the range must contain a bit rate of MP3.
        codecs: codecs to use, all equally often.
        probability: probability of acting on a stem.
    """

    low_kbit_s: float = 64
    high_kbit_s: float = 256
    codecs: tuple[str, ...] = ("mp3", "aac")
    probability: float = 0.02

    def __post_init__(self) -> None:
        check_range(self.low_kbit_s, self.high_kbit_s, "_kbit_s", 32, 320)
        check_probability(self.probability)
        object.__setattr__(self, "codecs", tuple(self.codecs))
        if not self.codecs or not set(self.codecs) <= set(ENCODERS):
            raise ValueError(f"need codecs out of {', '.join(ENCODERS)}, got {self.codecs}")
        if not self._rates():
            raise ValueError(
                f"need a bit rate of MP3 from low_kbit_s to high_kbit_s ({KBIT_S}), "
                f"got {self.low_kbit_s} and {self.high_kbit_s}"
            )
        for codec in self.codecs:
            _check_there(codec)

    def _rates(self) -> list[int]:
        """Bit rates of MP3 in the range, in kbit/s."""
        return [rate for rate in KBIT_S if self.low_kbit_s <= rate <= self.high_kbit_s]

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[Coding | None, ...]:
        """Draw a codec and a bit rate for each stem.

        Raises:
            ValueError: the codecs do not support this sample rate.
        """
        if rate_hz not in RATES_HZ:
            raise ValueError(f"codecs support sample rates of {RATES_HZ} Hz, got {rate_hz}")
        rates = self._rates()
        return for_some(
            rng,
            stems,
            self.probability,
            lambda: Coding(
                self.codecs[rng.integers(len(self.codecs))],
                rates[rng.integers(len(rates))],
                rate_hz,
            ),
        )

    def apply(self, stems: Tensor, drawn: tuple[Coding | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        return each(stems, drawn, _coded)


def _check_there(codec: str) -> None:
    """Check that this build of FFmpeg has the encoder and the decoder.

    Raises:
        ValueError: it lacks one.
    """
    import av  # slow to import, and not needed elsewhere

    try:
        av.Codec(ENCODERS[codec], "w")
        av.Codec(DECODERS[codec], "r")
    except av.codec.codec.UnknownCodecError as error:
        raise ValueError(f"PyAV {av.__version__} cannot code {codec}; leave it out") from error


def _coded(stem: Tensor, coding: Coding) -> Tensor:
    """Encode and decode one stem, ``(2, samples)``, without delay."""
    samples = stem.shape[-1]
    factor = PEAK / float(stem.abs().max())
    pieces = _pieces((stem * factor).numpy(), coding)
    decoded = np.concatenate(pieces, axis=1)[:, DELAY[coding.codec] :][:, :samples]
    result = torch.zeros_like(stem)
    result[:, : decoded.shape[1]] = torch.from_numpy(decoded) / factor
    return result


def _pieces(audio: NDArray[np.float32], coding: Coding) -> list[NDArray[np.float32]]:
    """Encode ``(2, samples)`` and return the decoded frames, ``(2, samples)`` each."""
    import av

    encoder: Any = av.CodecContext.create(ENCODERS[coding.codec], "w")
    encoder.sample_rate, encoder.layout, encoder.format = coding.rate_hz, "stereo", "fltp"
    encoder.bit_rate, encoder.time_base = 1000 * coding.kbit_s, Fraction(1, coding.rate_hz)
    encoder.open()
    decoder: Any = av.CodecContext.create(DECODERS[coding.codec], "r")
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    size = encoder.frame_size
    # Two more frames than needed, to flush the end of the audio out of the encoder.
    audio = np.pad(audio, ((0, 0), (0, -audio.shape[1] % size + 2 * size)))
    pieces: list[NDArray[np.float32]] = []
    for start in [*range(0, audio.shape[1], size), None]:
        frame = None
        if start is not None:
            block = np.ascontiguousarray(audio[:, start : start + size])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = coding.rate_hz, start
        for packet in encoder.encode(frame):
            if packet.size:
                pieces += [decoded.to_ndarray() for decoded in decoder.decode(packet)]
    return pieces + [decoded.to_ndarray() for decoded in decoder.decode(None)]


build = Codec
