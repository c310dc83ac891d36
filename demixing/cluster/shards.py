"""Divides a catalogue into n parts without any communication.

The shard of a song follows from its name alone. So it does not matter in which order a folder is
listed, or whether songs were added in the meantime: each song is in exactly one shard.

Names are hashed, so shards differ in size, as random parts do: with ``m`` songs in a shard on
average, hardly any has more than ``m + 3 * sqrt(m)``.
"""

import hashlib
import re
from dataclasses import dataclass

from demixing.errors import ConfigError

MOST = 1_000_000
"""Number of shards at most."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a catalogue.

    Attributes:
        index: of this part, from 0, as Slurm and Kubernetes count.
        count: number of parts.
    """

    index: int = 0
    count: int = 1

    def __contains__(self, name: str) -> bool:
        """Whether a song belongs to this part."""
        return position(name) % self.count == self.index


def position(name: str) -> int:
    """A number of 64 bits that follows from a name, the same on every machine."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big")


def parse(text: str) -> Shard:
    """Read ``i/n``.

    Raises:
        ConfigError: it is something else, or there is no such part.

    >>> parse("2/7")
    Shard(index=2, count=7)
    """
    found = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", text)
    index, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= count <= MOST:
        raise ConfigError(f"expected --shard to be like 0/7, the first of 7, got {text!r}")
    if index >= count:
        raise ConfigError(
            f"expected --shard from 0/{count} to {count - 1}/{count}, got {text!r}: shards count "
            "from 0"
        )
    return Shard(index, count)
