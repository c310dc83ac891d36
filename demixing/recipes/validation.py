"""Checks that the members and tables of a recipe fit together; each raises a ConfigError."""

from collections.abc import Iterable, Mapping, Sequence

from demixing.ensemble.blend import Blend
from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.recipes.member import Member
from demixing.recipes.tracks import Track


def check_stems(where: str, track: Track, members: Sequence[Member], residual: str | None) -> None:
    """Raise unless the members output all stems, with or without optional ones.

    Raises:
        ConfigError: no required member outputs a stem, or a member outputs the residual.
    """
    given = {stem for member in members for stem in member.outputs}
    if residual in given or given | {residual} - {None} != {*track.stems}:
        rest = f", and {residual} is the residual" if residual else ""
        raise ConfigError(
            f"{where} must output every stem of the track ({', '.join(track.stems)}), and "
            "no member may output the residual; its members output "
            f"{', '.join(sorted(given)) or 'nothing'}{rest}"
        )
    required = {stem for member in members if not member.optional for stem in member.outputs}
    if alone := given - required:
        raise ConfigError(
            f"{where}: only optional members output {', '.join(sorted(alone))}; add a required "
            "member that outputs it"
        )


def check_names(where: str, track: Track, boards: Sequence[str], members: Sequence[Member]) -> None:
    """Raise unless the leaderboards exist and the members' names are unique.

    Raises:
        ConfigError: a leaderboard is unknown, or two members have one name.
    """
    for board in boards:
        if board not in track.boards:
            known = f"the track {track.name!r} has the leaderboards {', '.join(track.boards)}"
            if not track.boards:
                known = "a recipe that lists its stems has no leaderboards"
            raise ConfigError(f"{where}: {known}, got {board!r}")
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where} has two members named {name!r}; rename one")


def check_subtract(where: str, members: Sequence[Member]) -> None:
    """Raise unless members subtract stems of earlier ones, with or without optional ones.

    Raises:
        ConfigError: no earlier member, or only an optional one, outputs such a stem.
    """
    known: set[str] = set()
    required: set[str] = set()
    for member in members:
        subtracts = f"{where}: member {member.name!r} subtracts"
        if unknown := set(member.subtract) - known:
            raise ConfigError(
                f"{subtracts} {', '.join(sorted(unknown))}, which no earlier member outputs"
            )
        if optional := set(member.subtract) - required:
            raise ConfigError(
                f"{subtracts} {', '.join(sorted(optional))}, which only optional members "
                "output before it; let one that is not optional output it before"
            )
        known |= member.outputs.keys()
        required |= set() if member.optional else member.outputs.keys()


def check_doubts(where: str, members: Sequence[Member], residual: str | None) -> None:
    """Raise unless members that may be doubted come after all members that can replace them.

    Raises:
        ConfigError: a later member could replace it, or the recipe has a residual.
    """
    for number, member in enumerate(members):
        if member.doubt is None:
            continue
        if residual:
            raise ConfigError(
                f"{where} has a residual, so no member may be doubted: the residual is what "
                f"the others leave before {member.name!r} runs; use consistency instead"
            )
        if member.doubt.stem not in member.outputs:
            raise ConfigError(
                f"{where}: member {member.name!r} is doubted for its {member.doubt.stem!r}, "
                "which it does not output"
                f"{did_you_mean(member.doubt.stem, list(member.outputs))}"
            )
        for later in members[number + 1 :]:
            _check_order(where, member, later)


def check_blends(where: str, blends: Sequence[Blend], members: Sequence[Member]) -> None:
    """Raise unless blends have weights for members that output their stem.

    Raises:
        ConfigError: a weight is for another member.
    """
    for blend in blends:
        givers = [one.name for one in members if blend.stem in one.outputs]
        for name in blend.weights:
            if name not in givers:
                raise ConfigError(
                    f"{where}: a blend of {blend.stem!r} has a weight for {name!r}, which does "
                    f"not output it{did_you_mean(name, givers)}"
                )


def check_tables(where: str, track: Track, tables: Mapping[str, Iterable[str]]) -> None:
    """Raise unless tables are of stems of the track.

    Args:
        where: names the recipe, for the message.
        track: defines the stems.
        tables: stems that each table names, by the table's key.

    Raises:
        ConfigError: a table names another stem.
    """
    for name, stems in tables.items():
        for stem in stems:
            if stem not in track.stems:
                hint = did_you_mean(stem, list(track.stems))
                raise ConfigError(f"{where}: {name} has no stem {stem!r}{hint}")


def check_shares(
    where: str, shares: Mapping[str, float], above_hz: float, residual: str | None
) -> None:
    """Raise unless the shares in the residual can be used.

    Args:
        where: names the recipe, for the message.
        shares: by stem.
        above_hz: lower edge of the residual that is shared.
        residual: the stem that is the residual, if any.

    Raises:
        ConfigError: the frequency is negative, or a residual leaves nothing to share.
    """
    if above_hz < 0:
        raise ConfigError(
            f"{where}: expected consistency_above_hz to be 0 or above, got {above_hz:g}"
        )
    if residual and shares:
        raise ConfigError(
            f"{where} has a residual, which is everything that is left, so there is nothing "
            "to share: leave out one of residual and consistency"
        )


def _check_order(where: str, doubted: Member, later: Member) -> None:
    """Raise unless a member may follow one that may be doubted."""
    if both := sorted(later.outputs.keys() & doubted.outputs.keys()):
        raise ConfigError(
            f"{where}: member {doubted.name!r} may be doubted, so it must come after every member "
            f"that outputs the same stems; {later.name!r} also outputs {both[0]!r}; move "
            f"{doubted.name!r} below it"
        )
    if later.doubt is None:
        raise ConfigError(
            f"{where}: member {doubted.name!r} may be doubted, so it must come after all members "
            f"without a doubt table; {later.name!r} follows; move {doubted.name!r} below it"
        )
