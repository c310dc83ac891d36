"""Formats of weight files, one plug-in each.

A reader returns tensors and plain values. Nothing in a file is ever run or imported, so a malicious
file is rejected and does no harm. What is allocated is bounded by the size of the file. The sha256
of the file has been checked before, through the same descriptor.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.weights.bounds import MOST_TENSORS, STORED, check_bytes, is_plain, shown
from demixing.weights.weight_file import WeightFile, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

MOST_REASON = 200
"""Characters of the reason that a parser gives."""

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


def read(format_: str, source: Path | WeightFile, part: int | None = None) -> Contents:
    """Read a file whose sha256 has been checked.

    Args:
        format_: one of :func:`names`.
        source: the file, open, or its path.
        part: index of the network, for formats with several networks.

    Raises:
        CheckpointError: no reader has that name, or the file is damaged, has another format,
            contains more than tensors, or would need far more memory than it has bytes.
    """
    if format_ not in names():
        raise CheckpointError(
            f"no reader for weights of the format {format_!r}, expected one of {', '.join(names())}"
        )
    reader = importlib.import_module(f"{__name__}.{format_}")
    with reading(source) as file:
        found = reader.read(file) if part is None else reader.read(file, part)
    return cast("Contents", found)


@contextlib.contextmanager
def reading(source: Path | WeightFile) -> Iterator[WeightFile]:
    """Open a file, unless it is open, and convert any error to one sentence.

    Raises:
        CheckpointError: the block raised an error.
    """
    path = source if isinstance(source, Path) else source.path
    with refusing(path), contextlib.ExitStack() as stack:
        yield stack.enter_context(opened(source)) if isinstance(source, Path) else source


@contextlib.contextmanager
def refusing(path: Path, sentence: str = "") -> Iterator[None]:
    """Convert any error from a damaged or malicious file to one sentence.

    Args:
        path: of the file.
        sentence: what was expected; the reason is added.

    Raises:
        CheckpointError: the block raised an error.
    """
    try:
        yield
    except CheckpointError:
        raise
    except MemoryError as error:
        raise CheckpointError(f"there is too little memory to read {path}") from error
    # A parser of arbitrary bytes may raise anything: struct.error, KeyError, MemoryError...
    except Exception as error:
        expected = f"{path} contains more than numbers or is damaged, so it was not loaded"
        raise CheckpointError(f"{sentence or expected}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The first sentence of an error."""
    sentences = (line.partition(". ")[0].strip(" .") for line in str(error).splitlines())
    return next(filter(None, sentences), type(error).__name__)[:MOST_REASON]


def named(file: WeightFile, state: object, kind: type[T]) -> dict[str, T]:
    """Return what should be a state dict, if it is a dict of one kind of values by name.

    Raises:
        CheckpointError: it is not, or it is empty.
    """
    if not isinstance(state, dict) or not state:
        raise CheckpointError(
            f"expected {file.path} to contain tensors by name, got {type(state).__name__} "
            f"{'without any' if state == {} else ''}".rstrip()
        )
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, kind):
            raise CheckpointError(
                f"expected {file.path} to contain tensors by name, got {type(value).__name__} "
                f"for {shown(key)}"
            )
    if len(state) > MOST_TENSORS:
        raise CheckpointError(f"expected {file.path} to contain at most {MOST_TENSORS} tensors")
    return state


def tensors(file: WeightFile, state: object, factor: int = STORED) -> dict[str, Tensor]:
    """Check tensors that a reader has made without copying them.

    Args:
        file: they are from.
        state: tensors by name.
        factor: how large they may be, see :mod:`demixing.weights.bounds`.

    Returns:
        The state dict, contiguous, with half precision converted to float32.

    Raises:
        CheckpointError: it is empty, not a dict of tensors by name, or larger than the file.
    """
    found = named(file, state, Tensor)
    check_bytes(file, sum(one.numel() * one.itemsize for one in found.values()), factor)
    return {key: widened(value) for key, value in found.items()}


def widened(value: Tensor) -> Tensor:
    """A contiguous tensor; half precision is converted to float32."""
    half = value.dtype in (torch.float16, torch.bfloat16)
    return (value.float() if half else value).contiguous()


def arguments(file: WeightFile, positional: object, given: object) -> dict[str, Any]:
    """Check a constructor's arguments and return all of them by name.

    Args:
        file: they are from.
        positional: at most one; the first argument of all Demucs classes is ``sources``.
        given: the keyword arguments.

    Raises:
        CheckpointError: there are more positional arguments, or one is not a plain value.
    """
    if not isinstance(positional, list | tuple) or len(positional) > 1:
        raise CheckpointError(
            f"expected {file.path} to name the arguments of its network, got {shown(positional)}"
        )
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise CheckpointError(f"expected keyword arguments in {file.path}, got {shown(given)}")
    result = dict(zip(("sources",), positional, strict=False)) | given
    for key, value in result.items():
        if not is_plain(value):
            raise CheckpointError(
                f"expected plain arguments in {file.path}, got {type(value).__name__} "
                f"for {shown(key)}"
            )
    return result
