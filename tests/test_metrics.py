"""Every metric has the values of other implementations, whatever the blocks, and says what it is.

The golden values are others' (tools/golden/metrics.py); nothing of them is imported here.
"""

import dataclasses
import functools
import importlib.util
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from demixing.errors import EvaluationError
from demixing.evaluation import hearing, mel, metrics
from demixing.evaluation.frames import Frames
from demixing.evaluation.metrics import Format, Metric, museval
from demixing.evaluation.metrics.si_sdr import Meter as SiSdr
from tools.golden.metrics import CASES, RATE_HZ, SILENT_REFERENCE, TAPS, song

Audio = NDArray[np.float32]

GOLDEN = json.loads((Path(__file__).parent / "golden" / "metrics.json").read_text())
SONGS = CASES | SILENT_REFERENCE
STATED = [(case, name) for case, values in GOLDEN["cases"].items() for name in values]
OWN = [name for name in metrics.names() if not name.startswith("museval")]
PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"

needs_museval = pytest.mark.skipif(
    importlib.util.find_spec("museval") is None, reason="museval is not installed"
)


def marked(names: list[str]) -> list[Any]:
    """Metrics as parameters; those of museval need the library."""
    marks = {True: [needs_museval], False: []}
    return [pytest.param(name, marks=marks[name.startswith("museval")]) for name in names]


def scored(
    metric: Metric, references: Audio, estimates: Audio, block: int = 2**16
) -> Mapping[str, Sequence[float | None]]:
    """Score a song in blocks; all metrics of the module."""
    stems, samples, channels = references.shape
    meter = metric.meter(Format(stems, channels, samples, RATE_HZ))
    for _ in range(meter.passes):
        for start in range(0, samples, block):
            part = slice(start, start + block)
            meter.update(references[:, part], estimates[:, part])
        meter.end_pass()
    return meter.values()


def values_of(
    metric: Metric, references: Audio, estimates: Audio, block: int = 2**16
) -> list[float | None]:
    """Score a song in blocks; one metric."""
    return list(scored(metric, references, estimates, block)[metric.name])


@functools.cache
def of_case(case: str, module: str) -> Mapping[str, Sequence[float | None]]:
    """The values of a case, once for all metrics of a module."""
    return scored(metrics.expand([module])[0], *SONGS[case]())


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(case, name, marks=[needs_museval] if name.startswith("museval") else [])
        for case, name in STATED
    ],
)
def test_values_are_those_of_another_implementation(case: str, name: str) -> None:
    module = metrics.load(name).meter.__module__.rpartition(".")[2]

    values = of_case(case, module)[name]

    # Sums in float32, as the other implementations have them, are off by up to 5e-5.
    np.testing.assert_allclose(
        np.array(values, float), GOLDEN["cases"][case][name], rtol=1e-7, atol=1e-4
    )


def test_golden_values_cover_all_metrics() -> None:
    for case in CASES:
        assert set(GOLDEN["cases"][case]) == set(metrics.names())


@pytest.mark.parametrize("block", [1, 7, 1000, 1024, 30_011])
@pytest.mark.parametrize("name", OWN)
def test_blocks_make_no_difference(name: str, block: int) -> None:
    samples = 300 if block < 10 else 31_000
    references, estimates = song(2, samples, 2, seed=block)
    metric = metrics.load(name)

    values = values_of(metric, references, estimates, block)

    whole = values_of(metric, references, estimates, samples)
    np.testing.assert_allclose(np.array(values, float), np.array(whole, float), rtol=2e-6)


def test_bands_without_sound_differ_by_the_floors_of_bleedless_and_fullness() -> None:
    """Each side has a floor below its own loudest level; written plainly, with librosa."""
    times_s = np.arange(30_000) / RATE_HZ
    low, high = (np.sin(2 * np.pi * hz * times_s) for hz in (1000, 4000))
    pair = [np.asarray(one, np.float32) for one in (low + high, 0.1 * low + 0.3 * high)]
    bank = librosa.filters.mel(sr=RATE_HZ, n_fft=4096, n_mels=512)
    levels_db = [
        librosa.amplitude_to_db(
            bank @ np.abs(librosa.stft(one, n_fft=4096, hop_length=1024)),
            ref=1.0,
            amin=1e-10,
            top_db=80,
        )
        for one in pair
    ]
    excess_db = levels_db[1] - levels_db[0]

    reference, estimate = (one[None, :, None] for one in pair)
    fullness = values_of(metrics.load("fullness"), reference, estimate)

    expected = 100 / (1 - excess_db[excess_db < 0].mean())
    assert fullness == pytest.approx([expected], rel=1e-3)


@pytest.mark.parametrize("name", OWN)
def test_the_order_of_stems_only_orders_the_values(name: str) -> None:
    """With channels of other levels and faint errors: what holds for one must not reach another."""
    references, estimates = song(3, 20_000, 2, seed=8)
    references = references * np.array([1, 0.001], np.float32)
    estimates = references + np.float32(1e-3) * estimates

    values = values_of(metrics.load(name), references, estimates)

    backwards = values_of(metrics.load(name), references[::-1], estimates[::-1])
    np.testing.assert_allclose(np.array(values, float), np.array(backwards[::-1], float), rtol=1e-6)


@pytest.mark.parametrize("module", marked(metrics.modules()))
def test_every_metric_prefers_a_better_estimate(module: str) -> None:
    of_module = metrics.expand([module])
    references, estimates = song(2, 50_000, 2, seed=6)
    better = references + (estimates - references) / np.float32(8)

    good, bad = (scored(of_module[0], references, one) for one in (better, estimates))

    for metric in of_module:
        one, other = good[metric.name][0], bad[metric.name][0]
        assert one is not None
        assert other is not None
        assert (one > other) == metric.higher_is_better


@pytest.mark.parametrize("name", metrics.names())
def test_every_metric_says_what_it_is(name: str) -> None:
    metric = metrics.load(name)

    assert metric.name == name
    assert re.fullmatch(r"[a-z0-9.-]+", metric.id)
    assert metric.title
    assert metric.definition
    assert metric.silence.endswith(".")


@pytest.mark.parametrize("name", marked(metrics.names()))
def test_audio_is_not_modified(name: str) -> None:
    references, estimates = song(1, 44_100, 2, seed=7)
    before = references.copy(), estimates.copy()

    values_of(metrics.load(name), references, estimates)

    np.testing.assert_array_equal((references, estimates), before)


def test_names_and_ids_are_unique_and_a_metric_has_the_name_of_its_only_module() -> None:
    found = metrics.expand(metrics.modules())

    assert len({one.id for one in found}) == len({one.name for one in found}) == len(found)
    for module in metrics.modules():
        own = metrics.expand([module])
        assert len(own) > 1 or own[0].name == module


def test_the_name_of_a_module_stands_for_all_of_its_metrics() -> None:
    found = [one.name for one in metrics.expand(["fullness", "bleed_full", "sdr", "sdr"])]

    assert found == ["fullness", "bleedless", "sdr"]
    with pytest.raises(EvaluationError, match="'bleed_full', which is bleedless, fullness"):
        metrics.load("bleed_full")


@pytest.mark.parametrize("name", metrics.names())
def test_every_metric_has_a_line_in_the_documents(name: str) -> None:
    metric = metrics.load(name)
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{name}` | `")]

    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == f"`{metric.id}`"
    assert cells[3] == (metric.unit or "none")
    assert cells[4] == ("higher" if metric.higher_is_better else "lower")


# Silence, as the docstrings of the modules say.
SILENCE = np.zeros((1, 30_000, 2), np.float32)
SOUND = song(1, 30_000, 2, seed=8)[0]


@pytest.mark.parametrize(
    ("name", "references", "estimates", "low", "high"),
    [
        ("log_wmse", SILENCE, SILENCE, 73.68, 73.69),  # the mixture is silent, too
        ("log_wmse", SILENCE, SOUND, 73.68, 73.69),
        ("log_wmse", SOUND, np.zeros_like(SOUND), -0.01, 0.01),
        ("l1_freq", SILENCE, SILENCE, 100, 100),
        ("l1_freq", SILENCE, SOUND, 0, 20),
        ("bleedless", SILENCE, SILENCE, 100, 100),
        ("bleedless", SILENCE, SOUND, 0, 1),
        ("bleedless", SOUND, SILENCE, 100, 100),
        ("fullness", SILENCE, SOUND, 100, 100),
        ("fullness", SOUND, SILENCE, 0, 1),
        ("mr_stft", SILENCE, SILENCE, 0, 0),
        ("mr_stft", SILENCE, SOUND, 100, math.inf),
        ("mr_stft", SOUND, SILENCE, 1, 20),
    ],
)
def test_silence_has_the_stated_value(
    name: str, references: Audio, estimates: Audio, low: float, high: float
) -> None:
    (value,) = values_of(metrics.load(name), references, estimates)

    assert value is not None
    assert low <= value <= high


@pytest.mark.parametrize(
    ("reference", "estimate"),
    [(SILENCE, SOUND), (SOUND, SILENCE), (SOUND, SOUND), (SOUND, SOUND / np.float32(2))],
)
def test_si_sdr_is_undefined_without_a_finite_value(reference: Audio, estimate: Audio) -> None:
    assert values_of(metrics.load("si_sdr"), reference, estimate) == [None]


def test_si_sdr_has_no_scale_and_keeps_very_good_estimates_apart() -> None:
    reference = np.array([[1.0], [0.0]], np.float32)
    meter, scaled, close = SiSdr(), SiSdr(), SiSdr()

    meter.update(reference, np.array([[1.0], [0.1]], np.float32))
    scaled.update(reference, np.array([[-5.0], [0.5]], np.float32))
    close.update(reference, np.array([[1.0], [1e-5]], np.float32))

    assert meter.value_db == pytest.approx(20, abs=1e-5)
    assert scaled.value_db == pytest.approx(20, abs=1e-5)
    assert close.value_db == pytest.approx(100, abs=1e-5)


def test_log_wmse_does_not_change_with_the_level_of_all_files() -> None:
    references, estimates = song(2, 40_000, 2, seed=9)
    metric = metrics.load("log_wmse")

    quiet = values_of(metric, references / np.float32(64), estimates / np.float32(64))

    assert quiet == pytest.approx(values_of(metric, references, estimates), abs=1e-4)


# What the metrics are built of.


def test_the_filter_of_log_wmse_has_the_published_taps() -> None:
    np.testing.assert_allclose(hearing.taps(RATE_HZ)[TAPS], GOLDEN["taps"], atol=2e-8)


@pytest.mark.parametrize("rate_hz", [22_050, 48_000, 96_000])
def test_the_filter_is_the_same_at_other_rates(rate_hz: int) -> None:
    frequencies_hz = np.arange(50, 9000, 50.0)

    def measured(rate_hz: int) -> NDArray[np.float64]:
        taps = hearing.taps(rate_hz)
        turns = np.outer(frequencies_hz, np.arange(len(taps))) / rate_hz
        return np.asarray(np.abs(np.exp(-2j * np.pi * turns) @ taps))

    np.testing.assert_allclose(measured(rate_hz), measured(RATE_HZ), rtol=2e-3)


@pytest.mark.parametrize("block", [500, 4096, 20_000])
def test_the_filter_gives_as_much_as_it_gets_and_does_not_delay(block: int) -> None:
    rng = np.random.default_rng(block)
    signal = rng.standard_normal((2, 20_000)).astype(np.float32)
    used = hearing.HearingFilter(RATE_HZ)

    parts = [used.push(signal[:, start : start + block]) for start in range(0, 20_000, block)]
    filtered = np.concatenate([*parts, used.finish()], axis=1)

    taps = hearing.taps(RATE_HZ)
    expected = [np.convolve(row, taps)[hearing.TAPS_BEFORE :][:20_000] for row in signal]
    np.testing.assert_allclose(filtered, expected, atol=1e-5)


@pytest.mark.parametrize(("rate_hz", "size", "bands"), [(44_100, 4096, 512), (48_000, 2048, 64)])
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_mel_filters_are_those_of_librosa(rate_hz: int, size: int, bands: int) -> None:
    expected = librosa.filters.mel(sr=rate_hz, n_fft=size, n_mels=bands)
    magnitudes = np.random.default_rng(1).random((2, 3, size // 2 + 1)).astype(np.float32)

    applied = mel.MelBank(rate_hz, size, bands)(magnitudes)

    np.testing.assert_allclose(mel.weights(rate_hz, size, bands), expected, atol=1e-8)
    np.testing.assert_allclose(applied, magnitudes @ expected.T, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("ends", ["reflect", "constant"])
@pytest.mark.parametrize("samples", [9, 16, 17, 100, 101, 112])
@pytest.mark.parametrize("block", [1, 5, 16, 200])
@pytest.mark.parametrize("hop", [3, 8])
def test_frames_are_those_of_librosa(ends: Any, samples: int, block: int, hop: int) -> None:
    signal = np.random.default_rng(samples).standard_normal((2, samples)).astype(np.float32)
    cutter = Frames(16, hop, ends)

    frames = [
        batch
        for start in range(0, samples, block)
        for batch in cutter.push(signal[:, start : start + block])
    ]
    frames += list(cutter.finish())

    padded = np.pad(signal, ((0, 0), (8, 8)), mode=ends)
    expected = librosa.util.frame(padded, frame_length=16, hop_length=hop).swapaxes(1, 2)
    np.testing.assert_array_equal(np.concatenate(frames, axis=1), expected)


# museval's own part: what it is given, and what becomes of its frames.


def fake_museval(monkeypatch: pytest.MonkeyPatch, frames: list[float]) -> list[tuple[Audio, Audio]]:
    """Replace the library by one with the same frames for all stems; return what it was given."""
    calls = []

    def bss_eval(references: Audio, estimates: Audio, **settings: Any) -> list[Any]:
        assert settings["window"] == settings["hop"] == RATE_HZ
        calls.append((references.copy(), estimates.copy()))
        row = np.tile(np.array(frames, np.float32), (len(references), 1))
        return [row, row + 1, row + 2, row + 3, np.arange(len(references))]

    monkeypatch.setattr(museval, "library", lambda: SimpleNamespace(bss_eval=bss_eval))
    return calls


def test_museval_gets_the_whole_song_and_returns_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_museval(monkeypatch, [1.0, math.nan, 5.0, 2.0])
    references, estimates = song(2, 3000, 2, seed=1)

    values = [values_of(metrics.load(name), references, estimates, 700) for name in museval.NAMES]

    assert values == [[2, 2], [3, 3], [4, 4], [5, 5]]
    np.testing.assert_array_equal(calls[0], (references, estimates))


def test_museval_scores_the_other_stems_of_a_song_with_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = fake_museval(monkeypatch, [7.0])
    references, estimates = song(4, 3000, 2, seed=2)
    references[1] = 0
    estimates[2] = 0

    values = values_of(metrics.load("museval_sdr"), references, estimates)

    assert values == [7, None, None, 7]
    ((given, estimated),) = calls
    np.testing.assert_array_equal(given, references[[0, 2, 3]])
    np.testing.assert_array_equal(estimated, [estimates[0], references[2], estimates[3]])


def test_museval_is_undefined_without_any_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_museval(monkeypatch, [7.0])

    assert values_of(metrics.load("museval_sdr"), SILENCE, SOUND) == [None]


def test_museval_is_undefined_where_no_frame_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_museval(monkeypatch, [math.nan])

    assert values_of(metrics.load("museval_sdr"), SOUND, SOUND) == [None]


def test_without_museval_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("museval", "museval.metrics"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(EvaluationError, match=r"run: pip install museval==0\.4\.1"):
        values_of(metrics.load("museval_sir"), SOUND, SOUND)


@needs_museval
def test_a_silent_estimate_does_not_change_the_other_stems() -> None:
    references, estimates = song(2, 2 * RATE_HZ, 1, seed=3)
    metric = metrics.load("museval_sir")
    expected, _ = values_of(metric, references, estimates)

    first, second = values_of(metric, references, np.stack([estimates[0], 0 * estimates[1]]))

    assert first == pytest.approx(expected, abs=1e-9)
    assert second is None


def test_a_metric_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        metrics.load("sdr").name = "x"  # type: ignore[misc]
