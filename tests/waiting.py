"""How tests wait for other processes: for something to happen, never for a time to pass."""

import time
from collections.abc import Callable

PAUSE_S = 0.02
"""Between two looks."""


def until(condition: Callable[[], object], bound_s: float = 60.0) -> None:
    """Wait until something is true.

    Args:
        condition: is asked again and again.
        bound_s: after which it counts as broken; no test depends on it being short.

    Raises:
        TimeoutError: it did not become true.
    """
    end_s = time.monotonic() + bound_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"waited {bound_s:g} s in vain")
        time.sleep(PAUSE_S)
