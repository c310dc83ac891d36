"""Compares the choice of leaderboard in aicrowd.json with the weights' training data."""

from collections.abc import Iterator

from demixing.recipes.boards import ADMITTED
from evaluator.preflight import Finding, fault, listed, note
from evaluator.preflight.checkout import CONTEST_FILE, Checkout
from evaluator.preflight.description import Description
from evaluator.preflight.repository.contest_fields import MDX23, TRACKS

HOW_EXTERNAL = "set it to true, or choose a recipe whose weights were trained on the contest's data"


def find(checkout: Checkout) -> Iterator[Finding]:
    """Compare the file with the recipe, if both are known."""
    table, described = checkout.contest, checkout.described
    if isinstance(table, str) or isinstance(described, str):
        return
    challenge = table.get("challenge_id")
    if challenge not in TRACKS:
        return
    if TRACKS[challenge] != described.track:
        yield fault(
            f"{CONTEST_FILE} names {challenge}, but the recipe {described.recipe!r} is for "
            f"{described.track}",
            "the tracks have different stems",
            "choose a recipe of the track, or change challenge_id",
        )
        return
    external = table.get("external_dataset_used") is True
    chosen = _chosen(challenge, table.get("labelnoise") is True, table.get("bleeding") is True)
    if len(chosen) > 1:
        yield fault(
            f"{CONTEST_FILE}: labelnoise and bleeding are both true",
            "leaderboard A admits only the songs with label noise, and B only those with bleeding",
            "set one of them to false, or both for leaderboard C",
        )
    elif chosen and external:
        yield fault(
            f"{CONTEST_FILE}: {chosen[0][0]} and external_dataset_used are both true",
            f"leaderboard {chosen[0][1]} admits no external data",
            "set one of them to false",
        )
    for field, board in chosen:
        yield from _admitted(described, field, board)
    for board in described.boards:
        yield from _claimed(described, board)
    yield from _external(described, external=external, chosen=bool(chosen))


def _chosen(challenge: str, labelnoise: bool, bleeding: bool) -> list[tuple[str, str]]:
    """Fields of MDX'23 that choose a leaderboard, each with that leaderboard."""
    if challenge != MDX23:
        return []
    return [
        *([("labelnoise", "A")] if labelnoise else []),
        *([("bleeding", "B")] if bleeding else []),
    ]


def _admitted(described: Description, field: str, board: str) -> Iterator[Finding]:
    """Report a leaderboard that does not admit the recipe."""
    if board not in described.boards:
        yield fault(
            f"{CONTEST_FILE}: {field} is true, but the recipe {described.recipe!r} is for "
            f"leaderboard {', '.join(described.boards) or 'none'}",
            f"leaderboard {board} admits only models that were trained on its own songs",
            f"set {field} to false, or choose a recipe with boards = [..., {board!r}]",
        )


def _claimed(described: Description, board: str) -> Iterator[Finding]:
    """Report a leaderboard that a recipe claims, but that does not admit its training data."""
    strangers = _strangers(described, board)
    if strangers:
        yield fault(
            f"the recipe {described.recipe!r} claims leaderboard {board}, but was trained on "
            f"{listed(strangers)}",
            f"leaderboard {board} admits only models that were trained on the contest's own "
            "data for it",
            f"take {board!r} out of the recipe's boards, or use other weights",
        )


def _external(described: Description, *, external: bool, chosen: bool) -> Iterator[Finding]:
    """Compare external_dataset_used with the weights' training data."""
    own = [board for track, board in ADMITTED if track == described.track]
    strangers = min((_strangers(described, board) for board in own), key=len)
    if strangers and not external:
        yield fault(
            f"{CONTEST_FILE}: external_dataset_used is false, but weights were trained on "
            f"{listed(strangers)}",
            "the contest requires the truth, and ranks by it",
            HOW_EXTERNAL,
        )
    elif external and not strangers and described.submitted and not chosen:
        boards = [board for board in own if board in described.boards]
        if boards:
            yield note(
                f"{CONTEST_FILE}: external_dataset_used is true, but the recipe "
                f"{described.recipe!r} was trained on the contest's data alone",
                f"then it is not ranked on leaderboard {' or '.join(boards)}",
                "set it to false, unless something else was trained on other data",
            )


def _strangers(described: Description, board: str) -> list[str]:
    """Data sets that the weights were trained on, and that a leaderboard does not admit."""
    pattern = ADMITTED.get((described.track, board))
    if pattern is None:
        return []
    trained_on = dict.fromkeys(name for one in described.submitted for name in one.trained_on)
    return [name for name in trained_on if not pattern.search(name)]
