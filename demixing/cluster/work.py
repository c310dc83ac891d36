"""One song from its address to its results: what every worker does, wherever it runs."""

from __future__ import annotations

import contextlib
import logging
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from demixing import atomic
from demixing.cluster import addresses, publishing, records, tasks
from demixing.cluster.addresses import RefusedError, StoreError, protocol
from demixing.cluster.catalogue import Item
from demixing.cluster.records import Failure, FileFacts, Record
from demixing.cluster.tasks import Task
from demixing.errors import DemixError, EvaluationError, OutputError, SongError

if TYPE_CHECKING:
    from demixing.engine.demixer import Demixer

logger = logging.getLogger(__name__)

DONE, THERE, FAILED = "done", "there", "failed"

SCORES = "scores.json"
STEM_FILES = (".wav", ".flac", ".mp4")
"""Suffixes of files that are scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a song.

    Attributes:
        status: :data:`DONE`, :data:`THERE` if an earlier run did it, or :data:`FAILED`.
        error: why it failed, in one sentence.
        again: whether another try may succeed.
        values: figures of its record.
    """

    status: str
    error: str = ""
    again: bool = False
    values: Mapping[str, float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all workers of a batch need to know.

    Attributes:
        task: what is done with every song.
        fingerprint: of the task.
        destination: address of the results.
        version: of this package.
        most_bytes: size of a song's file at most.
    """

    task: Task
    fingerprint: str
    destination: str
    version: str
    most_bytes: int


class Worker:
    """Does songs one after the other, with weights that are loaded once.

    Args:
        job: of the batch.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._demixer: Demixer | None = None

    def get_ready(self) -> None:
        """Load the weights.

        Raises:
            DemixError: the recipe cannot be used here.
        """
        if self._job.task.recipe is None or self._demixer is not None:
            return
        from demixing.engine.demixer import Demixer  # imports torch
        from demixing.machine import threads

        threads.use()
        self._demixer = Demixer(self._job.task.recipe)

    def do(self, item: Item) -> Outcome:
        """Do one song, unless it is done. Errors become part of the outcome."""
        try:
            if (record := self._there(item)) is not None:
                return Outcome(status=THERE, values=record.values)
            return Outcome(status=DONE, values=self._done(item).values)
        except DemixError as error:
            return Outcome(status=FAILED, error=str(error), again=may_pass(error))
        except Exception as error:  # a fault of this program: other songs may work
            logger.exception("%s: unexpected error", item.name)
            reason = f"unexpected {type(error).__name__}: {error}"
            return Outcome(status=FAILED, error=reason[:500])

    def _there(self, item: Item) -> Record | None:
        """The record of an earlier run, if the song and what is done with it are the same."""
        record = publishing.done(self._job.destination, item.name)
        if record is None or record.task != self._job.fingerprint:
            return None
        if not self._same_source(item, record):
            return None
        return record if publishing.whole(self._job.destination, record) else None

    def _same_source(self, item: Item, record: Record) -> bool:
        """Whether a record is that of a song's files: another song may have the same name.

        Raises:
            DemixError: its file must be read for that, and cannot be.
        """
        if self._size_bytes(item) not in (None, record.source_bytes):
            return False
        if self._job.task.kind == tasks.SCORE:
            # Files of estimates are usually of one size, so only a batch's record identifies them.
            known = publishing.done(self._job.task.estimates, item.name) is not None
            return known and record.source == item.address
        if record.source == item.address:
            return True
        with self._local_file(item.address) as path:  # it was moved, or is another song
            return records.facts(path).sha256 == record.source_sha256

    def _size_bytes(self, item: Item) -> int | None:
        """Size of a song's files; None if asking for it would cost a request."""
        if item.size_bytes is None and not protocol(item.address):
            path = Path(item.address)
            return path.stat().st_size if path.is_file() else None
        return item.size_bytes

    def _done(self, item: Item) -> Record:
        """Do a song and publish its results.

        Raises:
            DemixError: the song cannot be read or done, or the results cannot be written.
        """
        with publishing.stage(self._job.destination) as folder:
            if self._job.task.kind == tasks.SCORE:
                source, values = self._score(item, folder)
            else:
                source, values = self._separate(item, folder), {}
            record = self._record(item, folder, source, values)
            publishing.publish(self._job.destination, record, folder)
        return record

    def _record(
        self,
        item: Item,
        folder: Path,
        source: FileFacts,
        values: Mapping[str, float | None],
    ) -> Record:
        """The record of a song whose results are in a folder."""
        return Record(
            name=item.name,
            source=item.address,
            source_bytes=source.bytes,
            source_sha256=source.sha256,
            task=self._job.fingerprint,
            version=self._job.version,
            files={path.name: records.facts(path) for path in sorted(folder.iterdir())},
            values=values,
        )

    def _separate(self, item: Item, folder: Path) -> FileFacts:
        """Write the stems of a song to a folder; return the facts of its file."""
        from demixing.engine.separate_file import Order, separate_file

        self.get_ready()
        task = self._job.task
        assert self._demixer is not None
        assert task.recipe is not None
        with self._local_file(item.address) as path:
            paths = dict(zip(task.recipe.outputs, map(folder.joinpath, results(task)), strict=True))
            order = Order(
                song=path,
                paths=paths,
                bits=task.bits,
                bitrate=task.bitrate,
                best=task.best,
                rescale=task.rescale,
            )
            separate_file(self._demixer, order)
            return records.facts(path)

    @contextlib.contextmanager
    def _local_file(self, address: str) -> Iterator[Path]:
        """A file on this machine with the contents of an address; decoders need to seek."""
        if not protocol(address):
            if not Path(address).is_file():
                raise SongError(f"there is no file at {address!r}")
            yield Path(address)
            return
        with atomic.scratch() as folder:
            path = folder / f"song{PurePosixPath(address).suffix[:10]}"
            addresses.fetch(address, path, self._job.most_bytes)
            yield path

    def _score(self, item: Item, folder: Path) -> tuple[FileFacts, dict[str, float | None]]:
        """Score a song; return facts of its references, and the scores by stem."""
        from demixing.cluster.scores import scored

        task, song = self._job.task, PurePosixPath(item.name).name
        separated = f"{task.estimates}/{item.name}"
        with (
            self._alone(item.address, song) as references,
            self._alone(separated, song) as estimates,
            _addresses_in_errors({references: item.address, estimates: separated}),
        ):
            text, values = scored(references, estimates, item.name, task)
            (folder / SCORES).write_text(text, encoding="utf-8")
            files = [one for one in (references / song).iterdir() if is_stem_file(one.name)]
            return records.combined({one.name: records.facts(one) for one in files}), values

    @contextlib.contextmanager
    def _alone(self, address: str, name: str) -> Iterator[Path]:
        """A folder on this machine with nothing but one folder, which has an address's stems."""
        with atomic.scratch() as folder:
            if not protocol(address):
                (folder / name).symlink_to(address, target_is_directory=True)
            else:
                (folder / name).mkdir()
                self._fetch_stems(address, folder / name)
            yield folder

    def _fetch_stems(self, address: str, folder: Path) -> None:
        """Copy the stem files of an address to a folder."""
        for one in addresses.files(address):
            if "/" not in one.path and is_stem_file(one.path):
                addresses.fetch(f"{address}/{one.path}", folder / one.path, self._job.most_bytes)


def results(task: Task) -> list[str]:
    """Names of the files that each song gets."""
    if task.recipe is None:
        return [SCORES]
    return [f"{stem}.{task.format}" for stem in task.recipe.outputs]


def may_pass(error: DemixError) -> bool:
    """Whether another try may succeed: a store or a disk failed, not the song."""
    if isinstance(error, StoreError):
        return not isinstance(error, RefusedError)
    # Results that cannot be written have the system's error as their cause.
    cause = error.__cause__ if isinstance(error, OutputError) else None
    return cause is not None and not addresses.is_final(cause)


@contextlib.contextmanager
def _addresses_in_errors(folders: Mapping[Path, str]) -> Iterator[None]:
    """Name the folders of songs in errors, in place of temporary ones that contain them."""
    try:
        yield
    except EvaluationError as error:
        text = str(error)
        for folder, address in folders.items():
            text = text.replace(str(folder), posixpath.dirname(address))
        raise EvaluationError(text) from error


def is_stem_file(name: str) -> bool:
    """Whether a file may be a stem, by its name."""
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in STEM_FILES


def failure(job: Job, item: Item, error: str) -> Failure:
    """The record of a song that failed."""
    return Failure(name=item.name, source=item.address, task=job.fingerprint, error=error)
