"""A submission's description of itself: track, recipe, leaderboards and weights.

It comes from a subprocess, ``python -m my_submission describe --json``, because this package never
imports submissions.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demixing import small_files

COMMAND = ("-m", "my_submission", "describe", "--json")

TIMEOUT_S = 120.0

OURS = "DEMIX_"
"""Prefix of environment variables that change the submission, but only on this machine."""

_SETTING = re.compile(rf"\b({OURS}\w+)[= ]\"?([^\s\"\\]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A file of weights that the recipe uses.

    Attributes:
        name: name in the submission's catalogue.
        path: absolute path where it is or should be; empty if its package is not installed.
        package: distribution that contains it; empty if it is a file of the repository.
        condition: "ok", or its fault.
        trained_on: names of data sets.
        absent: whether the file is optional and does not exist.
        fetch: name under which an absent file can be fetched.
        gain_db: improvement of the score in dB with an absent file; None if unknown.
        needs_gpu: whether its network is too slow on a CPU for the time limit.
    """

    name: str
    path: str
    package: str
    condition: str
    trained_on: tuple[str, ...]
    absent: bool = False
    fetch: str = ""
    gain_db: float | None = None
    needs_gpu: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A submission's description of itself.

    Attributes:
        track: "mdx" or "cdx".
        recipe: its name.
        boards: eligible leaderboards.
        weights: all files of weights that it uses.
    """

    track: str
    recipe: str
    boards: tuple[str, ...]
    weights: tuple[Weights, ...]

    @property
    def submitted(self) -> tuple[Weights, ...]:
        """Files of weights that exist."""
        return tuple(one for one in self.weights if not one.absent)


def of(folder: Path) -> Description | str:
    """Let the submission in a folder describe itself.

    Returns:
        The description, or the reason why there is none.
    """
    if not (folder / "my_submission" / "__main__.py").is_file():
        return "it has no 'python -m my_submission describe'"
    # The server does not have this user's settings, but those of the image.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    try:
        done = subprocess.run(
            [sys.executable, *COMMAND],
            cwd=folder,
            env={**kept, **_of_the_image(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"'python {' '.join(COMMAND)}' took more than {TIMEOUT_S:.0f} s"
    except OSError as error:
        return f"'python {' '.join(COMMAND)}' cannot be run ({error.strerror})"
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        return f"'python {' '.join(COMMAND)}' reports: {last.removeprefix('error: ')}"
    try:
        return _parse(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError) as error:
        return f"'python {' '.join(COMMAND)}' prints unexpected output ({error!r})"


def _parse(table: Any) -> Description:
    """Read the JSON that a submission prints.

    Raises:
        ValueError, KeyError, TypeError: it has another form.
    """
    return Description(
        track=str(table["track"]),
        recipe=str(table["recipe"]),
        boards=tuple(map(str, table["boards"])),
        weights=tuple(
            Weights(
                name=str(one["name"]),
                path=str(one["path"] or ""),
                package=str(one["package"] or ""),
                condition=str(one["condition"]),
                trained_on=tuple(map(str, one["trained_on"])),
                absent=bool(one.get("absent")),
                fetch=str(one.get("fetch") or one["name"]),
                gain_db=None if one.get("gain_db") is None else float(one["gain_db"]),
                needs_gpu=bool(one.get("needs_gpu")),
            )
            for one in table["weights"]
        ),
    )


def _of_the_image(folder: Path) -> dict[str, str]:
    """Our own variables that the Dockerfile sets with ENV."""
    try:
        text = small_files.read_text(folder / "Dockerfile")
    except (OSError, ValueError):
        return {}
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = [line for line in joined.splitlines() if line.lstrip().upper().startswith("ENV ")]
    return {name: value for line in lines for name, value in _SETTING.findall(line)}
