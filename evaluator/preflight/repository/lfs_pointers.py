"""Finds Git LFS pointers instead of files: 134 bytes of text where weights should be."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.checkout import Checkout

HEADER = b"version https://git-lfs"
"""Source: the specification of Git LFS, version 1."""

LARGEST = 1024
"""Maximum size of a pointer in bytes, by the specification."""


def find(checkout: Checkout) -> Iterator[Finding]:
    """Check the first bytes of all small files."""
    pointers = []
    for name, size in checkout.sizes.items():
        if len(HEADER) < size < LARGEST:
            with (checkout.folder / name).open("rb") as file:
                if file.read(len(HEADER)) == HEADER:
                    pointers.append(name)
    if pointers:
        yield fault(
            f"LFS pointers instead of files: {listed(pointers)}",
            "a model cannot be loaded from them, and they cannot be pushed without their contents",
            "run: git lfs install, then: git lfs pull",
        )
