"""Drum kits of the drum machine Hydrogen: single hits of real drums, in layers of loudness.

Source: the ``drumkit.xml`` of the packages hydrogen-data and hydrogen-drumkits.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import soundfile
import soxr

from demixing.rendering.drums import NEEDED, Kit, Layer
from demixing.rendering.sound import RATE_HZ, Audio

NAMES: Mapping[str, str] = {
    "pedal_hat": r"(hat|hh).*(pedal|foot)|pedal h",
    "open_hat": r"open|\bohh|hat op\b|hat ring|(hat|hh).*swish",
    "closed_hat": r"hat|hh|hi-hat",
    "rim": r"stick|rim|click",
    "clap": r"clap",
    "snare": r"snare(?!.*roll)|\bsn_?\d",
    "kick": r"kick|bass ?drum|\bbd\b",
    "low_tom": r"(tom|drum).*(low|floor)|(low|floor) tom|drum 1",
    "high_tom": r"tom.*(hi|1)|hi(gh)? tom",
    "mid_tom": r"tom",
    "splash": r"splash",
    "china": r"china",
    "bell": r"bell(?<!cowbell)",
    "cowbell": r"cowbell",
    "crash": r"crash",
    "ride": r"ride|cymbal",
    "shaker": r"tambourine|shaker|maraca|cabasa",
}
"""Pattern of the name of each part; the first match counts."""
LONGEST_S = 4.0


def part_of(name: str) -> str | None:
    """The part of an instrument of a kit, by its name; None if it is unknown.

    >>> [part_of(name) for name in ("Pearl Kick", "Hat Closed Bs", "c4 - middle tom", "Zap 1")]
    ['kick', 'closed_hat', 'mid_tom', None]
    """
    return next((part for part, named in NAMES.items() if re.search(named, name.lower())), None)


def files(drumkit: Path) -> dict[str, list[list[tuple[Path, float, float, float]]]]:
    """Instruments of each part of a kit, each a list of layers (file, low, high, gain).

    Args:
        drumkit: a ``drumkit.xml``.
    """
    found: dict[str, list[list[tuple[Path, float, float, float]]]] = {}
    for instrument in _named(ElementTree.parse(drumkit).getroot(), "instrument"):
        part = part_of(_text(instrument, "name", ""))
        volume = float(_text(instrument, "volume", "1"))
        layers = [
            (drumkit.parent / name, float(low), float(high), volume * float(gain))
            for name, low, high, gain in _layers(instrument)
            if (drumkit.parent / name).is_file()
        ]
        if part is not None and layers:
            found.setdefault(part, []).append(layers)
    return found


def is_complete(drumkit: Path) -> bool:
    """Whether a kit has all needed parts."""
    return set(NEEDED) <= set(files(drumkit))


def draw(rng: np.random.Generator, drumkit: Path) -> Kit:
    """Read a kit; one of several instruments for a part is drawn."""
    parts = {}
    for part, instruments in sorted(files(drumkit).items()):
        chosen = instruments[int(rng.integers(len(instruments)))]
        parts[part] = tuple(
            Layer(gain * _read(path), low, high) for path, low, high, gain in chosen
        )
    return Kit(parts)


def _layers(instrument: ElementTree.Element) -> Iterator[tuple[str, str, str, str]]:
    """File name, lowest and highest loudness and gain of each layer of an instrument."""
    layers = list(_named(instrument, "layer"))
    for element in layers or [instrument]:  # old kits have no layers
        if name := _text(element, "filename", ""):
            yield (
                name,
                _text(element, "min", "0"),
                _text(element, "max", "1"),
                _text(element, "gain", "1") if layers else "1",
            )


def _read(path: Path) -> Audio:
    """Read a hit as ``(2, samples)``."""
    audio, rate_hz = soundfile.read(path, always_2d=True)
    audio = audio[: round(LONGEST_S * rate_hz), :2]
    if rate_hz != RATE_HZ:
        audio = soxr.resample(audio, rate_hz, RATE_HZ, quality="VHQ")
    result: Audio = np.ascontiguousarray(np.broadcast_to(audio, (len(audio), 2)).T)
    return result


def _named(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """Elements of a name in any namespace, since kits have many versions."""
    return (found for found in element.iter() if found.tag.rpartition("}")[2] == name)


def _text(element: ElementTree.Element, name: str, default: str) -> str:
    """Text of a child, or a default."""
    for child in element:
        if child.tag.rpartition("}")[2] == name and child.text:
            return child.text
    return default
