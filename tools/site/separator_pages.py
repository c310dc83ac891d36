"""One page for each separator: what it does, its options, weights, recipes and figures."""

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from demixing import separators
from demixing.cli.systems import System
from demixing.weights.catalogue import Checkpoint
from tools import full_size
from tools.site import catalogue, chunk_picture, figures, options, roles
from tools.site.tables import cell, table

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"

RATE_HZ = 44_100
"""Of separators that accept any rate."""


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the Markdown of each page."""
    for name in separators.names():
        yield name, page(name)


def page(name: str) -> str:
    """Return the Markdown of one page."""
    parts = [f"# {name}", described(name), *_measured(name), *_options(name), *_weights(name)]
    parts += [*_recipes(name), *_decisions(name)]
    return "\n\n".join(parts) + "\n"


def described(name: str) -> str:
    """Return the docstring of a separator's module as Markdown."""
    text = inspect.getdoc(separators.module(name)) or ""
    return roles.plain(text)


def _measured(name: str) -> Iterator[str]:
    """Figures of this machine, and how chunks are cut."""
    yield "## Measured here"
    found = figures.of(name)
    if found is None:
        yield (
            "Not measured: its networks are in files of weights that may not be shipped, and the "
            "machine that measured did not have them."
        )
        return
    cut, rate_hz = figures.chunking(found), found["sample_rate_hz"] or RATE_HZ
    yield chunk_picture.draw(cut, rate_hz)
    yield table(("", ""), _rows(name, found))
    yield (
        f"By `python -m tools.separator_figures {name}` on {figures.machine()}. "
        "[What these numbers mean](README.md#what-is-measured)."
    )


def _rows(name: str, found: dict[str, Any]) -> list[tuple[str, str]]:
    """The table of figures."""
    rate_hz = found["sample_rate_hz"] or RATE_HZ
    compute_s = found["s_per_s"] * found["hop"] / rate_hz
    kind = "random" if found["random_weights"] else "published"
    rate = f"{found['sample_rate_hz']:,} Hz".replace(",", " ") if found["sample_rate_hz"] else "any"
    rows = [
        ("measured", full_size.described(name, random=found["random_weights"])),
        ("outputs", ", ".join(found["stems"])),
        ("sample rate", rate),
        ("chunk", _lengths(found["chunk"], rate_hz)),
        ("hop", _lengths(found["hop"], rate_hz)),
        ("context at each end", _lengths(found["context"], rate_hz)),
        ("window, end of a song", f"{found['window']}; {found['end']}"),
        ("time", f"**{found['s_per_s']:.3g} s** per second of a song, {_threads(found)}"),
        ("latency", f"{found['chunk'] / rate_hz:.3g} s of audio, and {compute_s:.3g} s to compute"),
        ("peak memory", f"{found['peak_mib']} MiB, for {found['piece_s']:g} s of audio"),
    ]
    if found["weights"]:
        rows.append(("weights", f"{figures.millions(found['weights'])}, {kind}"))
    return rows


def _threads(found: dict[str, Any]) -> str:
    return "one thread" if found["threads"] == 1 else f"{found['threads']} threads"


def _lengths(samples: int, rate_hz: int) -> str:
    """A length in samples and seconds."""
    return f"{samples} samples, {samples / rate_hz:.3g} s" if samples else "none"


def _options(name: str) -> Iterator[str]:
    """The options of a recipe's member."""
    yield "## Options"
    found = list(options.of(name))
    if not found:
        yield "None."
        return
    yield table(
        ("option", "default", "meaning"),
        [(f"`{one.name}`", _default(one), _meaning(one)) for one in found],
    )


def _default(one: options.Option) -> str:
    if not one.default:
        return "must be given"
    return f"`{one.default}`" if one.default != "not given" else one.default


def _meaning(one: options.Option) -> str:
    """The description; what is None in Python cannot be written in TOML."""
    return re.sub(r"\bNone\b", "not given", roles.plain(one.meaning))


def _weights(name: str) -> Iterator[str]:
    """The systems of the catalogue that it runs, and where their files come from."""
    entries = catalogue.entries_of(name)
    if not entries:
        return
    yield "## Weights"
    if name == "trained":
        yield "They come with the package. `models/weights/NAME.md` is the model card of each."
    else:
        yield "The figures are those that their authors published; none was measured here."
        head = ("`demixing fetch`", "outputs", "MB", "leaderboards", "published")
        yield table(head, _grouped(catalogue.systems_of(name)))
    yield table(("weights", "from", "licence", "trained on"), _origins(entries))


def _grouped(found: Iterable[System]) -> Iterator[tuple[str, ...]]:
    """What each name fetches: a row for all systems of which the same is known."""
    known: dict[tuple[str, ...], list[System]] = {}
    for one in found:
        key = (", ".join(one.stems), _boards(one.boards), "<br>".join(map(cell, one.published)))
        known.setdefault(key, []).append(one)
    for (outputs, boards, published), same in known.items():
        names = "<br>".join(f"`{one.name}`" for one in same)
        yield names, outputs, "<br>".join(_mb(one.size_bytes) for one in same), boards, published


def _mb(size_bytes: int | None) -> str:
    return f"{size_bytes / 1e6:.0f}" if size_bytes else "-"


def _origins(entries: Iterable[Checkpoint]) -> Iterator[tuple[str, ...]]:
    """Where weights come from: a row for all files with one licence and the same training data."""
    known: dict[tuple[str, str], list[Checkpoint]] = {}
    for entry in entries:
        known.setdefault((entry.licence, ", ".join(entry.trained_on)), []).append(entry)
    for key, files in known.items():
        names = "<br>".join(f"`{one.name}`" for one in files)
        sources = dict.fromkeys(cell(one.source) for one in files)
        yield names, "<br>".join(sources), *map(cell, key)


def _boards(boards: dict[str, tuple[str, ...]]) -> str:
    """Leaderboards that admit the training data."""
    return ", ".join(f"{track.upper()} {'/'.join(on)}" for track, on in boards.items()) or "-"


def _recipes(name: str) -> Iterator[str]:
    """The recipes that have it as a member."""
    found = list(catalogue.recipes_of(name))
    if not found:
        return
    yield "## Recipes that use it"
    yield table(
        ("recipe", "stems", ""),
        [(f"`{one.name}`", ", ".join(one.track.stems), cell(one.summary)) for one in found],
    )


def _decisions(name: str) -> Iterator[str]:
    """Decisions that name it: measurements against the original, and what followed."""
    found = []
    for path in sorted(DECISIONS.glob("[0-9]*.md")):
        text = path.read_text(encoding="utf-8")
        if _named(name, text):
            found.append(f"- [{text.partition(chr(10))[0].lstrip('# ')}](../decisions/{path.name})")
    if found:
        yield "## Decisions that name it"
        yield (
            "Agreement with the original, speed against it, and how it was chosen, each with the "
            "command that measured it:"
        )
        yield "\n".join(found)


def _named(name: str, text: str) -> bool:
    """Whether a page names a separator, or the systems that its summary begins with."""
    titles: list[str] = re.split(r"[:(,;]", separators.summary(name))[0].rstrip(". ").split(" and ")
    titles += list(catalogue.TITLES.get(name, ()))
    words = [f"`{name}`", f"{name}.py", *(rf"\b{re.escape(one)}\b" for one in titles)]
    return any(re.search(word, text) for word in words)
