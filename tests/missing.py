"""Pretends that a package is not installed."""

import sys
from collections.abc import Sequence
from types import ModuleType

import pytest


class _Missing:
    """Finds nothing below one package, before anything that could."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if name.partition(".")[0] == self._package:
            raise ModuleNotFoundError(f"No module named {self._package!r}", name=self._package)


def not_installed(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make imports of a package fail as if it were not installed, until the test ends."""
    for name in list(sys.modules):
        if name.partition(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Missing(package), *sys.meta_path])
