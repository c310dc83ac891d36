"""Fills the template of the page. Needs jinja2.

The page has no address of anything else: style, scripts, sound and pictures are in it, or in
files beside it that are loaded as scripts, since a browser does not let a page from disk read
other files. A policy in the page forbids every request to a network.

Names of songs come from outside, so they may contain anything. The template escapes all text, and
the scripts only set text, never HTML.
"""

from __future__ import annotations

import functools
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

import jinja2
from markupsafe import Markup

from demixing.report import picture, spectrogram
from demixing.report.measuring import MOST_SOUND_S, Part, Plain
from demixing.report.tables import Table

ASSETS = resources.files("demixing.report") / "assets"
LIBRARY = "vendor/wavesurfer/wavesurfer.min.js"
SCRIPTS = (
    "data",
    "elements",
    "parts",
    "player",
    "mixer",
    "selection",
    "waveforms",
    "seconds",
    "pictures",
    "timeline",
    "statistics",
    "compare",
    "tables",
    "keyboard",
    "main",
)
"""The page's own scripts, in the order in which they are joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the page is about.

    Attributes:
        title: of the page.
        systems: names of the recipes, by track.
        songs: see :mod:`demixing.report.evaluated`.
        tables: official scores.
        further: scores by other metrics.
        separated: whether there are no references.
    """

    title: str
    systems: Mapping[str, Sequence[str]]
    songs: Sequence[Plain]
    tables: Sequence[Table] = field(default=())
    further: Sequence[Table] = field(default=())
    separated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where sound and pictures are.

    Attributes:
        key: the page's own; files beside it of another report are refused.
        parts: those in the page, by name.
        folder: name of the folder beside the page; empty if everything is in the page.
    """

    key: str
    parts: Mapping[str, Part] = field(default_factory=dict)
    folder: str = ""


def html(contents: Contents, storage: Storage) -> str:
    """The page."""
    nonce = secrets.token_urlsafe(12)
    return (
        environment()
        .get_template("page.html")
        .render(
            contents=contents,
            policy=policy(nonce),
            nonce=nonce,
            style=Markup(asset("style.css")),
            scripts=[Markup(text) for text in scripts()],
            licence=asset("vendor/wavesurfer/LICENSE"),
            data=Markup(as_json(data(contents, storage))),
            parts={name: Markup(as_json(part)) for name, part in storage.parts.items()},
            legend=f"linear-gradient(to right, {picture.gradient()})",
            floor=spectrogram.FLOOR_DB,
            ceiling=spectrogram.CEILING_DB,
            minutes=MOST_SOUND_S // 60,
            longest=max((_seconds(song) for song in contents.songs), default=0.0),
        )
    )


def data(contents: Contents, storage: Storage) -> Plain:
    """Values for the scripts."""
    return {
        "key": storage.key,
        "folder": storage.folder,
        "separated": contents.separated,
        "systems": {track: list(names) for track, names in contents.systems.items()},
        "songs": list(contents.songs),
        "lowestHz": spectrogram.LOWEST_HZ,
        "highestHz": spectrogram.HIGHEST_HZ,
    }


def policy(nonce: str) -> str:
    """The content security policy: only what carries the page's nonce, and pictures in it.

    Args:
        nonce: marks the scripts and the style of this page.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def as_json(value: object) -> str:
    """JSON that may stand in a script element, whatever text it contains."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def scripts() -> list[str]:
    """The library, and the page's own scripts as one, so that they share no names with it."""
    own = "\n".join(f"// {name}.js\n{asset(f'js/{name}.js')}" for name in SCRIPTS)
    return [asset(LIBRARY), f'"use strict";\n(() => {{\n{own}\n}})();\n']


def asset(name: str) -> str:
    """Text of a file in assets/."""
    return ASSETS.joinpath(*name.split("/")).read_text(encoding="utf-8")


@functools.cache
def environment() -> jinja2.Environment:
    """The reader of templates; all text is escaped."""
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _seconds(song: Plain) -> float:
    """Length of a song."""
    found = song["seconds"]
    return found if isinstance(found, float) else 0.0
