"""The manifest of a corpus: the packages used by its pieces, and their licences.

A rendered piece is a derived work of all its sources, so a corpus must be distributed with its
manifest. It is computed from the files in the folder, so it is correct after any number of runs.
"""

import gzip
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demixing import atomic
from demixing.errors import ConfigError, OutputError

SOURCES = "sources.json"
"""File next to the stems of a piece that lists its sources."""
MANIFEST, LICENCES, TEXTS = "manifest.json", "LICENCES.md", "licences"

SHORT: Mapping[str, str] = {
    "asterisk-core-sounds-en-g722": "CC BY-SA 3.0",
    "avldrums.lv2-soundfont": "CC BY-SA 3.0",
    "colobot-common-sounds": "GPL-3+",
    "drascula-music": "licence of Drascula",
    "fillets-ng-data-cs": "GPL-2+",
    "fillets-ng-data-nl": "GPL-2+",
    "flare-game": "CC BY-SA 3.0",
    "fluid-soundfont-gm": "MIT",
    "hedgewars-data": "GFDL 1.3, GPL-2",
    "heroes-sound-tracks": "GPL-2+",
    "hydrogen-data": "GPL-2+ and others, by kit",
    "hydrogen-drumkits": "GPL-2+, GPL-2, CC BY 3.0, CC BY-SA 3.0, CC0, by kit",
    "hydrogen-drumkits-effects": "CC BY 3.0 and others, by kit",
    "hyperrogue-music": "CC BY-SA 3.0 and others, by tune",
    "klettres-data": "GPL-2+",
    "ktuberling-data": "GPL-2+, CC BY, by language",
    "megaglest-data": "CC BY-SA 3.0",
    "minetest-data": "CC BY-SA 3.0, CC BY 3.0, MIT and others, by sound",
    "mma": "GPL-2+ (a program and its library of grooves)",
    "musescore-general-soundfont": "MIT",
    "openarena-data": "GPL-2+",
    "openttd-openmsx": "GPL-2",
    "openttd-opensfx": "CC BY-SA 3.0",
    "planetblupi-music-ogg": "GPL-3+",
    "rafkill-data": "LGPL-2",
    "singularity-music": "CC BY-SA 3.0",
    "tecnoballz-data": "GPL-3+",
    "timgm6mb-soundfont": "GPL-2",
    "tuxpaint-stamps-default": "GPL-2",
    "ufoai-sound": "GPL-2+, CC BY-SA 3.0, CC BY 3.0, by sound",
    "unknown-horizons": "GPL-2+, CC BY-SA 3.0, by sound",
    "warzone2100-music": "GPL-2+, CC BY-SA 3.0, CC0, by tune",
    "wesnoth-1.16-data": "GPL-2+, CC BY-SA 4.0, by sound",
    "wesnoth-1.16-music": "GPL-2+, CC BY-SA 4.0, by tune",
}
"""Short names of licences, by package; the package's own copyright file is authoritative."""
UNKNOWN = "see its copyright file"


def write(corpus: Path, kind: str, packages: Path) -> None:
    """Write the manifest as JSON and as Markdown, and copies of the copyright files of packages.

    Args:
        corpus: folder of the pieces.
        kind: first word of the names of the pieces.
        packages: folder with one unpacked package per folder.

    Raises:
        ConfigError: the sources of a piece are damaged.
        OutputError: the files cannot be written.
    """
    pieces = {path.parent.name: _read(path) for path in sorted(corpus.glob(f"{kind}_*/{SOURCES}"))}
    used: dict[str, list[str]] = {}
    for name, sources in pieces.items():
        for package in sources["packages"]:
            used.setdefault(package, []).append(name)
    table = {
        package: {
            "version": version(packages, package),
            "licence": SHORT.get(package, UNKNOWN),
            "copyrights": f"{TEXTS}/{package}.txt" if _text(packages, package) else None,
            f"{kind}s": used[package],
        }
        for package in sorted(used)
    }
    duration_s = sum(float(sources["duration_s"]) for sources in pieces.values())
    contents = {"pieces": len(pieces), "duration_s": duration_s, "packages": table}
    try:
        (corpus / TEXTS).mkdir(parents=True, exist_ok=True)
        for package in table:
            if copyrights := _text(packages, package):
                with atomic.file(corpus / TEXTS / f"{package}.txt") as unfinished:
                    shutil.copyfile(copyrights, unfinished)
        atomic.write_text(
            corpus / MANIFEST, json.dumps(contents, indent=1, ensure_ascii=False) + "\n"
        )
        atomic.write_text(corpus / LICENCES, _readable(kind, contents))
    except OSError as error:
        raise OutputError(f"cannot write to {str(corpus)!r}: {error}") from error


def version(packages: Path, package: str) -> str | None:
    """Version of a package in the first line of its changelog; None if there is no changelog."""
    for root in (packages / package, Path("/")):
        for path in sorted(root.glob(f"usr/share/doc/{package}/changelog*.gz")):
            with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
                if found := re.match(r"\S+ \((\S+)\)", file.readline()):
                    return found[1]
    return None


def _text(packages: Path, package: str) -> Path | None:
    """Copyright file of a package, if it exists."""
    for root in (packages / package, Path("/")):
        if (path := root / f"usr/share/doc/{package}/copyright").is_file():
            return path
    return None


def _readable(kind: str, contents: Mapping[str, Any]) -> str:
    """The manifest as Markdown."""
    lines = [
        "# Sources and licences",
        "",
        f"{contents['pieces']} {kind}s, {contents['duration_s'] / 3600:.2f} h, from packages of",
        f"Debian. A piece is a derived work of all packages that its `{SOURCES}` lists. The texts",
        f"in `{TEXTS}/` are authoritative; the column is a summary.",
        "",
        f"| package | version | licence | {kind}s |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {package} | {row['version'] or 'unknown'} | {row['licence']} | {len(row[kind + 's'])} |"
        for package, row in contents["packages"].items()
    ]
    return "\n".join([*lines, "", f"`{MANIFEST}` lists which {kind}s use which package.", ""])


def _read(path: Path) -> dict[str, Any]:
    """Read the sources of a piece.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        sources: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = float(sources["duration_s"]), list(sources["packages"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"expected the sources of a piece in {str(path)!r}, but it is damaged; remove its "
            "folder and render again"
        ) from error
    return sources
