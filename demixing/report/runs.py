"""The folders that ``demixing evaluate`` leaves: OUTPUT/mdx and OUTPUT/cdx.

Each has scores.json, run.json, the songs with their true stems (dataset/), and the separated stems
(predictions/).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demixing import small_files
from demixing.errors import EvaluationError
from demixing.evaluation import scores_file
from demixing.evaluation.comparison import reading
from demixing.evaluation.comparison.pairing import change
from demixing.evaluation.comparison.scores import System
from demixing.evaluation.metrics import OFFICIAL
from demixing.evaluation.run import MANIFEST, SCORES
from demixing.evaluation.song_files import normal
from demixing.evaluation.songs import STEMS, Song, find_songs
from demixing.printing import printable

REMADE = "run `demixing evaluate` again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: a recipe on songs of one track.

    Attributes:
        folder: of the run.
        system: its official scores, checked; its name is that of the recipe.
        scores: all contents of scores.json.
        references: songs with true stems, by name in normal form.
        estimates: the separated songs, by name in normal form.
    """

    folder: Path
    system: System
    scores: Mapping[str, Any]
    references: Mapping[str, Song]
    estimates: Mapping[str, Song]

    @property
    def songs(self) -> list[dict[str, Any]]:
        """The entries of the songs in scores.json."""
        return list(self.scores["songs"])

    @property
    def track(self) -> str:
        """A key of :data:`demixing.evaluation.songs.STEMS`."""
        return self.system.track

    @property
    def recipe(self) -> str:
        """Name of the recipe."""
        return self.system.name


def read(folders: Iterable[Path]) -> list[Run]:
    """Read runs; a folder with a run for each track counts as these.

    Raises:
        EvaluationError: a folder is no finished run, or a stem is missing.
    """
    return [_read(folder) for given in folders for folder in _inside(given)]


def by_track(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Group runs by track; several of one track are compared.

    Raises:
        EvaluationError: they have no song in common, or songs of one name differ.
    """
    groups: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.track].append(run)
    for group in groups.values():
        _check_alike(group)
    return dict(groups)


def common(runs: Sequence[Run]) -> list[str]:
    """Names of the songs that all runs have, in the order of the first one."""
    names = [song["name"] for song in runs[0].songs]
    return [name for name in names if all(normal(name) in run.system.songs for run in runs)]


def labels(runs: Sequence[Run]) -> list[str]:
    """Names of the recipes; where two are equal, with the folders of the runs."""
    names = [run.recipe for run in runs]
    return [
        printable(run.recipe if names.count(run.recipe) == 1 else f"{run.recipe} ({run.folder})")
        for run in runs
    ]


def _inside(folder: Path) -> list[Path]:
    """The runs that a folder holds, or the folder itself."""
    inside = [folder / track for track in STEMS if (folder / track / SCORES).is_file()]
    return inside if inside and not (folder / SCORES).is_file() else [folder]


def _read(folder: Path) -> Run:
    """Read one run."""
    scores, manifest = (_json(folder, name) for name in (SCORES, MANIFEST))
    where, recipe = repr(str(folder / SCORES)), str(manifest.get("recipe", "unknown"))
    try:
        scores_file.check(scores)
    except ValueError as error:
        raise EvaluationError(f"cannot use the scores in {where}: {error}; {REMADE}") from error
    system = reading.system(scores, where, name=recipe, kind="run", metric=OFFICIAL)
    songs = {
        kind: {normal(song.name): song for song in find_songs(folder / kind, system.track)}
        for kind in ("dataset", "predictions")
    }
    for kind, found in songs.items():
        _check_complete(folder / kind, found, system)
    return Run(
        folder=folder,
        system=system,
        scores=scores,
        references=songs["dataset"],
        estimates=songs["predictions"],
    )


def _json(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON object of a run.

    Raises:
        EvaluationError: there is none.
    """
    try:
        found = json.loads(small_files.read_text(folder / name))
    except (OSError, ValueError, RecursionError) as error:
        raise EvaluationError(
            "expected a folder that `demixing evaluate` has left, with scores.json, run.json, "
            f"dataset/ and predictions/, but {str(folder / name)!r} cannot be read; give "
            "OUTPUT/mdx or OUTPUT/cdx"
        ) from error
    return found if isinstance(found, dict) else {}


def _check_complete(folder: Path, found: Mapping[str, Song], system: System) -> None:
    """Raise unless all scored songs still have their stems."""
    for name in system.songs:
        song = found.get(name)
        missing = [stem for stem in system.stems if song is None or stem not in song.stems]
        if missing:
            raise EvaluationError(
                f"expected the stem {missing[0]!r} of song {name!r} in {str(folder)!r}, found "
                f"none; {REMADE}"
            )


def _check_alike(runs: Sequence[Run]) -> None:
    """Raise unless runs have songs in common, and these are the same recordings."""
    names = common(runs)
    if not names:
        listed = " and ".join(repr(str(run.folder)) for run in runs)
        raise EvaluationError(
            f"expected runs of the same songs, but {listed} have no song in common; give runs of "
            "one data set"
        )
    for name in map(normal, names):
        first, *others = (run.system.songs[name].reference for run in runs)
        for run, other in zip(runs[1:], others, strict=True):
            if found := change(first, other):
                raise EvaluationError(
                    f"expected the same references of song {name!r} in {str(runs[0].folder)!r} and "
                    f"{str(run.folder)!r}, but {found}; give runs of one data set"
                )
