"""Docstrings name other objects as Sphinx does, :class:`Chunking`; here they become Markdown.

An object that has an entry on an API page becomes a link, all others become code. mkdocstrings
loads this file as an extension of griffe.
"""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`(?P<short>~?)(?P<name>[\w.]+)`")

DOCTEST = re.compile(r"^>>> .*(?:\n(?!$).*)*", re.MULTILINE)


def plain(text: str) -> str:
    """Return a docstring with names as code, for pages outside the API.

    >>> plain("see :func:`chunking`, :class:`~demixing.Progress`")
    'see `chunking`, `Progress`'
    """
    return ROLE.sub(lambda role: f"`{_shown(role)}`", text)


class Roles(griffe.Extension):
    """Rewrites docstrings when an object is loaded; their examples become blocks of code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        del kwargs
        if obj.docstring:
            text = ROLE.sub(lambda role: _linked(role, obj), obj.docstring.value)
            obj.docstring.value = DOCTEST.sub(r"```pycon\n\g<0>\n```", text)


def _linked(role: re.Match[str], near: griffe.Object) -> str:
    """The name in code; autorefs makes it a link if an API page has it, and says nothing if not."""
    try:
        path = near.resolve(role["name"])
    except griffe.NameResolutionError:
        path = role["name"]
    return f'<autoref optional identifier="{path}"><code>{_shown(role)}</code></autoref>'


def _shown(role: re.Match[str]) -> str:
    return role["name"].rpartition(".")[2] if role["short"] else role["name"]
