"""The systems of the catalogue as a table: what each outputs, and what its authors say of it."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from demixing.recipes import boards

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from demixing.weights.catalogue import Checkpoint

HEADER = (
    "system",
    "stems",
    "MB",
    "needs GPU",
    "boards",
    "published by the authors, not measured here",
)

UNKNOWN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Files that are used together.

    Attributes:
        name: for ``demixing fetch``.
        stems: outputs of all files.
        size_bytes: of all files; None if one of them is not known.
        needs_gpu: whether a CPU is too slow for the contest's time limit.
        boards: leaderboards that admit the training data, by track.
        published: the authors' figures, with the name of the metric.
        files: names in the catalogue.
    """

    name: str
    stems: tuple[str, ...]
    size_bytes: int | None
    needs_gpu: bool
    boards: dict[str, tuple[str, ...]]
    published: tuple[str, ...]
    files: tuple[str, ...]


def systems(known: Iterable[Checkpoint]) -> Iterator[System]:
    """Group the catalogue by system; weights that were trained here are left out.

    Files belong to one system if they have the same source and training data, and one name fetches
    exactly these.
    """
    entries = [one for one in known if one.folder is None]
    for _, group in itertools.groupby(entries, lambda one: (one.source, one.trained_on)):
        files = list(group)
        name = _name([one.name for one in files])
        if sum(one.name.startswith(f"{name}_") for one in entries) == len(files) > 1:
            yield _system(name, files)
        else:
            yield from (_system(one.name, [one]) for one in files)


def _name(names: Sequence[str]) -> str:
    """The common beginning of names, as whole words."""
    words = zip(*(name.split("_") for name in names), strict=False)
    return "_".join(same[0] for same in words if len(set(same)) == 1)


def _system(name: str, files: Sequence[Checkpoint]) -> System:
    """Summarise the files of one system."""
    stems = tuple(dict.fromkeys(stem for one in files for stem in one.stems))
    sizes = {one.file: one.size_bytes for one in files}.values()
    return System(
        name=name,
        stems=stems,
        size_bytes=None if None in sizes else sum(size for size in sizes if size),
        needs_gpu=any(one.needs_gpu for one in files),
        boards=boards.admitting(stems, files[0].trained_on),
        published=_published(files),
        files=tuple(one.name for one in files),
    )


def _published(files: Sequence[Checkpoint]) -> tuple[str, ...]:
    """The figures of a system's files: one if all have the same, otherwise with their stems."""
    if len({one.published for one in files}) == 1:
        return (files[0].published,)
    return tuple(f"{' '.join(one.stems)}: {one.published}" for one in files)


def table(found: Iterable[System]) -> Iterator[str]:
    """Yield the lines of a table with aligned columns."""
    rows = [HEADER, *map(_row, found)]
    *widths, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    for row in rows:
        yield "  ".join(
            cell.rjust(width) if title == "MB" else cell.ljust(width)
            for title, cell, width in zip(HEADER, row, [*widths, 0], strict=True)
        )


def _row(one: System) -> tuple[str, ...]:
    """The cells of a system."""
    return (
        one.name,
        " ".join(one.stems),
        UNKNOWN if one.size_bytes is None else f"{one.size_bytes / 1e6:.0f}",
        "yes" if one.needs_gpu else "no",
        ", ".join(f"{track.upper()} {'/'.join(on)}" for track, on in one.boards.items()) or UNKNOWN,
        " | ".join(one.published),
    )


def as_json(found: Iterable[System]) -> list[dict[str, Any]]:
    """Return plain values."""
    return [asdict(one) for one in found]
