"""A Wiener post-filter that removes the leakage of loud stems into faint ones.

The fraction of a stem's power that leaks is about the same in all songs. The powers of two stems
thus show, band by band, how much of the faint one is leakage, and a Wiener gain removes it. A stem
that is not faint hardly changes.

Powers are averaged over the song so far, including the 20 s segment being filtered. So the filter
need not wait for the end of a song, and the beginning is filtered by its own powers.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from demixing.chunks.cutting import Cutter
from demixing.chunks.overlap_add import CrossFade
from demixing.ensemble.leak import Leak
from demixing.networks.stft import istft, stft
from demixing.separator import Chunking, SongEnd

FRAME, FRAME_HOP = 4096, 1024
"""Frame and hop of the STFT, in samples."""

TOGETHER_S, FADE_S = 20, 1
"""Duration of one gain, and of the fade to the next one."""

BANDS = 40
"""Number of bands up to half the sample rate, equally wide on the ERB scale."""

SILENT = 1e-12
"""Lower bound of divisors, in power, for silent stems."""


class LeakageFilter:
    """Filters the stems of one song.

    Args:
        leaks: which stem leaks into which, and how strongly.
        stems: names, in the order of the blocks.
        sample_rate_hz: of the song.
        groups: stereo pairs of the song.
        shares: by stem, its fraction of the residual above ``above_hz``, added before leakage is
            removed.
        above_hz: lower edge of the shared residual, in Hz.

    Shape:
        in ``(groups, stems + 1, 2, samples)``, the mixture last; out
        ``(groups, stems, 2, samples)``.
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
        self._leaks = tuple(leaks)
        self._stems = tuple(stems)
        self._sample_rate_hz = sample_rate_hz
        self._shares = dict(shares or {})
        self._above_hz = above_hz
        self._bands = in_bands(FRAME // 2 + 1, sample_rate_hz)
        self._powers: dict[str, Tensor] = {}  # of the song so far, ``(groups, bands)``
        cut = chunking(sample_rate_hz)
        self._cutter = Cutter(cut, (groups, len(stems) + 1, 2))
        self._fade = CrossFade(cut)

    def push(self, block: Tensor) -> Iterator[Tensor]:
        """Add samples, and generate final ones in consecutive pieces; they may be views."""
        for chunks in self._cutter.push(block, most=1):
            for (stems,) in self._fade.add((self._filtered(chunks[..., 0, :]),)):
                yield stems

    def finish(self) -> Iterator[Tensor]:
        """Generate all remaining samples in consecutive pieces."""
        for end in self._cutter.finish():
            part = self._cutter.placed(self._filtered(end.audio), end.samples)
            for (stems,) in self._fade.add((part,), end.samples if end.last else None):
                yield stems

    @torch.inference_mode()
    def _filtered(self, chunk: Tensor) -> Tensor:
        """Filter ``(groups, stems + 1, 2, samples)`` with the powers so far."""
        audio = chunk[:, :-1].clone()
        stems = {name: audio[:, index] for index, name in enumerate(self._stems)}  # views
        if self._shares:
            self._share(stems, chunk[:, -1] - audio.sum(dim=1))
        for name in dict.fromkeys(name for leak in self._leaks for name in (leak.of, leak.into)):
            self._powers[name] = self._powers.get(name, 0) + self._power(stems[name])
        for leak, signal in zip(self._leaks, self._leaked(stems), strict=True):
            stems[leak.into] -= signal
            if leak.returned:
                stems[leak.of] += signal
        return audio

    def _power(self, stem: Tensor) -> Tensor:
        """Return the power of ``(groups, 2, samples)``, ``(groups, bands)``."""
        channels = [
            stft(channel, FRAME, FRAME_HOP).abs().square_().sum(dim=-1)
            for channel in stem.unbind(1)
        ]
        return torch.stack(channels).mean(dim=0) @ self._bands

    def _leaked(self, stems: Mapping[str, Tensor]) -> list[Tensor]:
        """Return what each leak has added to its stem, ``(groups, 2, samples)``.

        One channel at a time: the spectra of 20 s of all stems would take 120 MB.
        """
        masks = [(part @ self._bands.T)[..., None] for part in self._parts()]
        signals = [torch.empty_like(stems[leak.into]) for leak in self._leaks]
        for into in dict.fromkeys(leak.into for leak in self._leaks):
            for number, channel in enumerate(stems[into].unbind(1)):
                spectrum = stft(channel, FRAME, FRAME_HOP)
                for leak, mask, signal in zip(self._leaks, masks, signals, strict=True):
                    if leak.into == into:
                        masked = spectrum * mask
                        signal[:, number] = istft(masked, FRAME, FRAME_HOP, channel.shape[-1])
        return signals

    def _share(self, stems: dict[str, Tensor], left: Tensor) -> None:
        """Add the stems' shares of the high-frequency residual to them, in place."""
        mask = high(FRAME // 2 + 1, self._sample_rate_hz, self._above_hz)[:, None]
        for number, channel in enumerate(left.unbind(1)):
            spectrum = stft(channel, FRAME, FRAME_HOP).mul_(mask)
            above = istft(spectrum, FRAME, FRAME_HOP, channel.shape[-1])
            for name, share in self._shares.items():
                stems[name][:, number] += share * above

    def _parts(self) -> list[Tensor]:
        """For each leak, the fraction of the receiving stem's power that it explains.

        Each is ``(groups, bands)``; those of one stem sum to at most 1.
        """
        parts, whole = [], {leak.into: torch.zeros(1) for leak in self._leaks}
        for leak in self._leaks:
            power = self._powers[leak.into].clamp(min=SILENT)
            part = leak.power * self._powers[leak.of] / power
            parts.append(part)
            whole[leak.into] = whole[leak.into] + part
        return [
            part / whole[leak.into].clamp(min=1)
            for part, leak in zip(parts, self._leaks, strict=True)
        ]


def chunking(sample_rate_hz: int) -> Chunking:
    """Chunks of 20 s plus a fade, in whole frames; the last chunk ends with the song."""
    hop, fade = (s * sample_rate_hz // FRAME_HOP * FRAME_HOP for s in (TOGETHER_S, FADE_S))
    chunk = hop + fade + 2 * FRAME
    return Chunking(chunk=chunk, hop=hop, context=FRAME, step=FRAME_HOP, end=SongEnd.RAGGED)


def high(bins: int, sample_rate_hz: int, above_hz: float) -> Tensor:
    """A high-pass response that rises over half an octave around ``above_hz``, ``(bins,)``.

    >>> high(5, 8, 2.0).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    hz = torch.linspace(0, sample_rate_hz / 2, bins)
    octaves = torch.log2(hz.clamp(min=SILENT) / above_hz)
    return (2 * octaves + 0.5).clamp(0, 1)


def in_bands(bins: int, sample_rate_hz: int) -> Tensor:
    """The weight of each bin in each band, ``(bins, BANDS)``: triangles that sum to 1.

    The bands are equally wide on the ERB scale (equivalent rectangular bandwidth). Source: Glasberg
    and Moore, "Derivation of auditory filter shapes from notched-noise data", Hearing Research
    1990.
    """
    hz = torch.linspace(0, sample_rate_hz / 2, bins)
    scale = torch.log10(1 + 0.00437 * hz)
    place = scale / scale[-1] * (BANDS - 1)
    return (1 - (place[:, None] - torch.arange(BANDS)).abs()).clamp(min=0)
