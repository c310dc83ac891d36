"""Limits of what a file of weights may make a reader allocate, print or walk through.

They follow from the size of the file, so that a small file cannot cost gigabytes or hours. A file
that reaches one of them is refused; none of the public files comes near.
"""

import re
import reprlib
from fractions import Fraction

from demixing.errors import CheckpointError
from demixing.weights.weight_file import WeightFile

SMALL_BYTES = 16 << 20
"""What any file may allocate."""

STORED = 4
"""Bytes of tensors for each byte of a file that is not compressed: tensors may share numbers."""

COMPRESSED = 16
"""Bytes for each byte of a compressed file. The numbers of networks hardly shrink; those of Demucs
v1 that were rounded to 8 bits shrink to a fourth."""

MOST_TENSORS = 100_000
"""Tensors in a file; the largest networks have some thousand."""

MOST_VALUES, MOST_LEVELS = 10_000, 20
"""Number and nesting of the plain values in a network's arguments."""

MOST_TEXT = 100_000
"""Characters of a plain value."""

FRACTION = re.compile(r"-?\d{1,18}(/\d{1,18})?")


def most_bytes(file: WeightFile, factor: int) -> int:
    """What a file may allocate, with :data:`STORED` or :data:`COMPRESSED`."""
    return SMALL_BYTES + factor * file.size_bytes


def check_bytes(file: WeightFile, needed_bytes: int, factor: int) -> None:
    """Raise if the contents of a file are far larger than the file.

    Raises:
        CheckpointError: they are.
    """
    if needed_bytes > most_bytes(file, factor):
        raise CheckpointError(
            f"{file.path} was not loaded: it has {file.size_bytes} bytes, but would need "
            f"{shown(needed_bytes)} in memory"
        )


def is_plain(value: object) -> bool:
    """Whether a value is a number, a string, or a list or dict of such, of bounded size."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    for _ in range(MOST_VALUES):
        if not waiting:
            return True
        one, level = waiting.pop()
        if isinstance(one, dict):
            if not all(isinstance(key, str) for key in one):
                return False
            one = [*one, *one.values()]
        if isinstance(one, list | tuple):
            if level >= MOST_LEVELS or len(one) + len(waiting) > MOST_VALUES:
                return False
            waiting += [(part, level + 1) for part in one]
        elif not _is_scalar(one):
            return False
    return False


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MOST_TEXT
    if isinstance(value, int):
        return value.bit_length() <= 64
    return value is None or isinstance(value, float | Fraction)


def fraction(*parts: object) -> Fraction:
    """Make a fraction of its parts, or of a text; exponents could stand for a billion digits.

    Raises:
        ValueError: it is not written like that, or has too many digits.

    >>> fraction("39/5"), fraction(39, 5)
    (Fraction(39, 5), Fraction(39, 5))
    """
    text = "/".join(str(part) if type(part) in (int, str) else "?" for part in parts)
    if not FRACTION.fullmatch(text):
        raise ValueError(f"expected a fraction such as '39/5', got {shown(text)}")
    return Fraction(text)


class _Short(reprlib.Repr):
    """Repr of bounded length and time, whatever is nested in a value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxdict = self.maxlist = self.maxtuple = 3
        self.maxset = self.maxfrozenset = self.maxdeque = 3
        self.maxstring = self.maxother = 60

    def repr_int(self, x: int, level: int) -> str:
        """A large integer has more digits than Python writes."""
        return super().repr_int(x, level) if x.bit_length() < 4096 else "a huge integer"

    def repr_bytes(self, x: bytes, level: int) -> str:
        """Only the beginning is converted: each byte may take four characters."""
        return self.repr_instance(x[: self.maxother], level)

    def repr_dict(self, x: dict[object, object], level: int) -> str:
        """The first items, not sorted: keys may be of any kind."""
        if not x or level <= 0:
            return "{...}" if x else "{}"
        items = list(zip(x.items(), range(self.maxdict), strict=False))
        parts = [f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for (k, v), _ in items]
        return "{" + ", ".join(parts + ["..."] * (len(x) > len(parts))) + "}"


_short = _Short()


def shown(value: object) -> str:
    """The beginning of a value, for messages; bounded, however it is nested.

    >>> shown([[[[1]]], "a" * 1000])
    "[[[...]], 'aaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaa']"
    >>> shown(b"a" * 100)
    "b'aaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaa'"
    """
    return _short.repr(value)[:200]
