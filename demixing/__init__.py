"""Separate music and film sound into stems.

    from demixing import Separator

    separator = Separator("mdx_default")
    stems = separator(audio, sample_rate_hz)  # {"vocals": array like audio, ...}

``demixing --help`` lists the commands.
"""

import sys
from typing import TYPE_CHECKING, Any

OLDEST = (3, 11)
"""First version of Python that can run this package."""

if tuple(sys.version_info) < OLDEST:  # in a checkout: pip would not have installed it
    found = ".".join(map(str, sys.version_info[:3]))
    sys.stderr.write(
        f"error: demixing needs Python 3.11 or newer, got {found} ({sys.executable})\n"
    )
    sys.exit(2)

if TYPE_CHECKING:
    from demixing.api import Separator
    from demixing.engine.progress import Progress
    from demixing.errors import CheckpointError, ConfigError, DemixError, OutputError, SongError

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DemixError",
    "OutputError",
    "Progress",
    "Separator",
    "SongError",
    "__version__",
]

HOMES = {"Progress": "demixing.engine.progress", "Separator": "demixing.api"}
"""Modules of the public names that are not errors."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch alone takes seconds."""
    import importlib
    import importlib.metadata

    if name == "__version__":
        return importlib.metadata.version("sound-demixing")
    if name in __all__:
        return getattr(importlib.import_module(HOMES.get(name, "demixing.errors")), name)
    raise AttributeError(f"module 'demixing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
