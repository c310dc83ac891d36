"""The recordings for film sound: three splits that have no source in common.

So scores on one split do not measure what a network has memorised from another. All sources are
packages of Debian bookworm. The project's samples belong to the test split.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from demixing.errors import ConfigError
from demixing.rendering.film.files import Recording, find

GAMES = "usr/share/games"
STAMPS = "usr/share/tuxpaint/stamps"


@dataclass(frozen=True, slots=True)
class Source:
    """Recordings of one kind in one package.

    Attributes:
        package: name of the package, and of the folder with its files.
        files: pattern of the files in it.
        without: regular expression of the paths to leave out, from the package on.
    """

    package: str
    files: str
    without: str = "^$"

    def recordings(self, unpacked: Path) -> list[Recording]:
        """Find the recordings, sorted.

        Raises:
            ConfigError: there are none.
        """
        folder = unpacked / self.package
        if not folder.is_dir():
            folder = Path("/")  # it may be installed
        left_out = re.compile(self.without)
        found = [
            replace(recording, package=self.package)
            for recording in find(folder, self.files)
            if not left_out.search(
                (recording.path / recording.member).relative_to(folder).as_posix()
            )
        ]
        if not found:
            raise ConfigError(
                f"expected the Debian package {self.package} in {str(unpacked)!r} or installed, "
                f"found no {self.files}; unpack it with "
                f"`dpkg-deb -x FILE.deb {unpacked / self.package}`"
            )
        return found


def _stamps(languages: Iterable[str]) -> tuple[Source, ...]:
    """Descriptions of Tux Paint's stamps; each language has one speaker."""
    package = "tuxpaint-stamps-default"
    return tuple(Source(package, f"{STAMPS}/**/*_desc_{name}.ogg") for name in languages)


# Words, voices and tunes are not effects.
_VOICES = "voice|npcs|male_|warcry|player/|civilians|soldiers|aliens|feedback|announcer|items/cl_"
_UNITS = "music|_(ack|select|die|attack)|indiattack|" + _VOICES
_THINGS = r"_desc|_[a-z]{2}(_[A-Za-z]+)?\.ogg$|symbols/|music/|people/"

SPLITS: dict[str, dict[str, tuple[Source, ...]]] = {
    "train": {
        "dialog": (
            Source("fillets-ng-data-cs", f"{GAMES}/fillets-ng/sound/*/cs/*.ogg"),
            Source("klettres-data", "usr/share/klettres/*/*/*.ogg"),
            *_stamps(("be", "bg", "es", "fr", "ro")),
        ),
        "effect": (
            Source("megaglest-data", f"{GAMES}/megaglest/**/*.wav", _UNITS),
            Source("ufoai-sound", f"{GAMES}/ufoai/base/0snd.pk3", _VOICES),
            Source("tuxpaint-stamps-default", f"{STAMPS}/**/*.ogg", _THINGS),
        ),
        "music": (
            Source("warzone2100-music", f"{GAMES}/warzone2100/music/**/*.opus"),
            Source("planetblupi-music-ogg", "usr/share/planetblupi/music/*.ogg"),
            Source("colobot-common-sounds", f"{GAMES}/colobot/music/*.ogg"),
            Source("hedgewars-data", f"{GAMES}/hedgewars/Data/Music/*.ogg"),
        ),
    },
    "valid": {
        "dialog": (
            Source("fillets-ng-data-nl", f"{GAMES}/fillets-ng/sound/*/nl/*.ogg"),
            Source("ktuberling-data", "usr/share/ktuberling/sounds/*/*"),
            *_stamps(("ru",)),
        ),
        "effect": (
            Source("openarena-data", f"{GAMES}/openarena/baseoa/*.pk3", _VOICES),
            Source("flare-game", f"{GAMES}/flare/mods/*/soundfx/**/*.ogg", _VOICES),
        ),
        "music": (
            Source("hyperrogue-music", "usr/share/hyperrogue/music/*.ogg"),
            Source("flare-game", f"{GAMES}/flare/mods/*/music/*.ogg", "wind_ambient"),
        ),
    },
    "test": {
        "dialog": (
            Source("hedgewars-data", f"{GAMES}/hedgewars/Data/Sounds/voices/*/*.ogg", "Singer"),
            Source(
                "asterisk-core-sounds-en-g722", "usr/share/asterisk/sounds/en_US_f_Allison/*.g722"
            ),
            *_stamps(("da",)),
        ),
        "effect": (
            Source(
                "wesnoth-1.16-data",
                f"{GAMES}/wesnoth/1.16/data/core/sounds/**/*.ogg",
                "hit|die|horn",
            ),
            Source("unknown-horizons", "usr/share/unknown-horizons/content/audio/sounds/**/*.ogg"),
            Source("openttd-opensfx", f"{GAMES}/openttd/baseset/opensfx/opensfx.cat"),
            Source("minetest-data", f"{GAMES}/minetest/games/minetest_game/mods/**/*.ogg"),
        ),
        "music": (
            Source("wesnoth-1.16-music", f"{GAMES}/wesnoth/1.16/data/core/music/*.ogg"),
            Source("singularity-music", f"{GAMES}/singularity/music/*.ogg"),
            Source("drascula-music", "usr/share/scummvm/drascula/audio/*.ogg"),
        ),
    },
}
"""Sources by split and stem."""
