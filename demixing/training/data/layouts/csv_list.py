"""A list of files as CSV with the columns ``instrum`` (or ``type``) and ``path``.

Type 3 of the data sets of Music-Source-Separation-Training. Give the file, or the folder that
contains it. Each row is a file on its own. Paths may be relative to the list.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from demixing.errors import ConfigError
from demixing.evaluation.song_files import entries
from demixing.training.data.layouts import Found, canonical

RANK = 10
SUFFIX = ".csv"
STEM_COLUMNS = ("instrum", "type")
PATH_COLUMN = "path"


def find(folder: Path, known: frozenset[str]) -> list[Found]:
    """Find the rows of a list, or of the lists in a folder, whose stem is known.

    Raises:
        ConfigError: a list is not a CSV in UTF-8.
    """
    lists = [folder] if folder.is_file() else entries(folder, ConfigError)
    found: dict[str, Found] = {}
    for path in lists:
        if path.suffix.lower() == SUFFIX and path.is_file():
            for stem, audio in _rows(path):
                if stem in known:
                    name = _free(f"{stem}/{audio.stem}", found)
                    found[name] = Found(
                        name=name, folder=audio.parent, stems={stem: (audio,)}, loose=True
                    )
    return list(found.values())


def _rows(path: Path) -> Iterator[tuple[str, Path]]:
    """Stem and file of each row; none if the columns are not those of a list."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            stem_column = next((name for name in STEM_COLUMNS if name in columns), None)
            if stem_column is None or PATH_COLUMN not in columns:
                return
            for row in rows:
                if row[stem_column] and row[PATH_COLUMN]:
                    yield canonical(row[stem_column]), (path.parent / row[PATH_COLUMN]).absolute()
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(
            f"expected a list of files as CSV in UTF-8 at {str(path)!r}, but: {error}; save it so"
        ) from error


def _free(name: str, taken: dict[str, Found]) -> str:
    """The name, with a number if it is taken."""
    number, result = 1, name
    while result in taken:
        number += 1
        result = f"{name} {number}"
    return result
