"""Links between files of the repository become links between pages of the site.

In the repository, docs/README.md links to ``../CONTRIBUTING.md``, and CONTRIBUTING.md to
``docs/adding.md``. On the site both pages are in one folder. A link to a file of the repository
that is not on the site becomes plain text. A link to no file stays, so mkdocs warns of it.
"""

import posixpath
import re
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parents[2]

LINK = re.compile(
    r"^```.*?^```|`[^`\n]+`"  # code, which is left alone
    r"|\[(?P<text>[^\]\n]*)\]\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)",
    re.DOTALL | re.MULTILINE,
)


def rewritten(markdown: str, page: str, folder: str, known: Collection[str]) -> str:
    """Rewrite the links of a page; those in code stay as they are.

    Args:
        markdown: text of the page.
        page: its path on the site.
        folder: of the repository, from which the page's path starts.
        known: paths of the files on the site.

    >>> known = {"README.md", "a.md", "LICENSE.txt"}
    >>> rewritten("[A](docs/a.md#x) [`B`](train.py) [C](LICENSE) `[A](b)`", "X.md", "", known)
    '[A](a.md#x) `B` [C](LICENSE.txt) `[A](b)`'
    >>> rewritten("[no such page](b.md)", "a.md", "docs", known)
    '[no such page](b.md)'
    >>> rewritten("[A](../../README.md)", "sub/a.md", "docs", {"README.md", "sub/a.md"})
    'A'
    """

    def replaced(link: re.Match[str]) -> str:
        if link["path"] is None:
            return link[0]
        there = posixpath.normpath(posixpath.join(folder, posixpath.dirname(page), link["path"]))
        target = on_site(there, known)
        if target is None:
            return link["text"] if (ROOT / there).exists() else link[0]
        path = posixpath.relpath(target, posixpath.dirname(page) or ".")
        return f"[{link['text']}]({path}{link['anchor'] or ''})"

    return LINK.sub(replaced, markdown)


def on_site(path: str, known: Collection[str]) -> str | None:
    """Return where a file of the repository is on the site; None if it is not there.

    The README of the repository is not on the site, whose start page is that of docs/.
    """
    if path == "README.md":
        return None
    inside = path.removeprefix("docs/")
    return next((name for name in (inside, f"{inside}.txt") if name in known), None)
