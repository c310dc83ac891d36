"""The folder of one run: what made it, whose songs it holds, and which of them are finished.

    dataset/<song>/        the mixture as the grader gives it, and the true stems
    predictions/<song>/    what was separated
    run.json               the note that says what made them

Nothing is deleted but folders of songs that are to be done again, and nothing is trusted but
songs that the note names. So runs may share a folder, and a run of one song costs no other.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evaluator.audio import probe
from evaluator.errors import EvaluationError
from evaluator.report import write_report
from evaluator.songs import STEMS, wav_file

NOTE = "run.json"
SAMPLE = "sample"
"""A folder for decoded audio, which may lie there before the note does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run is: songs of two runs that differ in any of this are not comparable.

    Attributes:
        folder: where its files lie; it need not exist.
        track: a key of :data:`evaluator.songs.STEMS`.
        recipe: name of what separates.
        recipe_sha256: of its contents.
        data: where the songs come from.
    """

    folder: Path
    track: str
    recipe: str
    recipe_sha256: str
    data: str

    @property
    def dataset(self) -> Path:
        """Folder of the songs as the grader gives them."""
        return self.folder / "dataset"

    @property
    def predictions(self) -> Path:
        """Folder of the songs as they were separated."""
        return self.folder / "predictions"

    def known(self, *, resume: bool) -> set[str]:
        """Names of the songs that this same run left in the folder earlier; changes nothing.

        Args:
            resume: whether another run in the folder is an error.

        Raises:
            EvaluationError: the folder holds something else, or another run is to be resumed.
        """
        try:
            if not self.folder.exists() or {path.name for path in self.folder.iterdir()} <= {
                SAMPLE
            }:
                return set()
            note = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
            recipe, digest, data = (note[key] for key in ("recipe", "recipe_sha256", "data"))
            names = set(note["songs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EvaluationError(
                f"expected {str(self.folder)!r} to be empty or a run of ours, but it holds "
                "something else; choose another --output"
            ) from error
        changed = []
        if (recipe, digest) != (self.recipe, self.recipe_sha256):
            changed.append(f"another recipe, {recipe!r}")
        if data != self.data:
            changed.append(f"other data, {data!r}")
        if changed and resume:
            raise EvaluationError(
                f"expected to go on with the run in {str(self.folder)!r}, but it was made with "
                f"{' and '.join(changed)}; choose another --output, or drop --resume"
            )
        return set() if changed else names

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
        try:
            for parent in (self.dataset, self.predictions):
                parent.mkdir(parents=True, exist_ok=True)
                for name in songs - (known if resume else set()):
                    if (parent / name).exists():
                        shutil.rmtree(parent / name)
                # What a run that was killed could not clean up.
                for unfinished in parent.glob("**/.unfinished-*"):
                    shutil.rmtree(unfinished)
        except OSError as error:
            raise EvaluationError(
                f"expected to write to {str(self.folder)!r}, which failed ({error.strerror}); "
                "choose another --output"
            ) from error
        note = {
            "recipe": self.recipe,
            "recipe_sha256": self.recipe_sha256,
            "data": self.data,
            "songs": sorted(known | songs),
        }
        write_report(self.folder / NOTE, json.dumps(note, indent=1) + "\n")

    def mixture(self, song: str) -> Path:
        """The mixture of a song that was prepared, or its left half."""
        return self._file(self.dataset, song, "mixture" if self.track == "mdx" else "mixture_Lt")

    def seconds(self, song: str) -> float:
        """Length of a song that was prepared."""
        layout = probe(self.mixture(song))
        return layout.samples / layout.sample_rate_hz

    def finished(self, song: str) -> bool:
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
