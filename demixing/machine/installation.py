"""Locations of the package's files: beside it in a checkout, inside it in a wheel."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]

ROOT = PACKAGE.parent
"""The checkout, or the folder that the wheel was installed into."""

INSTALLED = (PACKAGE / "models").is_dir()
"""Whether this is a wheel; a checkout has ``models/`` beside the package."""

MODELS = PACKAGE / "models" if INSTALLED else ROOT / "models"
"""The catalogue of weights, the bags of Demucs, and the weights that ship."""

PINNED = {
    "cluster": "-r requirements-dev.txt",
    "demucs": "--no-deps --requirement requirements-demucs.txt",
    "rendering": "-r demixing/training/requirements.txt",
    "report": "-r requirements-dev.txt",
    "s3": "-r requirements-dev.txt",
}
"""Arguments for pip in a checkout, instead of an extra."""


def home_folder() -> Path | None:
    """The user's home; None if there is none, as for an arbitrary user of a container.

    No folder stands in for it: others could prepare one with a known name in a shared place.
    """
    try:
        return Path.home()
    except RuntimeError:
        return None


def cache_folder() -> Path | None:
    """The user's folder for files that can be measured or downloaded again; None without a home."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "sound-demixing"
    home = home_folder()
    return home / ".cache" / "sound-demixing" if home else None


def install_command(extra: str) -> str:
    """The command that installs the packages of an extra; pinned versions in a checkout."""
    packages = f"'sound-demixing[{extra}]'" if INSTALLED else PINNED[extra]
    return f"pip install {packages}"
