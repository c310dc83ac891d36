"""The networks' device: the requested one, otherwise a GPU if available, otherwise the CPU."""

import contextlib
import os
import platform
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import torch

from demixing.errors import ConfigError
from demixing.machine.linux import cpu_model

DEVICE_VARIABLE = "DEMIX_DEVICE"
"""Environment variable: device for networks, such as ``cpu``, ``cuda:1`` or ``mps``."""

NVIDIA = Path("/dev/nvidiactl")
"""Exists if the machine, or the container, has a GPU of NVIDIA and its driver."""

_device: ContextVar[str | None] = ContextVar("device", default=None)


@contextlib.contextmanager
def on_device(name: str | None) -> Iterator[None]:
    """Build separators on a device within this context; None: automatic choice.

    Raises:
        ConfigError: torch does not know the device, or this machine has none.
    """
    if name is not None:
        usable(name)
    token = _device.set(name)
    try:
        yield
    finally:
        _device.reset(token)


def chosen_device() -> torch.device:
    """The chosen device, otherwise a GPU if there is one, otherwise the CPU.

    Raises:
        ConfigError: the environment names a device that this machine does not have.
    """
    name = _device.get() or os.environ.get(DEVICE_VARIABLE)
    if name:
        return usable(name)
    for kind in ("cuda", "mps"):
        if _is_there(kind):
            return torch.device(kind)
    return torch.device("cpu")


def usable(name: str) -> torch.device:
    """Return a device by name.

    Raises:
        ConfigError: torch does not know it, or it is not available.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"expected a device such as cpu, cuda or mps, got {name!r}") from error
    many = torch.cuda.device_count() if device.type == "cuda" else 1
    if not _is_there(device.type) or (device.index or 0) >= many:
        raise ConfigError(
            f"this machine has no device {name!r}; choose one that it has, such as cpu"
        )
    return device


def described(device: torch.device) -> str:
    """A device in words.

    >>> described(torch.device("cpu"))
    'the CPU'
    """
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return "the CPU" if device.type == "cpu" else str(device)


def headline(device: torch.device, precision: str) -> str:
    """The first line of a log: what networks run on, and how.

    >>> headline(torch.device("mps"), "fp32")
    'device: mps, fp32'
    """
    if device.type == "cpu":
        cpu = cpu_model() or platform.processor() or platform.machine()
        return f"device: CPU, {cpu}, {torch.get_num_threads()} threads, {precision}"
    if device.type != "cuda":
        return f"device: {device}, {precision}"
    name, memory = torch.cuda.get_device_name(device), torch.cuda.mem_get_info(device)[1]
    return f"device: {name} ({device}), {precision}; {memory / 2**30:.0f} GiB"


def unused_gpu() -> str:
    """Why networks do not use the GPU of this machine; empty if it has none, or the CPU was chosen.

    The usual reason is a driver that is older than torch's CUDA.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    wanted = _device.get() or os.environ.get(DEVICE_VARIABLE)
    if wanted or hidden or not NVIDIA.exists() or torch.cuda.is_available():
        return ""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return "torch finds none"


def _is_there(kind: str) -> bool:
    """Whether this machine has a kind of device."""
    if kind == "cuda":
        return torch.cuda.is_available()
    return kind == "cpu" or (kind == "mps" and torch.backends.mps.is_available())
