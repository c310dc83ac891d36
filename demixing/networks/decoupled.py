"""Separation by a mask, a phase rotation and an added magnitude, as in ByteSep's networks.

Letters: b batch, s stems, c channels, n bands, t frames, f bins. A network between two spectra maps
magnitudes ``(b, c n, t, f)`` to four maps, p0 to p3, for each stem, channel and band:

    |Y| = relu(sigmoid(p0) |X| + q(p3)),    angle(Y) = angle(X) + angle(tanh(p1) + i tanh(p2)).

Source: Kong, Cao, Liu, Choi, Wang, "Decoupling magnitude and phase estimation with deep ResUNet
for music source separation", ISMIR 2021.
"""

from collections.abc import Callable
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.exact import exact
from demixing.networks.pqmf import BANDS, PQMF
from demixing.networks.stft import istft

MAPS = 4
"""Outputs of the network for each stem, channel and band."""

QUIET = 1e-5
"""Lower bound of magnitudes at the input of the networks."""

MOMENTUM = 0.01
"""Momentum of the normalisations in training."""

FRAMES = 32
"""The number of frames must be a multiple of this."""


class Bands(TypedDict):
    """Arguments of :class:`Decoupled` that define a variant."""

    bands: int
    frame: int
    hop: int
    added: Callable[[Tensor], Tensor]


class Decoupled(nn.Module):
    """The parts around the network; subclasses define the network as :meth:`maps`.

    The last layer of a subclass is ``after_conv2``, in the precision of its other layers.

    Args:
        inputs: channels of the mixture and of each stem.
        targets: number of stems.
        bands: 4, with the filter bank of ``demixing/networks/pqmf.py``, or 1.
        frame: length of the STFT's window in samples of a band.
        hop: hop of the STFT in samples of a band.
        added: q of the module's docstring.

    Shape:
        mixtures ``(b, c, samples)`` to stems ``(b, s, c, samples)``.
    """

    after_conv2: nn.Conv2d

    def __init__(
        self,
        *,
        inputs: int,
        targets: int,
        bands: int,
        frame: int,
        hop: int,
        added: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.inputs, self.targets, self.bands = inputs, targets, bands
        self.frame, self.frame_hop = frame, hop
        self._added = added
        if bands == BANDS:
            self.pqmf = PQMF()
        self.bn0 = nn.BatchNorm2d(frame // 2 + 1, momentum=MOMENTUM)

    def maps(self, x: Tensor) -> Tensor:
        """Map ``(b, c n, t, f)`` to ``(b, s c 4 n, t, f)``; t and f are multiples of 32 and 64."""
        raise NotImplementedError

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class."""
        samples = mixtures.shape[-1]
        audio = F.pad(mixtures, (0, -samples % self.bands))
        audio = audio[:, :, None] if self.bands == 1 else self.pqmf.analysis(audio)
        spectrum = self._stft(audio)
        magnitude = spectrum.abs().clamp(min=QUIET)
        x = self.bn0(magnitude.flatten(1, 2).transpose(1, 3)).transpose(1, 3)
        frames = x.shape[2]
        # The last bin is dropped and silent in the output.
        x = F.pad(x, (0, -1, 0, -frames % FRAMES))
        maps = self.maps(x.to(self.after_conv2.weight.dtype))[:, :, :frames].float()
        stems = self._istft(self._separated(spectrum, magnitude, maps), audio.shape[-1])
        if self.bands == 1:
            return stems[:, :, :, 0]
        return self.pqmf.synthesis(stems)[..., :samples]

    def _separated(self, spectrum: Tensor, magnitude: Tensor, maps: Tensor) -> Tensor:
        """Return the spectra of the stems, by the formulas of the module.

        Args:
            spectrum: of the mixture, ``(b, c, n, t, f)``.
            magnitude: of it, same shape.
            maps: outputs of the network, ``(b, s c 4 n, t, f - 1)``.

        Returns:
            ``(b, s, c, n, t, f)``.
        """
        shape = (len(maps), self.targets, self.inputs, MAPS, self.bands, *maps.shape[2:])
        share, cosine, sine, added = maps.reshape(shape).unbind(3)
        magnitude = magnitude[:, None, ..., :-1]
        turn = torch.complex(cosine.tanh(), sine.tanh())
        level = F.relu(magnitude * share.sigmoid() + self._added(added))
        level = level / (turn.abs().clamp(min=QUIET**2) * magnitude)
        return F.pad(spectrum[:, None, ..., :-1] * turn * level, (0, 1))

    def _stft(self, audio: Tensor) -> Tensor:
        """Transform ``(b, c, n, samples)`` to ``(b, c, n, t, f)``.

        In float64, because an added magnitude gets the mixture's phase. In bins where the mixture
        has next to nothing, such as above the band of an mp3, that would be the phase of rounding
        errors of the louder ones. Training can do without.
        """
        wide = torch.float32 if self.training else exact(audio.device)
        spectrum = torch.stft(
            audio.flatten(0, 2).to(wide),
            n_fft=self.frame,
            hop_length=self.frame_hop,
            window=torch.hann_window(self.frame, device=audio.device, dtype=wide),
            pad_mode="reflect",
            return_complex=True,
        ).to(torch.complex64)
        return spectrum.transpose(1, 2).reshape(*audio.shape[:3], -1, self.frame // 2 + 1)

    def _istft(self, spectra: Tensor, samples: int) -> Tensor:
        """Invert :meth:`_stft`: ``(..., t, f)`` to ``(..., samples)``."""
        return istft(spectra.transpose(-1, -2), self.frame, self.frame_hop, samples)
