"""``--board`` of several commands: where a mean would have stood on one of the contest's boards."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from demixing.errors import ConfigError, EvaluationError

if TYPE_CHECKING:
    from demixing.evaluation.boards import Board
    from demixing.recipes.recipe import Recipe


def add(parser: argparse.ArgumentParser) -> None:
    """Add ``--board``."""
    parser.add_argument(
        "--board",
        metavar="NAME",
        help="also print where the mean would have stood on a board of the contest, such as C or "
        "mdx21-a, from `demixing list --boards` (default: no board)",
    )


def check(name: str | None, track_names: Iterable[str]) -> None:
    """Raise unless a board belongs to the only track, or to all; call it before long work.

    Args:
        name: of the board; None: nothing is checked.
        track_names: tracks that are scored.

    Raises:
        ConfigError: it does not.
    """
    from demixing.evaluation import boards

    names = list(track_names)
    for track in names if name else ():
        try:
            boards.named(str(name), track)
        except EvaluationError as error:
            hint = "; choose one track with --track" if len(names) > 1 else ""
            raise ConfigError(f"--board {error}{hint}") from error


def admission(board: Board, recipe: Recipe) -> str:
    """A sentence if a board does not admit a recipe, or that is not known; otherwise ""."""
    from demixing.evaluation.boards import ANY_DATA, boards

    newest = max(one.year for one in boards().values() if one.track == board.track)
    if board.training == ANY_DATA:
        return ""
    if board.year < newest:
        return f"it is not recorded whether {board.title} would admit recipe {recipe.name!r}"
    if board.letter in recipe.boards:
        return ""
    return (
        f"{board.title} does not admit recipe {recipe.name!r}: it admits training on "
        f"{board.training}"
    )


def described(name: str | None, scores: dict[str, Any]) -> str:
    """Place scores on a board, and add the result to them.

    Args:
        name: of the board; None: nothing is done.
        scores: contents of scores.json; gets an entry ``board``.

    Returns:
        Lines for people, each with its line break; "" without a board.

    Raises:
        EvaluationError: the track has no such board.
    """
    if name is None:
        return ""
    from demixing.evaluation import predicted_place
    from demixing.evaluation.boards import named

    found = predicted_place.predicted(
        named(name, scores["track"]), means_db(scores), scores["active_mean"]["song_db"]
    )
    scores["board"] = predicted_place.as_json(found)
    return "".join(f"{line}\n" for line in predicted_place.lines(found))


def means_db(scores: Mapping[str, Any]) -> list[float]:
    """Official score of each song of scores.json."""
    return [song["mean_db"] for song in scores["songs"]]
