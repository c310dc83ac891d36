"""Recipes are data: mistakes in them are reported before anything is computed."""

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from demixing.engine.demixer import Demixer
from demixing.errors import ConfigError
from demixing.recipes import reading, tracks

pytestmark = pytest.mark.engine

MEMBER: dict[str, Any] = {"separator": "hpss", "outputs": {"effect": ["percussive"]}}

GOOD: dict[str, Any] = {
    "track": "cdx",
    "summary": "For tests.",
    "residual": "music",
    "members": [
        MEMBER,
        {
            "separator": "equal_shares",
            "subtract": ["effect"],
            "outputs": {"dialog": ["all"]},
            "options": {"stems": ["all"]},
        },
    ],
}


@pytest.mark.usefixtures("unfilled")
@pytest.mark.parametrize("name", reading.names())
def test_every_recipe_that_ships_can_be_built(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # parts of ONNX files are written there
    chosen = reading.load(name)

    Demixer(chosen, forgiving=True)  # some weights may be missing

    assert chosen.name == name
    assert chosen.summary.endswith(".")
    if chosen.track.name in tracks.TRACKS:
        assert chosen.boards, "it does not say which leaderboards permit it"


@pytest.mark.parametrize("track", tracks.TRACKS.values(), ids=lambda track: track.name)
def test_every_track_has_a_default(track: tracks.Track) -> None:
    assert reading.load(reading.default_name(track)).track == track


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"track": "mdy"}, "one of mdx, cdx"),
        ({"boards": ["D"]}, "the track 'cdx' has the leaderboards A, B, got 'D'"),
        ({"boards": "A"}, "boards must be a list"),
        ({"track": 3}, "track must be a str"),
        ({"sumary": "x"}, "no key 'sumary'; did you mean 'summary'?"),
        ({"members": "hpss"}, "members must be a list"),
        ({"members": [1]}, "member 1 must be a dict"),
        ({"members": [{"separator": "hpss"}]}, "the key 'outputs' is missing"),
        ({"members": [{"separator": "hpss", "outputs": ["effect"]}]}, "outputs must be a dict"),
        ({"members": [{"separator": "hpss", "outputs": {"effect": "low"}}]}, "must be a list"),
        ({"members": [{**MEMBER, "outputs": {"effect": []}}]}, "at least one and none twice"),
        ({"members": [{**MEMBER, "outputs": {"effect": ["low"] * 2}}]}, "none twice"),
        ({"members": [{**MEMBER, "outputs": {"effect": [1]}}]}, "each of recipe 'test', member 1"),
        ({"members": [{**MEMBER, "subtract": ["effect"] * 2}]}, "none twice"),
        ({"members": [{**MEMBER, "subtract": [["effect"]]}]}, "must be a str"),
        ({"members": [{**MEMBER, "separator": 5}]}, "separator must be a str, got 5"),
        ({"members": [{**MEMBER, "options": 5}]}, "options must be a dict"),
        ({"members": [{**MEMBER, "optional": 1}]}, "member 1: optional must be a bool, got 1"),
        ({"members": [{**MEMBER, "optional": True}, GOOD["members"][1]]}, "only optional members"),
        ({"summary": 5}, "summary must be a str"),
        ({"consistency_above_hz": "4k"}, "consistency_above_hz must be a float, got '4k'"),
        ({"consistency_above_hz": -1}, "expected consistency_above_hz to be 0 or above, got -1"),
        ({"residual": None}, "residual must be a str"),
        ({"residual": ["music"]}, "residual must be a str"),
        (
            {"members": [MEMBER]},
            "must output every stem of the track (dialog, effect, music), and",
        ),
        ({"residual": "dialog"}, "its members output dialog, effect, and dialog is the residual"),
    ],
    ids=str,
)
def test_each_mistake_in_a_recipe_has_a_message(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        reading.parse("test", {**GOOD, **change})


def test_the_overlap_of_a_setting_is_read() -> None:
    settings = [{"passes": 1}, {"overlap": 0, "gain_db": -0.1}]
    members = [{**GOOD["members"][0], "settings": settings}, GOOD["members"][1]]

    first, second = reading.parse("test", {**GOOD, "members": members}).members[0].settings

    assert first.overlap is None
    assert (second.overlap, second.gain_db) == (0.0, -0.1)


@pytest.mark.parametrize("overlap", [-0.1, 0.95, 1, 1.5])
def test_an_overlap_out_of_range_is_refused(overlap: float) -> None:
    members = [{**GOOD["members"][0], "settings": [{"overlap": overlap}]}, GOOD["members"][1]]

    with pytest.raises(ConfigError) as refused:
        reading.parse("test", {**GOOD, "members": members})

    assert str(refused.value) == (
        "recipe 'test', member 1, setting 1: expected an overlap from 0 to 0.9, "
        f"got {float(overlap)}"
    )


def test_a_member_cannot_subtract_stems_of_later_members() -> None:
    first, second = GOOD["members"]

    with pytest.raises(ConfigError, match="subtracts effect, which no earlier member outputs"):
        reading.parse("test", {**GOOD, "members": [second, first]})


def test_a_member_cannot_subtract_a_stem_that_only_an_optional_member_estimates() -> None:
    first, second = GOOD["members"]
    again = {**first, "name": "again"}

    with pytest.raises(ConfigError, match="subtracts effect, which only optional members output"):
        reading.parse("test", {**GOOD, "members": [{**first, "optional": True}, second, again]})

    reading.parse("test", {**GOOD, "members": [{**first, "optional": True}, again, second]})


def test_caches_do_not_depend_on_whether_a_member_is_optional() -> None:
    first, second = GOOD["members"]
    more = {**first, "name": "more"}
    one, other = (
        reading.parse("test", {**GOOD, "members": [first, second, {**more, "optional": flag}]})
        for flag in (False, True)
    )

    assert repr(one) == repr(other)
    assert one != other
    assert other.required() == one


def test_a_stem_that_a_separator_does_not_have_is_found_before_separating() -> None:
    member = {"separator": "hpss", "outputs": {"effect": ["percusive"]}}
    chosen = reading.parse("test", {**GOOD, "members": [member, GOOD["members"][1]]})

    with pytest.raises(ConfigError, match=r"no stem 'percusive'; did you mean 'percussive'\?"):
        Demixer(chosen, forgiving=True)  # some weights may be missing


def test_a_recipe_may_be_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text((reading.FOLDER / "mdx_silence.toml").read_text())

    assert reading.load(str(path)).name == "own"


def test_a_recipe_of_windows_is_read(tmp_path: Path) -> None:
    """Its editors put a byte order mark before the text."""
    path = tmp_path / "own.toml"
    text = (reading.FOLDER / "mdx_silence.toml").read_text()
    path.write_text(text, encoding="utf-8-sig", newline="\r\n")

    assert reading.load(str(path)).members == reading.load("mdx_silence").members


def test_an_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'mdx_default'\?"):
        reading.load("mdx_defalt")


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot read the recipe aaa"):
        reading.load("a" * 5000)


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff = [")

    with pytest.raises(ConfigError, match="cannot read the recipe"):
        reading.load(str(path))


def test_the_environment_chooses_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reading.RECIPE_VARIABLE, "mdx_silence")

    assert reading.chosen(tracks.by_name("mdx")).name == "mdx_silence"


def test_a_recipe_of_the_other_track_is_not_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reading.RECIPE_VARIABLE, "cdx_silence")

    with pytest.raises(ConfigError, match="is for the track 'cdx'"):
        reading.chosen(tracks.by_name("mdx"))


OLD = {"outputs": "gives", "subtract": "minus", "channel_swap": "swap"}


def test_old_keys_work_for_one_version_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    settings = [{"passes": 1}, {"passes": 2, "channel_swap": True}]
    new = [{**GOOD["members"][0], "settings": settings}, GOOD["members"][1]]
    old = [{OLD.get(key, key): value for key, value in member.items()} for member in new]
    old[0]["settings"] = [
        {OLD.get(key, key): value for key, value in one.items()} for one in settings
    ]

    first, second = (reading.parse("test", {**GOOD, "members": one}) for one in (new, old))

    assert first == second
    (record,) = caplog.records
    assert record.getMessage() == (
        "recipe 'test': 'gives' is now 'outputs', 'minus' is now 'subtract', 'swap' is now "
        "'channel_swap'; the next version will reject the old keys"
    )


def test_an_old_key_beside_the_new_one_is_refused() -> None:
    both = {**MEMBER, "gives": {"effect": ["low"]}}

    with pytest.raises(ConfigError, match="no key 'gives'"):
        reading.parse("test", {**GOOD, "members": [both, GOOD["members"][1]]})
