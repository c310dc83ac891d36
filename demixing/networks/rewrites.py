"""Rewrites a built network for inference: the same function, with fewer memory passes.

Layers are recognised by their structure, not by their package, so the rewrites work for every
network of that structure, such as hybrid Demucs (v3 and v4). Letters: b batch, c channels, f bins,
t frames. A layer of the time branch is a layer of the frequency branch with one bin.

The rewrites, with measurements in docs/decisions/002-precision-and-speed.md
and 019-hybrids-near-the-limit.md:

* Convolutions are two-dimensional and channels last, where the CPU's kernels are fastest, and apply
  the activation after them, see :mod:`demixing.networks.fused`.
* A transposed convolution crops its ends itself instead of computing and copying them.
* The wide normalisation of a residual branch is folded into the convolution before it, see
  :mod:`demixing.networks.folded`.
* Transformers work as :mod:`demixing.networks.attention` describes.
* The embedding of frequencies is added in place by the first layer.
* Optionally, products are computed in bfloat16; sums, norms and statistics stay in float32.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.attention import (
    Attention,
    Linear,
    TransformerLayer,
    is_layer,
    is_plain_attention,
)
from demixing.networks.convolutions import Convolution, Convolution1d, GatedConvolution, gated
from demixing.networks.folded import FoldedResidual, is_residual
from demixing.networks.fused import gelu_


class Encoder(nn.Module):
    """A step down: strided convolution, GELU, residual branches, 1x1 convolution with a GLU.

    Args:
        original: the layer of demucs.
        dtype: of the products.

    Shape:
        ``(b, c, f, t)`` to ``(b, outputs, f', t)``; in the time branch ``(b, c, t)`` to
        ``(b, outputs, t')``.
    """

    def __init__(self, original: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.empty = original.empty
        self._freq, self._stride = original.freq, original.stride
        self.conv = Convolution(original.conv, dtype)
        self.embedding: Tensor | None
        self.register_buffer("embedding", None)
        if self.empty:
            return
        self.norm1 = original.norm1
        self.residuals = _residuals(original.dconv, dtype)
        self.rewrite = _gated(original.rewrite, getattr(original, "norm2", None), dtype)

    def forward(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        """See the class; ``inject`` is the output of the time branch, added where both merge."""
        if not self._freq:
            x = x.flatten(1, 2) if x.dim() == 4 else x
            x = F.pad(x, (0, -x.shape[-1] % self._stride))[:, :, None]
        if self.empty:
            y: Tensor = self.conv(x)
        else:
            y = self.rewrite(self.residuals(self._entered(x, inject)))
        if self.embedding is not None:
            y += self.embedding[:, :, : y.shape[2]]
        return y if self._freq else y[:, :, 0]

    def _entered(self, x: Tensor, inject: Tensor | None) -> Tensor:
        """Apply the convolution, the normalisation and the GELU."""
        if inject is None and isinstance(self.norm1, nn.Identity):
            return self.conv(x, "gelu")  # type: ignore[no-any-return]
        y: Tensor = self.conv(x)
        if inject is not None:
            y = y + (inject[:, :, None] if inject.dim() == 3 else inject)
        return gelu_(self.norm1(y))


class Decoder(nn.Module):
    """A step up: convolution with a GLU, residual branches, transposed convolution, GELU.

    Args:
        original: the layer of demucs.
        dtype: of the products.

    Shape:
        ``(b, c, f, t)`` to ``(b, outputs, f', t)``; in the time branch ``(b, c, t)`` to
        ``(b, outputs, t')``.
    """

    def __init__(self, original: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.empty, self.last, self._freq = original.empty, original.last, original.freq
        self._inputs = original.chin
        # A normalisation also averages over the ends, so they are cropped after it.
        self._crop = 0 if isinstance(original.norm2, nn.Identity) else original.pad
        self.conv_tr = Convolution(original.conv_tr, dtype, crop=original.pad - self._crop)
        self.norm2 = original.norm2
        if self.empty:
            return
        self.rewrite = _gated(original.rewrite, getattr(original, "norm1", None), dtype)
        self.residuals = _residuals(original.dconv, dtype)

    def forward(self, x: Tensor, skip: Tensor | None, length: int) -> tuple[Tensor, Tensor]:
        """Return the output and the input of the transposed convolution.

        Args:
            x: see the class.
            skip: the skip connection, of the same shape.
            length: samples of the output in the time branch.
        """
        y = self.joined(x if skip is None else x.clone(), skip)
        if not self.empty:
            y = self.rewrite(y)  # a separate line, to free the tensor before it
            y = self.residuals(y)
        z = self.raised(y, length)
        return (z, y) if self._freq else (z, y[:, :, 0])

    def joined(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Add the skip connection to x, in place if both have one type.

        Returns:
            ``(b, c, f, t)``.
        """
        if self._freq and x.dim() == 3:
            x = x.reshape(len(x), self._inputs, -1, x.shape[-1])
        if skip is not None:
            x = x.add_(skip) if x.dtype == skip.dtype else x + skip
        return x if self._freq else x[:, :, None]

    def raised(self, y: Tensor, length: int = 0) -> Tensor:
        """Apply the transposed convolution, the normalisation and the GELU.

        Args:
            y: ``(b, c, f, t)``.
            length: samples of the output in the time branch.

        Returns:
            See the class.
        """
        at_once = not self.last and isinstance(self.norm2, nn.Identity)
        z: Tensor = self.norm2(self.conv_tr(y, "gelu" if at_once else "none"))
        if self._freq:
            z = z[:, :, self._crop : z.shape[2] - self._crop]
        else:
            z = z[..., self._crop : self._crop + length]
        z = z if self.last or at_once else gelu_(z)
        return z if self._freq else z[:, :, 0]


class Gate(nn.Module):
    """A gated linear unit over channels, see :func:`demixing.networks.convolutions.gated`."""

    def forward(self, z: Tensor) -> Tensor:
        """Map ``(b, 2 c, f, t)`` to ``(b, c, f, t)``."""
        return gated(z)


def rewrite(
    network: nn.Module, dtype: torch.dtype = torch.float32, *, in_place: bool = False
) -> nn.Module:
    """Copy a network with every known layer replaced.

    Args:
        network: with its weights.
        dtype: of the products: float32, the same output to rounding, or bfloat16.
        in_place: rewrite the network itself, which saves a copy of its weights.

    Returns:
        A network in evaluation mode, without gradients, with float32 inputs and outputs.
    """
    faster = network if in_place else copy.deepcopy(network)
    faster.eval().requires_grad_(False)
    _replace(faster, dtype)
    _embed(faster, dtype)
    return faster


def _replace(parent: nn.Module, dtype: torch.dtype) -> None:
    """Replace the known layers below ``parent``, but not layers inside those."""
    for name, child in list(parent.named_children()):
        if _has(child, "conv", "freq", "dconv", "empty") or _has(child, "conv", "empty", "norm"):
            setattr(parent, name, Encoder(child, dtype))
        elif _has(child, "conv_tr", "freq", "empty", "chin", "pad", "last"):
            setattr(parent, name, Decoder(child, dtype))
        elif is_layer(child):
            setattr(parent, name, TransformerLayer(child, dtype))
        elif is_plain_attention(child):
            setattr(parent, name, Attention(child, dtype))  # type: ignore[arg-type]
        elif type(child) is nn.Linear and child.bias is not None:
            setattr(parent, name, Linear(child, dtype))
        elif type(child) is nn.Conv1d and child.padding_mode == "zeros":
            setattr(parent, name, Convolution1d(child, dtype))
        elif not _has(child, "split_ratios"):  # such a layer splits its own layers
            _replace(child, dtype)


def _residuals(branches: Any, dtype: torch.dtype) -> nn.Module:
    """Fold the residual branches of a layer, if it has any."""
    if branches is None:
        return nn.Identity()
    layers = list(branches.layers)
    if not all(map(is_residual, layers)):
        raise ValueError(f"unknown layers in a residual branch: {branches}")
    return nn.Sequential(*(FoldedResidual(layer, dtype) for layer in layers))


def _gated(convolution: Any, norm: nn.Module | None, dtype: torch.dtype) -> nn.Module:
    """Rewrite a convolution, a normalisation and a gated linear unit, if a layer has them."""
    if convolution is None or norm is None:
        return nn.Identity()
    if isinstance(norm, nn.Identity):
        return GatedConvolution(convolution, dtype)
    return nn.Sequential(Convolution(convolution, dtype), norm, Gate())


def _embed(network: Any, dtype: torch.dtype) -> None:
    """Move the embedding of frequencies of a hybrid network into its first layer, in place."""
    if getattr(network, "freq_emb", None) is None or not _has(network, "encoder", "freq_emb_scale"):
        return
    first = network.encoder[0]
    if isinstance(first, Encoder):
        rows = network.freq_emb.weight.detach() * network.freq_emb_scale
        first.embedding = rows.to(dtype)[None, None].permute(0, 3, 2, 1)
        network.freq_emb = None


def _has(module: nn.Module, *names: str) -> bool:
    """Return whether a module has all these attributes."""
    return all(hasattr(module, name) for name in names)
