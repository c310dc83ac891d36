"""What a notebook shows of results; the dict of stems stays a dict in every respect."""

import copy
import io
import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from demixing import Separator
from demixing.evaluation.audio import Layout
from demixing.evaluation.scoring import SongScore
from demixing.evaluation.summary import Summary, summarise
from demixing.notebook import stems as stems_module
from demixing.notebook import waveform
from demixing.notebook.recipe import card
from demixing.notebook.stems import Stems, excerpt, samples
from demixing.recipes import reading
from tests.valid_html import Page, read

RATE_HZ = 8_000


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def shown(stems: Stems[Any]) -> Page:
    return read(stems._repr_html_())


@pytest.fixture
def three() -> Stems[NDArray[np.float32]]:
    """Stereo, silent and mono."""
    stems = {
        "vocals": noise(4000, 2),
        "drums": np.zeros((4000, 2), np.float32),
        "bass": noise(4000),
    }
    return Stems(stems, RATE_HZ)


def test_a_separator_returns_stems_with_their_rate() -> None:
    stems = Separator("mdx_equal_shares")(noise(500, 2), 44_100)

    assert type(stems) is Stems
    assert stems.sample_rate_hz == 44_100
    assert len(shown(stems).named("audio")) == 4


def test_stems_are_a_dict(three: Stems[NDArray[np.float32]]) -> None:
    plain = dict(three)

    assert isinstance(three, dict)
    assert list(three) == list(plain) == ["vocals", "drums", "bass"]
    assert json.dumps(list(three)) == '["vocals", "drums", "bass"]'
    assert repr(three) == repr(plain)
    assert {**three}.keys() == three.keys()
    assert Stems({"a": 1}, 8_000) == {"a": 1}
    assert json.dumps(Stems({"a": 1}, 8_000)) == '{"a": 1}'
    assert (Stems({"a": 1}, 8_000) | {"b": 2}) == {"a": 1, "b": 2}
    three["other"] = three.pop("drums")
    assert list(three) == ["vocals", "bass", "other"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_keep_the_rate(copied: Any, three: Stems[NDArray[np.float32]]) -> None:
    again = copied(three)

    assert type(again) is Stems
    assert again.sample_rate_hz == RATE_HZ
    assert list(again) == list(three)
    again.clear()
    assert len(three) == 3


def test_stems_can_be_pickled_and_read_without_this_package(
    three: Stems[NDArray[np.float32]],
) -> None:
    tensors = Stems({name: torch.from_numpy(one) for name, one in three.items()}, RATE_HZ)
    file = io.BytesIO()
    torch.save(tensors, file)
    file.seek(0)

    for again in (torch.load(file), pickle.loads(pickle.dumps(tensors))):
        assert isinstance(again, dict)
        assert list(again) == list(tensors)
        assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    assert b"demixing" not in pickle.dumps(tensors)


def test_each_stem_has_a_waveform_a_level_and_a_player(
    three: Stems[NDArray[np.float32]],
) -> None:
    page = shown(three)

    assert [tag.attributes["aria-label"] for tag in page.named("audio")] == ["vocals", "bass"]
    assert [tag.attributes["aria-label"] for tag in page.named("svg")] == [
        f"waveform of {name}" for name in three
    ]
    assert "drums silent, stereo" in page.text
    assert "dBFS, mono" in page.text
    assert "3 stems of 0:00 min, 8000 Hz" in page.text
    assert "loudest" not in page.text


def test_names_are_escaped() -> None:
    name = "<script>alert('1')</script>\"&\udcff"

    page = shown(Stems({name: noise(800)}, RATE_HZ))

    assert name in page.text
    assert page.named("audio")[0].attributes["aria-label"] == name


def test_tensors_have_channels_first() -> None:
    one = torch.from_numpy(noise(2, 4000)).requires_grad_()

    found = samples(one)

    assert found is not None
    assert found.shape == (4000, 2)
    assert len(shown(Stems({"a": one, "b": one[0]}, RATE_HZ)).named("audio")) == 2


def test_other_precisions_and_more_channels_are_shown() -> None:
    stems = {"half": noise(800, 2).astype(np.float16), "six": noise(800, 6).astype(np.float64)}

    page = shown(Stems(stems, 48_000))

    assert len(page.named("audio")) == 2
    assert "6 channels, as their mean in the player" in page.text


def test_long_songs_are_cut_and_it_is_said() -> None:
    rate_hz, length = 8_000, 100
    stems = {str(number): 0.01 * noise(rate_hz * length, seed=number) for number in range(4)}
    stems["2"][50 * rate_hz : 60 * rate_hz] *= 50

    html = Stems(stems, rate_hz)._repr_html_()

    page = read(html)
    assert "Players hold the loudest 23 s, 0:" in page.text
    part = excerpt({name: one[:, None] for name, one in stems.items()}, rate_hz)
    assert part.start <= 50 * rate_hz
    assert part.start + part.samples >= 60 * rate_hz
    assert len(html) < 1.1 * stems_module.MOST_BYTES
    assert len(page.named("rect")) == 4


def test_a_player_has_at_most_half_a_minute() -> None:
    part = excerpt({"a": noise(RATE_HZ * 40, 1)}, RATE_HZ)

    assert part.samples == 30 * RATE_HZ


def test_what_is_above_full_scale_is_lowered_and_it_is_said() -> None:
    page = shown(Stems({"a": noise(800) * 40, "b": noise(800)}, RATE_HZ))

    assert "dB softer, to stay below full scale" in page.text


@pytest.mark.parametrize("other", [3, "text", np.zeros((0, 2)), np.zeros(5, np.int16), None])
def test_a_dict_that_holds_other_things_is_shown_as_text(other: object) -> None:
    page = shown(Stems({"a": noise(10), "<b>": other}, RATE_HZ))

    assert page.named("pre")
    assert "'<b>'" in page.text


def test_the_waveform_follows_the_peaks() -> None:
    song = np.zeros((3000, 1), np.float32)
    song[1500:1510] = 0.5

    found = waveform.peaks(song)

    assert len(found) == waveform.COLUMNS
    assert list(np.flatnonzero(found)) == [150]
    assert found.max() == 0.5


def test_a_separator_shows_its_members_and_what_is_missing() -> None:
    recipe = reading.load("mdx_default")

    page = read(card(recipe, ("htdemucs",), "run `a & b`"))

    rows = len(page.named("tr"))
    assert rows == 1 + len(recipe.members)
    assert "htdemucs demucs_v4 vocals, drums, bass, other missing" in page.text
    assert "run `a & b`." in page.text
    own = read(Separator("mdx_equal_shares")._repr_html_())
    assert "Separator mdx_equal_shares : bass, drums, other, vocals" in own.text


def summary() -> Summary:
    layout = Layout(44_100, 2, 100)
    levels = {"bass": -20.0, "drums": -70.0, "other": -float("inf"), "vocals": -10.0}
    stems = {"bass": 1.5, "drums": 2.25, "other": -40.0, "vocals": 3.0}
    songs = [SongScore(name, stems, ("other",), layout, levels) for name in ("<a>", "b")]
    return summarise(songs, "mdx")


def test_a_summary_shows_its_table() -> None:
    page = read(summary()._repr_html_())

    assert "SDR (sdr-mdx23) in dB of 2 songs, track mdx" in page.text
    assert "<a> -8.312 1.500 2.250 nearly silent -40.000 silent 3.000" in page.text
    assert "mean, active 2.250 1.500 - - 3.000" in page.text
    assert "active: without silent and nearly silent references" in page.text
