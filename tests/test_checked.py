"""Whatever a JSON file contains, reading it gives the type that was asked for, or one sentence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demixing.evaluation import checked


class Omission(TypedDict):
    member: str
    part: float


@dataclass(frozen=True)
class Inner:
    shape: tuple[int, ...]
    rate_hz: int | None = None


@dataclass(frozen=True)
class Outer:
    name: str
    ready: bool
    inner: Mapping[str, Inner]
    omissions: tuple[Omission, ...] = ()


GOOD: dict[str, Any] = {
    "name": "a",
    "ready": True,
    "inner": {"b": {"shape": [1, 2], "rate_hz": None}},
    "omissions": [{"member": "c", "part": 1}],
    "unknown": 7,
}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*GOOD]), inner),
)


def test_a_good_value_gets_its_types() -> None:
    found = checked.parse(json.dumps(GOOD), Outer, "a thing")

    inner = {"b": Inner(shape=(1, 2), rate_hz=None)}
    assert found == Outer("a", True, inner, ({"member": "c", "part": 1.0},))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 1}, "expected a thing.name to be a text, got 1"),
        ({"ready": 1}, "expected a thing.ready to be true or false, got 1"),
        ({"inner": []}, "expected a thing.inner to be a table, got a list"),
        ({"inner": {"b": {}}}, "expected a thing.inner.'b' to have 'shape', which is missing"),
        (
            {"inner": {"b": {"shape": [1, "x" * 500]}}},
            f"digits, got '{'x' * 59}...",
        ),
        ({"inner": {"b": {"shape": [True]}}}, "expected a thing.inner.'b'.shape[0] to be a whole"),
        ({"omissions": [{"member": "c"}]}, "a thing.omissions[0] to have 'part', which is missing"),
        ({"omissions": {}}, "expected a thing.omissions to be a list, got a table"),
    ],
)
def test_a_wrong_value_is_one_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        checked.parse(json.dumps(GOOD | change), Outer, "a thing")

    assert said in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", '{"name": 1e400}', "[" * 10**6, "1" * 10**5, b"\xff", "\ud800"]
)
def test_a_text_of_no_use_is_one_sentence(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="expected a thing") as refused:
        checked.parse(text, Outer, "a thing")

    assert len(str(refused.value)) < 600


@given(VALUES, st.sampled_from([*GOOD]))
def test_no_value_is_any_other_error(value: object, key: str) -> None:
    for candidate in (value, GOOD | {key: value}):
        try:
            found = checked.check(candidate, Outer, "a thing")
        except ValueError as error:
            refused = str(error)
        else:
            refused = ""
            assert isinstance(found, Outer)
        assert len(refused) < 500
