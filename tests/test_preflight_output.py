"""Preflight of separated stems: each planted fault is found, and correct stems have no finding."""

import dataclasses
import functools
import io
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from demixing.evaluation.songs import STEMS
from evaluator.grading.profiles import GIB, PROFILES
from evaluator.grading.records import (
    DIED,
    ERROR,
    INCOMPLETE,
    LATE,
    MEMORY,
    OK,
    ArrayInfo,
    SongResult,
    StartUp,
)
from evaluator.preflight import FAULT, NOTE, OUTPUT, RECORDS, REPOSITORY, Finding, findings, names
from evaluator.preflight.graded import Graded

pytestmark = pytest.mark.engine

RATE_HZ = 22_050
SAMPLES = 2**15  # 1.5 s
SONGS = ("one", "two")

Sounds = dict[str, NDArray[np.float64]]
Plant = Callable[[Sounds], Mapping[str, NDArray[np.float64]]]


def noise(rng: np.random.Generator, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Band-limited noise with a changing level, ``(samples,)``."""
    spectrum = np.fft.rfft(rng.standard_normal(SAMPLES))
    frequencies = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
    spectrum[(frequencies < low_hz) | (frequencies > high_hz)] = 0
    sound: NDArray[np.float64] = np.fft.irfft(spectrum, SAMPLES)
    knots = rng.uniform(0.2, 1, 25)
    loudness = np.interp(np.arange(SAMPLES), np.linspace(0, SAMPLES, 25), knots)
    result: NDArray[np.float64] = 0.05 * loudness * sound / sound.std()
    return result


@functools.cache
def true_stems(track: str, seed: int) -> Sounds:
    """Stereo stems that overlap in frequency, each with its own panning."""
    rng = np.random.default_rng(seed)
    bands = [(40, 2000), (200, 9000), (100, 5000), (150, 4000)]
    places = [0.5, 0.35, 0.7, 0.45]
    stems = {}
    for stem, (low_hz, high_hz), place in zip(STEMS[track], bands, places, strict=False):
        middle, width = noise(rng, low_hz, high_hz), 0.3 * noise(rng, low_hz, high_hz)
        stems[stem] = np.stack([place * middle + width, (1 - place) * middle - width], axis=1)
    return stems


def with_silence(track: str, seed: int, silent: tuple[str, ...]) -> Sounds:
    """True stems, some of them silent."""
    stems = true_stems(track, seed)
    return {name: np.zeros_like(one) if name in silent else one for name, one in stems.items()}


@functools.cache
def separated(track: str, seed: int, silent: tuple[str, ...]) -> Sounds:
    """Estimates of a correct but poor separator: about 5 dB."""
    stems = with_silence(track, seed, silent)
    rng = np.random.default_rng(seed)
    mixture = sum(stems.values())
    return {
        stem: 0.7 * audio
        + 0.1 * (mixture - audio)
        + 0.2 * audio.std() * rng.standard_normal(audio.shape)
        for stem, audio in stems.items()
    }


def encoded(audio: NDArray[np.float64], subtype: str = "PCM_16") -> bytes:
    """The bytes of a WAV file; soundfile flushes its own files to the disk, which takes longer."""
    file = io.BytesIO()
    soundfile.write(file, audio, RATE_HZ, subtype, format="WAV")
    return file.getvalue()


@functools.cache
def references_of(track: str, seed: int, silent: tuple[str, ...]) -> Mapping[str, bytes]:
    """Files of the true stems and of the mixture, by the part of their name."""
    true = with_silence(track, seed, silent)
    mixture = np.sum([*true.values()], axis=0)
    sides = {"mixture_Lt": mixture[:, 0], "mixture_Rt": mixture[:, 1]}
    mixtures = {"mixture": mixture} if track == "mdx" else sides
    return {
        **{part: encoded(audio, "FLOAT") for part, audio in mixtures.items()},
        **{stem: encoded(audio) for stem, audio in true.items()},
    }


def file_name(track: str, song: str, part: str) -> str:
    return f"{part}.wav" if track == "mdx" else f"{song}_{part}.wav"


def array_info(audio: NDArray[np.float64], **changes: object) -> ArrayInfo:
    facts: dict[str, object] = {
        "dtype": "float32",
        "shape": audio.shape,
        "rate_hz": RATE_HZ,
        "finite": bool(np.isfinite(audio).all()),
        "peak": float(np.abs(audio[np.isfinite(audio)]).max()),
    }
    return ArrayInfo(**{**facts, **changes})  # type: ignore[arg-type]


def graded(
    folder: Path,
    plant: Plant = lambda stems: stems,
    *,
    track: str = "mdx",
    references: bool = True,
    records: bool = True,
    silent: tuple[str, ...] = (),
    **changes: object,
) -> Graded:
    """Write songs in the grader's layout, with a fault, and the records of a grade."""
    results = []
    for seed, song in enumerate(SONGS):
        answer = dict(plant(separated(track, seed, silent)))
        given, written = folder / "references" / song, folder / "predictions" / song
        given.mkdir(parents=True)
        written.mkdir(parents=True)
        for part, contents in references_of(track, seed, silent).items():
            if references or part not in STEMS[track]:
                (given / file_name(track, song, part)).write_bytes(contents)
        for stem in STEMS[track]:
            (written / file_name(track, song, stem)).write_bytes(encoded(answer[stem]))
        results.append(
            SongResult(
                name=song,
                seconds=2.0,
                limit_s=9.42,
                peak_bytes=GIB,
                outcome=OK,
                arrays={stem: array_info(audio, **changes) for stem, audio in answer.items()},
            )
        )
    return Graded(
        profile=PROFILES[f"{track}23"],
        start_ups=(StartUp(import_s=3.0, load_s=2.0),),
        results=tuple(results) if records else (),
        dataset=folder / "references",
        predictions=folder / "predictions",
    )


def found(facts: Graded, kind: str = OUTPUT) -> dict[str, Finding]:
    """Findings by check name, at most one each."""
    every = list(findings(kind, facts))
    assert len({one.check for one in every}) == len(every), every
    return {one.check: one for one in every}


@pytest.mark.parametrize("track", ["mdx", "cdx"])
@pytest.mark.parametrize("references", [True, False])
def test_a_correct_separation_has_no_finding(tmp_path: Path, track: str, references: bool) -> None:
    facts = graded(tmp_path, track=track, references=references)

    assert not list(findings(OUTPUT, facts))
    assert not list(findings(RECORDS, facts))


@pytest.mark.parametrize("stem", STEMS["mdx"])
def test_silent_references_cause_no_finding(tmp_path: Path, stem: str) -> None:
    """The estimate of a silent stem is leakage of the others, and similar to them."""
    assert not found(graded(tmp_path, silent=(stem,)))


@pytest.mark.parametrize("answer", ["silence", "mixture", "shares", "gated"])
def test_poor_estimates_are_not_faults(tmp_path: Path, answer: str) -> None:
    def plant(stems: Sounds) -> Sounds:
        total = np.sum([*stems.values()], axis=0)
        if answer == "silence":
            return {stem: np.zeros_like(audio) for stem, audio in stems.items()}
        if answer == "gated":
            return {**stems, "vocals": np.zeros_like(stems["vocals"])}
        share = 1 if answer == "mixture" else 0.25
        return dict.fromkeys(stems, share * total)

    checks = found(graded(tmp_path, plant))

    # Returning the mixture for every stem sums to four times the mixture.
    assert set(checks) == ({"gain"} if answer == "mixture" else set())


def only(stem: str, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Plant:
    return lambda stems: {**stems, stem: change(stems[stem])}


def every(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Plant:
    return lambda stems: {stem: change(audio) for stem, audio in stems.items()}


def later(samples: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda audio: np.roll(audio, samples, axis=0)


@pytest.mark.parametrize("references", [True, False])
@pytest.mark.parametrize("samples", [1, -1, 7, 1024, -12_000])
def test_a_delay_of_all_stems_is_found(tmp_path: Path, samples: int, references: bool) -> None:
    checks = found(graded(tmp_path, every(later(samples)), references=references))

    count = f"{abs(samples)} sample{'' if abs(samples) == 1 else 's'}"
    assert {"delay"} == set(checks)
    expected = f"{count} too {'late' if samples > 0 else 'early'}: all stems of 'one', 'two'"
    assert checks["delay"].what == expected
    assert checks["delay"].severity == FAULT


@pytest.mark.parametrize("stem", STEMS["mdx"])
def test_a_delay_of_one_stem_is_found(tmp_path: Path, stem: str) -> None:
    checks = found(graded(tmp_path, only(stem, later(1))))

    assert set(checks) == {"delay"}
    assert checks["delay"].what == f"1 sample too late: {stem} of 'one', 'two'"


@pytest.mark.parametrize("references", [True, False])
def test_swapped_channels_are_found(tmp_path: Path, references: bool) -> None:
    checks = found(graded(tmp_path, every(lambda audio: audio[:, ::-1]), references=references))

    assert set(checks) == {"channels"}
    assert "all stems" in checks["channels"].what


@pytest.mark.parametrize("stem", STEMS["mdx"])
def test_swapped_channels_of_one_stem_are_found(tmp_path: Path, stem: str) -> None:
    checks = found(graded(tmp_path, only(stem, lambda audio: audio[:, ::-1])))

    assert set(checks) == {"channels"}
    assert f"swapped in {stem} of 'one', 'two'" in checks["channels"].what


@pytest.mark.parametrize(
    ("track", "one", "other"),
    [
        (track, one, other)
        for track, stems in STEMS.items()
        for one, other in itertools.combinations(stems, 2)
    ],
)
def test_swapped_stems_are_found(tmp_path: Path, track: str, one: str, other: str) -> None:
    def plant(stems: Sounds) -> Sounds:
        return {**stems, one: stems[other], other: stems[one]}

    checks = found(graded(tmp_path, plant, track=track))

    assert set(checks) == {"stems"}
    assert f"{one!r} contains {other}" in checks["stems"].what
    assert f"{other!r} contains {one}" in checks["stems"].what


def test_rotated_stems_are_found(tmp_path: Path) -> None:
    def plant(stems: Sounds) -> Sounds:
        return dict(zip(stems, [*stems.values()][1:] + [*stems.values()][:1], strict=True))

    assert set(found(graded(tmp_path, plant))) == {"stems"}


@pytest.mark.parametrize("references", [True, False])
@pytest.mark.parametrize("gain", [0.5, 0.75, 1.6, 2.0, -1.0])
def test_a_gain_of_all_stems_is_found(tmp_path: Path, gain: float, references: bool) -> None:
    checks = found(graded(tmp_path, every(lambda audio: gain * audio), references=references))

    assert set(checks) == {"gain"}
    assert "all stems" in checks["gain"].what
    assert ("inverted polarity" in checks["gain"].what) == (gain < 0)


@pytest.mark.parametrize("stem", STEMS["mdx"])
@pytest.mark.parametrize("gain", [0.4, 2.5, -1.0])
def test_a_gain_of_one_stem_is_found(tmp_path: Path, stem: str, gain: float) -> None:
    checks = found(graded(tmp_path, only(stem, lambda audio: gain * audio)))

    assert set(checks) == {"gain"}
    assert f"level of {stem} in 'one'" in checks["gain"].what


def test_clipped_output_is_found_by_its_samples(tmp_path: Path) -> None:
    checks = found(graded(tmp_path, every(lambda audio: 60 * audio), records=False))

    assert checks["clipped"].severity == FAULT
    assert "at full scale" in checks["clipped"].what


def test_clipped_output_is_found_by_its_peak(tmp_path: Path) -> None:
    checks = found(graded(tmp_path, peak=2.5))

    assert set(checks) == {"clipped"}
    assert checks["clipped"].severity == FAULT


def test_a_few_peaks_above_full_scale_are_a_note(tmp_path: Path) -> None:
    checks = found(graded(tmp_path, peak=1.01))

    assert set(checks) == {"clipped"}
    assert checks["clipped"].severity == NOTE


@pytest.mark.parametrize(("peak", "severity"), [(3.4, NOTE), (7.9, FAULT)])
def test_a_peak_that_lies_in_the_song_is_a_note(tmp_path: Path, peak: float, severity: str) -> None:
    """A sum of stems is stored as floats, which may exceed full scale, as at a click."""
    facts = graded(tmp_path, peak=peak)
    facts = dataclasses.replace(facts, results=facts.results[:1])
    folder = tmp_path / "references" / "one"
    for name, value in (("mixture", 3.9), ("bass", 1.25)):
        audio, rate_hz = soundfile.read(folder / f"{name}.wav")
        audio[-5] = value
        soundfile.write(folder / f"{name}.wav", audio, rate_hz, "FLOAT")

    text = found(facts)["clipped"]

    assert text.severity == severity
    assert f"{peak:.3f} (1.250 in the true stem, 3.900 in the mixture)" in text.what


def test_nan_is_found_in_returned_arrays(tmp_path: Path) -> None:
    checks = found(graded(tmp_path, finite=False))

    assert set(checks) == {"not_finite"}
    assert "'one' (bass)" in checks["not_finite"].what


def test_nan_is_found_in_float_files(tmp_path: Path) -> None:
    """In MDX'21 a submission writes its own files, in any format."""
    facts = graded(tmp_path, records=False)
    path = tmp_path / "predictions" / "one" / "drums.wav"
    audio, _ = soundfile.read(path)
    audio[5, 1] = np.nan
    soundfile.write(path, audio, RATE_HZ, "FLOAT")

    checks = found(facts)

    assert set(checks) == {"not_finite"}
    assert checks["not_finite"].what == "NaN or infinity in 'one' (drums)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dtype": "float16"}, "type float16"),
        ({"dtype": "Tensor"}, "type Tensor"),
        ({"shape": (2, SAMPLES)}, f"(2, {SAMPLES}) instead of ({SAMPLES}, 2)"),
        ({"shape": (SAMPLES - 1, 2)}, f"({SAMPLES - 1}, 2)"),
        ({"shape": (SAMPLES,)}, f"({SAMPLES},)"),
        ({"rate_hz": 48_000}, "48000 instead of 22050"),
        ({"rate_hz": None}, "None instead of 22050"),
    ],
)
def test_a_wrong_format_of_returned_arrays_is_found(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    checks = found(graded(tmp_path, **change))  # type: ignore[arg-type]

    assert set(checks) == {"form"}
    assert words in checks["form"].what


@pytest.mark.parametrize(
    ("audio", "rate_hz"),
    [
        (np.zeros((SAMPLES - 1, 2)), RATE_HZ),
        (np.zeros((SAMPLES, 1)), RATE_HZ),
        (np.zeros((SAMPLES, 2)), 44_100),
        (None, 0),
    ],
)
def test_a_wrong_format_of_files_is_found(
    tmp_path: Path, audio: NDArray[np.float64] | None, rate_hz: int
) -> None:
    facts = graded(tmp_path, records=False)
    path = tmp_path / "predictions" / "two" / "other.wav"
    if audio is None:
        path.unlink()
    else:
        soundfile.write(path, audio, rate_hz)

    checks = found(facts)

    assert set(checks) == {"form"}
    assert "'two' (other)" in checks["form"].what


def changed(facts: Graded, **changes: object) -> Graded:
    """The same facts with another first song."""
    first, *others = facts.results
    values = {name: getattr(first, name) for name in SongResult.__slots__}
    one = SongResult(**{**values, **changes})
    return Graded(profile=facts.profile, start_ups=facts.start_ups, results=(one, *others))


@pytest.mark.parametrize(
    ("changes", "check", "severity"),
    [
        ({"outcome": LATE, "seconds": 10.0}, "song_time", FAULT),
        ({"seconds": 9.2}, "song_time", NOTE),
        ({"outcome": MEMORY, "peak_bytes": 17 * GIB}, "memory", FAULT),
        ({"peak_bytes": 15 * GIB}, "memory", NOTE),
        ({"outcome": ERROR, "message": "ValueError: no"}, "answers", FAULT),
        ({"outcome": DIED}, "answers", FAULT),
        ({"outcome": INCOMPLETE}, "answers", FAULT),
    ],
)
def test_records_of_songs_are_reported(
    tmp_path: Path, changes: dict[str, object], check: str, severity: str
) -> None:
    checks = found(changed(graded(tmp_path), **changes), RECORDS)

    assert {name: one.severity for name, one in checks.items()} == {check: severity}
    assert "'one'" in checks[check].what


@pytest.mark.parametrize(
    ("start_up", "check", "severity"),
    [
        (StartUp(import_s=500, load_s=401), "setup_time", FAULT),
        (StartUp(import_s=0, load_s=0, outcome=LATE), "setup_time", FAULT),
        (StartUp(import_s=0, load_s=0, outcome=ERROR, message="boom"), "setup_time", FAULT),
        (StartUp(import_s=400, load_s=100), "setup_time", NOTE),
        (StartUp(import_s=1, load_s=1, connections=("dl.example:443",)), "network", FAULT),
    ],
)
def test_records_of_the_start_up_are_reported(start_up: StartUp, check: str, severity: str) -> None:
    usual = StartUp(import_s=1, load_s=1)
    facts = Graded(profile=PROFILES["mdx23"], start_ups=(usual, start_up))

    checks = found(facts, RECORDS)

    assert {name: one.severity for name, one in checks.items()} == {check: severity}


def test_a_finding_is_always_one_line() -> None:
    start_up = StartUp(import_s=0, load_s=0, outcome=ERROR, message="two\nlines\x1b[31m")
    (one,) = findings(RECORDS, Graded(profile=PROFILES["mdx23"], start_ups=(start_up,)))

    assert str(one).startswith("fault [setup_time] ")
    assert "two\\nlines\\x1b[31m" in str(one)


def test_checks_can_be_skipped(tmp_path: Path) -> None:
    facts = graded(tmp_path, finite=False)

    assert not list(findings(OUTPUT, facts, leaving_out=["not_finite"]))


def test_each_file_in_a_check_folder_is_a_check() -> None:
    assert "delay" in names(OUTPUT)
    assert "network" in names(RECORDS)
    assert "lfs_limit" in names(REPOSITORY)
