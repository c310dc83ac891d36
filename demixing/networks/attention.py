"""Layers of transformers, rewritten for inference: the same function, with fewer memory passes.

* Attention does not write the whole weight matrix where that is slower.
* Linear layers apply the GELU, the scale and the sum that follow them, see
  :mod:`demixing.networks.fused`.

Letters: b batch, t and s positions, c channels.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks import fused
from demixing.networks.convolutions import fixed
from demixing.networks.norms import layer_norm, whole_norm

QUERIES = 256
"""Queries per block of attention: few enough that their weights stay in the cache."""


class Linear(nn.Module):
    """A linear layer in its own precision.

    Args:
        original: the layer.
        dtype: of the products.
        activation: applied to the output, see :data:`demixing.networks.fused.ALGORITHMS`.
        scale: of each output, ``(outputs,)``, if any.
    """

    def __init__(
        self,
        original: nn.Linear,
        dtype: torch.dtype,
        activation: str = "none",
        scale: Tensor | None = None,
    ) -> None:
        super().__init__()
        weight, bias = original.weight, original.bias
        if scale is not None:
            weight, bias = weight * scale[:, None], bias * scale  # type: ignore[assignment]
        self.weight, self.bias = fixed(weight, dtype), fixed(bias, dtype)
        self.activation = activation

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """Map ``(..., inputs)`` to ``(..., outputs)``, and add a tensor of that shape."""
        x = x.to(self.weight.dtype)
        return fused.linear(x, self.weight, self.bias, self.activation, plus)


class Attention(nn.Module):
    """``nn.MultiheadAttention(batch_first=True)`` without the attention weights.

    Args:
        original: the layer.
        dtype: of the products.
        scale: of each output channel, if any.
    """

    def __init__(
        self, original: nn.MultiheadAttention, dtype: torch.dtype, scale: Tensor | None = None
    ) -> None:
        super().__init__()
        self.heads = original.num_heads
        assert original.in_proj_weight is not None
        self.weight = fixed(original.in_proj_weight, dtype)
        self.bias = fixed(original.in_proj_bias, dtype)
        self.out = Linear(original.out_proj, dtype, scale=scale)

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
        return self.out(self.attended(query, key)), None

    def attended(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the input of the last linear layer, ``(b, t, c)``.

        Args:
            query: ``(b, t, c)``.
            key: ``(b, s, c)``.
        """
        width = query.shape[-1]
        if key is query:
            q, k, v = self._projected(query, 0, 3 * width)
        else:
            (q,), (k, v) = self._projected(query, 0, width), self._projected(key, width, 3 * width)
        return attend(q, k, v).transpose(1, 2).flatten(2)

    def _projected(self, x: Tensor, start: int, end: int) -> tuple[Tensor, ...]:
        """Apply some rows of the input layer, and return tensors ``(b, heads, t, c)``."""
        x = x.to(self.weight.dtype)
        y = fused.linear(x, self.weight[start:end], self.bias[start:end])
        parts = y.unflatten(2, ((end - start) // x.shape[-1], self.heads, -1))  # type: ignore[no-untyped-call]
        return parts.permute(2, 0, 3, 1, 4).contiguous().unbind()  # type: ignore[no-any-return]


class TransformerLayer(nn.Module):
    """A layer of demucs' transformer: attention, two linear layers, and normalisations.

    Args:
        original: a layer that :func:`is_layer` accepts.
        dtype: of the products, and of what passes between the layers.

    Shape:
        ``(b, t, c)``, and ``(b, s, c)`` in a layer with cross-attention, to ``(b, t, c)``.
    """

    def __init__(self, original: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.crosses = hasattr(original, "cross_attn")
        attention = original.cross_attn if self.crosses else original.self_attn
        self.attention = Attention(attention, dtype, scale=_scale(original.gamma_1))
        self.norms = nn.ModuleList(
            norm for name, norm in original.named_children() if name in ("norm1", "norm2", "norm3")
        )
        self.one = Linear(original.linear1, dtype, activation="gelu")
        self.two = Linear(original.linear2, dtype, scale=_scale(original.gamma_2))
        self.norm_out = original.norm_out

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """See the class."""
        x = x.to(self.one.weight.dtype)
        query = key = layer_norm(self.norms[0], x)
        if other is not None:
            key = layer_norm(self.norms[1], other.to(x.dtype))
        x = self.attention.out(self.attention.attended(query, key), plus=x)
        x = self.two(self.one(layer_norm(self.norms[-1], x)), plus=x)
        return x if self.norm_out is None else whole_norm(self.norm_out, x)


def is_layer(module: nn.Module) -> bool:
    """Return whether a module is a layer that :class:`TransformerLayer` can replace."""
    layer: Any = module
    names = ("linear1", "linear2", "gamma_1", "gamma_2", "norm_out", "norm_first", "activation")
    if not all(hasattr(layer, name) for name in names):
        return False
    attention = getattr(layer, "cross_attn", None) or getattr(layer, "self_attn", None)
    norms = [norm for name, norm in layer.named_children() if name in ("norm1", "norm2", "norm3")]
    return (
        bool(layer.norm_first)
        and is_plain_attention(attention)
        and layer.activation is F.gelu
        and layer.linear1.bias is not None
        and len(norms) == 2 + hasattr(layer, "cross_attn")
        and all(type(norm) is nn.LayerNorm for norm in norms)
        and (layer.norm_out is None or layer.norm_out.num_groups == 1)
    )


def is_plain_attention(module: object) -> bool:
    """Return whether a module is an attention that :class:`Attention` can replace."""
    return (
        isinstance(module, nn.MultiheadAttention)
        and module.batch_first
        and module._qkv_same_embed_dim
        and module.bias_k is None
        and not module.add_zero_attn
        and "in_proj_bias" in dict(module.named_parameters())
    )


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


def _scale(layer: nn.Module) -> Tensor | None:
    """Return the scale of a layer of demucs that does nothing but scale channels, or None."""
    return getattr(layer, "scale", None)
