"""What a submission says of itself: track, recipe, boards and weights.

Asked in a process of its own, ``python -m my_submission describe --json``, since this package
imports nothing of a submission.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = ("-m", "my_submission", "describe", "--json")

PATIENCE_S = 120.0

OURS = "DEMIX_"
"""Variables of the environment that change what is submitted, but only on this machine."""

_SETTING = re.compile(rf"\b({OURS}\w+)[= ]\"?([^\s\"\\]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A file of weights that the recipe uses.

    Attributes:
        name: in the submission's catalogue.
        path: where it lies or should lie; absolute, or empty if its package is not installed.
        package: the distribution that carries it; empty if it is a file of the repository.
        condition: "ok", or what is wrong with it.
        trained_on: names of data sets.
        absent: whether the file does not exist and the recipe does without it.
        fetch: of a file that is absent, the name under which it is fetched.
        gain_db: what the recipe scores less without a file that is absent; None if not known.
    """

    name: str
    path: str
    package: str
    condition: str
    trained_on: tuple[str, ...]
    absent: bool = False
    fetch: str = ""
    gain_db: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a submission says of itself.

    Attributes:
        track: "mdx" or "cdx".
        recipe: its name.
        boards: leaderboards whose terms it keeps.
        weights: all files that it uses.
    """

    track: str
    recipe: str
    boards: tuple[str, ...]
    weights: tuple[Weights, ...]

    @property
    def submitted(self) -> tuple[Weights, ...]:
        """Files of weights without those that are absent."""
        return tuple(one for one in self.weights if not one.absent)


def of(folder: Path) -> Description | str:
    """Ask the submission in a folder.

    Returns:
        The description, or a sentence that says why there is none.
    """
    if not (folder / "my_submission" / "__main__.py").is_file():
        return "it has no 'python -m my_submission describe'"
    # What this user has set here, the server will not have set; but what the image has, it will.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    try:
        done = subprocess.run(
            [sys.executable, *COMMAND],
            cwd=folder,
            env={**kept, **_of_the_image(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"'python {' '.join(COMMAND)}' took more than {PATIENCE_S:.0f} s"
    except OSError as error:
        return f"'python {' '.join(COMMAND)}' cannot be run ({error.strerror})"
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        return f"'python {' '.join(COMMAND)}' says: {last.removeprefix('error: ')}"
    try:
        return _parse(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError) as error:
        return f"'python {' '.join(COMMAND)}' prints something else ({error!r})"


def _parse(table: Any) -> Description:
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
            )
            for one in table["weights"]
        ),
    )


def _of_the_image(folder: Path) -> dict[str, str]:
    """Our variables that the Dockerfile sets with ENV."""
    try:
        text = (folder / "Dockerfile").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = [line for line in joined.splitlines() if line.lstrip().upper().startswith("ENV ")]
    return {name: value for line in lines for name, value in _SETTING.findall(line)}
