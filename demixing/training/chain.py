"""The standard chain of augmentations, and how a run's own chain is built.

A chain is a list of tables, as in a run file: ``name`` of the augmentation, and options. Choices of
excerpts come first. Then the effects on single stems, in the order of a studio: tape, equaliser,
compressor, room, panning, level. Last come the effects on the mixture.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from demixing.errors import ConfigError
from demixing.training import augmentations
from demixing.training.augmentations import Augmentation, Choice, Only

STANDARD: tuple[Mapping[str, Any], ...] = (
    # A quarter of the examples stay songs, whose stems share tempo and key.
    {"name": "remix", "probability": 0.75},
    {"name": "mixup", "probability": 0.1},
    {"name": "silence", "probability": 0.05},
    {"name": "speed", "probability": 0.2},
    {"name": "equaliser", "probability": 0.3},
    {"name": "compress", "probability": 0.15},
    {"name": "reverb", "probability": 0.05},
    {"name": "width", "probability": 0.2},
    {"name": "pan", "probability": 0.2, "most_db": 4.0},
    {"name": "swap_channels"},
    {"name": "flip_polarity"},
    {"name": "gain"},
    {"name": "clip", "probability": 0.03},
    {"name": "low_pass", "probability": 0.1},
)
"""Published recipes agree on remix, gain, channels and polarity. The others add what the data
lacks. Each acts on a minority of the examples, so that most of the data is as recorded.
"""


def build(tables: Sequence[Mapping[str, Any]]) -> tuple[Augmentation | Choice | Only, ...]:
    """Build a chain.

    Args:
        tables: each with ``name`` and options of :func:`demixing.training.augmentations.build`.

    Raises:
        ConfigError: a table has no name, or an option is invalid.
    """
    built = []
    for position, table in enumerate(tables, 1):
        name = table.get("name")
        if not isinstance(name, str):
            raise ConfigError(f"augmentation {position}: expected a name, got {name!r}")
        options = {key: value for key, value in table.items() if key != "name"}
        built.append(augmentations.build(name, options))
    return tuple(built)
