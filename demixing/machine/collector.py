"""Python's garbage collector while a program starts.

torch makes about a million objects when it is imported, and nearly all of them stay until the end.
The collector looks through them again and again meanwhile, and twice more when the process ends.
That is a quarter of the time that importing torch takes.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def resting() -> Iterator[None]:
    """Collect nothing while torch is imported and networks are built, and never look at them again.

    For programs, which own their process: other garbage of this time is never collected, either.
    If torch has been imported before, nothing is changed.
    """
    if "torch" in sys.modules:
        yield
        return
    active = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if active:
            gc.enable()
