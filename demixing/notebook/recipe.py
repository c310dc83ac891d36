"""A separator in a notebook: its recipe, its members, and what is missing."""

import html
from collections.abc import Collection

from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe


def card(recipe: Recipe, missing: Collection[str], advice: str) -> str:
    """Describe a recipe as HTML.

    Args:
        recipe: as it was read, with its optional members.
        missing: names of the members that are not on this machine.
        advice: a sentence about them; empty if there are none.
    """
    rows = "".join(_row(member, missing) for member in recipe.members)
    hint = f"<p>{html.escape(advice)}.</p>" if advice else ""
    return (
        f'<div style="max-width:50em"><p><b>Separator {html.escape(recipe.name)}</b>: '
        f"{html.escape(', '.join(recipe.outputs))}<br>{html.escape(recipe.summary)}</p>"
        '<table><thead><tr><th scope="col">member</th><th scope="col">separator</th>'
        '<th scope="col">stems</th><th scope="col">on this machine</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{hint}</div>"
    )


def _row(member: Member, missing: Collection[str]) -> str:
    """One member as a row of the table."""
    state = "missing" if member.name in missing else "yes"
    cells = (member.name, member.separator, ", ".join(member.outputs), state)
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
