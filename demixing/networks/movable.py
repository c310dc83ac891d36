"""Separators whose networks can leave the GPU."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast


class Movable(Protocol):
    """A network on its device, or a dataclass that contains networks."""

    def to_cpu(self) -> None:
        """Move to the CPU."""


class Networks:
    """Mixin of dataclasses that contain networks, alone or in tuples and mappings."""

    __slots__ = ()

    def to_cpu(self) -> None:
        """Move all networks to the CPU, because the GPU has too little memory."""
        for field in dataclasses.fields(cast("Any", self)):
            for network in parts(getattr(self, field.name)):
                network.to_cpu()


def parts(value: object) -> Iterator[Movable]:
    """Yield the movable objects in the value of a field."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    for item in value if isinstance(value, tuple) else (value,):
        if hasattr(item, "to_cpu"):
            yield cast("Movable", item)
