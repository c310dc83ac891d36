"""Runs in the grader's place, beside the submission: builds it, asks for songs, says how it was.

It stands alone and needs nothing but the standard library, because the place may be any image:

    python harness.py wrapper|predictor SETUP_S MODULE

``MODULE`` is what holds the wrapper (``my_submission.aicrowd_wrapper``) or the predictor. One line
of JSON on the standard input asks for a song, one on the standard output answers; what the
submission prints goes to the standard error. As on the server, an alarm ends a song that takes too
long; whoever catches or blocks it is killed from outside. Nothing that it says is trusted: stems
are looked at by the grader.
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
"""Characters of a message that are kept."""


class TooLateError(BaseException):
    """Raised by the alarm; no ``except Exception`` of a submission stops it."""


class Inspected:
    """A model whose arrays are described before the wrapper writes them."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.arrays: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def separate_music_file(self, *given: Any, **named: Any) -> Any:
        """Ask the model, and note what it returns."""
        answer = self._model.separate_music_file(*given, **named)
        self.arrays = array_infos(answer)
        return answer


def array_infos(answer: Any) -> dict[str, Any]:
    """What the grader wants to know of ``(arrays, rates)``, whatever they really are."""
    import numpy as np

    result: dict[str, Any] = {}
    try:
        arrays, rates = answer
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
    """Answer the alarm."""
    raise TooLateError


def shown(error: BaseException) -> str:
    """One line about an exception; the whole of it goes to the standard error."""
    traceback.print_exc()
    return f"{type(error).__name__}: {error}"[:SHOWN]


class Wrapper:
    """The interface of 2023."""

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
        """What the model returned for the last song, even if the wrapper could not write it."""
        return self._inspected.arrays if self._inspected else {}


class Predictor:
    """The interface of 2021: paths in, files out."""

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
    """Nothing: it writes its files itself."""

    def separate(self, song: str) -> None:
        """Separate the song of a folder."""
        target = Path(os.environ["AICROWD_PUBLIC_SHARED_DIR"], "predictions", song)
        target.mkdir(exist_ok=True)
        paths = {f"{stem}_file_path": str(target / f"{stem}.wav") for stem in STEMS}
        mixture = Path(os.environ["AICROWD_DATASET_DIR"], song, "mixture.wav")
        self._predictor.prediction(mixture_file_path=str(mixture), **paths)


INTERFACES: dict[str, Any] = {"wrapper": Wrapper, "predictor": Predictor}


def supervise() -> None:
    """Fork: the child goes on, as the submission; the parent ends when the grader does.

    In its place the parent is process 1, so everything ends with it, whatever the submission does,
    and nothing in there can kill it.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        os.dup2(reader, 0)
        os.close(reader)
        return
    os.close(reader)
    os.close(1)
    while True:
        ready, _, _ = select.select([0], [], [], 0.2)
        if ready:
            question = os.read(0, 65536)
            if not question:
                os._exit(0)
            with contextlib.suppress(BrokenPipeError):
                os.write(writer, question)
        ended = 0
        with contextlib.suppress(ChildProcessError):
            ended, status = os.waitpid(-1, os.WNOHANG)  # orphans come here, too
        if ended == child:
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def main() -> None:
    """Serve until the standard input ends."""
    interface, setup_s, name = sys.argv[1:]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    supervise()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGALRM, too_late)
    sys.path[0] = str(Path.cwd())  # not this file's folder

    def say(**what: Any) -> None:
        try:
            answers.write(json.dumps(what) + "\n")
            answers.flush()
        except BrokenPipeError:  # the grader has gone
            os._exit(0)

    began, imported = time.monotonic(), 0.0
    try:
        signal.setitimer(signal.ITIMER_REAL, float(setup_s))
        module = importlib.import_module(name)
        imported = time.monotonic()
        submission = INTERFACES[interface](module)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except TooLateError:
        say(outcome="late", message="it was not loaded in time", import_s=0.0, load_s=0.0)
        return
    except BaseException as error:
        say(outcome="error", message=shown(error), import_s=0.0, load_s=0.0)
        return
    loaded = time.monotonic()
    say(outcome="ok", message="", import_s=imported - began, load_s=loaded - imported)

    for line in questions:
        asked = json.loads(line)
        try:
            signal.setitimer(signal.ITIMER_REAL, asked["limit_s"])
            submission.separate(asked["song"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            outcome, message = "ok", ""
        except TooLateError:
            outcome, message = "late", "stopped by the alarm"
        except BaseException as error:
            outcome, message = "error", shown(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        arrays = dict(submission.arrays)
        say(song=asked["song"], outcome=outcome, message=message, arrays=arrays)


if __name__ == "__main__":
    main()
