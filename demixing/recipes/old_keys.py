"""Old names of recipe keys: accepted for one version, with a warning that gives the new names."""

import logging
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

MEMBER_KEYS = {"gives": "outputs", "minus": "subtract"}
"""Old and new keys of a member's table."""

SETTING_KEYS = {"swap": "channel_swap"}
"""Old and new keys of a setting's table."""


def replaced(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a recipe's table with old keys replaced by new ones; log one warning if any.

    Args:
        table: from the TOML file. Values of the wrong type are left for the checks to report.
        where: names the recipe in the warning.

    >>> replaced({"members": [{"outputs": {}}]}, "recipe 'a'")
    {'members': [{'outputs': {}}]}
    """
    old: dict[str, str] = {}
    members = _each_renamed(table.get("members"), MEMBER_KEYS, old)
    if isinstance(members, list):
        for member in members:
            if isinstance(member, dict) and "settings" in member:
                member["settings"] = _each_renamed(member["settings"], SETTING_KEYS, old)
    if not old:
        return dict(table)
    pairs = ", ".join(f"{before!r} is now {after!r}" for before, after in old.items())
    logger.warning("%s: %s; the next version will reject the old keys", where, pairs)
    return {**table, "members": members}


def _each_renamed(tables: Any, names: Mapping[str, str], old: dict[str, str]) -> Any:
    """Rename the keys in each table of a list, and record in ``old`` which ones were found."""
    if not isinstance(tables, list):
        return tables
    renamed: list[Any] = []
    for table in tables:
        if not isinstance(table, dict):
            renamed.append(table)
            continue
        found = {key: names[key] for key in names if key in table and names[key] not in table}
        old |= found
        renamed.append({found.get(key, key): value for key, value in table.items()})
    return renamed
