"""Separate music and film sound into stems.

    from demixing import Separator

    separator = Separator("mdx_default")
    stems = separator(audio, sample_rate_hz)  # {"vocals": array like audio, ...}

``demixing --help`` lists the commands.
"""

from typing import TYPE_CHECKING, Any

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
