"""Danna-Sep (2021): drums, bass, other and vocals by three networks, blended.

An X-UMX and a U-Net estimate magnitudes, which a Wiener filter makes consistent with the mixture; a
split Demucs estimates waveforms. The output is their weighted sum, with one weight per network and
stem.

The authors process a whole song at once, except in the U-Net, which processes a minute at a time.
Here all three networks process chunks that start with those minutes and are 11 s longer, for
context and a cross-fade, so memory does not depend on the length of a song. A song that fits in one
chunk is separated exactly as by the authors. In a longer song, the recurrent layers, the
normalisation of Demucs and the directions of the Wiener filter only depend on one chunk, see
docs/decisions/007-demucs-v2-and-danna.md; a longer ``chunk_s`` avoids that.

Source: Yu, Cheng, "Danna-Sep: unite to separate them all", arXiv:2112.03752;
github.com/yoyololicon/danna-sep.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks import d3_fast, d3_unet, demucs_split, execution, xumx
from demixing.networks.movable import Networks
from demixing.networks.stft import istft, stft
from demixing.networks.wiener import wiener
from demixing.plugins import did_you_mean
from demixing.separator import Chunking, SongEnd
from demixing.weights import checkpoints
from demixing.weights.loading import load

Network = Callable[[Tensor], Tensor]
"""Waveforms ``(b, 2, samples)`` to stems, or magnitudes ``(b, 2, bins, frames)`` to masks."""

SAMPLE_RATE_HZ = 44_100
STEMS = ("drums", "bass", "other", "vocals")
FRAME = 4096
FRAME_HOP = 1024
UNET_FRAMES = 2584
"""Frames that the U-Net processes at a time: one minute."""

TAIL = 1024
"""Samples of silence after a song, which complete its last frame."""

LEAD = SAMPLE_RATE_HZ // 2
"""Samples of silence before the input of Demucs: its maximum random shift, which is off here."""

LIMIT = 0.99
"""Demucs' output is clipped to this."""

EPSILON = 2.0**-52
"""Noise power of the Wiener filter: machine epsilon of double precision, as in norbert."""

CONTEXT, FADE = 215, 43
"""Frames of a chunk that are discarded at both ends, and cross-faded: 5 s and 1 s."""

FULL = {
    "unet": (0.2, 0.17, 0.5, 0.4),
    "demucs": (0.6, 0.73, 0.5, 0.4),
    "xumx": (0.2, 0.1, 0.0, 0.2),
}
FAST = {"unet": (0.4, 0.27, 0.5, 0.6), "demucs": (0.6, 0.73, 0.5, 0.4)}
"""Weights of the stems by network, in the authors' order."""

NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[..., nn.Module], bool]] = {
    "unet": (d3_unet.D3UNet, d3_fast.prepared, True),
    "demucs": (demucs_split.DemucsSplit, demucs_split.prepared, False),
    "xumx": (xumx.XUMX, xumx.prepared, False),
}
"""By name: how to build and prepare a network, and whether its tensors have its precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DannaSep(Networks):
    """The weighted sum of the networks.

    Attributes:
        networks: by name; ``demucs`` maps waveforms to stems, the others map magnitudes to masks.
        weights: by the name of a network, one for each stem.
        chunking: see :func:`chunking`.
        unet_frames: frames that the U-Net processes at a time.
        stems: names of the outputs.
        sample_rate_hz: the rate that the networks were trained at.
        answers_silence: see :func:`demixing.separator.answers_silence`; Demucs does.
    """

    networks: Mapping[str, Network]
    weights: Mapping[str, Sequence[float]]
    chunking: Chunking
    unet_frames: int = UNET_FRAMES
    stems: tuple[str, ...] = STEMS
    sample_rate_hz: int = SAMPLE_RATE_HZ
    answers_silence: bool = True

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        # One at a time: on a CPU, recurrent layers are slower with a batch.
        return torch.stack([self._stems(chunk) for chunk in chunks])

    def _stems(self, chunk: Tensor) -> Tensor:
        """Separate audio of any length, ``(2, samples)`` to ``(4, 2, samples)``."""
        samples = chunk.shape[-1]
        # The audio is mirrored at its start, and must be long enough for that.
        audio = F.pad(chunk, (0, max(FRAME - samples, 0) + TAIL))
        stems = chunk.new_zeros(len(self.stems), *chunk.shape)
        for name, weights in self.weights.items():
            output = self._by_waveform(audio) if name == "demucs" else self._by_mask(audio, name)
            scale = chunk.new_tensor(weights)[:, None, None]
            stems += output[..., :samples].mul_(scale)
        return stems

    def _by_waveform(self, audio: Tensor) -> Tensor:
        """Separate ``(2, samples)`` by Demucs into ``(4, 2, samples)``, padded at the end."""
        output = self.networks["demucs"](F.pad(audio, (LEAD, 0))[None])[0, ..., LEAD:]
        missing = audio.shape[-1] - output.shape[-1]
        return F.pad(output.clamp_(-LIMIT, LIMIT), (0, missing))

    def _by_mask(self, audio: Tensor, name: str) -> Tensor:
        """Separate ``(2, samples)`` by a network for masks and the Wiener filter.

        Args:
            audio: the mixture.
            name: of the network.

        Returns:
            ``(4, 2, samples)``.
        """
        spectrum = stft(audio, FRAME, FRAME_HOP, pad_mode="reflect")
        magnitudes = spectrum.abs()
        frames = self.unet_frames if name == "unet" else magnitudes.shape[-1]
        parts = [
            self._mask(part, name).mul_(part) for part in torch.split(magnitudes, frames, dim=-1)
        ]
        estimates = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
        del magnitudes, parts
        output = wiener(estimates, spectrum, epsilon=EPSILON)
        del estimates, spectrum
        stems = [istft(stem, FRAME, FRAME_HOP, audio.shape[-1]) for stem in output]
        return torch.stack(stems)

    def _mask(self, magnitudes: Tensor, name: str) -> Tensor:
        """Map magnitudes ``(2, bins, frames)`` to masks ``(4, 2, bins, frames)``."""
        # The U-Net halves the number of frames six times, so it needs enough of them.
        missing = d3_unet.SHORTEST - magnitudes.shape[-1]
        if missing <= 0 or name != "unet":
            return self.networks[name](magnitudes[None])[0]
        return self.networks[name](F.pad(magnitudes, (0, missing))[None])[0, ..., :-missing]


def chunking(chunk_s: float) -> Chunking:
    """Return chunks that start where the authors' U-Net blocks do, if they are long enough.

    Blocks are one minute long. The U-Net's output depends on where blocks start, because it
    downsamples neighbouring frames together.

    Args:
        chunk_s: seconds between the starts of two chunks, which are 11 s longer. From a minute on
            it is rounded up to whole minutes.

    Raises:
        ValueError: it is shorter than two cross-fades.
    """
    hop = int(chunk_s * SAMPLE_RATE_HZ) // FRAME_HOP
    if hop < 2 * FADE:
        raise ValueError(f"need chunk_s >= 2, got {chunk_s}")
    if hop >= UNET_FRAMES - 1:
        hop = -(-hop // UNET_FRAMES) * UNET_FRAMES
    frames = hop + 2 * CONTEXT + FADE
    return Chunking(
        chunk=frames * FRAME_HOP,
        hop=hop * FRAME_HOP,
        context=CONTEXT * FRAME_HOP,
        step=d3_unet.SHORTEST * FRAME_HOP,
        end=SongEnd.RAGGED,
        shorter=tuple(frames // part * FRAME_HOP for part in (2, 4) if frames // part > 600),
    )


def blend(*, fast: bool = False, only: str = "") -> dict[str, Sequence[float]]:
    """Return the weights of the networks that run, by name and stem.

    Args:
        fast: without X-UMX.
        only: name of the only network to run; "": all of them.

    Raises:
        ValueError: there is no such network.
    """
    if only:
        if only not in FULL:
            raise ValueError(f"no network {only!r}{did_you_mean(only, list(FULL))}")
        return {only: (1.0,) * len(STEMS)}
    return dict(FAST if fast else FULL)


def adapt(
    networks: Mapping[str, nn.Module],
    *,
    fast: bool = False,
    only: str = "",
    chunk_s: float = 60.0,
    precision: str = "fp32",
) -> DannaSep:
    """Build a separator from networks with weights.

    Args:
        networks: those of :func:`blend`, by name.
        fast: without X-UMX.
        only: name of the only network to run; "": all of them.
        chunk_s: see :func:`chunking`.
        precision: of the networks, see :mod:`demixing.networks.execution`.

    Raises:
        ConfigError: there is no such precision.
        ValueError: there is no such network, or ``chunk_s`` is too short.
    """
    weights, chunks = blend(fast=fast, only=only), chunking(chunk_s)
    how = execution.choose(precision)
    ready = {
        name: how.prepare(networks[name], NETWORKS[name][1], cast=NETWORKS[name][2])
        for name in weights
    }
    return DannaSep(
        networks=ready, weights=weights, chunking=chunks, answers_silence="demucs" in weights
    )


def required_weights(*, fast: bool = False, only: str = "") -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens.

    Arguments are those of :func:`build`.
    """
    return [f"danna_{name}" for name in blend(fast=fast, only=only)]


def build(
    *,
    fast: bool = False,
    only: str = "",
    chunk_s: float = 60.0,
    precision: str = "fp32",
) -> DannaSep:
    """Load the networks from files that the user provides.

    Args:
        fast: without X-UMX, as with the authors' ``--fast``.
        only: "unet", "demucs" or "xumx" to run this network alone.
        chunk_s: see :func:`chunking`. Shorter songs are separated exactly as the authors do.
        precision: of the networks, see :mod:`demixing.networks.execution`.

    Raises:
        CheckpointError: a file is missing, altered, or for another network.
        ConfigError: there is no such precision.
        ValueError: there is no such network, or ``chunk_s`` is too short.
    """
    networks = {}
    for name in blend(fast=fast, only=only):
        entry = checkpoints.find(f"danna_{name}")
        networks[name] = load(NETWORKS[name][0], checkpoints.load(entry), entry.name)
    return adapt(networks, fast=fast, only=only, chunk_s=chunk_s, precision=precision)
