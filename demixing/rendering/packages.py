"""The files of Debian packages, and the sources of each split.

Splits are by source and not by clip: no groove file, soundfont or voice is in two splits.
"""

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demixing.errors import ConfigError

HELD_OUT = 5
"""One in this many groove files is for validation."""

NOT_A_BODY = re.compile(r"Intro|End|Fill|Break|Metronome", re.IGNORECASE)
"""Grooves that fill a bar or two, and do not loop."""

LIBRARY = "usr/share/mma/lib"
FILLETS = "usr/share/games/fillets-ng/sound"
KTUBERLING = "usr/share/ktuberling/sounds"
SF2 = "usr/share/sounds/sf2"
STAMPS = "usr/share/tuxpaint/stamps"
HYDROGEN = "usr/share/hydrogen/data/drumkits"
HELD_OUT_KITS = ("The Black Pearl 1.0",)
"""Kits of Hydrogen whose drums are also in a soundfont for validation."""
TRACKER_SONGS: Mapping[str, str] = {
    "biniax2-data": "games/biniax2/music/*.it",
    "bomberclone-data": "games/bomberclone/music/*",
    "circuslinux-data": "games/circuslinux/data/music/*.mod",
    "criticalmass-data": "games/criticalmass/*.xm",
    "cuyo-data": "games/cuyo/sounds/*.it",
    "fb-music-high": "games/frozen-bubble/snd/*.xm",
    "flobopuyo": "games/flobopuyo/sfx/*.xm",
    "freedroid-data": "games/freedroid/sound/*.mod",
    "gl-117-data": "games/gl-117/music/*.s3m",
    "heroes-sound-tracks": "games/heroes/mod/*.xm",
    "madbomber-data": "games/madbomber/music/*",
    "monsterz-data": "games/monsterz/sound/*.s3m",
    "njam-data": "games/njam/data/*.[xs][m3]*",
    "open-invaders-data": "open-invaders/*.mod",
    "pachi-data": "pachi/music/*.s3m",
    "pekka-kana-2-data": "games/pekka-kana-2/data/music/*.xm",
    "pingus-data": "games/pingus/data/music/*",
    "rafkill-data": "games/rafkill/music/*.xm",
    "ri-li-data": "games/ri-li/Ri-li/Sounds/*.[mx][om]*",
    "rockdodger": "rockdodger/*.mod",
    "tecnoballz-data": "games/tecnoballz/musics/*.mod",
    "tomatoes-data": "tomatoes/music/*.it",
    "tuxmath-data": "tuxmath/sounds/*.mod",
    "tuxtype-data": "tuxtype/sounds/*.mod",
    "vodovod": "games/vodovod/*.xm",
}
"""Patterns of tracker songs below usr/share, by package."""
KLETTRES = (
    *("ar", "de", "en", "en_GB", "fr", "he", "hu", "lt"),
    *("ml", "nb", "nds", "nl", "pt_BR", "tn", "uk"),
)
"""Languages, one speaker each, with many clips long enough to be sung."""


@dataclass(frozen=True, slots=True)
class Source:
    """Files in a package.

    Attributes:
        package: name of the package in Debian bookworm.
        path: path of a file or folder in the package, or a pattern of files.
    """

    package: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Font:
    """A soundfont and its drum kits.

    Attributes:
        source: source of the file.
        kits: bank and program of each kit.
        instruments: whether it has all instruments of General MIDI.
    """

    source: Source
    kits: tuple[tuple[int, int], ...]
    instruments: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The sources of one split.

    Attributes:
        fonts: soundfonts; drums use any, and other instruments those with all instruments.
        singers: clips of speech, each of one speaker or two similar ones.
        held_out: whether it has the held-out grooves, or all others.
        more_singers: used from the second generation on, like everything below.
        kits: drum kits of Hydrogen.
        strums: recordings of chords on a guitar.
        scores: MIDI files.
        tracker_songs: used only on request.
    """

    fonts: tuple[Font, ...]
    singers: tuple[Source, ...]
    held_out: bool
    more_singers: tuple[Source, ...] = ()
    kits: tuple[Source, ...] = ()
    strums: tuple[Source, ...] = ()
    scores: tuple[Source, ...] = ()
    tracker_songs: tuple[Source, ...] = ()


def _gm_kits(*programs: int) -> tuple[tuple[int, int], ...]:
    return tuple((128, program) for program in programs)


SPLITS: Mapping[str, Split] = {
    "train": Split(
        fonts=(
            Font(
                source=Source("fluid-soundfont-gm", f"{SF2}/FluidR3_GM.sf2"),
                kits=_gm_kits(0, 1, 2, 4, 6, 8, 10, 16, 17, 24, 25, 32, 34, 40),
            ),
            Font(
                source=Source("timgm6mb-soundfont", f"{SF2}/TimGM6mb.sf2"),
                kits=_gm_kits(0, 8, 16, 24, 25, 32, 40),
            ),
        ),
        singers=(
            Source("fillets-ng-data-cs", f"{FILLETS}/*/cs/*-m-*.ogg"),
            Source("fillets-ng-data-cs", f"{FILLETS}/*/cs/*-v-*.ogg"),
        ),
        held_out=False,
        more_singers=(
            *(
                Source("tuxpaint-stamps-default", f"{STAMPS}/**/*_desc_{language}.ogg")
                for language in ("be", "bg", "es", "fr", "ro")
            ),
            *(
                Source("klettres-data", f"usr/share/klettres/{language}/*/*.ogg")
                for language in KLETTRES
            ),
        ),
        kits=tuple(
            Source(package, f"{HYDROGEN}/*/drumkit.xml")
            for package in ("hydrogen-data", "hydrogen-drumkits")
        ),
        strums=(Source("hydrogen-drumkits-effects", f"{HYDROGEN}/*Strums/*.flac"),),
        scores=(Source("openttd-openmsx", "usr/share/games/openttd/baseset/openmsx/*.mid"),),
        tracker_songs=tuple(
            Source(package, f"usr/share/{files}") for package, files in TRACKER_SONGS.items()
        ),
    ),
    "valid": Split(
        fonts=(
            Font(
                source=Source(
                    "musescore-general-soundfont",
                    "usr/share/sounds/sf3/MuseScore_General_Full.sf3",
                ),
                kits=_gm_kits(0, 8, 16, 25, 32, 40),
            ),
            Font(
                source=Source("avldrums.lv2-soundfont", f"{SF2}/Black_Pearl_4_LV2.sf2"),
                kits=((0, 0),),
                instruments=False,
            ),
            Font(
                source=Source("avldrums.lv2-soundfont", f"{SF2}/Red_Zeppelin_4_LV2.sf2"),
                kits=((0, 0),),
                instruments=False,
            ),
        ),
        singers=(
            Source("fillets-ng-data-nl", f"{FILLETS}/*/nl/*-m-*.ogg"),
            Source("fillets-ng-data-nl", f"{FILLETS}/*/nl/*-v-*.ogg"),
            *(
                Source("ktuberling-data", f"{KTUBERLING}/{language}/*.*")
                for language in ("da", "de", "en", "fr", "gl", "ro", "ru", "sl", "sr", "uk")
            ),
        ),
        held_out=True,
    ),
}


def find(packages: Path, source: Source) -> list[Path]:
    """Files of a source, below ``packages/PACKAGE`` or installed, sorted.

    Raises:
        ConfigError: there are none.
    """
    for root in (packages / source.package, Path("/")):
        if files := sorted(root.glob(source.path)):
            return files
    raise ConfigError(
        f"expected the Debian package {source.package} in {str(packages)!r} or installed, found "
        f"no {source.path}; unpack it with `dpkg-deb -x FILE.deb {packages / source.package}`"
    )


def tool(name: str) -> str:
    """Path of a program.

    Raises:
        ConfigError: it is not installed.
    """
    if (path := shutil.which(name)) is None:
        raise ConfigError(
            f"expected the program {name!r}, found none; install it with `apt-get install {name}`"
        )
    return path


def is_held_out(library: str) -> bool:
    """Whether the grooves of a library file are for validation.

    The split is by file, because the grooves of a file are variants of each other.
    """
    digest = hashlib.sha256(library.encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT == 0


def grooves(packages: Path, split: Split) -> tuple[tuple[str, ...], ...]:
    """Names of the grooves of a split, in mma's notation, by file of its library.

    Raises:
        ConfigError: mma's library is missing.
    """
    files = []
    for path in find(packages, Source("mma", f"{LIBRARY}/*/*.mma")):
        library = path.parent.name
        if is_held_out(f"{library}/{path.stem}") != split.held_out:
            continue
        text = path.read_text(encoding="latin-1")
        found = re.findall(r"^\s*DefGroove\s+(\S+)", text, re.MULTILINE | re.IGNORECASE)
        if names := sorted({name for name in found if not NOT_A_BODY.search(name)}):
            files.append(tuple(f"{library}:{name}" for name in names))
    return tuple(files)
