"""A bar with the time left and the speed, where stderr is a terminal; nothing anywhere else."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm


@contextlib.contextmanager
def bar(name: str, total_s: float) -> Iterator[Callable[[float], None]]:
    """Show how much audio is done.

    Args:
        name: stands before the bar.
        total_s: seconds of audio in all.

    Yields:
        What to call with the seconds of audio that are done by now.
    """
    shown = tqdm(
        total=round(total_s, 1),
        desc=name,
        disable=not sys.stderr.isatty(),
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s, "
        "{remaining} left{postfix}",
    )
    started_s = time.monotonic()

    def update(done_s: float) -> None:
        if done_s > 0:
            ratio = (time.monotonic() - started_s) / done_s
            shown.set_postfix_str(f"{ratio:.2f} x real time", refresh=False)
        shown.update(min(done_s, shown.total) - shown.n)

    with shown:
        yield update
