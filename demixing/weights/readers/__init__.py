"""Formats of files of weights, one plug-in each.

A reader returns numbers and plain values. Nothing that a file contains is ever run or imported,
so the worst that a malicious one can do is to be refused. That the file is the registered one was
checked before.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from demixing.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEMUCS_CLASSES = ("demucs.demucs.Demucs", "demucs.hdemucs.HDemucs", "demucs.htdemucs.HTDemucs")
"""The networks that files of Demucs v3 and v4 may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file of weights says.

    Attributes:
        state: tensors by the network's own key names; floats of half precision are widened.
        network: full name of the class that wrote the file, if the file says; never imported.
        arguments: keyword arguments of that class's constructor, if the file has them.
    """

    state: dict[str, Tensor]
    network: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


def names() -> list[str]:
    """List the names of all formats."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def read(format_: str, path: Path, part: int | None = None) -> Contents:
    """Read a file whose sha256 was checked.

    Args:
        format_: one of :func:`names`.
        path: of the file.
        part: which of several networks, for formats that hold several.

    Raises:
        CheckpointError: no reader has that name, or the file is damaged, of another format, or
            holds more than numbers.
    """
    if format_ not in names():
        raise CheckpointError(
            f"no reader for weights of the format {format_!r}, expected one of {', '.join(names())}"
        )
    reader = importlib.import_module(f"{__name__}.{format_}")
    with refusing(path):
        found = reader.read(path) if part is None else reader.read(path, part)
    return cast("Contents", found)


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn whatever a damaged or malicious file causes into one sentence.

    Raises:
        CheckpointError: the block raised anything.
    """
    try:
        yield
    except CheckpointError:
        raise
    # A parser that is fed with anything raises anything: struct.error, KeyError, MemoryError...
    except Exception as error:
        raise CheckpointError(
            f"{path} holds more than numbers or is damaged, so it was not loaded: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """The first sentence of an error, without torch's hints at unsafe ways."""
    said = str(error).rpartition("WeightsUnpickler error:")[2].splitlines()
    sentences = (line.partition(". ")[0].strip(" .") for line in said)
    meant = (line for line in sentences if line and not line.startswith("Weights only load failed"))
    return next(meant, type(error).__name__)


def tensors(path: Path, state: object) -> dict[str, Tensor]:
    """Check that something is a state dict, and nothing else.

    Returns:
        The same with floats of half precision as float32.

    Raises:
        CheckpointError: it is empty, or holds anything but dense tensors by name.
    """
    if not isinstance(state, dict) or not state:
        raise CheckpointError(
            f"expected {path} to hold tensors by name, got {type(state).__name__} "
            f"{'without any' if state == {} else ''}".rstrip()
        )
    for key, value in state.items():
        dense = isinstance(value, Tensor) and value.layout == torch.strided
        if not isinstance(key, str) or not dense or value.device.type != "cpu":
            raise CheckpointError(
                f"expected {path} to hold tensors by name, got {type(value).__name__} "
                f"for {str(key)[:60]!r}"
            )
    return {key: _widened(value.detach()) for key, value in state.items()}


def _widened(value: Tensor) -> Tensor:
    half = value.dtype in (torch.float16, torch.bfloat16)
    return (value.float() if half else value).contiguous()


def arguments(path: Path, positional: object, named: object) -> dict[str, Any]:
    """Check the arguments of a constructor and give them all names.

    Args:
        path: of the file, for the message.
        positional: at most one: the first that each class of Demucs has is ``sources``.
        named: the keyword arguments.

    Raises:
        CheckpointError: there are more, or any is more than a plain value.
    """
    if not isinstance(positional, list | tuple) or len(positional) > 1:
        raise CheckpointError(
            f"expected {path} to name the arguments of its network, got {str(positional)[:60]}"
        )
    if not isinstance(named, dict) or not all(isinstance(key, str) for key in named):
        raise CheckpointError(f"expected keyword arguments in {path}, got {str(named)[:60]}")
    result = dict(zip(("sources",), positional, strict=False)) | named
    for key, value in result.items():
        if not is_plain(value):
            raise CheckpointError(
                f"expected plain arguments in {path}, got {type(value).__name__} for {key[:60]!r}"
            )
    return result


def is_plain(value: object) -> bool:
    """Whether a value is a number, a text, or a list or dict of such."""
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str | Fraction)
