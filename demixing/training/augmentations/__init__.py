"""Ways of making more of the material while training, one plug-in each.

There are two kinds. An :class:`Augmentation` changes the waveforms of the stems; the mixture is
always their sum, made last, so the two agree whatever was done. A :class:`Choice` changes what is
read: it acts on excerpts. With both, drawing is apart from doing: all randomness comes from the
generator that is passed in, and what was drawn can be pickled, compared and applied again.

A module ends in ``build``, its frozen dataclass. Each has a ``probability``: that it acts, on each
stem for itself unless its docstring says that it acts on all stems alike. :func:`build` also takes
``only``, the names of the stems that an augmentation may touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from demixing.errors import ConfigError
from demixing.plugins import Plugins
from demixing.recipes import tables

if TYPE_CHECKING:  # listing names must not cost the seconds that torch takes to import
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

    from demixing.training.sampler import Excerpts, Sampler


@runtime_checkable
class Augmentation(Protocol):
    """Changes waveforms."""

    def draw(self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int) -> Any:
        """Choose what will be done; all randomness is here.

        Args:
            rng: of this example.
            stems: how many there are.
            samples: how long they are.
            rate_hz: their sample rate.

        Returns:
            Plain values that can be pickled and compared.
        """

    def apply(self, stems: Tensor, drawn: Any) -> Tensor:
        """Do what was drawn; the same input gives the same output.

        Args:
            stems: float32, ``(stems, 2, samples)``. Not modified.
            drawn: from :meth:`draw`.

        Returns:
            The same shape; a silent stem stays silent.
        """


@runtime_checkable
class Choice(Protocol):
    """Changes what is read."""

    def choose(
        self, rng: np.random.Generator, excerpts: Excerpts, sampler: Sampler, samples: int
    ) -> Excerpts:
        """Choose other material, or more, or less.

        Args:
            rng: of this example.
            excerpts: what would be read. Not modified.
            sampler: of all songs.
            samples: how many are read at each excerpt.

        Returns:
            Excerpts of the same stems.
        """


@runtime_checkable
class Longer(Protocol):
    """An :class:`Augmentation` that may use up more samples than it gives, as speeding up does."""

    def needs(self, samples: int) -> int:
        """How many samples it must be given so that the first ``samples`` of its answer are good.

        What follows them may be silence.
        """


@dataclass(frozen=True, slots=True)
class Only:
    """An augmentation or a choice that may touch only some stems.

    Attributes:
        stems: their names.
        inner: does the work.
    """

    stems: tuple[str, ...]
    inner: Augmentation | Choice


_plugins = Plugins(__name__, __path__, "augmentation")
names, summary = _plugins.names, _plugins.summary


def build(name: str, options: Mapping[str, Any] | None = None) -> Augmentation | Choice | Only:
    """Import the one module ``name`` and build its augmentation.

    Args:
        name: a key from :func:`names`.
        options: fields of its dataclass, usually from a run's file, and ``only``.

    Raises:
        ConfigError: no augmentation has that name, or it refuses an option.

    >>> build("gain", {"low_db": -3})
    Gain(low_db=-3.0, high_db=6.0, probability=1.0)
    """
    make = _plugins.module(name).build
    where = f"augmentation {name!r}"
    given = dict(options or {})
    only = given.pop("only", None)
    try:
        built: Augmentation | Choice = tables.record(make, given, where)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where} refuses its options: {error}") from error
    return built if only is None else Only(tables.names(only, f"{where}: only"), built)
