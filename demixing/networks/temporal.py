"""Temporal modules: layers over time, per band, that a band-split network repeats.

Letters: b batch, t frames, k bands, n features. All of them map ``(b, t, k, n)`` to the same shape,
share their weights across bands, and are built by ``(features, dilation)``. For their speed on a
CPU, see docs/decisions/010-networks.md.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = 5
"""Taps of a convolution over frames."""


class Convolution(nn.Module):
    """A dilated depthwise convolution over time.

    It covers ``dilation * (TAPS - 1) / 2`` frames before and after. A reshape, which copies
    nothing, makes frames at a distance of ``dilation`` neighbours: on a CPU, the backward pass of a
    dilated convolution takes six times as long. In bfloat16, its weights get wrong gradients (torch
    2.13, channels last), so this layer is float32 even under autocast.

    Args:
        features: n.
        dilation: frames between two taps.

    Shape:
        ``(b, t, k, n)`` to the same shape.
    """

    def __init__(self, features: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        padding = ((TAPS - 1) // 2, 0)
        self.over_time = nn.Conv2d(features, features, (TAPS, 1), padding=padding, groups=features)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        batch, frames, bands, features = x.shape
        x = F.pad(x.float(), (0, 0, 0, 0, 0, -frames % self.dilation))
        rows = x.reshape(batch, -1, self.dilation * bands, features)
        with torch.autocast(x.device.type, enabled=False):
            # Features last in memory is torch's channels last: nothing is copied.
            output: Tensor = self.over_time(rows.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return output.reshape(batch, -1, bands, features)[:, :frames]


class Recurrence(nn.Module):
    """A bidirectional recurrent layer; it covers the whole chunk.

    Args:
        features: n.
        dilation: not used.

    Shape:
        ``(b, t, k, n)`` to the same shape.
    """

    def __init__(self, features: int, dilation: int) -> None:
        super().__init__()
        del dilation
        self.recurrent = nn.GRU(features, features // 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(features // 2 * 2, features)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        batch, frames, bands, features = x.shape
        sequences = x.transpose(1, 2).reshape(batch * bands, frames, features)
        output: Tensor = self.out(self.recurrent(sequences)[0])
        return output.reshape(batch, bands, frames, features).transpose(1, 2)


class Mixer(nn.Module):
    """Layers over time, then over bands, then over features, each with a shortcut.

    Args:
        bands: k.
        features: n, of each frame and band.
        over_time: one of :data:`LAYERS`.
        dilation: of the layer over time, in frames.
    """

    def __init__(
        self,
        bands: int,
        features: int,
        over_time: Callable[[int, int], nn.Module],
        dilation: int,
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in range(3))
        self.over_time = over_time(features, dilation)
        self.over_bands = nn.ModuleList([nn.Linear(bands, bands), nn.Linear(bands, bands)])
        self.wide = nn.Linear(features, 4 * features)
        self.narrow = nn.Linear(2 * features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, t, k, n)`` to the same shape."""
        in_time, in_bands, in_features = self.norms
        x = x + self.over_time(in_time(x))
        across = in_bands(x).transpose(2, 3)
        first, second = self.over_bands
        x = x + second(F.silu(first(across))).transpose(2, 3)
        gate, value = self.wide(in_features(x)).chunk(2, dim=-1)
        return x + self.narrow(F.silu(gate) * value)  # type: ignore[no-any-return]


LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "convolution": Convolution,
    "recurrence": Recurrence,
}
"""Layers over time by their names in run files."""
