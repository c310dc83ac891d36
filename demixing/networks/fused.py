"""Convolutions and linear layers that apply the next step to their output while it is in registers.

A pass over a tensor that does not fit in the cache costs as much as a small convolution, above all
the first write to new memory. The CPU library oneDNN applies an activation or a sum as it writes
the output. PyTorch exposes that only as private operations, which its compiler emits. Where they
are missing or differ, or on another device, the same is computed step by step.

Measurements: docs/decisions/019-hybrids-near-the-limit.md.
"""

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

NAMES = (
    "_convolution_pointwise",
    "_convolution_transpose_pointwise",
    "_is_mkldnn_bf16_supported",
    "_linear_pointwise",
)
"""The private operations; all of them or none are used."""

FOUND: bool = torch.backends.mkldnn.is_available() and all(  # type: ignore[no-untyped-call]
    hasattr(torch.ops.mkldnn, name) for name in NAMES
)

ALGORITHMS = {"none": "", "sigmoid": "", "gelu": "none"}
"""Activations, and their second argument in oneDNN: the exact GELU, not its approximation."""


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    how: Mapping[str, Any],
    activation: str = "none",
) -> Tensor:
    """Return ``F.conv2d``, then apply an activation.

    Args:
        x: ``(b, inputs, f, t)``.
        weight: of the convolution, channels last.
        bias: of the convolution, if any.
        how: stride, padding, dilation and groups; ``transposed``: of ``F.conv_transpose2d``.
        activation: a key of :data:`ALGORITHMS`.

    Returns:
        ``(b, outputs, f', t')``.
    """
    if usable(x):
        return _convolved(x, weight, bias, how, activation)
    options = dict(how)
    function = F.conv_transpose2d if options.pop("transposed", False) else F.conv2d
    return activate(function(x, weight, bias, **options), activation)


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    activation: str = "none",
    plus: Tensor | None = None,
) -> Tensor:
    """Return ``F.linear``, then apply an activation or add a tensor.

    Args:
        x: ``(..., inputs)``.
        weight: ``(outputs, inputs)``.
        bias: ``(outputs,)``.
        activation: a key of :data:`ALGORITHMS`.
        plus: ``(..., outputs)``.
    """
    if usable(x):
        return _mapped(x, weight, bias, activation, plus)
    y = activate(F.linear(x, weight, bias), activation)
    return y if plus is None else y.add_(plus)


def usable(x: Tensor) -> bool:
    """Return whether the private operations accept this input."""
    return (
        FOUND
        and x.device.type == "cpu"
        and not (x.requires_grad and torch.is_grad_enabled())
        and (x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and _bfloat16()))
        and _accepted()
    )


def activate(x: Tensor, activation: str) -> Tensor:
    """Apply an activation in place."""
    if activation == "gelu":
        return gelu_(x)
    return x.sigmoid_() if activation == "sigmoid" else x


def gelu_(x: Tensor) -> Tensor:
    """Apply a GELU in place."""
    result: Tensor = torch.ops.aten.gelu_(x)
    return result


def _bfloat16() -> bool:
    """Return whether oneDNN computes in bfloat16 on this processor."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, how: Mapping[str, Any], activation: str
) -> Tensor:
    """Return :func:`convolve` by a private operation."""
    ops, transposed = torch.ops.mkldnn, how.get("transposed", False)
    call = ops._convolution_transpose_pointwise if transposed else ops._convolution_pointwise
    result: Tensor = call(
        x,
        weight,
        bias,
        how["padding"],
        *(([0, 0],) if transposed else ()),
        how["stride"],
        how["dilation"],
        how["groups"],
        activation,
        [],
        ALGORITHMS[activation],
    )
    return result


def _mapped(
    x: Tensor, weight: Tensor, bias: Tensor, activation: str, plus: Tensor | None
) -> Tensor:
    """Return :func:`linear` by a private operation."""
    call = torch.ops.mkldnn._linear_pointwise
    if plus is not None:
        return call.binary(x, plus, weight, bias, "add")  # type: ignore[no-any-return]
    return call(x, weight, bias, activation, [], ALGORITHMS[activation])  # type: ignore[no-any-return]


@functools.cache
def _accepted() -> bool:
    """Return whether the private operations accept these arguments: versions of PyTorch differ."""
    x, bias = torch.ones(1, 1, 1, 1, device="cpu"), torch.ones(1, device="cpu")
    how = {"padding": (0, 0), "stride": (1, 1), "dilation": (1, 1), "groups": 1}
    try:
        with torch.inference_mode():
            for transposed in (False, True):
                _convolved(x, x, bias, {**how, "transposed": transposed}, "gelu")
            for plus in (None, bias[None]):
                _mapped(x[0, 0], x[0, 0], bias, "gelu", plus)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
