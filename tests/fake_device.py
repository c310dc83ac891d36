"""A device of torch that is not there: its tensors are computed on the CPU, but do not mix.

As on a GPU, an operation with a tensor of the device and one of the CPU is an error, unless that is
a single number. So a constant that a network makes without ``device=`` is found without a GPU. With
``single``, as on Apple's GPUs, there is no float64 either.

It takes the place that torch keeps for other makers' devices, for the rest of the process. So it is
used in processes of its own (:mod:`tests.on_fake_device`).

Source: the place for a backend in Python, ``torch.utils.backend_registration`` of torch 2.9.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend as set_up

NAME = "gpu"
DEVICE = f"{NAME}:0"

AUTOCAST = (
    *("linear", "matmul", "bmm", "baddbmm", "mm", "addmm", "scaled_dot_product_attention"),
    *("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d.input"),
)
"""Operations that autocast computes in 16 bits."""

MIXED = {"aten::_copy_from", "aten::copy_", "aten::_to_copy", "aten::to", "aten::index"}
"""Operations that take tensors of both, as on a GPU."""

single = False
"""Whether the device has no float64."""


class _Module:
    """What torch asks a backend."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


class OnDevice(Tensor):
    """A tensor of the device; ``held`` is the one on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        if single and held.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"the device has no {held.dtype}")
        held = held.resolve_conj().resolve_neg()  # torch notes both in a tensor, not in its numbers
        made = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(DEVICE),
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """Compute an operation on the CPU, and return tensors of the device."""
    leaves = pytree.tree_leaves((args, kwargs))
    name = func._schema.name
    if name not in MIXED:
        check(name, leaves)
    wrapped: dict[int, OnDevice] = {}

    def inside(value: Any) -> Any:
        if isinstance(value, OnDevice):
            wrapped[id(value.held)] = value
            return value.held
        there = isinstance(value, torch.device) and value.type == NAME
        return torch.device("cpu") if there else value

    def outside(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        known = wrapped.get(id(value))
        if known is None:
            return OnDevice(value)
        if (known.shape, known.stride()) != (value.shape, value.stride()):  # such as transpose_
            known.data = OnDevice(value)
        return known

    given = pytree.tree_map(inside, (args, kwargs))
    with torch._C._DisableAutocast():
        output = CELLS.get(name, func)(*given[0], **given[1])
    devices = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
    if name == "aten::copy_" and not isinstance(args[0], OnDevice):
        return args[0]
    if devices and devices[0].type == "cpu":
        return output
    return pytree.tree_map(outside, output)


def check(name: str, leaves: Sequence[Any]) -> None:
    """Raise unless all tensors are of the device, or single numbers.

    Raises:
        RuntimeError: one is not.
    """
    for leaf in leaves:
        if isinstance(leaf, Tensor) and not isinstance(leaf, OnDevice) and leaf.dim():
            raise RuntimeError(f"{name} got a tensor {tuple(leaf.shape)} of the {leaf.device}")


def lstm_cell(x: Any, h: Any, c: Any, x_bias: Any = None, h_bias: Any = None) -> Any:
    """The cell that GPUs compute in one step."""
    gates = x + h if x_bias is None else x + h + x_bias + h_bias
    i, f, g, o = gates.chunk(4, 1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    after = f * c + i * g
    return o * after.tanh(), after, torch.cat([i, f, g, o], 1)


def lstm_cell_backward(dh: Any, dc: Any, c: Any, after: Any, gates: Any, has_bias: bool) -> Any:
    """Its gradient."""
    i, f, g, o = gates.chunk(4, 1)
    t = after.tanh()
    dh = torch.zeros_like(t) if dh is None else dh
    d = dh * o * (1 - t * t) + (0 if dc is None else dc)
    parts = [d * g * i * (1 - i), d * c * f * (1 - f), d * i * (1 - g * g), dh * t * o * (1 - o)]
    gradient = torch.cat(parts, 1)
    return gradient, d * f, gradient.sum(0)


def gru_cell(x: Any, h: Any, state: Any, x_bias: Any = None, h_bias: Any = None) -> Any:
    """The other cell that GPUs compute in one step."""
    if x_bias is not None:
        x, h = x + x_bias, h + h_bias
    (xr, xz, xn), (hr, hz, hn) = x.chunk(3, 1), h.chunk(3, 1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    n = (xn + r * hn).tanh()
    return n + z * (state - n), torch.cat([r, z, n, state, hn], 1)


CELLS = {
    "aten::_thnn_fused_lstm_cell": lstm_cell,
    "aten::_thnn_fused_lstm_cell_backward_impl": lstm_cell_backward,
    "aten::_thnn_fused_gru_cell": gru_cell,
}
"""Operations that only GPUs have."""


def empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
    form = memory_format or torch.contiguous_format
    return OnDevice(torch.empty(size, dtype=dtype, memory_format=form))


def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return OnDevice(torch.empty_strided(size, stride, dtype=dtype))


def copy_from(source: Any, target: Any, non_blocking: bool = False) -> Any:
    getattr(target, "held", target).copy_(getattr(source, "held", source))
    return target


def in_16_bits(operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operation as autocast runs it."""

    def cast(value: Any) -> Any:
        if isinstance(value, OnDevice) and value.dtype.is_floating_point:
            return value.to(torch.get_autocast_dtype(NAME))
        return value

    def called(*args: Any, **kwargs: Any) -> Tensor:
        with torch._C._DisableAutocast():
            return operation(*pytree.tree_map(cast, args), **pytree.tree_map(cast, kwargs))

    return called


def register() -> list[object]:
    """Make the device known to torch; it is known for as long as the result exists."""
    set_up(NAME, backend_module=_Module())
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    others: Any = torch.library.Library("_", "IMPL")  # type: ignore[no-untyped-call]
    library.impl("empty.memory_format", empty, "PrivateUse1")
    library.impl("empty_strided", empty_strided, "PrivateUse1")
    library.impl("_copy_from", copy_from, "PrivateUse1")
    others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for name in AUTOCAST:
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
        library.impl(name, in_16_bits(operation), "AutocastPrivateUse1")
    return [library, others]
