"""Spleeter's U-Net with one encoder for all stems, and a decoder for each of them.

A run may start from Spleeter's accompaniment U-Net (:func:`warm_start`), the only available weights
that were trained on much real music. All stems share its steps down and the first of its steps up;
each stem has its own copies of the other steps up. Masks are ratios of powers, as in Spleeter,

    mask_s = P_s / sum_r P_r,

and are part of the trained function, so the stems learn to divide the mixture. Letters: b batch,
t frames, f bins.

Source: the network is that of :mod:`demixing.networks.spleeter_unet`; sharing is our own.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.networks.spleeter_unet import WIDTHS, Down, Up, renamed, steps_down, steps_up
from demixing.networks.stft import istft, stft

FRAME = 4096
FRAME_HOP = 1024
BINS = 1024
"""Number of frequency bins, of ``FRAME // 2 + 1``, that the network reads."""

FRAMES = 512
"""Frames per chunk, as in the training of Spleeter's weights."""

MULTIPLE = 64
"""The number of frames is zero-padded to a multiple of this: six steps halve it."""

EPSILON = 1e-10
"""Keeps ratios finite where all estimates are silent."""

TAPS = ((3, 1, 5), (4, 2, 0))
"""Taps of :mod:`demixing.networks.polyphase`; tap 5 is zero."""

VOICES = ("vocals", "dialog")
"""Stems that are not accompaniment."""

FEW = 32
"""Maximum number of outputs with which the polyphase form trains faster (bfloat16)."""


class Step(Up):
    """A step up with a transposed convolution, trained in polyphase form where that is faster."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, t, f)`` to ``(b, outputs, 2 t, 2 f)``."""
        convolution = self.convolution
        if not isinstance(convolution, nn.ConvTranspose2d) or convolution.out_channels > FEW:
            return super().forward(x)
        assert convolution.bias is not None
        taps = torch.tensor(TAPS, device=x.device)
        padded = F.pad(convolution.weight, (0, 1, 0, 1))[:, :, taps][..., taps]
        weight = padded.permute(1, 2, 4, 0, 3, 5).flatten(0, 2)
        y = F.conv2d(x, weight, convolution.bias.repeat_interleave(4), padding=1)
        return self.norm(self.activation(F.pixel_shuffle(y, 2)))  # type: ignore[no-any-return]


class Branch(nn.Module):
    """The layers of one stem: the last steps up, and a mask for both channels.

    Args:
        widths: channels after each step down.
        shared: number of steps up that all stems share.
    """

    def __init__(self, widths: tuple[int, ...], shared: int) -> None:
        super().__init__()
        self.up = nn.ModuleList(Step(*step, elu=False) for step in steps_up(widths)[shared:])
        self.last = nn.Conv2d(1, 2, kernel_size=4, dilation=2, padding=3)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Return the root of the power of a stem, ``(b, 2, t, f)`` from 0 to 1.

        Args:
            x: output of the shared steps up.
            skips: skip connections, smallest first.
        """
        for step, skip in zip(self.up, skips, strict=True):
            x = step(torch.cat([skip, x], dim=1))
        return torch.sigmoid(self.last(x))


class SharedUNet(ChunkGeometry):
    """Separate a stereo mixture at 44.1 kHz.

    Args:
        stems: names of the outputs.
        widths: channels after each step down.
        shared: number of steps up that all stems share, at least one.
        frozen_norms: keep the batch normalisation statistics in training: batches are small, and
            the initial weights have good statistics.

    Shape:
        ``(b, 2, samples)`` to ``(b, stems, 2, samples)``.

    Raises:
        ValueError: ``shared`` is out of range.
    """

    sample_rate_hz = 44_100
    chunk = (FRAMES - 1) * FRAME_HOP
    hop = 431 * FRAME_HOP
    context = 32 * FRAME_HOP
    step = FRAME_HOP
    shorter = ((FRAMES // 2 - 1) * FRAME_HOP, (FRAMES // 4 - 1) * FRAME_HOP)

    def __init__(
        self,
        stems: tuple[str, ...],
        *,
        widths: tuple[int, ...] = WIDTHS,
        shared: int = 2,
        frozen_norms: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= shared < len(widths):
            raise ValueError(f"shared must be from 1 to {len(widths) - 1}, got {shared}")
        self.stems = stems
        self.frozen_norms = frozen_norms
        self.down = nn.ModuleList(Down(*step, elu=False) for step in steps_down(widths))
        self.up = nn.ModuleList(Step(*step, elu=False) for step in steps_up(widths)[:shared])
        self.branches = nn.ModuleList(Branch(tuple(widths), shared) for _ in stems)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def train(self, mode: bool = True) -> "SharedUNet":
        """Set the mode of all layers except the frozen normalisations."""
        super().train(mode)
        if self.frozen_norms:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, mixture: Tensor) -> Tensor:
        """See the class."""
        spectrum = stft(mixture, FRAME, FRAME_HOP)
        powers = self.powers(input_of(spectrum))
        everything = powers.sum(dim=1)
        # One stem at a time: the spectra of all stems would be most of the memory.
        stems = [
            istft(spectrum * _full_band(power / everything), FRAME, FRAME_HOP, mixture.shape[-1])
            for power in powers.unbind(1)
        ]
        return torch.stack(stems, dim=1)

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Return magnitudes of all stems in the input bins.

        Args:
            mixture: ``(b, 2, samples)``.

        Returns:
            ``(b, stems, 2, frames * BINS)``.
        """
        magnitudes = input_of(stft(mixture, FRAME, FRAME_HOP))
        powers = self.powers(magnitudes)
        # One division for all stems; masks would need one per stem.
        return (powers * (magnitudes / powers.sum(dim=1))[:, None]).flatten(-2)

    def input_magnitudes(self, audio: Tensor) -> Tensor:
        """Return magnitudes in the input bins.

        Args:
            audio: ``(..., samples)``.

        Returns:
            ``(..., frames * BINS)``.
        """
        return input_of(stft(audio, FRAME, FRAME_HOP)).flatten(-2)

    def projected(self, stems: Tensor) -> Tensor:
        """Project stems' spectra onto the phase of their mixture: the best result for masks.

        For a stem S and the mixture X this is Re(S conj(X)) / abs(X). Its sum over stems is the
        magnitude of the mixture, and its squared distance from masked magnitudes is that of the
        spectra themselves minus a constant.

        Args:
            stems: ``(b, stems, 2, samples)``.

        Returns:
            ``(b, stems, 2, frames * BINS)``; negative where a stem opposes its mixture.
        """
        spectra = stft(stems, FRAME, FRAME_HOP)[..., :BINS, :].transpose(-1, -2)
        mixture = spectra.sum(dim=1, keepdim=True)
        phase = mixture / mixture.abs().clamp_min(EPSILON)
        return (spectra.real * phase.real + spectra.imag * phase.imag).flatten(-2)

    def powers(self, magnitudes: Tensor) -> Tensor:
        """Map magnitudes of a mixture to powers; their ratios to the sum are the masks.

        Args:
            magnitudes: ``(b, 2, frames, BINS)``.

        Returns:
            ``(b, stems, 2, frames, BINS)``.
        """
        frames = magnitudes.shape[2]
        x = F.pad(magnitudes, (0, 0, 0, -frames % MULTIPLE))
        x = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for step in self.down:
            skip, x = step(x)
            skips.append(skip)
        x = self.up[0](skips.pop())
        for step in self.up[1:]:
            x = step(torch.cat([skips.pop(), x], dim=1))
        roots = [branch(x, skips[::-1]) for branch in self.branches]
        return torch.stack(roots, dim=1)[..., :frames, :].float().square() + EPSILON


def input_of(spectrum: Tensor) -> Tensor:
    """Return the input of the network: ``(..., bins, frames)`` to ``(..., frames, BINS)``."""
    return spectrum[..., :BINS, :].abs().transpose(-1, -2)


def _full_band(part: Tensor) -> Tensor:
    """Continue a mask above the input bins by its mean.

    Args:
        part: ``(..., frames, BINS)``.

    Returns:
        ``(..., bins, frames)``.
    """
    above = part.mean(dim=-1, keepdim=True).expand(*part.shape[:-1], FRAME // 2 + 1 - BINS)
    return torch.cat([part, above], dim=-1).transpose(-1, -2)


def build(
    stems: tuple[str, ...],
    widths: tuple[int, ...] = WIDTHS,
    shared: int = 2,
    frozen_norms: bool = True,
) -> SharedUNet:
    """See :class:`SharedUNet`."""
    return SharedUNet(stems, widths=tuple(widths), shared=shared, frozen_norms=frozen_norms)


def warm_start(
    state: Mapping[str, Tensor],
    stems: tuple[str, ...],
    widths: tuple[int, ...] = WIDTHS,
    shared: int = 2,
    frozen_norms: bool = True,
) -> Mapping[str, Tensor]:
    """Create initial weights from Spleeter's accompaniment network.

    Args:
        state: as published, or of this network, which is returned unchanged.
        stems: names of the network's outputs. The initial mask of a stem in :data:`VOICES` is 1
            minus that of the accompaniment.
        widths: of the network; not used.
        shared: of the network.
        frozen_norms: of the network; not used.

    Returns:
        Weights of the network; each has the shape of the published one it starts as.
    """
    del widths, frozen_norms
    if any(key.startswith("branches.") for key in state):
        return state
    result = {}
    for key, value in renamed(dict(state)).items():
        part, number, *rest = key.split(".")
        if part == "down" or (part == "up" and int(number) < shared):
            result[key] = value
            continue
        name = f"up.{int(number) - shared}.{'.'.join(rest)}" if part == "up" else key
        for index, stem in enumerate(stems):
            # sigmoid(-x) = 1 - sigmoid(x)
            negated = part == "last" and stem in VOICES
            result[f"branches.{index}.{name}"] = -value if negated else value.clone()
    return result
