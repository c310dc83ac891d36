"""Harness in the container: loads the submission, requests songs, reports results.

It needs only the standard library, because the container may run any image:

    python harness.py wrapper|predictor SETUP_S MODULE

``MODULE`` has the wrapper (``my_submission.aicrowd_wrapper``) or the predictor. A line of JSON on
standard input requests a song, and a line on standard output reports the result; the submission's
own output goes to standard error. Before the submission is imported, the harness waits for a line.
As on the server, an alarm ends a song that takes too long; a submission that catches or blocks it
is killed from outside. The grader trusts no report: it checks the stems itself.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

STEMS = ("bass", "drums", "other", "vocals")
SHOWN = 2000
"""Maximum length of a reported message, in characters."""


SET_DUMPABLE = 4
"""Option of Linux's prctl: whether a process may be traced, and its memory opened."""


class TooLateError(BaseException):
    """Raised by the alarm; no ``except Exception`` of a submission stops it."""


class Inspected:
    """A model whose arrays are described before the wrapper writes them.

    Args:
        model: called for each song.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.arrays: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def separate_music_file(self, *given: Any, **named: Any) -> Any:
        """Call the model, and describe its output."""
        output = self._model.separate_music_file(*given, **named)
        self.arrays = array_infos(output)
        return output


def array_infos(output: Any) -> dict[str, Any]:
    """Describe a model's output; empty if it has another form.

    Args:
        output: ``(arrays, rates)``, both by stem; arrays are ``(samples, channels)``.
    """
    import numpy as np

    result: dict[str, Any] = {}
    try:
        arrays, rates = output
        for stem, array in arrays.items():
            values = np.asarray(array)
            numeric = values.dtype.kind in "fiu" and values.size > 0
            finite = values[np.isfinite(values)] if numeric else values[:0]
            rate = rates.get(stem)
            result[str(stem)] = {
                "dtype": values.dtype.name
                if isinstance(array, np.ndarray)
                else type(array).__name__,
                "shape": list(values.shape),
                "rate_hz": int(rate) if rate is not None else None,
                "finite": bool(numeric and finite.size == values.size),
                "peak": float(np.abs(finite).max()) if numeric and finite.size else 0.0,
            }
    except Exception:
        result = {}
    return result


def too_late(*_: object) -> None:
    """Handle the alarm."""
    raise TooLateError


def shown(error: BaseException) -> str:
    """One line about an exception; the traceback goes to standard error."""
    traceback.print_exc()
    return f"{type(error).__name__}: {error}"[:SHOWN]


class Wrapper:
    """The interface of 2023.

    Args:
        module: has ``AIcrowdWrapper``.
    """

    def __init__(self, module: Any) -> None:
        self._wrapper = module.AIcrowdWrapper()
        self._inspected = None
        if os.environ.get("GRADER_INSPECT") and hasattr(self._wrapper, "model"):
            self._inspected = self._wrapper.model = Inspected(self._wrapper.model)

    def separate(self, song: str) -> None:
        """Separate the song of a folder."""
        if self._inspected:
            self._inspected.arrays = {}
        self._wrapper.separate_music_file(song)

    @property
    def arrays(self) -> dict[str, Any]:
        """The model's output for the last song, even if the wrapper could not write it."""
        return self._inspected.arrays if self._inspected else {}


class Predictor:
    """The interface of 2021: paths in, files out.

    Args:
        module: has one class with a method ``prediction``.

    Raises:
        TypeError: it has none, or several.
    """

    def __init__(self, module: Any) -> None:
        kinds = [
            kind
            for kind in vars(module).values()
            if isinstance(kind, type)
            and kind.__module__ == module.__name__
            and hasattr(kind, "prediction")
        ]
        if len(kinds) != 1:
            raise TypeError(f"expected one class with prediction(), got {len(kinds)}")
        self._predictor = kinds[0]()
        if hasattr(self._predictor, "prediction_setup"):
            self._predictor.prediction_setup()

    arrays: Mapping[str, Any] = MappingProxyType({})
    """Empty: the predictor writes its files itself."""

    def separate(self, song: str) -> None:
        """Separate the song of a folder."""
        target = Path(os.environ["AICROWD_PUBLIC_SHARED_DIR"], "predictions", song)
        target.mkdir(exist_ok=True)
        paths = {f"{stem}_file_path": str(target / f"{stem}.wav") for stem in STEMS}
        mixture = Path(os.environ["AICROWD_DATASET_DIR"], song, "mixture.wav")
        self._predictor.prediction(mixture_file_path=str(mixture), **paths)


INTERFACES: dict[str, Any] = {"wrapper": Wrapper, "predictor": Predictor}


def supervise() -> None:
    """Fork: the child continues as the submission, and the parent ends when the grader does.

    The parent is process 1 of the container, so everything ends with it, regardless of what the
    submission does, and nothing inside can kill or stop it. The two have the same user, so the
    memory and the pipes of the parent are closed to other processes. It never waits for the child:
    a request for which there is no room is lost.
    """
    reader, writer = os.pipe()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child could send it
    set_readable(False)
    child = os.fork()
    if not child:
        set_readable(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(writer)
        os.dup2(reader, 0)
        os.close(reader)
        return
    os.close(reader)
    os.close(1)
    os.set_blocking(writer, False)  # the child can fill its own pipe
    while True:
        ready, _, _ = select.select([0], [], [], 0.2)
        if ready:
            question = os.read(0, 65536)
            if not question:
                os._exit(0)
            with contextlib.suppress(BrokenPipeError, BlockingIOError):
                os.write(writer, question)
        ended = 0
        with contextlib.suppress(ChildProcessError):
            ended, status = os.waitpid(-1, os.WNOHANG)  # process 1 also inherits orphans
        if ended == child:
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def set_readable(readable: bool) -> None:
    """Choose whether processes of the same user may open this one's memory, or trace it."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # no prctl here
        import ctypes

        ctypes.CDLL(None).prctl(SET_DUMPABLE, int(readable), 0, 0, 0)


class Grader:
    """The grader at the other end of the pipes, which the submission can no longer reach."""

    def __init__(self) -> None:
        self._reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self.requests = os.fdopen(os.dup(0), encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def report(self, **values: Any) -> None:
        """Send a line of JSON."""
        try:
            self._reports.write(json.dumps(values) + "\n")
            self._reports.flush()
        except BrokenPipeError:  # the grader is gone
            os._exit(0)


def load(interface: str, setup_s: float, module: str, grader: Grader) -> Any:
    """Import and build the submission, and report that.

    Args:
        interface: a key of :data:`INTERFACES`.
        setup_s: time limit.
        module: the module to import.
        grader: receives the report.

    Returns:
        The submission; None if it could not be built in time.
    """
    began = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, setup_s)
        found = importlib.import_module(module)
        imported = time.monotonic()
        submission = INTERFACES[interface](found)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except TooLateError:
        message = "it did not load in time"
        grader.report(outcome="late", message=message, import_s=0.0, load_s=0.0)
        return None
    except BaseException as error:
        grader.report(outcome="error", message=shown(error), import_s=0.0, load_s=0.0)
        return None
    times_s = {"import_s": imported - began, "load_s": time.monotonic() - imported}
    grader.report(outcome="ok", message="", **times_s)
    return submission


def separate(submission: Any, song: str, limit_s: float) -> tuple[str, str]:
    """Separate a song.

    Args:
        submission: the loaded submission.
        song: name of its folder.
        limit_s: time until the alarm.

    Returns:
        Outcome and message.
    """
    try:
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        submission.separate(song)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except TooLateError:
        return "late", "stopped by the alarm"
    except BaseException as error:
        return "error", shown(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "ok", ""


def main() -> None:
    """Separate songs until standard input ends."""
    interface, setup_s, module = sys.argv[1:]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    supervise()
    grader = Grader()
    signal.signal(signal.SIGALRM, too_late)
    sys.path[0] = str(Path.cwd())  # not this file's folder
    grader.report(outcome="ok", song="/")
    grader.requests.readline()  # the grader opens its folder before the submission can touch it
    submission = load(interface, float(setup_s), module, grader)
    if submission is None:
        return
    for line in grader.requests:
        request = json.loads(line)
        outcome, message = separate(submission, request["song"], request["limit_s"])
        arrays = dict(submission.arrays)
        grader.report(song=request["song"], outcome=outcome, message=message, arrays=arrays)


if __name__ == "__main__":
    main()
