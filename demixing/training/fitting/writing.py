"""Writes a fitted recipe: its own text, followed by the fitted tables."""

import dataclasses
import re
from pathlib import Path

from demixing import atomic
from demixing.errors import OutputError
from demixing.recipes import reading
from demixing.recipes.recipe import Recipe

MARK_START = "# Fitted by "
MARK = f"{MARK_START}`demixing fit`, which replaces everything below."
"""Line above the fitted tables; only its start is recognised, since its text has changed."""


def write(path: Path, source: Path, fitted: Recipe) -> None:
    """Write the recipe's own text, followed by the fitted tables.

    Args:
        path: path of the new file.
        source: file or name of the recipe; all text above :data:`MARK` is kept.
        fitted: recipe with the fitted tables.

    Raises:
        OutputError: the file cannot be written.
    """
    named = reading.FOLDER / f"{source}.toml"
    text = (named if named.is_file() else source).read_text(encoding="utf-8")
    own = re.split(f"^{MARK_START}", text, maxsplit=1, flags=re.MULTILINE)[0].rstrip("\n")
    try:
        atomic.write_text(path, "\n".join([own, "", MARK, *tables(fitted)]) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def tables(fitted: Recipe) -> list[str]:
    """The fitted part of a recipe, as TOML."""
    lines = []
    for blend in fitted.blends:
        weights = ", ".join(f"{name} = {weight:z.4f}" for name, weight in blend.weights.items())
        lines += [
            "",
            "[[blends]]",
            f'stem = "{blend.stem}"',
            f"weights = {{ {weights} }}",
            f"mixture = {blend.mixture:z.4f}",
            f"sdr_db = {blend.sdr_db:.3f}",
        ]
    if fitted.consistency:
        lines += ["", "[consistency]"]
        lines += [f"{stem} = {share:.3f}" for stem, share in fitted.consistency.items()]
    for stem, gate in fitted.gates.items():
        lines += ["", f"[gates.{stem}]"]
        lines += [f"{name} = {value:.2f}" for name, value in dataclasses.asdict(gate).items()]
    return lines
