"""The folder of one run: its settings, its songs, and which of them are finished.

    dataset/<song>/        the mixture in the grader's layout, and the true stems
    predictions/<song>/    the separated stems
    run.json               the manifest: the settings, and what was missing in finished songs
    scores.json, .csv      the scores of the last run that came to its end, if none has begun since

Only folders of songs that are separated again are deleted, and only songs in the manifest are
trusted. So several runs may share a folder, one after the other, and a run of one song leaves the
others alone. A run at work holds the folder (:mod:`demixing.evaluation.output_lock`), and may be
killed at any moment: the manifest never names a song that is half deleted, and a song is finished
only when the manifest has its omissions.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demixing import atomic, small_files
from demixing.errors import EvaluationError
from demixing.evaluation import checked
from demixing.evaluation.audio import probe
from demixing.evaluation.report_files import write_report
from demixing.evaluation.report_json import Omission
from demixing.evaluation.songs import STEMS, wav_file

MANIFEST = "run.json"
SCORES, TABLE = "scores.json", "scores.csv"
"""The scores of all songs of a run, written at its end."""

SAMPLE = "sample"
"""Folder for decoded audio, which may exist before the manifest does."""


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The contents of the manifest.

    Attributes:
        made: the settings that its songs were separated with.
        songs: names of songs that may exist.
        omissions: members missing from each finished song.
    """

    made: Mapping[str, str]
    songs: frozenset[str] = frozenset()
    omissions: Mapping[str, Sequence[Omission]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The file of the manifest, which may have been edited by hand; see :class:`Run`."""

    recipe: str
    recipe_sha256: str
    data: str
    limit: str = "unknown"
    songs: tuple[str, ...]
    omissions: Mapping[str, tuple[Omission, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The settings of a run: songs of two runs with different settings are not comparable.

    Attributes:
        folder: folder for its files; it need not exist.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        recipe: name of the recipe.
        recipe_sha256: hash of the recipe's contents.
        data: where the songs come from.
        limit: time limit per song, as text.
    """

    folder: Path
    track: str
    recipe: str
    recipe_sha256: str
    data: str
    limit: str

    @property
    def dataset(self) -> Path:
        """Folder of the songs, in the grader's layout."""
        return self.folder / "dataset"

    @property
    def predictions(self) -> Path:
        """Folder of the separated stems."""
        return self.folder / "predictions"

    @property
    def made(self) -> dict[str, str]:
        """The settings as they are stored in the manifest."""
        return {
            "recipe": self.recipe,
            "recipe_sha256": self.recipe_sha256,
            "data": self.data,
            "limit": self.limit,
        }

    def known(self, *, resume: bool) -> set[str]:
        """Names of the songs that this run left in the folder earlier; changes nothing.

        Args:
            resume: whether another run in the folder is an error.

        Raises:
            EvaluationError: the folder has other contents, or another run would be resumed.
        """
        manifest = self._manifest()
        changed = list(self._changes(manifest.made))
        if changed and resume:
            raise EvaluationError(
                f"expected to resume the run in {str(self.folder)!r}, but it was made with "
                f"{' and '.join(changed)}; choose another --output, or drop --resume"
            )
        return set() if changed else set(manifest.songs)

    def _changes(self, made: Mapping[str, str]) -> Iterable[str]:
        """The settings of the songs in the folder that differ from this run's."""
        if any(made[key] != self.made[key] for key in ("recipe", "recipe_sha256")):
            yield f"another recipe, {made['recipe']!r}"
        if made["data"] != self.data:
            yield f"other data, {made['data']!r}"
        if made["limit"] != self.limit:
            yield f"another time limit, {made['limit']!r}"

    def begin(self, songs: Iterable[str], known: set[str], *, resume: bool) -> None:
        """Create the folders and the manifest, and delete songs that are separated again.

        This process holds the folder, because unfinished files of another run would be deleted.

        Args:
            songs: names of the songs of this run.
            known: result of :meth:`known`.
            resume: keep known songs.

        Raises:
            EvaluationError: the folder cannot be written to.
        """
        songs = set(songs)
        again = songs - (known if resume else set())
        kept = known - again
        manifest = self._manifest()
        omissions = {name: manifest.omissions[name] for name in kept & manifest.omissions.keys()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic.clear(self.folder)
            for name in (SCORES, TABLE):  # until this run has its own, there are none
                (self.folder / name).unlink(missing_ok=True)
            self._write(kept, omissions)
            for parent in (self.dataset, self.predictions):
                parent.mkdir(exist_ok=True)
                for name in again:
                    if (parent / name).exists():
                        shutil.rmtree(parent / name)
                atomic.clear(parent, recursive=True)
        except OSError as error:
            raise EvaluationError(
                f"cannot write to {str(self.folder)!r} ({error.strerror}); choose another --output"
            ) from error
        self._write(known | songs, omissions)

    def unfinished(self, songs: Iterable[str]) -> list[str]:
        """Songs that still have to be separated; their entries in the manifest are removed."""
        manifest = self._manifest()
        todo = [name for name in songs if name not in manifest.omissions or not self.whole(name)]
        left = manifest.omissions.keys() - set(todo)
        self._write(manifest.songs, {name: manifest.omissions[name] for name in left})
        return todo

    def finish(self, song: str, omissions: Sequence[Omission]) -> None:
        """Record that a song is finished, with its omissions."""
        manifest = self._manifest()
        self._write(manifest.songs, {**manifest.omissions, song: omissions})

    def omissions(self, songs: Iterable[str]) -> dict[str, Sequence[Omission]]:
        """The omissions by name of the song; all songs must be finished."""
        recorded = self._manifest().omissions
        return {name: recorded[name] for name in songs}

    def _manifest(self) -> _Manifest:
        """Read the manifest; if there is none, return one of this run without songs.

        Raises:
            EvaluationError: the folder has other contents.
        """
        try:
            if not self.folder.exists() or self._empty():
                return _Manifest(self.made)
            text = small_files.read_text(self.folder / MANIFEST)
            found = checked.parse(text, _Stored, "a manifest")
        except (OSError, ValueError) as error:
            raise EvaluationError(
                f"expected {str(self.folder)!r} to be empty or an earlier run, but it holds "
                "something else; choose another --output"
            ) from error
        made = {key: getattr(found, key) for key in self.made}
        return _Manifest(made, frozenset(found.songs), found.omissions)

    def _empty(self) -> bool:
        """Whether the folder holds nothing but what may exist before the manifest."""
        return all(
            path.name == SAMPLE or path.name.startswith(atomic.UNFINISHED)
            for path in self.folder.iterdir()
        )

    def _write(self, songs: Collection[str], omissions: Mapping[str, Sequence[Omission]]) -> None:
        """Replace the manifest."""
        manifest = {
            **self.made,
            "songs": sorted(songs),
            "omissions": dict(sorted(omissions.items())),
        }
        write_report(self.folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")

    def mixture(self, song: str) -> Path:
        """The mixture of a prepared song, or its left side."""
        return self._file(self.dataset, song, "mixture" if self.track == "mdx" else "mixture_Lt")

    def seconds(self, song: str) -> float:
        """Length of a prepared song."""
        layout = probe(self.mixture(song))
        return layout.samples / layout.sample_rate_hz

    def whole(self, song: str) -> bool:
        """Whether a song has all stems, undamaged and as long as its mixture."""
        expected = probe(self.mixture(song)).samples
        files = [self._file(self.predictions, song, stem) for stem in STEMS[self.track]]
        try:
            return all(probe(file).samples == expected for file in files)
        except EvaluationError:
            return False

    def _file(self, folder: Path, song: str, role: str) -> Path:
        """Path of a file in the grader's layout."""
        return folder / song / wav_file(self.track, song, role)
