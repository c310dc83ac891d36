"""A part of a file reads like the same bytes in memory."""

import io
import pickle
import random

import pytest

from demixing.weights import file_view, protobuf
from demixing.weights.file_view import FileView
from tests.onnx_graphs import field

DATA = random.Random(1).randbytes(100)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_view, "WINDOW_BYTES", 8)


def view(data: bytes = DATA) -> FileView:
    return FileView(io.BytesIO(data), 0, len(data))


def test_items_are_those_of_the_bytes_in_any_order() -> None:
    found = view()
    order = list(range(len(DATA)))
    random.Random(2).shuffle(order)

    assert [found[at] for at in order] == [DATA[at] for at in order]


def test_short_slices_are_in_memory_and_long_ones_stay_in_the_file() -> None:
    short, long = view()[90:98], view()[10:90]

    assert isinstance(short, memoryview)
    assert bytes(short) == DATA[90:98]
    assert isinstance(long, FileView)
    assert len(long) == 80
    assert bytes(long[3:9]) == DATA[13:19]  # type: ignore[arg-type]


def test_a_part_is_read_into_a_buffer() -> None:
    buffer = bytearray(80)
    part = view()[10:90]
    assert isinstance(part, FileView)

    part.fill(memoryview(buffer))

    assert buffer == DATA[10:90]


@pytest.mark.parametrize("at", [-1, 80, 85, 10**20])
def test_nothing_outside_of_a_part_is_read(at: int) -> None:
    part = FileView(io.BytesIO(DATA), 10, 80)

    with pytest.raises(IndexError):
        _ = part[at]
    for start, stop in ((at, at + 4), (4, 2), (at, None), (None, at), (-5, -2)):
        found, expected = part[start:stop], DATA[10:90][start:stop]
        assert len(found) == len(expected)
        assert isinstance(found, FileView) or bytes(found) == expected


def test_a_part_that_ends_too_early_is_an_error() -> None:
    with pytest.raises(pickle.UnpicklingError, match="ends too early"):
        FileView(io.BytesIO(DATA), 60, 80).fill(memoryview(bytearray(80)))


def test_messages_are_parsed_as_in_memory() -> None:
    message = field(1, 300) + field(2, b"text") + field(9, DATA) + field(3, 1)

    found = [
        (number, value if isinstance(value, int) else len(value))
        for number, value in protobuf.fields(view(message))
    ]

    assert found == [(1, 300), (2, 4), (9, 100), (3, 1)]
    with pytest.raises(IndexError):
        list(protobuf.fields(view(message[:50])))
