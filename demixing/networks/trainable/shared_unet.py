"""One encoder of Spleeter's U-Net for all stems, and a decoder for each of them.

The U-Net that hears the accompaniment is the one set of weights here that has heard much real
music, so a run may start from it (:func:`warm_start`): all stems share its steps down and the
first of its steps up, and each continues with copies of the others. Masks are made of the ratios
of powers, as in Spleeter, and training goes through them, so stems learn to share the mixture.

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
"""Frequency bins that the network hears, of ``FRAME // 2 + 1``."""

FRAMES = 512
"""In a chunk, as the weights of Spleeter were trained with."""

MULTIPLE = 64
"""Frames are filled up with silence to a multiple of it: six steps halve them."""

EPSILON = 1e-10
"""Keeps ratios finite where all stems say silence."""

TAPS = ((3, 1, 5), (4, 2, 0))
"""Of :mod:`demixing.networks.polyphase`; the sixth tap is a zero."""

VOICES = ("vocals", "dialog")

FEW = 32
"""Outputs up to which four plain convolutions train faster than a transposed one (bfloat16)."""


class Step(Up):
    """A step up whose transposed convolution is trained as four plain ones where that is faster."""

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
    """What one stem has alone: the upper steps up, and a mask of both channels."""

    def __init__(self, widths: tuple[int, ...], shared: int) -> None:
        super().__init__()
        self.up = nn.ModuleList(Step(*step, elu=False) for step in steps_up(widths)[shared:])
        self.last = nn.Conv2d(1, 2, kernel_size=4, dilation=2, padding=3)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Return the mask ``(b, 2, t, f)``, given the skip connections, smallest first."""
        for step, skip in zip(self.up, skips, strict=True):
            x = step(torch.cat([skip, x], dim=1))
        return torch.sigmoid(self.last(x))


class SharedUNet(ChunkGeometry):
    """Separate a stereo mixture at 44.1 kHz.

    Args:
        stems: their names.
        widths: channels after each step down.
        shared: how many steps up all stems share, at least one.
        frozen_norms: keep the statistics of batch normalisation while training: batches are
            small, and those of the weights that a run starts from are known.

    Shape:
        ``(b, 2, samples)`` to ``(b, stems, 2, samples)``.
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
        """Set the mode of all layers, but that of frozen normalisations."""
        super().train(mode)
        if self.frozen_norms:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, mixture: Tensor) -> Tensor:
        """See the class."""
        spectrum = stft(mixture, FRAME, FRAME_HOP)
        powers = self.powers(heard_of(spectrum))
        masks = powers / powers.sum(dim=1, keepdim=True)
        unheard = FRAME // 2 + 1 - BINS
        above = masks.mean(dim=-1, keepdim=True).expand(*masks.shape[:-1], unheard)
        masks = torch.cat([masks, above], dim=-1).transpose(-1, -2)
        return istft(spectrum[:, None] * masks, FRAME, FRAME_HOP, mixture.shape[-1])

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Magnitudes of all stems where the network hears, ``(b, stems, 2, frames * BINS)``."""
        heard = heard_of(stft(mixture, FRAME, FRAME_HOP))
        powers = self.powers(heard)
        # Not by masks, whose quotients are four times as many.
        return (powers * (heard / powers.sum(dim=1))[:, None]).flatten(-2)

    def heard(self, audio: Tensor) -> Tensor:
        """Magnitudes where the network hears: ``(..., samples)`` to ``(..., frames * BINS)``."""
        return heard_of(stft(audio, FRAME, FRAME_HOP)).flatten(-2)

    def projected(self, stems: Tensor) -> Tensor:
        """What masks can give of stems at best: the part of each that has the mixture's phase.

        Its sum over stems is the mixture's magnitude, and its distance from what masks give is,
        but for a constant, the distance of the spectra themselves.

        Args:
            stems: ``(b, stems, 2, samples)``.

        Returns:
            ``(b, stems, 2, frames * BINS)``; negative where a stem is against its mixture.
        """
        spectra = stft(stems, FRAME, FRAME_HOP)[..., :BINS, :].transpose(-1, -2)
        mixture = spectra.sum(dim=1, keepdim=True)
        phase = mixture / mixture.abs().clamp_min(EPSILON)
        return (spectra.real * phase.real + spectra.imag * phase.imag).flatten(-2)

    def powers(self, heard: Tensor) -> Tensor:
        """Map ``(b, 2, frames, BINS)`` to powers ``(b, stems, 2, frames, BINS)``.

        Masks are their ratios to their sum.
        """
        frames = heard.shape[2]
        x = F.pad(heard, (0, 0, 0, -frames % MULTIPLE))
        x = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for step in self.down:
            skip, x = step(x)
            skips.append(skip)
        x = self.up[0](skips.pop())
        for step in self.up[1:]:
            x = step(torch.cat([skips.pop(), x], dim=1))
        answers = [branch(x, skips[::-1]) for branch in self.branches]
        return torch.stack(answers, dim=1)[..., :frames, :].float().square() + EPSILON


def heard_of(spectrum: Tensor) -> Tensor:
    """Magnitudes that the network hears: ``(..., bins, frames)`` to ``(..., frames, BINS)``."""
    return spectrum[..., :BINS, :].abs().transpose(-1, -2)


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
    """Make weights for a start of those of Spleeter's accompaniment.

    Args:
        state: as it is published, or of this network, which is returned as it is.
        stems: of the network to fill. A stem in :data:`VOICES` is no accompaniment: its mask
            begins as what the accompaniment leaves.
        widths: as of the network, like the others.
        shared: as of the network.
        frozen_norms: as of the network.
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
