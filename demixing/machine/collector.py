"""Python's garbage collector while a program starts.

Importing torch creates about a million objects, and nearly all of them live until the process ends.
Meanwhile the collector scans them repeatedly, and twice more at the end. That takes a quarter of
the import's time.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def resting() -> Iterator[None]:
    """Collect nothing while torch is imported and networks are built, and never scan them again.

    For programs, which own their process: garbage that exists at the end of the context is never
    collected. If torch was imported before, this does nothing.
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
