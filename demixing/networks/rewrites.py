"""Rewrites a built network for inference: the same function, with fewer memory passes.

Layers are recognised by their structure, not by their package, so the rewrites work for every
network of that structure, such as hybrid Demucs (v3 and v4). Letters: b batch, c channels, f bins,
t frames. A layer of the time branch is a layer of the frequency branch with one bin.

The rewrites, with measurements in docs/decisions/002-precision-and-speed.md:

* Convolutions are two-dimensional and channels last, where the CPU's kernels are fastest.
* A transposed convolution crops its ends itself instead of computing and copying them.
* The wide normalisation of a residual branch is folded into the convolution before it, see
  :mod:`demixing.networks.folded`.
* Attention does not write the whole weight matrix where that is slower.
* Optionally, products are computed in bfloat16; sums, norms and statistics stay in float32.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.folded import FoldedResidual, is_residual

QUERIES = 512
"""Queries per block of attention: few enough that their weights stay in the cache."""


class Convolution(nn.Module):
    """A 1D or 2D convolution as a 2D one: channels last, in its own precision.

    Args:
        original: any ``nn.Conv1d``, ``nn.Conv2d`` or their transposes.
        dtype: of the products.
        crop: samples that a transposed convolution drops at both ends of its first or only
            dimension.

    Shape:
        ``(b, c, f, t)`` to ``(b, outputs, f', t')``.
    """

    def __init__(self, original: Any, dtype: torch.dtype, crop: int = 0) -> None:
        super().__init__()
        flat = original.weight.dim() == 3
        weight = original.weight[:, :, None] if flat else original.weight
        weight = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None
        if original.bias is not None:
            self.bias = nn.Parameter(original.bias.detach().to(dtype), requires_grad=False)
        self._transposed = isinstance(original, nn.ConvTranspose1d | nn.ConvTranspose2d)
        self._how: dict[str, Any] = {"groups": original.groups}
        for name, neutral in (("stride", 1), ("padding", 0), ("dilation", 1)):
            value = getattr(original, name)
            self._how[name] = (neutral, *value) if flat else tuple(value)
        if crop:
            self._how["padding"] = (0, crop) if flat else (crop, 0)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = x.to(self.weight.dtype)
        if self._transposed:
            return F.conv_transpose2d(x, self.weight, self.bias, **self._how)
        return F.conv2d(x, self.weight, self.bias, **self._how)


class Convolution1d(nn.Module):
    """A single 1D convolution.

    Args:
        original: the convolution.
        dtype: of the products.

    Shape:
        ``(b, c, t)`` to ``(b, outputs, t')``.
    """

    def __init__(self, original: nn.Conv1d, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = Convolution(original, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.inner(x[:, :, None])[:, :, 0]  # type: ignore[no-any-return]


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
        if self.empty:
            return
        self.norm1 = original.norm1
        self.residuals = _residuals(original.dconv, dtype)
        self.rewrite = Convolution(original.rewrite, dtype) if original.rewrite else None
        self.norm2 = original.norm2 if original.rewrite else None

    def forward(self, x: Tensor, inject: Tensor | None = None) -> Tensor:
        """See the class; ``inject`` is the output of the time branch, added where both merge."""
        if not self._freq:
            x = x.flatten(1, 2) if x.dim() == 4 else x
            x = F.pad(x, (0, -x.shape[-1] % self._stride))[:, :, None]
        y: Tensor = self.conv(x)
        if not self.empty:
            if inject is not None:
                y = y + (inject[:, :, None] if inject.dim() == 3 else inject)
            y = F.gelu(self.norm1(y))  # a separate line, to free the tensor before it
            y = self.residuals(y)
            if self.rewrite is not None and self.norm2 is not None:
                y = gated(self.norm2(self.rewrite(y)))
        return y if self._freq else y[:, :, 0]


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
        self.rewrite = Convolution(original.rewrite, dtype) if original.rewrite else None
        self.norm1 = original.norm1 if original.rewrite else None
        self.residuals = _residuals(original.dconv, dtype)

    def forward(self, x: Tensor, skip: Tensor | None, length: int) -> tuple[Tensor, Tensor]:
        """Return the output and the input of the transposed convolution.

        Args:
            x: see the class.
            skip: the skip connection, of the same shape.
            length: samples of the output in the time branch.
        """
        if self._freq and x.dim() == 3:
            x = x.reshape(len(x), self._inputs, -1, x.shape[-1])
        y = x if self._freq else x[:, :, None]
        if skip is not None:
            y = y + (skip if self._freq else skip[:, :, None])
        if not self.empty:
            if self.rewrite is not None and self.norm1 is not None:
                y = gated(self.norm1(self.rewrite(y)))
            y = self.residuals(y)
        z: Tensor = self.norm2(self.conv_tr(y))
        if self._freq:
            z = z[:, :, self._crop : z.shape[2] - self._crop]
        else:
            z = z[..., self._crop : self._crop + length]
        z = z if self.last else F.gelu(z)
        return (z, y) if self._freq else (z[:, :, 0], y[:, :, 0])


class Linear(nn.Module):
    """A linear layer in its own precision.

    Args:
        original: the layer.
        dtype: of the products.
    """

    def __init__(self, original: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(original.weight.detach().to(dtype), requires_grad=False)
        self.bias = nn.Parameter(original.bias.detach().to(dtype), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., inputs)`` to ``(..., outputs)``."""
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


class Attention(nn.Module):
    """``nn.MultiheadAttention(batch_first=True)`` without the attention weights.

    Args:
        original: the layer.
        dtype: of the products.
    """

    def __init__(self, original: nn.MultiheadAttention, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads = original.num_heads
        assert original.in_proj_weight is not None
        self.weight = nn.Parameter(original.in_proj_weight.detach().to(dtype), requires_grad=False)
        self.bias = nn.Parameter(original.in_proj_bias.detach().to(dtype), requires_grad=False)
        self.out = Linear(original.out_proj, dtype)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, **options: Any
    ) -> tuple[Tensor, None]:
        """Attend: ``(b, t, c)`` and twice ``(b, s, c)`` to ``(b, t, c)`` and None.

        Raises:
            ValueError: a mask or the weights are requested.
        """
        options.pop("average_attn_weights", None)
        if any(option is not None and option is not False for option in options.values()):
            raise ValueError(f"the rewritten attention supports no masks or weights, got {options}")
        assert key is value
        width = query.shape[-1]
        query, key = query.to(self.weight.dtype), key.to(self.weight.dtype)
        wanted = F.linear(query, self.weight[:width], self.bias[:width])
        known = F.linear(key, self.weight[width:], self.bias[width:])
        q, k, v = (
            part.reshape(*part.shape[:2], self.heads, -1).transpose(1, 2).contiguous()
            for part in (wanted, *known.chunk(2, dim=-1))
        )
        return self.out(attend(q, k, v).transpose(1, 2).flatten(2)), None


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q k' / sqrt(c)) v; on a CPU, the fastest way depends on the precision.

    Args:
        q: ``(b, heads, t, c)``.
        k: ``(b, heads, s, c)``.
        v: ``(b, heads, s, c)``.

    Returns:
        ``(b, heads, t, c)``.
    """
    if q.dtype != torch.bfloat16 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v)
    keys = (k * q.shape[-1] ** -0.5).transpose(-1, -2)
    parts = [(part @ keys).softmax(dim=-1) @ v for part in torch.split(q, QUERIES, dim=-2)]
    return torch.cat(parts, dim=-2)


def gated(z: Tensor) -> Tensor:
    """Apply a gated linear unit over channels, keeping them last in memory.

    Args:
        z: ``(b, 2 c, f, t)``. Its gate is overwritten, which saves a tensor of half its size.

    Returns:
        ``(b, c, f, t)``.
    """
    value, gate = z.chunk(2, dim=1)
    return value * gate.sigmoid_()


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
    return faster


def _replace(parent: nn.Module, dtype: torch.dtype) -> None:
    """Replace the known layers below ``parent``, but not layers inside those."""
    for name, child in list(parent.named_children()):
        if _has(child, "conv", "freq", "dconv", "empty") or _has(child, "conv", "empty", "norm"):
            setattr(parent, name, Encoder(child, dtype))
        elif _has(child, "conv_tr", "freq", "empty", "chin", "pad", "last"):
            setattr(parent, name, Decoder(child, dtype))
        elif _is_plain_attention(child):
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
    return nn.Sequential(*(FoldedResidual(layer, dtype, Convolution) for layer in layers))


def _has(module: nn.Module, *names: str) -> bool:
    """Return whether a module has all these attributes."""
    return all(hasattr(module, name) for name in names)


def _is_plain_attention(module: nn.Module) -> bool:
    """Return whether a module is an attention that :class:`Attention` can replace."""
    return (
        isinstance(module, nn.MultiheadAttention)
        and module.batch_first
        and module._qkv_same_embed_dim
        and module.bias_k is None
        and not module.add_zero_attn
        and "in_proj_bias" in dict(module.named_parameters())
    )
