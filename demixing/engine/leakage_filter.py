"""Takes back what loud stems have leaked into faint ones, as a song streams past.

How much leaks is about the same in all songs, so how much of a stem is leak can be told from the
powers of both, band by band: the gain is that of a Wiener filter, one for the whole song. A stem
that is not faint loses next to nothing.

Powers are those of the song so far, and of the 20 s that are filtered together: nothing waits for
the end of a song, and its beginning is judged by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from demixing.chunks.overlap_add import OverlapAdd
from demixing.ensemble.leak import Leak
from demixing.networks.stft import istft, stft
from demixing.separator import Chunking

FRAME, FRAME_HOP = 4096, 1024
"""Of the STFT, in samples."""

TOGETHER_S, FADE_S = 20, 1
"""What is filtered with one gain, and how long it takes to change to the next."""

BANDS = 40
"""As wide as those of hearing, up to half the sample rate."""

MIXTURE = "mixture"
"""Name of the lane of the mixture."""

SILENT = 1e-12
"""Powers are compared with at least so much, lest something is divided by silence."""


class Sealing:
    """Mends the stems of one song as they stream past, like :class:`OverlapAdd`.

    Args:
        leaks: between ``stems``.
        stems: names, in the order of the blocks.
        sample_rate_hz: of the song.
        groups: stereo pairs of the song.
        shares: of stems, in what all leave of the mixture above a frequency; they are given
            before leaks are mended.
        above_hz: that frequency.

    Shape:
        blocks in and out ``(groups, stems, 2, samples)``; the lengths of all blocks that come out
        add up to those that went in.
    """

    def __init__(
        self,
        leaks: Sequence[Leak],
        stems: Sequence[str],
        sample_rate_hz: int,
        groups: int,
        *,
        shares: Mapping[str, float] | None = None,
        above_hz: float = 0.0,
    ) -> None:
        self._shares = dict(shares or {})
        self._stems = len(stems)
        names = (*stems, *([MIXTURE] if self._shares else []))
        self._shape = (groups, len(names))
        mended = _Mended(leaks, names, sample_rate_hz, shares=self._shares, above_hz=above_hz)
        lanes = groups * len(names)
        self._overlap = OverlapAdd(mended, groups=lanes, batch=lanes, skip_silence=False)

    def push(self, block: Tensor, mixture: Tensor | None = None) -> Tensor:
        """Take the next samples and return those that are finished, perhaps none.

        Args:
            block: of the stems.
            mixture: ``(groups, 1, 2, samples)``, which is needed if there are shares.
        """
        if self._shares:
            assert mixture is not None
            block = torch.cat([block, mixture], dim=1)
        return self._apart(self._overlap.push(block.flatten(0, 1)))

    def finish(self) -> Tensor:
        """Return all samples that are still owed; nothing can be pushed afterwards."""
        return self._apart(self._overlap.finish())

    def _apart(self, lanes: Tensor) -> Tensor:
        return lanes.reshape(*self._shape, *lanes.shape[2:])[:, : self._stems]


@dataclass
class _Mended:
    """Maps chunks of all stems to the same without leaks; for the engine a lane is a song.

    Attributes:
        leaks: between ``names``.
        names: of the lanes, in their order.
        sample_rate_hz: of the song.
        stems: what each lane gives.
        powers: of the stems in all chunks so far, ``(groups, bands)``.
        shares: of stems, in what they leave of the last lane, which is then the mixture.
        above_hz: frequency above which that is shared.
    """

    leaks: Sequence[Leak]
    names: tuple[str, ...]
    sample_rate_hz: int
    stems: tuple[str, ...] = ("mended",)
    powers: dict[str, Tensor] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    above_hz: float = 0.0

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
        if self.shares:
            left = stft(audio[:, -1] - audio[:, :-1].sum(dim=1), FRAME, FRAME_HOP)
            mask = high(FRAME // 2 + 1, self.sample_rate_hz, self.above_hz)[:, None]
            left = istft(left * mask, FRAME, FRAME_HOP, samples)
            for name, share in self.shares.items():
                lanes[name] += share * left
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


def high(bins: int, sample_rate_hz: int, above_hz: float) -> Tensor:
    """A high-pass filter that rises over half an octave about ``above_hz``, ``(bins,)``.

    >>> high(5, 8, 2.0).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    hz = torch.linspace(0, sample_rate_hz / 2, bins)
    octaves = torch.log2(hz.clamp(min=SILENT) / above_hz)
    return (2 * octaves + 0.5).clamp(0, 1)


def in_bands(bins: int, sample_rate_hz: int) -> Tensor:
    """How much each bin belongs to each band, ``(bins, BANDS)``: triangles that sum to 1.

    Source: the scale is Glasberg and Moore's of equivalent rectangular bandwidths, "Derivation of
    auditory filter shapes from notched-noise data", Hearing Research 1990.
    """
    hz = torch.linspace(0, sample_rate_hz / 2, bins)
    scale = torch.log10(1 + 0.00437 * hz)
    place = scale / scale[-1] * (BANDS - 1)
    return (1 - (place[:, None] - torch.arange(BANDS)).abs()).clamp(min=0)
