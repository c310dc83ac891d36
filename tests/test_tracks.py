"""aicrowd.json decides the track."""

import json
from pathlib import Path

import pytest

from demixing.errors import ConfigError
from demixing.evaluation.songs import STEMS
from demixing.recipes import tracks


def test_separation_and_evaluation_have_the_same_stems() -> None:
    assert {name: track.stems for name, track in tracks.TRACKS.items()} == dict(STEMS)


def test_this_checkout_is_submitted_to_a_track() -> None:
    assert tracks.submitted() in tracks.TRACKS.values()


@pytest.mark.parametrize(
    ("challenge", "track"),
    [
        ("music-demixing-track-mdx-23", "mdx"),
        ("cinematic-sound-demixing-track-cdx-23", "cdx"),
        ("evaluations-api-music-demixing", "mdx"),
    ],
)
def test_the_challenge_decides_the_track(tmp_path: Path, challenge: str, track: str) -> None:
    path = tmp_path / "aicrowd.json"
    path.write_text(json.dumps({"challenge_id": challenge}))

    assert tracks.submitted(path).name == track


def test_the_environment_overrides_aicrowd_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracks.TRACK_VARIABLE, "cdx")

    assert tracks.submitted().name == "cdx"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("{", "as JSON"),
        ("[" * 100_000, "as JSON"),
        ("[]", "challenge_id is None, expected one of"),
        ("{}", "challenge_id is None, expected one of"),
        ('{"challenge_id": "mdx-29"}', "challenge_id is 'mdx-29', expected one of"),
    ],
)
def test_a_broken_aicrowd_json_is_explained(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "aicrowd.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(ConfigError, match=reason):
        tracks.submitted(path)


def test_an_unknown_track_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracks.TRACK_VARIABLE, "mdy")

    with pytest.raises(ConfigError, match="one of mdx, cdx, got 'mdy'"):
        tracks.submitted()
