"""Bytes that a pickle has as text come out as Python's codecs would have them."""

import random

import pytest

from demixing.weights import latin1


@pytest.fixture(params=[2, 3, 7, 1 << 18])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Length of blocks."""
    monkeypatch.setattr(latin1, "BLOCK_BYTES", request.param)
    return int(request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50, 1000])
def test_all_bytes_come_back(count: int) -> None:
    raw = bytes(random.Random(count).randbytes(count)) + bytes(range(256))

    assert latin1.encoded(raw.decode("latin-1").encode()).tobytes() == raw


def test_no_text_is_no_bytes() -> None:
    assert latin1.encoded(b"").tobytes() == b""


@pytest.mark.usefixtures("block")
def test_what_the_codecs_refuse_is_refused() -> None:
    draw = random.Random(1)
    alphabet = b"a\x80\xbf\xc0\xc1\xc2\xc3\xc4\xe2\xff"
    refused = 0
    for _ in range(2000):
        text = bytes(draw.choice(alphabet) for _ in range(draw.randrange(8)))
        try:
            expected = text.decode().encode("latin-1")
        except ValueError:
            refused += 1
            with pytest.raises(ValueError, match="latin1"):
                latin1.encoded(text)
        else:
            assert latin1.encoded(text).tobytes() == expected
    assert 100 < refused < 1900
