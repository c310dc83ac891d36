"""Writes the page, and large sound in files beside it: FILE_files/ for FILE.html.

Everything is staged first. Then the old page is removed, the files are moved, and the page last, so
that a page is never without its own files, even if this process is killed. Other files in
FILE_files/ stay.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path

from demixing import atomic
from demixing.errors import EvaluationError
from demixing.evaluation.report_files import check_writable, errors_about
from demixing.report.evaluated import Put
from demixing.report.measuring import Part
from demixing.report.page import Contents, Storage, html

SUFFIXES = (".html", ".htm")
EMBED, BESIDE, AUTO = "embed", "beside", "auto"
PLACES = (AUTO, EMBED, BESIDE)
"""Where the sound goes; by default in the page if it is small."""

EMBEDDED_BYTES = 12_000_000
"""A page with more sound opens slowly."""


def check(target: Path) -> None:
    """Raise if a page clearly cannot be written; call it before long work.

    Raises:
        EvaluationError: it is no page, its folder does not exist, or a file is in the way.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise EvaluationError(
            f"expected the name of a page such as report.html, got {str(target)!r}; browsers open "
            "it by its suffix"
        )
    check_writable(target)
    folder = files_folder(target)
    if folder.exists() and not folder.is_dir():
        raise EvaluationError(
            f"expected a folder or nothing at {str(folder)!r}, where the sound of the page may go, "
            "found a file; choose another name"
        )


def files_folder(target: Path) -> Path:
    """The folder beside a page.

    >>> files_folder(Path("a/b.html")).name
    'b_files'
    """
    return target.with_name(f"{target.stem}_files")


def beside(place: str, seconds: float, kbit_s: int) -> bool:
    """Whether the sound goes into files beside the page.

    Args:
        place: one of :data:`PLACES`.
        seconds: of sound, all tracks together.
        kbit_s: its bit rate.
    """
    if place == AUTO:
        return seconds * kbit_s * 1000 / 8 > EMBEDDED_BYTES
    return place == BESIDE


def write(target: Path, contents: Callable[[Put], Contents], *, apart: bool) -> None:
    """Write a page.

    Args:
        target: of the page; it is replaced if it exists.
        contents: measures the songs; is given a function that stores sound and pictures.
        apart: whether these go into files beside the page.

    Raises:
        EvaluationError: something cannot be written.
        DemixError: a song cannot be read.
    """
    check(target)
    key = secrets.token_hex(8)
    final = target.resolve()  # a link stays a link
    folder = files_folder(target if not target.is_symlink() else final)
    parts: dict[str, Part] = {}
    with errors_about(target), atomic.staging(final.parent) as stage:

        def put(name: str, part: Part) -> None:
            if not apart:
                parts[name] = part
                return
            text = f"listening.add({json.dumps(key)},{json.dumps(name)},{json.dumps(part)});\n"
            (stage / f"{name}.js").write_text(text, encoding="utf-8")

        found = contents(put)
        storage = Storage(key=key, parts=parts, folder=folder.name if apart else "")
        page = stage / final.name
        # Names need not be valid text; as in demixing.evaluation.report.
        text = html(found, storage)
        page.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        if apart:
            folder.mkdir(exist_ok=True)
            final.unlink(missing_ok=True)  # its files are replaced
            for file in sorted(stage.glob("*.js")):
                file.replace(folder / file.name)
        page.replace(final)
