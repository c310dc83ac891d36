"""Separators move all their networks off a GPU whose memory is too small."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from demixing.networks.execution import PreparedNetwork
from demixing.networks.movable import Networks
from tools.golden import narrow

pytestmark = pytest.mark.engine


class Network:
    def __init__(self) -> None:
        self.moves = 0

    def to_cpu(self) -> None:
        self.moves += 1


@dataclass(frozen=True, slots=True)
class Inner(Networks):
    network: Network


@dataclass(frozen=True, slots=True)
class Outer(Networks):
    alone: Network
    several: tuple[object, ...]
    named: Mapping[str, object]
    rate: int = 44_100


def test_networks_are_moved_wherever_they_are_kept() -> None:
    networks = [Network() for _ in range(4)]
    a, b, c, d = networks

    Outer(a, (b, Inner(c), print), {"d": d, "plain": len}).to_cpu()

    assert [network.moves for network in networks] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("danna_sep", 3),
        ("demucs_v1", 1),
        ("demucs_v2", 1),
        ("demucs_v3", 1),
        ("demucs_v4", 1),
        ("gtcrn", 1),
        ("spleeter", 2),
    ],
)
def test_every_separator_with_networks_moves_them(
    name: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[PreparedNetwork] = []
    monkeypatch.setattr(PreparedNetwork, "to_cpu", lambda prepared: moved.append(prepared))

    narrow.build(name).to_cpu()  # type: ignore[attr-defined]

    assert len(moved) == count
