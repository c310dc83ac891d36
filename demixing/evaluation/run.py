"""The folder of one run: what made it, whose songs it holds, and which of them are finished.

    dataset/<song>/        the mixture as the grader gives it, and the true stems
    predictions/<song>/    what was separated
    run.json               the note that says what made them, and what songs had to do without

Nothing is deleted but folders of songs that are to be done again, and nothing is trusted but
songs that the note names. So runs may share a folder, and a run of one song costs no other. A run
may be killed at any moment: the note never names a song that is only half deleted, and a song is
finished only once the note has its omissions.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demixing import atomic
from demixing.errors import EvaluationError
from demixing.evaluation.audio import probe
from demixing.evaluation.report import Omission, write_report
from demixing.evaluation.songs import STEMS, wav_file

NOTE = "run.json"
SAMPLE = "sample"
"""A folder for decoded audio, which may lie there before the note does."""


@dataclass(frozen=True, slots=True)
class _Note:
    """What the note says.

    Attributes:
        made: by what its songs were made.
        songs: names of those that may be there.
        omissions: what finished songs were separated without, by name.
    """

    made: Mapping[str, str]
    songs: frozenset[str] = frozenset()
    omissions: Mapping[str, Sequence[Omission]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run is: songs of two runs that differ in any of this are not comparable.

    Attributes:
        folder: where its files lie; it need not exist.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        recipe: name of what separates.
        recipe_sha256: of its contents.
        data: where the songs come from.
        limit: of the time per song, as text.
    """

    folder: Path
    track: str
    recipe: str
    recipe_sha256: str
    data: str
    limit: str

    @property
    def dataset(self) -> Path:
        """Folder of the songs as the grader gives them."""
        return self.folder / "dataset"

    @property
    def predictions(self) -> Path:
        """Folder of the songs as they were separated."""
        return self.folder / "predictions"

    @property
    def made(self) -> dict[str, str]:
        """What the note says of this run."""
        return {
            "recipe": self.recipe,
            "recipe_sha256": self.recipe_sha256,
            "data": self.data,
            "limit": self.limit,
        }

    def known(self, *, resume: bool) -> set[str]:
        """Names of the songs that this same run left in the folder earlier; changes nothing.

        Args:
            resume: whether another run in the folder is an error.

        Raises:
            EvaluationError: the folder holds something else, or another run is to be resumed.
        """
        note = self._note()
        changed = list(self._changes(note.made))
        if changed and resume:
            raise EvaluationError(
                f"expected to go on with the run in {str(self.folder)!r}, but it was made with "
                f"{' and '.join(changed)}; choose another --output, or drop --resume"
            )
        return set() if changed else set(note.songs)

    def _changes(self, made: Mapping[str, str]) -> Iterable[str]:
        """What made the songs in the folder, where that is not what makes those of this run."""
        if any(made[key] != self.made[key] for key in ("recipe", "recipe_sha256")):
            yield f"another recipe, {made['recipe']!r}"
        if made["data"] != self.data:
            yield f"other data, {made['data']!r}"
        if made["limit"] != self.limit:
            yield f"another time limit, {made['limit']!r}"

    def begin(self, songs: Iterable[str], known: set[str], *, resume: bool) -> None:
        """Make the folders and the note, and delete what is to be done again.

        Args:
            songs: names of the songs of this run.
            known: what :meth:`known` found.
            resume: whether to keep of ``songs`` those that are known.

        Raises:
            EvaluationError: the folder cannot be written to.
        """
        songs = set(songs)
        again = songs - (known if resume else set())
        kept = known - again
        note = self._note()
        omissions = {name: note.omissions[name] for name in kept & note.omissions.keys()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic.clear(self.folder)
            self._write(kept, omissions)
            for parent in (self.dataset, self.predictions):
                parent.mkdir(exist_ok=True)
                for name in again:
                    if (parent / name).exists():
                        shutil.rmtree(parent / name)
                atomic.clear(parent, recursive=True)
        except OSError as error:
            raise EvaluationError(
                f"expected to write to {str(self.folder)!r}, which failed ({error.strerror}); "
                "choose another --output"
            ) from error
        self._write(known | songs, omissions)

    def unfinished(self, songs: Iterable[str]) -> list[str]:
        """Pick the songs that are yet to be separated, and forget what was noted of them."""
        note = self._note()
        todo = [name for name in songs if name not in note.omissions or not self.whole(name)]
        left = note.omissions.keys() - set(todo)
        self._write(note.songs, {name: note.omissions[name] for name in left})
        return todo

    def finish(self, song: str, omissions: Sequence[Omission]) -> None:
        """Note that a song is finished, and what it was separated without."""
        note = self._note()
        self._write(note.songs, {**note.omissions, song: omissions})

    def omissions(self, songs: Iterable[str]) -> dict[str, Sequence[Omission]]:
        """What songs were separated without, by name; all of them are finished."""
        noted = self._note().omissions
        return {name: noted[name] for name in songs}

    def _note(self) -> _Note:
        """Read the note; where there is no run yet, one of this run without songs.

        Raises:
            EvaluationError: the folder holds something else.
        """
        try:
            if not self.folder.exists() or self._empty():
                return _Note(self.made)
            note = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
            note = {"limit": "unknown"} | note
            return _Note(
                {key: note[key] for key in self.made},
                frozenset(note["songs"]),
                {name: list(map(_omission, of)) for name, of in note.get("omissions", {}).items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvaluationError(
                f"expected {str(self.folder)!r} to be empty or a run of ours, but it holds "
                "something else; choose another --output"
            ) from error

    def _empty(self) -> bool:
        """Whether the folder holds nothing but what may be there before the note is."""
        return all(
            path.name == SAMPLE or path.name.startswith(atomic.UNFINISHED)
            for path in self.folder.iterdir()
        )

    def _write(self, songs: Collection[str], omissions: Mapping[str, Sequence[Omission]]) -> None:
        """Replace the note."""
        note = {**self.made, "songs": sorted(songs), "omissions": dict(sorted(omissions.items()))}
        write_report(self.folder / NOTE, json.dumps(note, indent=1) + "\n")

    def mixture(self, song: str) -> Path:
        """The mixture of a song that was prepared, or its left half."""
        return self._file(self.dataset, song, "mixture" if self.track == "mdx" else "mixture_Lt")

    def seconds(self, song: str) -> float:
        """Length of a song that was prepared."""
        layout = probe(self.mixture(song))
        return layout.samples / layout.sample_rate_hz

    def whole(self, song: str) -> bool:
        """Whether all stems of a song are there, undamaged and as long as its mixture."""
        expected = probe(self.mixture(song)).samples
        files = [self._file(self.predictions, song, stem) for stem in STEMS[self.track]]
        try:
            return all(probe(file).samples == expected for file in files)
        except EvaluationError:
            return False

    def _file(self, folder: Path, song: str, role: str) -> Path:
        """Where the grader has a file."""
        return folder / song / wav_file(self.track, song, role)


def _omission(noted: Omission) -> Omission:
    """Take an omission out of a note that someone may have edited."""
    return {
        "member": str(noted["member"]),
        "part": float(noted["part"]),
        "reason": str(noted["reason"]),
    }
