"""Formats of weight files, one plug-in each.

A reader returns tensors and plain values. Nothing in a file is ever run or imported, so a malicious
file is rejected and does no harm. The sha256 of the file has been checked before.
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
"""Classes that files from Demucs v3 and v4 may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Contents of a weight file.

    Attributes:
        state: tensors by the network's key names; half precision is converted to float32.
        network: full name of the class that wrote the file, if given; never imported.
        arguments: keyword arguments of that class's constructor, if given.
    """

    state: dict[str, Tensor]
    network: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


def names() -> list[str]:
    """Names of all formats."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def read(format_: str, path: Path, part: int | None = None) -> Contents:
    """Read a file whose sha256 has been checked.

    Args:
        format_: one of :func:`names`.
        path: of the file.
        part: index of the network, for formats with several networks.

    Raises:
        CheckpointError: no reader has that name, or the file is damaged, has another format, or
            contains more than tensors.
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
    """Convert any error from a damaged or malicious file to one sentence.

    Raises:
        CheckpointError: the block raised an error.
    """
    try:
        yield
    except CheckpointError:
        raise
    # A parser of arbitrary bytes may raise anything: struct.error, KeyError, MemoryError...
    except Exception as error:
        raise CheckpointError(
            f"{path} contains more than numbers or is damaged, so it was not loaded: "
            f"{_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """The first sentence of an error, without torch's advice on unsafe loading."""
    said = str(error).rpartition("WeightsUnpickler error:")[2].splitlines()
    sentences = (line.partition(". ")[0].strip(" .") for line in said)
    meant = (line for line in sentences if line and not line.startswith("Weights only load failed"))
    return next(meant, type(error).__name__)


def tensors(path: Path, state: object) -> dict[str, Tensor]:
    """Check that an object is a state dict.

    Returns:
        The state dict, with half precision converted to float32.

    Raises:
        CheckpointError: it is empty, or not a dict of dense tensors by name.
    """
    if not isinstance(state, dict) or not state:
        raise CheckpointError(
            f"expected {path} to contain tensors by name, got {type(state).__name__} "
            f"{'without any' if state == {} else ''}".rstrip()
        )
    for key, value in state.items():
        dense = isinstance(value, Tensor) and value.layout == torch.strided
        if not isinstance(key, str) or not dense or value.device.type != "cpu":
            raise CheckpointError(
                f"expected {path} to contain tensors by name, got {type(value).__name__} "
                f"for {str(key)[:60]!r}"
            )
    return {key: _widened(value.detach()) for key, value in state.items()}


def _widened(value: Tensor) -> Tensor:
    half = value.dtype in (torch.float16, torch.bfloat16)
    return (value.float() if half else value).contiguous()


def arguments(path: Path, positional: object, named: object) -> dict[str, Any]:
    """Check a constructor's arguments and return all of them by name.

    Args:
        path: of the file, for the message.
        positional: at most one; the first argument of all Demucs classes is ``sources``.
        named: the keyword arguments.

    Raises:
        CheckpointError: there are more positional arguments, or one is not a plain value.
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
    """Whether a value is a number, a string, or a list or dict of such."""
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str | Fraction)
