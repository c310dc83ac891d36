"""Takes back what loud stems have leaked into faint ones, as a song streams past.

How much leaks is about the same in all songs, so how much of a stem is leak can be told from the
powers of both, band by band: the gain is that of a Wiener filter, one for the whole song. A stem
that is not faint loses next to nothing.

Powers are those of the song so far, and of the 20 s that are filtered together: nothing waits for
the end of a song, and its beginning is judged by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.stft import istft, stft
from my_submission.leak import Leak
from my_submission.overlap import OverlapAdd
from my_submission.separators import Chunking

FRAME, FRAME_HOP = 4096, 1024
"""Of the STFT, in samples."""

TOGETHER_S, FADE_S = 20, 1
"""What is filtered with one gain, and how long it takes to change to the next."""

BANDS = 40
"""As wide as those of hearing, up to half the sample rate."""

SILENT = 1e-12
"""Powers are compared with at least so much, lest something is divided by silence."""


class Sealing:
    """Mends the stems of one song as they stream past, like :class:`OverlapAdd`.

    Args:
        leaks: between ``stems``.
        stems: names, in the order of the blocks.
        sample_rate_hz: of the song.
        groups: stereo pairs of the song.

    Shape:
        blocks in and out ``(groups, stems, 2, samples)``; the lengths of all blocks that come out
        add up to those that went in.
    """

    def __init__(
        self, leaks: Sequence[Leak], stems: Sequence[str], sample_rate_hz: int, groups: int
    ) -> None:
        self._shape = (groups, len(stems))
        mended = _Mended(leaks, tuple(stems), sample_rate_hz)
        lanes = groups * len(stems)
        self._overlap = OverlapAdd(mended, groups=lanes, batch=lanes, skip_silence=False)

    def push(self, block: Tensor) -> Tensor:
        """Take the next samples and return those that are finished, perhaps none."""
        return self._apart(self._overlap.push(block.flatten(0, 1)))

    def finish(self) -> Tensor:
        """Return all samples that are still owed; nothing can be pushed afterwards."""
        return self._apart(self._overlap.finish())

    def _apart(self, lanes: Tensor) -> Tensor:
        return lanes.reshape(*self._shape, *lanes.shape[2:])


@dataclass
class _Mended:
    """Maps chunks of all stems to the same without leaks; for the engine a lane is a song.

    Attributes:
        leaks: between ``names``.
        names: of the lanes, in their order.
        sample_rate_hz: of the song.
        stems: what each lane gives.
        powers: of the stems in all chunks so far, ``(groups, bands)``.
    """

    leaks: Sequence[Leak]
    names: tuple[str, ...]
    sample_rate_hz: int
    stems: tuple[str, ...] = ("mended",)
    powers: dict[str, Tensor] = field(default_factory=dict)

    @property
    def chunking(self) -> Chunking:
        """20 s, and a fade; a song's last chunk ends with it."""
        hop, fade = (s * self.sample_rate_hz // FRAME_HOP * FRAME_HOP for s in (TOGETHER_S, FADE_S))
        chunk = hop + fade + 2 * FRAME
        return Chunking(chunk=chunk, hop=hop, context=FRAME, step=FRAME_HOP, ragged=True)

    def separate(self, chunks: Tensor) -> Tensor:
        """Map ``(groups * stems, 2, samples)`` to ``(groups * stems, 1, 2, samples)``."""
        audio = chunks.reshape(-1, len(self.names), *chunks.shape[1:]).clone()
        samples = audio.shape[-1]
        lanes = {name: audio[:, index] for index, name in enumerate(self.names)}
        heard = {name for leak in self.leaks for name in (leak.of, leak.into)}
        spectra = {name: stft(lanes[name], FRAME, FRAME_HOP) for name in heard}
        bands = in_bands(FRAME // 2 + 1, self.sample_rate_hz)
        for name, spectrum in spectra.items():
            power = spectrum.abs().square().mean(dim=1).sum(dim=-1) @ bands
            self.powers[name] = self.powers.get(name, 0) + power
        taken = []
        for leak, part in zip(self.leaks, self._parts(), strict=True):
            mask = (part @ bands.T)[:, None, :, None]
            taken.append(istft(spectra[leak.into] * mask, FRAME, FRAME_HOP, samples))
        for leak, what in zip(self.leaks, taken, strict=True):
            lanes[leak.into] -= what
            if leak.returned:
                lanes[leak.of] += what
        return audio.flatten(0, 1)[:, None]

    def _parts(self) -> list[Tensor]:
        """For each leak the part of the stem that it is, ``(groups, bands)``, at most all of it."""
        parts, whole = [], {leak.into: torch.zeros(1) for leak in self.leaks}
        for leak in self.leaks:
            part = leak.power * self.powers[leak.of] / self.powers[leak.into].clamp(min=SILENT)
            parts.append(part)
            whole[leak.into] = whole[leak.into] + part
        return [
            part / whole[leak.into].clamp(min=1)
            for part, leak in zip(parts, self.leaks, strict=True)
        ]


def in_bands(bins: int, sample_rate_hz: int) -> Tensor:
    """How much each bin belongs to each band, ``(bins, BANDS)``: triangles that sum to 1.

    Source: the scale is Glasberg and Moore's of equivalent rectangular bandwidths, "Derivation of
    auditory filter shapes from notched-noise data", Hearing Research 1990.
    """
    hz = torch.linspace(0, sample_rate_hz / 2, bins)
    scale = torch.log10(1 + 0.00437 * hz)
    place = scale / scale[-1] * (BANDS - 1)
    return (1 - (place[:, None] - torch.arange(BANDS)).abs()).clamp(min=0)
