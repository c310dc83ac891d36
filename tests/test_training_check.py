"""The check of data sets finds faults, and does not report sound data."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.cli.main import main
from demixing.training.data.checks import (
    analysis,
    duplicates,
    fingerprints,
    labels,
    signal_faults,
    spectra,
)

pytestmark = pytest.mark.engine

RATE_HZ = 16_000
SECONDS = 9
MDX = ("vocals", "drums", "bass", "other")
Audio = NDArray[np.float64]


def tone(rng: np.random.Generator, low_hz: float, high_hz: float) -> Audio:
    """Notes with overtones and rests, within a range."""
    parts = []
    fade = np.minimum(1, np.hanning(RATE_HZ // 2) * 10)  # a click would be audible everywhere
    for _ in range(SECONDS * 2):
        time_s = np.arange(RATE_HZ // 2) / RATE_HZ
        hz = rng.uniform(low_hz, high_hz)
        note = sum(np.sin(2 * np.pi * hz * k * time_s + rng.uniform(0, 6)) / k for k in (1, 2, 3))
        parts.append(
            fade * note * np.exp(-3 * time_s) * rng.uniform(0.05, 0.2) * (rng.random() > 0.2)
        )
    return np.concatenate(parts)


def clicks(rng: np.random.Generator) -> Audio:
    """Bursts of noise."""
    parts = []
    for _ in range(SECONDS * 4):
        time_s = np.arange(RATE_HZ // 4) / RATE_HZ
        parts.append(
            rng.normal(size=len(time_s))
            * np.exp(-rng.uniform(20, 60) * time_s)
            * rng.uniform(0, 0.3)
        )
    return np.concatenate(parts)


def make(seed: int) -> dict[str, Audio]:
    """A song whose stems differ like those of real songs."""
    rng = np.random.default_rng(seed)
    stems = {
        "vocals": tone(rng, 250, 500),
        "drums": clicks(rng),
        "bass": tone(rng, 40, 80),
        "other": tone(rng, 900, 1800),
    }
    return {name: np.stack((audio, 0.8 * audio), axis=1) for name, audio in stems.items()}


def write(
    folder: Path, stems: dict[str, Audio], rate_hz: int = RATE_HZ, mixture: bool = False
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if mixture:
        stems = {**stems, "mixture": np.sum(list(stems.values()), axis=0)}
    for name, audio in stems.items():
        soundfile.write(folder / f"{name}.wav", audio, rate_hz)


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[list[str]]]:
    """Status and rows of the command, without its header and its summary."""
    status = main(["check", *arguments])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == ["kind", "song", "stem", "value", "text"]
    return status, [line.split("\t") for line in lines[1:] if not line.startswith("#")]


def test_good_songs_end_with_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        write(tmp_path / f"song_{seed}", make(seed), mixture=True)

    assert found(capsys, str(tmp_path)) == (0, [])


def test_each_fault_of_a_file_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        write(tmp_path / f"good_{seed}", make(seed))
    bad = make(7)
    del bad["other"]
    bad["vocals"] = bad["vocals"][:-800]
    bad["drums"] = bad["drums"] + 0.01
    bad["drums"][:, 1] = 0
    bad["bass"] = (bad["bass"] * 20).clip(-1, 1)
    write(tmp_path / "bad", bad)
    (tmp_path / "worse").mkdir()
    (tmp_path / "worse/drums.wav").write_bytes(b"RIFF but no sound")
    silence = np.zeros((RATE_HZ, 2))
    write(tmp_path / "silent", dict.fromkeys(MDX, silence))
    write(tmp_path / "slow", make(8), rate_hz=8_000)
    nan = make(9)["vocals"].astype(np.float32)
    nan[5] = np.nan
    write(tmp_path / "nan", make(9))
    soundfile.write(tmp_path / "nan/vocals.wav", nan, RATE_HZ, subtype="FLOAT")

    status, rows = found(capsys, str(tmp_path), "--cache", str(tmp_path / "cache"))

    faults = {(kind, song, stem) for kind, song, stem, *_ in rows}
    assert status == 1
    assert faults == {
        ("missing", "bad", "other"),
        ("short", "bad", "vocals"),
        ("offset", "bad", "drums"),
        ("dead", "bad", "drums"),
        ("clipped", "bad", "bass"),
        *{("missing", "worse", stem) for stem in MDX if stem != "drums"},
        ("unreadable", "worse", "drums"),
        *{("silent", "silent", stem) for stem in MDX},
        *{("rate", "slow", stem) for stem in MDX},
        ("nan", "nan", "vocals"),
    }
    lacking = next(value for kind, *_, value, _ in rows if kind == "short")
    assert float(lacking) == 800


def test_names_are_not_obeyed_by_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data\x1b[2J"
    write(folder / "song\x1b[31m", {"drums": np.zeros((9000, 2))})

    main(["check", str(folder)])

    printed = capsys.readouterr().out
    assert "song\\x1b[31m\t" in printed
    assert "data\\x1b[2J: layout" in printed
    assert "\x1b" not in printed


def test_notes_are_listed_only_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stems = make(1)
    stems["vocals"][:] = 0
    stems["bass"][:, 1] = stems["bass"][:, 0]
    write(tmp_path / "a", stems)
    soundfile.write(tmp_path / "a/solo.wav", stems["bass"], RATE_HZ)

    assert found(capsys, str(tmp_path)) == (0, [])
    _, rows = found(capsys, str(tmp_path), "--notes")
    assert [row[:3] for row in rows] == [
        ["(silent)", "a", "vocals"],
        ["(mono)", "a", "bass"],
        ["(ignored)", "a", ""],
    ]


def test_stems_are_summed_and_compared_with_the_mixture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        write(tmp_path / f"song_{seed}", make(seed), mixture=True)
    mixture, _ = soundfile.read(tmp_path / "song_1/mixture.wav")
    soundfile.write(tmp_path / "song_1/mixture.wav", 0.9 * mixture, RATE_HZ)

    _, rows = found(capsys, str(tmp_path))

    assert [row[:3] for row in rows] == [["sum", "song_1", "mixture"]]
    assert float(rows[0][3]) == pytest.approx(20 * np.log10(9), abs=0.1)


def test_bleeding_is_found_with_its_source_and_gain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        stems = make(seed)
        if seed == 1:
            late = np.roll(stems["drums"], 40, axis=0)  # a distant microphone
            stems["bass"] = stems["bass"] + 0.1 * late
        write(tmp_path / f"song_{seed}", stems)

    _, rows = found(capsys, str(tmp_path))

    assert {(kind, song, stem) for kind, song, stem, *_ in rows} == {("bleeding", "song_1", "bass")}
    assert "is drums at -20.1 dB" in rows[0][4]


def test_swapped_stems_are_found_among_many_songs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(9):
        stems = make(seed)
        if seed == 4:
            stems["drums"], stems["bass"] = stems["bass"], stems["drums"]
        write(tmp_path / f"song_{seed}", stems)

    _, rows = found(capsys, str(tmp_path))

    assert {(kind, song, stem) for kind, song, stem, *_ in rows} == {
        ("label", "song_4", "drums"),
        ("label", "song_4", "bass"),
    }
    assert {row[4].partition(";")[0] for row in rows} == {"sounds like bass", "sounds like drums"}


def test_a_copy_is_found_at_another_start_and_level(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = make(1), make(2)
    two["vocals"] = np.concatenate((np.zeros((777, 2)), -0.5 * one["vocals"]))[: len(two["bass"])]
    write(tmp_path / "one", one)
    write(tmp_path / "two", two)

    status, rows = found(capsys, str(tmp_path))

    assert status == 1
    assert [row[:3] for row in rows] == [["duplicate", "one", "vocals"]]
    assert "of vocals of two, +777 samples away" in rows[0][4]


def test_audio_in_two_splits_is_a_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "train/Song", make(1), mixture=True)
    write(tmp_path / "test/Song", {**make(2), "drums": make(1)["drums"]}, mixture=True)

    _, rows = found(capsys, str(tmp_path), "--notes")

    assert [row[:3] for row in rows] == [
        ["leak", "test/Song", "drums"],
        ["(name)", "test/Song", ""],
    ]


@pytest.mark.parametrize(("split", "leaks"), [("train", 0), ("valid", 1)])
def test_a_source_file_in_two_splits_is_a_leak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, leaks: int
) -> None:
    for seed, (folder, name) in enumerate((("a", "train"), ("b", split))):
        write(tmp_path / folder / "song_000", make(seed))
        sources = {"split": name, "files": ["same.sf2", f"{folder}.sf2"]}
        (tmp_path / folder / "song_000/sources.json").write_text(json.dumps(sources))

    status, rows = found(capsys, str(tmp_path / "a"), str(tmp_path / "b"))

    assert status == leaks
    assert [row[0] for row in rows] == leaks * ["source"]
    assert not rows or rows[0][4].startswith("same.sf2 is in songs of several splits")


def test_songs_are_analysed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stems = make(1)
    stems["bass"] = stems["bass"] + 0.3 * stems["drums"]
    write(tmp_path / "a", stems)
    first = found(capsys, str(tmp_path))
    monkeypatch.setattr(analysis, "analyse", None)

    assert found(capsys, str(tmp_path)) == first


def test_the_json_file_has_findings_and_measurements(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stems = make(1)
    del stems["other"]
    write(tmp_path / "data/a", stems)

    found(capsys, str(tmp_path / "data"), "--json", str(tmp_path / "out.json"))

    contents = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [finding["kind"] for finding in contents["findings"]] == ["missing"]
    song = contents["folders"][0]["songs"]["a"]
    assert song["files"]["bass.wav"]["samples"] == SECONDS * RATE_HZ
    assert contents["folders"][0]["layout"] == "stems"


@pytest.mark.parametrize(
    "arguments",
    [["nowhere"], [".", "--layout", "dnr"], [".", "--jobs", "0"], [".", "--json", "a/b/"]],
)
def test_bad_input_ends_with_status_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    write(tmp_path / "a", {"drums": make(1)["drums"]})
    (tmp_path / "a/b").mkdir()
    monkeypatch.chdir(tmp_path)

    assert main(["check", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_blocks_measure_the_same_as_the_whole(tmp_path: Path) -> None:
    audio = np.random.default_rng(1).normal(size=(1000, 2)).astype(np.float32).clip(-1, 1)
    audio[100:104] = 1
    meter = signal_faults.Meter(2)

    for start in range(0, 1000, 300):
        meter.add(audio[start : start + 300])

    assert meter.samples == 1000
    assert meter.clipped >= 8
    assert meter.offset == pytest.approx(np.abs(audio.mean(axis=0)).max(), rel=1e-4)
    assert meter.energy == pytest.approx(np.square(audio).sum(axis=0), rel=1e-4)


def test_a_fingerprint_does_not_depend_on_blocks_or_level() -> None:
    audio = clicks(np.random.default_rng(3)).astype(np.float32)
    whole, parts = fingerprints.Peaks(), fingerprints.Peaks()

    whole.add(audio)
    for start in range(0, len(audio), 1000):
        parts.add(0.5 * audio[start : start + 1000])

    assert whole.pairs(RATE_HZ) == parts.pairs(RATE_HZ)
    assert len(whole.pairs(RATE_HZ)) > 5


def test_a_part_of_another_recording_matches_at_its_delay() -> None:
    audio = clicks(np.random.default_rng(3)).astype(np.float32)
    prints = {}
    for number, part in enumerate((audio, audio[12_345:])):
        peaks = fingerprints.Peaks()
        peaks.add(part)
        prints[number, "drums"] = peaks.pairs(RATE_HZ)

    ((_, (votes, delay)),) = duplicates.matches(prints).items()

    assert delay == -12_345
    assert votes > 0.8 * len(prints[1, "drums"])


def test_features_measure_what_they_describe() -> None:
    rng = np.random.default_rng(5)
    names = list(spectra.FEATURES)
    rows = {}
    for name, audio in (("bass", tone(rng, 40, 80)), ("drums", clicks(rng))):
        frames = spectra.frames(audio.astype(np.float32), spectra.frame_length(RATE_HZ))
        rows[name] = dict(zip(names, spectra.features(frames, RATE_HZ), strict=True))

    assert rows["bass"]["centroid"] < rows["drums"]["centroid"] - 3
    assert rows["bass"]["pitched"] > rows["drums"]["pitched"] + 0.3
    assert rows["bass"]["percussiveness_db"] < rows["drums"]["percussiveness_db"]
    assert rows["bass"]["flatness_db"] < rows["drums"]["flatness_db"] - 10


def test_few_songs_are_not_judged_by_their_sound() -> None:
    rows = {
        (str(song), stem): np.random.default_rng(song).normal(size=(5, len(spectra.FEATURES)))
        for song in range(labels.LEAST_SONGS - 1)
        for stem in MDX
    }

    assert not labels.suspicions({key: list(map(list, found)) for key, found in rows.items()})


def test_a_file_without_samples_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stems = make(1)
    write(tmp_path / "a", stems | {"bass": np.zeros((0, 2))}, mixture=False)
    write(tmp_path / "b", {name: np.zeros((0, 2)) for name in (*MDX, "mixture")})

    status, rows = found(capsys, str(tmp_path), "--notes")

    assert status == 1
    faults = {(kind, song, stem) for kind, song, stem, *_ in rows}
    assert ("empty", "a", "bass") in faults
    assert ("empty", "b", "mixture") in faults
    assert not {row for row in faults if row[0] in ("silent", "(silent)")}


def test_a_difference_of_one_sample_is_reported_in_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stems = make(1)
    write(tmp_path / "a", stems | {"bass": stems["bass"][:-1]})

    _, (row,) = found(capsys, str(tmp_path))

    assert row[:4] == ["short", "a", "bass", "1"]
    assert "1 sample (" in row[4]
    assert "shorter than the longest file" in row[4]


def test_files_on_their_own_miss_no_stems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        for stem, audio in make(seed).items():
            (tmp_path / stem).mkdir(exist_ok=True)
            soundfile.write(tmp_path / stem / f"{stem}_{seed}.wav", audio, RATE_HZ)

    assert found(capsys, str(tmp_path)) == (0, [])
