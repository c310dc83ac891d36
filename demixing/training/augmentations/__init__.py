"""Augmentations of the training data, one plug-in each.

There are two kinds. An :class:`Augmentation` changes the waveforms of the stems. The mixture is
their sum, computed last, so both always agree. A :class:`Choice` changes the excerpts that are
read. In both, drawing is separate from applying: all randomness comes from the given generator, and
drawn values can be pickled, compared and applied again.

A module ends in ``build``, its frozen dataclass. Each has a ``probability`` of acting on a stem, or
on an example if its docstring says that it acts on all stems alike. :func:`build` also takes
``only``, the names of the stems that an augmentation may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from demixing.errors import ConfigError
from demixing.plugins import Plugins
from demixing.recipes import tables

if TYPE_CHECKING:  # torch takes seconds to import, and listing names does not need it
    from collections.abc import Mapping, Sequence

    import numpy as np
    from torch import Tensor

    from demixing.training.sampler import Excerpts, Sampler


@runtime_checkable
class Augmentation(Protocol):
    """Changes waveforms."""

    def draw(self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int) -> Any:
        """Draw the parameters; all randomness is here.

        Args:
            rng: generator of this example.
            stems: number of stems.
            samples: length of the stems.
            rate_hz: sample rate of the stems.

        Returns:
            Plain values that can be pickled and compared.
        """

    def apply(self, stems: Tensor, drawn: Any) -> Tensor:
        """Apply drawn parameters; the same input gives the same output.

        Args:
            stems: float32, ``(stems, 2, samples)``. Not modified.
            drawn: values from :meth:`draw`.

        Returns:
            The same shape; silent stems stay silent.
        """


@runtime_checkable
class Choice(Protocol):
    """Changes the excerpts that are read."""

    def choose(
        self, rng: np.random.Generator, excerpts: Excerpts, sampler: Sampler, samples: int
    ) -> Excerpts:
        """Choose other, more or fewer excerpts.

        Args:
            rng: generator of this example.
            excerpts: by stem. Not modified.
            sampler: draws from all songs.
            samples: length of each excerpt.

        Returns:
            Excerpts for the same stems.
        """


@runtime_checkable
class Longer(Protocol):
    """An :class:`Augmentation` that may return fewer valid samples than it reads, as speed does."""

    def needs(self, samples: int) -> int:
        """Number of input samples for which at least the first ``samples`` results are valid.

        Silence may follow them.
        """


@runtime_checkable
class Apart(Protocol):
    """An :class:`Augmentation` that can change one stem at a time, with the same result.

    A stem fits into the processor's cache and an example does not, so this is several times faster.
    """

    def apart(self, drawn: Any, stems: int) -> Sequence[Any] | None:
        """Split drawn parameters by stem.

        Args:
            drawn: values from :meth:`Augmentation.draw`.
            stems: number of stems.

        Returns:
            For each stem, the parameters that change it alone as ``drawn`` changes it among the
            others; None if these values change stems by each other.
        """


@dataclass(frozen=True, slots=True)
class Only:
    """An augmentation or a choice that may act only on some stems.

    Attributes:
        stems: names of these stems.
        inner: the augmentation or choice.
    """

    stems: tuple[str, ...]
    inner: Augmentation | Choice


_plugins = Plugins(__name__, __path__, "augmentation")
names, summary = _plugins.names, _plugins.summary


def build(name: str, options: Mapping[str, Any] | None = None) -> Augmentation | Choice | Only:
    """Import the one module ``name`` and build its augmentation.

    Args:
        name: a key from :func:`names`.
        options: fields of its dataclass, usually from a run file, and ``only``.

    Raises:
        ConfigError: no augmentation has that name, or an option is invalid.

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
        raise ConfigError(f"{where} rejects its options: {error}") from error
    return built if only is None else Only(tables.names(only, f"{where}: only"), built)
