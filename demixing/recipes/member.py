"""A member of a recipe: one separator, with its options and settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from demixing.ensemble.doubt import Doubt
from demixing.ensemble.setting import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One separator of a recipe.

    Attributes:
        name: unique within the recipe.
        separator: name of the separator.
        outputs: for each stem of the track that it outputs, the separator's stems that are summed.
        subtract: stems of earlier members that are subtracted from its input, the mixture.
        options: arguments of the separator.
        settings: at least one.
        doubt: when to ignore this member in favour of earlier ones; None: never.
        optional: whether it is left out if its files are missing. Not part of the ``repr``, which
            identifies a recipe in caches and runs, because it does not change the output.
    """

    name: str
    separator: str
    outputs: Mapping[str, tuple[str, ...]]
    subtract: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: tuple[Setting, ...] = (Setting(),)
    doubt: Doubt | None = None
    optional: bool = field(default=False, repr=False)
