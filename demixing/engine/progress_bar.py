"""A terminal progress bar that shows speed and time left."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from demixing.engine.progress import LOADING, Progress, Report

REFRESH_S = 0.2
"""Interval between redraws: the bar also moves while a long chunk is separated."""

SCALE = 1000
"""Number of steps in the bar."""


@contextlib.contextmanager
def bar(name: str) -> Iterator[Report]:
    """Show progress on stderr if that is a terminal; otherwise show nothing.

    Args:
        name: text before the bar.

    Yields:
        A function to call with events. The bar shows "loading" until the first event of another
        stage.
    """
    if not sys.stderr.isatty():
        yield lambda event: None
        return
    with _Bar(name) as shown:
        yield shown.report


class _Bar:
    """A bar that also moves between two events, at the expected pace.

    Args:
        name: text before the bar.
    """

    def __init__(self, name: str) -> None:
        from tqdm import tqdm  # only here: most commands show no bar

        tqdm.monitor_interval = 0  # its thread would outlive the bar, and ours redraws it
        self._name = name
        self._shown = tqdm(
            total=SCALE,
            desc=f"{name}: loading",
            bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}",
            dynamic_ncols=True,
        )
        self._event = Progress(stage=LOADING)
        self._came_s = time.monotonic()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True, name="progress")

    def __enter__(self) -> "_Bar":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._shown.close()

    def report(self, event: Progress) -> None:
        """Show an event; any thread may call this."""
        with self._lock:
            self._event, self._came_s = event, time.monotonic()
        self._show()

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESH_S):
            self._show()

    def _show(self) -> None:
        """Draw the bar at the expected position."""
        with self._lock:
            event, since_s = self._event, time.monotonic() - self._came_s
            done, left_s = ahead(event, since_s)
            self._shown.set_description_str(
                f"{self._name}: {LOADING}" if event.stage == LOADING else f"{self._name}:", False
            )
            if event.stage != LOADING:
                self._shown.set_postfix_str(speed_and_time_left(event.speed, left_s), refresh=False)
            self._shown.n = max(self._shown.n, round(SCALE * done))
            self._shown.refresh()


def ahead(event: Progress, since_s: float) -> tuple[float, float]:
    """Extrapolate the progress some time after an event.

    Args:
        event: the latest one.
        since_s: seconds since that event.

    Returns:
        The fraction that is done, at most half-way to the end, and the remaining seconds.

    >>> ahead(Progress(stage="separating", done=0.5, remaining_s=10.0), 1.0)
    (0.55, 9.0)
    """
    if not event.remaining_s > 0:
        return event.done, 0.0
    part = min(since_s / event.remaining_s, 0.5)
    return event.done + part * (1 - event.done), max(event.remaining_s - since_s, 0.0)


def speed_and_time_left(speed: float, left_s: float) -> str:
    """Speed and time left, as text.

    >>> speed_and_time_left(4.04, 75.2)
    '4.0 x faster than real time, 1:15 left'
    >>> speed_and_time_left(0.5, 5)
    '2.0 x slower than real time, 0:05 left'
    """
    minutes, seconds = divmod(round(left_s), 60)
    left = f"{minutes}:{seconds:02d} left"
    return f"{in_real_time(speed)}, {left}" if speed > 0 else left


def in_real_time(speed: float) -> str:
    """Say how fast something is, so that it cannot be mistaken for its inverse.

    Args:
        speed: seconds of audio per second.

    >>> in_real_time(4.04), in_real_time(0.5)
    ('4.0 x faster than real time', '2.0 x slower than real time')
    """
    if speed >= 1:
        return f"{speed:.1f} x faster than real time"
    return f"{1 / speed:.1f} x slower than real time"
