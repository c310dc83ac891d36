"""Completes the navigation of mkdocs.yml with the pages that are there."""

from collections.abc import Collection, Sequence
from typing import Any


def completed(nav: Sequence[Any], pages: Collection[str]) -> list[Any]:
    """Return a navigation without absent pages, where ``FOLDER/*`` is the folder's other pages.

    A page that is nowhere in it is mkdocs' own warning, so a misspelt name is noticed.

    Args:
        nav: as in mkdocs.yml.
        pages: paths of all pages of the site.

    >>> pages = ["a.md", "d/README.md", "d/1.md", "d/2.md"]
    >>> completed(["a.md", {"Absent": "b.md"}, {"D": ["d/README.md", "d/*"]}], pages)
    ['a.md', {'D': ['d/README.md', 'd/1.md', 'd/2.md']}]
    """
    found: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict):
            found += _titled(entry, pages)
        elif entry.endswith("/*"):
            folder = entry.removesuffix("*")
            found += sorted(
                page
                for page in pages
                if page.startswith(folder) and not page.endswith("README.md") and page not in nav
            )
        elif entry in pages:
            found.append(entry)
    return found


def _titled(entry: dict[str, Any], pages: Collection[str]) -> list[Any]:
    """An entry with a title: a page or a section."""
    ((title, value),) = entry.items()
    if isinstance(value, str):
        return [entry] if value in pages else []
    below = completed(value, pages)
    return [{title: below}] if below else []
