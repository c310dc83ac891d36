"""Asks a submission for one song after the other, with an eye on clock, memory and disk.

    OUTPUT/references/<song>/    true stems; the submission never sees them
    OUTPUT/mixtures/<song>/      what it is given
    OUTPUT/predictions/<song>/   what it wrote, copied as soon as a song is done
    OUTPUT/grade.jsonl           a line for each record

A song that fails costs nothing but itself: the next one begins in a new place. On the server it
would cost everything, and the report says so.
"""

import contextlib
import dataclasses
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demixing.errors import EvaluationError
from demixing.evaluation.audio import Layout, probe
from demixing.evaluation.dataset import prepare
from demixing.evaluation.report import write_report
from demixing.evaluation.songs import STEMS, SUFFIXES, Song, wav_file
from evaluator.grading import monitor, records
from evaluator.grading.collecting import take
from evaluator.grading.profiles import Profile
from evaluator.grading.records import Beginning, SongResult
from evaluator.grading.runners import Place, Work

JOURNAL = "grade.jsonl"
NOTE = "grade.json"

SESSION = "session-"
"""How folders begin that a submission may write to."""

GRACE_S = 5.0
"""What the harness's own alarm has until everything is killed."""

LOOK_S = 0.1
"""Between two looks at memory."""

RESERVE_BYTES = 512 * 1024**2
"""Of the disk, which a submission may not fill."""

Record = Beginning | SongResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """One grade: what is graded, where, and where everything is put.

    Attributes:
        place: where the submission runs.
        profile: limits.
        songs: with all stems of the profile's track.
        output: folder; it need not exist.
        inspects: whether arrays are described as the model returned them.
        environment: further variables of the submission.
    """

    place: Place
    profile: Profile
    songs: Sequence[Song]
    output: Path
    inspects: bool = False
    environment: Mapping[str, str]

    @property
    def references(self) -> Path:
        """Folder of the true stems."""
        return self.output / "references"

    @property
    def mixtures(self) -> Path:
        """Folder of what the submission sees."""
        return self.output / "mixtures"

    @property
    def predictions(self) -> Path:
        """Folder of what it wrote."""
        return self.output / "predictions"

    def run(self, *, resume: bool = False) -> Iterator[Record]:
        """Grade, and yield what happened; of songs that were graded before, what was noted.

        Args:
            resume: keep songs that have a result.

        Raises:
            EvaluationError: the place cannot be used, songs are not complete, or files cannot be
                written.
        """
        self.place.check()
        done = self._begun(resume=resume)
        yield from done.values()
        left = [song.name for song in self.songs if song.name not in done]
        with (self.output / JOURNAL).open("a", encoding="utf-8") as journal:
            for record in self._graded(left):
                try:
                    journal.write(json.dumps(records.as_json(record)) + "\n")
                    journal.flush()
                    os.fsync(journal.fileno())
                except OSError as error:
                    raise self._unwritable(error) from error
                yield record

    def layout(self, song: str) -> Layout:
        """Rate, channels and length that stems of a song must have."""
        stem = STEMS[self.profile.track][0]
        file = Path(wav_file(self.profile.track, song, stem))
        kinds = (self.references / song / file.with_suffix(suffix) for suffix in SUFFIXES)
        return probe(next(path for path in kinds if path.exists()))

    def _begun(self, *, resume: bool) -> dict[str, SongResult]:
        """Prepare all folders; return results that are kept, by song."""
        note = {
            "profile": repr(self.profile),
            "place": self.place.title,
            "songs": {song.name: str(song.folder.resolve()) for song in self.songs},
        }
        self._check_output()
        try:
            done = self._known(note) if resume else {}
            self.output.mkdir(parents=True, exist_ok=True)
            if not done:
                write_report(self.output / JOURNAL, "")
            write_report(self.output / NOTE, json.dumps(note, indent=1) + "\n")
            for folder in (self.references, self.mixtures, self.predictions):
                if folder.exists() and not resume:
                    shutil.rmtree(folder)
                folder.mkdir(exist_ok=True)
            self._clear()
            for song in self.songs:
                prepare(song, self.profile.track, self.references)
                self._show(song.name)
            kept = "".join(f"{json.dumps(records.as_json(one))}\n" for one in done.values())
            write_report(self.output / JOURNAL, kept)
        except OSError as error:
            raise self._unwritable(error) from error
        return done

    def _check_output(self) -> None:
        """Raise unless nothing but an earlier grade can be lost.

        Raises:
            EvaluationError: the folder holds something else, or the songs.
        """
        for song in self.songs:
            if song.folder.resolve().is_relative_to(self.output.resolve()):
                raise EvaluationError(
                    f"expected songs outside of {str(self.output)!r}, got {str(song.folder)!r}; "
                    "choose another --output"
                )
        filled = self.output.is_dir() and any(self.output.iterdir())
        if filled and not (self.output / NOTE).is_file():
            raise EvaluationError(
                f"expected {str(self.output)!r} to be empty or a grade of ours, but it holds "
                "something else; choose another --output"
            )

    def _clear(self) -> None:
        """Delete what a grade that was killed could not clean up."""
        for session in self.output.glob(f"{SESSION}*"):
            shutil.rmtree(session)
        for folder in (self.references, self.mixtures, self.predictions):
            for unfinished in folder.glob(".unfinished-*"):
                shutil.rmtree(unfinished)

    def _known(self, note: Mapping[str, Any]) -> dict[str, SongResult]:
        """Results of this same grade that are in the folder."""
        try:
            before = json.loads((self.output / NOTE).read_text(encoding="utf-8"))
            lines = (self.output / JOURNAL).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise EvaluationError(
                f"expected a grade in {str(self.output)!r}, but {NOTE} is damaged; choose another "
                "--output"
            ) from error
        if before != note:
            raise EvaluationError(
                f"expected to go on with the grade in {str(self.output)!r}, but it was made with "
                "another profile, place or songs; choose another --output, or drop --resume"
            )
        done = {}
        for line in lines:
            try:
                record = records.of_json(json.loads(line))
            except ValueError:
                continue  # a kill cut it off
            if isinstance(record, SongResult) and (
                record.outcome != records.OK or (self.predictions / record.name).is_dir()
            ):
                done[record.name] = record
        return done

    def _show(self, song: str) -> None:
        """Give the submission a song's mixture, without its stems."""
        target = self.mixtures / song
        if target.exists():
            return
        stage = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=self.mixtures))
        for file in (self.references / song).iterdir():
            if "mixture" in file.name.removeprefix(song):
                shutil.copy(file, stage / file.name)
        stage.chmod(0o755)
        stage.replace(target)

    def _graded(self, songs: Sequence[str]) -> Iterator[Record]:
        """Grade songs, in as many places as it takes."""
        waiting = list(songs)
        while waiting:
            with _Session(self) as session:
                beginning = session.begin()
                if beginning.outcome != records.OK:
                    yield session.ended(beginning)
                    return
                result = None
                while waiting and (result is None or session.alive):
                    result = session.separate(waiting.pop(0))
                    yield result
                yield session.ended(beginning)

    def _unwritable(self, error: OSError) -> EvaluationError:
        """What to say if the output cannot be written."""
        return EvaluationError(
            f"expected to write to {str(self.output)!r}, which failed ({error.strerror}); make "
            "room or choose another --output, then go on with --resume"
        )


class _Session:
    """A submission in its place, from its start until it is gone.

    Args:
        grade: says what and where.
    """

    def __init__(self, grade: Grade) -> None:
        self._grade = grade
        self._folder = Path(tempfile.mkdtemp(prefix=SESSION, dir=grade.output.resolve()))
        self._shared, scratch = self._folder / "shared", self._folder / "tmp"
        (self._shared / "predictions").mkdir(parents=True)
        scratch.mkdir()
        self._folder.chmod(0o711)
        more = {"GRADER_INSPECTS": "1"} if grade.inspects else {}
        self._work = Work(
            mixtures=grade.mixtures,
            shared=self._shared,
            scratch=scratch,
            environment={**grade.environment, **more},
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._root: int | None = None
        self._said = b""
        self._peak_bytes = 0

    def __enter__(self) -> "_Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def alive(self) -> bool:
        """Whether it can be asked for another song."""
        return self._process is not None and self._process.poll() is None

    def begin(self) -> Beginning:
        """Start it, and wait until the model is loaded."""
        profile = self._grade.profile
        self._process = self._grade.place.begin(profile, self._work)
        said, outcome, message = self._answer(profile.setup_s)
        if outcome != records.OK:
            return Beginning(import_s=0.0, load_s=0.0, outcome=outcome, message=message)
        return Beginning(
            import_s=_number(said.get("import_s")),
            load_s=_number(said.get("load_s")),
            outcome=_outcome(said),
            message=str(said.get("message", "")),
        )

    def separate(self, song: str) -> SongResult:
        """Ask for a song, and take its stems."""
        profile = self._grade.profile
        layout = self._grade.layout(song)
        limit_s = profile.limit_s(layout.samples / layout.sample_rate_hz)
        self._peak_bytes = 0
        began = time.monotonic()
        self._ask({"song": song, "limit_s": limit_s})
        said, outcome, message = self._answer(limit_s)
        seconds = time.monotonic() - began
        if outcome == records.OK:
            outcome, message = _outcome(said), str(said.get("message", ""))
        if outcome == records.OK and seconds > limit_s:
            outcome, message = records.LATE, "answered after the limit"
        if outcome == records.OK:
            source, target = self._shared / "predictions", self._grade.predictions
            message = take(song, profile.track, source, target, layout)
            outcome = records.INCOMPLETE if message else records.OK
        shutil.rmtree(self._shared / "predictions" / song, ignore_errors=True)
        return SongResult(
            name=song,
            seconds=seconds,
            limit_s=limit_s,
            peak_bytes=self._peak_bytes,
            outcome=outcome,
            message=message,
            returned=_returned(said),
        )

    def ended(self, beginning: Beginning) -> Beginning:
        """End it; return its beginning with all that it asked of the network."""
        self._end()
        try:
            file = os.open(self._shared / ".connections", os.O_RDONLY | os.O_NOFOLLOW)
            with open(file, encoding="utf-8", errors="replace") as reader:  # noqa: PTH123
                lines = reader.read(100_000).splitlines()
        except OSError:
            lines = []
        return dataclasses.replace(beginning, connections=tuple(dict.fromkeys(lines)))

    def _ask(self, question: Mapping[str, Any]) -> None:
        """Send a line; nobody may be there to read it."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()

    def _answer(self, limit_s: float) -> tuple[dict[str, Any], str, str]:
        """Wait for a line, and look around meanwhile.

        Returns:
            What it said, an outcome, a message.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        profile, deadline = self._grade.profile, time.monotonic() + limit_s + GRACE_S
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._said:
            if time.monotonic() > deadline:
                self._end()
                return {}, records.LATE, "killed: it did not heed the alarm"
            ready, _, _ = select.select([pipe], [], [], LOOK_S)
            if ready:
                part = os.read(pipe, 65536)
                if not part:
                    return {}, *self._death()
                self._said += part
                if len(self._said) > 10_000_000:
                    self._end()
                    return {}, records.ERROR, "killed: it wrote to the harness's own pipe"
            trouble = self._trouble(profile)
            if trouble is not None:
                self._end()
                return {}, *trouble
        line, _, self._said = self._said.partition(b"\n")
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self._end()
            return {}, records.ERROR, "killed: it wrote to the harness's own pipe"
        return said, records.OK, ""

    def _trouble(self, profile: Profile) -> tuple[str, str] | None:
        """Outcome and message if it takes more than it may."""
        assert self._process is not None
        if self._root is None:
            self._root = self._grade.place.root(self._process)
        if self._root is not None:
            used = monitor.memory_bytes(self._root)
            self._peak_bytes = max(self._peak_bytes, used)
            if used > profile.memory_bytes:
                return records.MEMORY, f"killed at {used / 2**30:.2f} GiB"
        written = monitor.disk_bytes(self._work.shared, self._work.scratch)
        if written > profile.disk_bytes:
            return records.ERROR, f"killed: it wrote {written / 2**30:.2f} GiB to the disk"
        if shutil.disk_usage(self._folder).free < RESERVE_BYTES and written > RESERVE_BYTES:
            return records.ERROR, "killed: it filled the disk"
        return None

    def _death(self) -> tuple[str, str]:
        """Outcome and message of a process that ended by itself."""
        assert self._process is not None
        try:
            status = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._end()
            return records.DIED, "it closed the harness's pipe"
        if self._peak_bytes > 0.95 * self._grade.profile.memory_bytes:
            return records.MEMORY, f"ended with status {status}, with all memory in use"
        return records.DIED, f"ended with status {status}; what it printed stands above"

    def _end(self) -> None:
        """Kill everything."""
        if self._process is not None:
            self._grade.place.end(self._process)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def _outcome(said: Mapping[str, Any]) -> str:
    """The outcome that the harness claims."""
    outcome = said.get("outcome")
    return outcome if outcome in records.OUTCOMES else records.ERROR


def _number(value: Any) -> float:
    """A number of seconds that the harness claims."""
    return float(value) if isinstance(value, int | float) else 0.0


def _returned(said: Mapping[str, Any]) -> dict[str, records.Returned]:
    """Arrays that the harness describes; nothing if it is nonsense."""
    try:
        return {
            str(stem): records.Returned(
                dtype=str(one["dtype"]),
                shape=tuple(int(length) for length in one["shape"]),
                rate_hz=None if one["rate_hz"] is None else int(one["rate_hz"]),
                finite=bool(one["finite"]),
                peak=float(one["peak"]),
            )
            for stem, one in dict(said.get("returned") or {}).items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
