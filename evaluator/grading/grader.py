"""Grades a submission: one song after the other, with the limits of the server.

    OUTPUT/references/<song>/    true stems; the submission never sees them
    OUTPUT/mixtures/<song>/      its input
    OUTPUT/predictions/<song>/   its stems, copied as soon as a song is done
    OUTPUT/grade.json            the manifest: profile, runner and songs
    OUTPUT/grade.jsonl           the records, one per line

A failed song affects no other: the submission is restarted for the next one. On the server it would
fail the whole submission, and the report says so.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from demixing import atomic, small_files
from demixing.errors import EvaluationError
from demixing.evaluation import checked, output_lock
from demixing.evaluation.audio import Layout, probe
from demixing.evaluation.dataset import prepare
from demixing.evaluation.report_files import write_report
from demixing.evaluation.song_files import LEFT, MIXTURE, RIGHT, SUFFIXES
from demixing.evaluation.songs import STEMS, Song, wav_file
from evaluator.grading import records, session
from evaluator.grading.profiles import Profile
from evaluator.grading.records import SongResult, StartUp
from evaluator.grading.runners import FILE_MODE, FOLDER_MODE, Runner

RECORDS = "grade.jsonl"
MANIFEST = "grade.json"

MIXTURES: Mapping[str, tuple[str, ...]] = {"mdx": (MIXTURE,), "cdx": (LEFT, RIGHT)}
"""Files that a submission sees, by track."""

Record = StartUp | SongResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """One grade: the songs, the runner and the output folder.

    Attributes:
        runner: runs the submission.
        profile: limits.
        songs: songs with all stems of the profile's track.
        output: folder; need not exist.
        inspect: whether to record dtype, shape and peak of the arrays that the model returns.
        environment: additional variables of the submission.
    """

    runner: Runner
    profile: Profile
    songs: Sequence[Song]
    output: Path
    inspect: bool = False
    environment: Mapping[str, str]

    @property
    def references(self) -> Path:
        """Folder of the true stems."""
        return self.output / "references"

    @property
    def mixtures(self) -> Path:
        """Folder of the songs that the submission sees."""
        return self.output / "mixtures"

    @property
    def predictions(self) -> Path:
        """Folder of its stems."""
        return self.output / "predictions"

    @contextlib.contextmanager
    def run(self, *, resume: bool = False) -> Iterator[Iterator[Record]]:
        """Grade, and keep other grades out of the output until the block ends.

        Args:
            resume: keep songs that have a result.

        Yields:
            Records, each as soon as it is known; the results that are kept come first.

        Raises:
            EvaluationError: the runner cannot be used, another grade is at work in the output,
                songs are not complete, or files cannot be written.
        """
        self.runner.check()
        self._check_output()
        self._check_visible()
        with output_lock.held(self.output):
            yield self._records(resume=resume)

    def _records(self, *, resume: bool) -> Iterator[Record]:
        """Grade; see :meth:`run`."""
        done = self._set_up(resume=resume)
        yield from done.values()
        left = [song.name for song in self.songs if song.name not in done]
        with (self.output / RECORDS).open("a", encoding="utf-8") as file:
            for record in self._graded(left):
                try:
                    file.write(records.as_json(record) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                except OSError as error:
                    raise self._unwritable(error) from error
                yield record

    def layout(self, song: str) -> Layout:
        """Required sample rate, channels and length of a song's stems."""
        stem = STEMS[self.profile.track][0]
        file = Path(wav_file(self.profile.track, song, stem))
        kinds = (self.references / song / file.with_suffix(suffix) for suffix in SUFFIXES)
        return probe(next(path for path in kinds if path.exists()))

    def _graded(self, songs: Sequence[str]) -> Iterator[Record]:
        """Grade songs; restart the submission whenever a song has killed it."""
        waiting = list(songs)
        inspecting = {"GRADER_INSPECT": "1"} if self.inspect else {}
        environment = {**self.environment, **inspecting}
        while waiting:
            with session.opened(
                self.runner, self.profile, self.mixtures, self.output, environment
            ) as submission:
                start_up = submission.start_up()
                if start_up.outcome != records.OK:
                    yield submission.finish(start_up)
                    return
                # At least one song per start, or a submission that dies once it is ready would be
                # restarted forever.
                result = None
                while waiting and (result is None or submission.alive):
                    song = waiting.pop(0)
                    result = submission.separate(song, self.layout(song), self.predictions)
                    yield result
                yield submission.finish(start_up)

    def _set_up(self, *, resume: bool) -> dict[str, SongResult]:
        """Prepare all folders; return results that are kept, by song."""
        manifest = _Manifest(
            profile=repr(self.profile),
            runner=self.runner.title,
            songs={song.name: str(song.folder.resolve()) for song in self.songs},
        )
        try:
            done = self._known(manifest) if resume else {}
            if not done:
                write_report(self.output / RECORDS, "")
            write_report(self.output / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
            for folder in (self.references, self.mixtures, self.predictions):
                if folder.exists() and not resume:
                    shutil.rmtree(folder)
                folder.mkdir(exist_ok=True)
            self.mixtures.chmod(FOLDER_MODE)
            self._clear()
            for song in self.songs:
                prepare(song, self.profile.track, self.references)
                self._show(song.name)
            kept = "".join(f"{records.as_json(one)}\n" for one in done.values())
            write_report(self.output / RECORDS, kept)
        except OSError as error:
            raise self._unwritable(error) from error
        return done

    def _check_output(self) -> None:
        """Check that only an earlier grade can be lost.

        Raises:
            EvaluationError: the folder has other contents, or the songs are in it.
        """
        for song in self.songs:
            if song.folder.resolve().is_relative_to(self.output.resolve()):
                raise EvaluationError(
                    f"expected songs outside {str(self.output)!r}, got {str(song.folder)!r}; "
                    "choose another --output"
                )
        names = [path.name for path in self.output.iterdir()] if self.output.is_dir() else []
        filled = [name for name in names if not name.startswith(atomic.UNFINISHED)]
        if filled and not (self.output / MANIFEST).is_file():
            raise EvaluationError(
                f"expected {str(self.output)!r} to be empty or an earlier grade, but it has "
                "other contents; choose another --output"
            )

    def _check_visible(self) -> None:
        """Check that the submission cannot see the output, the songs, or their files.

        Raises:
            EvaluationError: it can.
        """
        hidden = {"the output": [self.output], "the songs": [song.folder for song in self.songs]}
        hidden["the true stems"] = [path for song in self.songs for path in song.stems.values()]
        for what, paths in hidden.items():
            for path in (path.resolve() for path in paths):
                seen = self.runner.shows(path)
                if seen is not None:
                    raise EvaluationError(
                        f"expected {what} where the submission cannot see them, but "
                        f"{str(path)!r} and {str(seen)!r}, which it can read, overlap; choose "
                        "another folder, or exclude it in .dockerignore"
                    )

    def _clear(self) -> None:
        """Delete the leftovers of a killed grade."""
        for left in self.output.glob(f"{session.PREFIX}*"):
            session.remove(left)
        for folder in (self.output, self.references, self.mixtures, self.predictions):
            atomic.clear(folder)

    def _known(self, manifest: "_Manifest") -> dict[str, SongResult]:
        """Results in the folder, by song.

        Args:
            manifest: manifest of this grade.

        Raises:
            EvaluationError: the folder's manifest is damaged, or belongs to another grade.
        """
        try:
            text = small_files.read_text(self.output / MANIFEST)
            lines = small_files.read_text(self.output / RECORDS).splitlines()
            before = checked.parse(text, _Manifest, "a manifest")
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise EvaluationError(
                f"expected a grade in {str(self.output)!r}, but {MANIFEST} or {RECORDS} is damaged "
                f"({error}); choose another --output"
            ) from error
        if before != manifest:
            raise EvaluationError(
                f"expected to resume the grade in {str(self.output)!r}, but it was made with "
                "another profile, runner or songs; choose another --output, or drop --resume"
            )
        results = (one for one in _records(lines) if isinstance(one, SongResult))
        return {one.name: one for one in results if self._complete(one)}

    def _complete(self, result: SongResult) -> bool:
        """Whether a result needs no stems, or has them."""
        return result.outcome != records.OK or (self.predictions / result.name).is_dir()

    def _show(self, song: str) -> None:
        """Put a song's mixture, without its stems, where the submission sees it."""
        target = self.mixtures / song
        if target.exists():
            return
        with atomic.folder(target) as unfinished:
            for role in MIXTURES[self.profile.track]:
                name = wav_file(self.profile.track, song, role)
                shutil.copyfile(self.references / song / name, unfinished / name)
                (unfinished / name).chmod(FILE_MODE)

    def _unwritable(self, error: OSError) -> EvaluationError:
        """The error of an output that cannot be written."""
        return EvaluationError(
            f"cannot write to {str(self.output)!r} ({error.strerror}); free some space or "
            "choose another --output, then continue with --resume"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    """What decides whether a grade can be resumed.

    Attributes:
        profile: its limits.
        runner: title of the runner.
        songs: folder of each song.
    """

    profile: str
    runner: str
    songs: Mapping[str, str]


def _records(lines: Sequence[str]) -> Iterator[Record]:
    """Read records; a line that was cut off when the grader was killed is skipped."""
    for line in lines:
        with contextlib.suppress(ValueError):
            yield records.parse(line)
