"""A catalogue in n parts: each song in exactly one, whatever the order of the listing."""

import random

import pytest

from demixing.cluster.catalogue import Item, part
from demixing.cluster.shards import Shard, parse
from demixing.errors import ConfigError

ITEMS = [Item(name=f"album {n % 7}/sóng {n}", address=f"s3://b/{n}.mp3") for n in range(2000)]


@pytest.mark.parametrize("count", [1, 7, 64])
def test_every_song_is_in_exactly_one_shard(count: int) -> None:
    names = [one.name for index in range(count) for one in part(ITEMS, Shard(index, count))]

    assert sorted(names) == sorted(one.name for one in ITEMS)


def test_the_order_of_the_listing_and_other_songs_do_not_matter() -> None:
    shuffled = random.Random(4).sample(ITEMS, 700)

    own = {one.name for one in part(shuffled, Shard(3, 7))}

    assert own == {one.name for one in part(ITEMS, Shard(3, 7))} & {one.name for one in shuffled}


def test_shards_are_as_even_as_random_parts() -> None:
    sizes = [len(part(ITEMS, Shard(index, 20))) for index in range(20)]

    assert 100 - 3 * 10 <= min(sizes) <= max(sizes) <= 100 + 3 * 10


def test_the_shard_of_a_song_never_changes() -> None:
    """Results of an earlier version are found by the same job of an array."""
    assert [index for index in range(7) if "album/song" in Shard(index, 7)] == [6]


@pytest.mark.parametrize(
    "text", ["", "1", "7/7", "-1/7", "1/0", "a/b", "1/7/2", "1/99999999", "٣/7"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--shard"):
        parse(text)
