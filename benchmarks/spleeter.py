"""Spleeter: ours and a plain driver for whole songs with the published network."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.songs import SAMPLE_RATE_HZ, song
from benchmarks.timing import Line, agreement, compare
from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.networks.spleeter_unet import SpleeterUNet
from demixing.networks.stft import istft, stft
from demixing.separator import Chunking, Separator
from demixing.separators.spleeter import (
    BINS,
    EPSILON,
    FRAME,
    FRAME_HOP,
    FRAMES,
    Spleeter,
    plain_network,
)


def run(*, quick: bool) -> Iterator[Line]:
    """Measure both precisions, and the engine alone."""
    audio = song(60)
    networks = [plain_network(stem)[0] for stem in ("vocals", "accompaniment")]
    for precision in ("fp32", "bf16"):
        separator = separators.build("spleeter", {"precision": precision})
        # With the same chunks: on noise, masks depend on where a block starts.
        reference, estimate = (
            streamed(Spleeter(tuple(networks)), audio),
            streamed(separator, audio),
        )

        def note(_: float, ours_s: float, said: str = agreement(reference, estimate)) -> str:
            factor = ours_s * SAMPLE_RATE_HZ / audio.shape[-1]
            return f"{said}, real-time factor {factor:.4f} on 60 s"

        yield (
            compare(
                f"spleeter {precision}: plain driver over ours",
                lambda: without_overlap(audio, *networks),
                lambda separator=separator: streamed(separator, audio),  # type: ignore[misc]
                repeats=3 if quick else 7,
                note=note,
            )
        )
    separator = separators.build("spleeter")
    assert isinstance(separator, Spleeter)
    yield from engine_overhead("spleeter", separator, audio, repeats=3 if quick else 7)


def streamed(separator: Separator, audio: Tensor) -> Tensor:
    """Separate a song ``(2, samples)`` with the streaming engine, in blocks of 1 s.

    Returns:
        ``(stems, 2, samples)``.
    """
    overlap = OverlapAdd(separator)
    parts = [overlap.push(block[None]) for block in torch.split(audio, SAMPLE_RATE_HZ, dim=-1)]
    return torch.cat([*parts, overlap.finish()], dim=-1)[0]


@dataclass(frozen=True, slots=True)
class NoSeparator:
    """Replaces a separator and takes no time, so that only the time of the engine is measured."""

    stems: tuple[str, ...]
    sample_rate_hz: int | None
    chunking: Chunking

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        return chunks[:, None].expand(-1, len(self.stems), -1, -1)


def engine_overhead(
    name: str, separator: Separator, audio: Tensor, *, repeats: int
) -> Iterator[Line]:
    """Compare the engine with the separator alone on the same chunks, in two ways.

    The difference between two long times is noisy. The engine's time with a stand-in is not, but
    excludes its effect on the separator's caches.

    Args:
        name: name of the system.
        separator: the separator.
        audio: the song, ``(2, samples)``.
        repeats: number of rounds.
    """
    chunking = separator.chunking
    count = chunking.count(audio.shape[-1])
    padded = F.pad(audio, (0, chunking.chunk + (count - 1) * chunking.hop - audio.shape[-1]))
    chunks = padded.unfold(-1, chunking.chunk, chunking.hop).unbind(1)
    stand_in = NoSeparator(separator.stems, separator.sample_rate_hz, chunking)

    def bare() -> None:
        with torch.inference_mode():
            for chunk in chunks:
                separator.separate(chunk[None])

    yield compare(
        f"{name}: engine with it over bare separator",
        lambda: streamed(separator, audio),
        bare,
        repeats=repeats,
        note=lambda with_s, bare_s: f"overhead {100 * (with_s / bare_s - 1):.1f} %",
    )
    yield compare(
        f"{name}: engine with a stand-in over bare separator",
        lambda: streamed(stand_in, audio),
        bare,
        repeats=repeats,
        note=lambda own_s, bare_s: f"overhead {100 * own_s / bare_s:.1f} %",
    )


def without_overlap(audio: Tensor, vocals: SpleeterUNet, accompaniment: SpleeterUNet) -> Tensor:
    """Separate the vocals of a song, ``(2, samples)`` both, with blocks that do not overlap."""
    with torch.inference_mode():
        spectrum = stft(audio, FRAME, FRAME_HOP)
        frames = spectrum.shape[-1]
        inputs = F.pad(spectrum.abs()[:, :BINS], (0, -frames % FRAMES)).transpose(1, 2)
        blocks = inputs.unflatten(1, (-1, FRAMES)).transpose(0, 1)  # type: ignore[no-untyped-call]
        masks = []
        for block in blocks:
            one, rest = ((net(block[None]) * block).square() for net in (vocals, accompaniment))
            masks.append(((one + EPSILON / 2) / (one + rest + EPSILON))[0])
        mask = torch.cat(masks, dim=1)[:, :frames].transpose(1, 2)
        above = mask.mean(dim=1, keepdim=True).expand(-1, FRAME // 2 + 1 - BINS, -1)
        whole = torch.cat([mask, above], dim=1)
        return istft(spectrum * whole, FRAME, FRAME_HOP, audio.shape[-1])
