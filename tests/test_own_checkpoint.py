"""A user's own checkpoint and config: separated as by the program that the config is for.

The golden outputs are from the whole program of Music-Source-Separation-Training: the original
network, the cutting of songs, and their normalisation.
"""

import itertools
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
import yaml
from numpy.typing import NDArray

from demixing import Separator
from demixing.cli.main import main
from demixing.errors import CheckpointError, ConfigError, DemixError
from demixing.separators.msst import chunking, plugin
from demixing.separators.msst.config import Config
from demixing.weights import own_file, readers
from demixing.weights.catalogue import FOLDER_VARIABLE
from tests import hostile_files
from tools.golden import msst
from tools.golden.agreement import agreement_db

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parent / "golden" / "msst.npz"
SYSTEMS = sorted(msst.CONFIGS)

Golden = dict[str, NDArray[Any]]
Files = Callable[[str], tuple[Path, Path]]


@pytest.fixture(scope="module")
def golden() -> Golden:
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Write a checkpoint and its config."""

    def write(system: str) -> tuple[Path, Path]:
        checkpoint, config = tmp_path / "mine.ckpt", tmp_path / "mine.yaml"
        torch.save({"state_dict": msst.state(system)}, checkpoint)
        config.write_text(yaml.safe_dump(msst.CONFIGS[system]))
        return checkpoint, config

    return write


@pytest.mark.parametrize("system", SYSTEMS)
def test_songs_are_separated_as_by_the_original_program(
    system: str, files: Files, golden: Golden
) -> None:
    checkpoint, config = files(system)
    separator = Separator(checkpoint=checkpoint, config=config)

    for kind, song in msst.songs().items():
        stems = separator(song, msst.RATE_HZ)

        expected = torch.from_numpy(golden[f"{system}_{kind}"])
        if kind == "mono":
            expected = expected.mean(dim=1, keepdim=True)
        found = torch.stack([stems[stem] for stem in separator.stems[: len(expected)]])
        assert agreement_db(expected, found[..., :: msst.STEP]) > 110, kind


def test_the_rest_of_a_target_is_a_stem(files: Files) -> None:
    checkpoint, config = files("bs_roformer")
    song = msst.songs()["odd"]

    stems = Separator(checkpoint=checkpoint, config=config)(song, msst.RATE_HZ)

    assert list(stems) == ["vocals", "other"]
    torch.testing.assert_close(stems["vocals"] + stems["other"], song)


def test_a_target_that_is_called_rest_leaves_a_residual(files: Files) -> None:
    checkpoint, config = files("bs_roformer")
    names = {"instruments": ["rest", "a", "b"], "target_instrument": "rest"}
    config.write_text(yaml.safe_dump(changed("bs_roformer", {"training": names})))

    assert Separator(checkpoint=checkpoint, config=config).stems == ("rest", "residual")


@pytest.mark.parametrize("overlap", [2.0, True])
def test_an_overlap_of_a_recipe_is_a_whole_number(
    overlap: object, tmp_path: Path, files: Files
) -> None:
    checkpoint, config = files("mdx23c")
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'summary = "One network."\nstems = ["vocals", "other"]\n[[members]]\nname = "mine"\n'
        'separator = "tfc_tdf_v3"\noutputs = { vocals = ["vocals"], other = ["other"] }\n'
        f'options = {{ checkpoint = "{checkpoint}", config = "{config}", '
        f"overlap = {str(overlap).lower()} }}\n"
    )

    with pytest.raises(ConfigError, match=f"from 1 to 64 chunks, a whole number, got {overlap}"):
        Separator(recipe)


def separate(tmp_path: Path, *words: str | Path) -> tuple[int, dict[str, NDArray[Any]]]:
    """Run ``demixing separate`` on a file; return its status and the stems."""
    song, folder = tmp_path / "song.wav", tmp_path / "stems"
    soundfile.write(song, msst.songs()["odd"].T.numpy(), msst.RATE_HZ, "FLOAT")
    status = main(["separate", str(song), "-o", str(folder), "--overwrite", *map(str, words)])
    found = sorted((folder / "song").glob("*.wav"))
    return status, {path.stem: soundfile.read(path, dtype="float32")[0].T for path in found}


def test_the_command_takes_a_checkpoint_and_its_config(
    tmp_path: Path, files: Files, golden: Golden
) -> None:
    checkpoint, config = files("mel_band_roformer")

    status, stems = separate(tmp_path, "--checkpoint", checkpoint, "--config", config)

    assert status == 0
    assert list(stems) == ["rest of it", "speech"]
    for index, stem in enumerate(["speech", "rest of it"]):
        expected = torch.from_numpy(golden["mel_band_roformer_odd"][index])
        assert agreement_db(expected, torch.from_numpy(stems[stem][:, :: msst.STEP])) > 110


def test_import_keeps_the_config_in_the_file(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "weights"))
    checkpoint, config = files("scnet")
    _, expected = separate(tmp_path, "--checkpoint", checkpoint, "--config", config)

    assert main(["import", "mine", str(checkpoint), "--config", str(config)]) == 0
    imported = tmp_path / "weights" / "mine.safetensors"
    status, stems = separate(tmp_path, "--checkpoint", imported)

    assert status == 0
    assert stems.keys() == expected.keys()
    for stem in stems:
        np.testing.assert_array_equal(stems[stem], expected[stem])


def test_a_file_that_does_not_fit_its_config_is_not_imported(
    tmp_path: Path,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "weights"))
    checkpoint, config = files("scnet")
    config.write_text(yaml.safe_dump(msst.CONFIGS["bs_roformer"]))

    assert main(["import", "mine", str(checkpoint), "--config", str(config)]) == 2

    assert "expected the weights of a RoFormer" in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("name", ["scnet_small", "../mine", "a b", "", "mine.ckpt"])
def test_imported_weights_have_a_name_of_their_own(
    name: str, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, config = files("scnet")

    assert main(["import", name, str(checkpoint), "--config", str(config)]) == 2

    assert "expected a new name of letters, digits and _" in capsys.readouterr().err


def test_more_overlap_changes_the_stems_a_little(tmp_path: Path, files: Files) -> None:
    given = [
        word
        for pair in zip(("--checkpoint", "--config"), files("mdx23c"), strict=True)
        for word in pair
    ]

    _, twice = separate(tmp_path, *given)
    _, eightfold = separate(tmp_path, *given, "--overlap", "8")

    difference_db = agreement_db(
        torch.from_numpy(twice["vocals"]), torch.from_numpy(eightfold["vocals"])
    )
    assert 1 < difference_db < 60  # random weights change much from chunk to chunk


@pytest.mark.parametrize("wrapping", ["state_dict", "model_state_dict", "state", ""])
def test_wrappings_of_weights_are_known(
    wrapping: str, tmp_path: Path, files: Files, golden: Golden
) -> None:
    _, config = files("mdx23c")
    weights = msst.state("mdx23c")
    torch.save({wrapping: weights, "epoch": 7} if wrapping else weights, tmp_path / "other.ckpt")

    assert Separator(checkpoint=tmp_path / "other.ckpt", config=config).stems == ("vocals", "other")


def test_plain_safetensors_need_a_config(tmp_path: Path, files: Files, golden: Golden) -> None:
    _, config = files("mdx23c")
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(msst.state("mdx23c"), path)

    with pytest.raises(ConfigError, match="needs the YAML file of its authors: name it with"):
        Separator(checkpoint=path)
    assert Separator(checkpoint=path, config=config).stems == ("vocals", "other")


def trained(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    """What the trainer of Music-Source-Separation-Training writes after some epochs."""
    parameter = torch.nn.Parameter(torch.ones(7))
    optimizer = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones(7)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max")
    scheduler.step(np.float64(9.1))
    values = [np.float64(9.1), np.float32("nan"), 8.5]
    return {
        "epoch": 7,
        "optimizer_name": "AdamW",
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "best_metric": np.float64(9.1),
        "all_metrics": {"epoch_7": {"sdr": {"vocals": values, "other": np.arange(3.0)}}},
        "all_losses": {"epoch_7": [0.5, np.float64(0.25)]},
        "model_state_dict": weights,
    }


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("archive", [True, False])
def test_metrics_beside_the_weights_are_ignored(core: bytes, archive: bool, tmp_path: Path) -> None:
    weights = {"weight": torch.arange(6.0).reshape(2, 3)}
    path = tmp_path / "mine.ckpt"
    torch.save(trained(weights), path, _use_new_zipfile_serialization=archive)
    if archive:  # each name ends with its line, so it may be shorter or longer
        with zipfile.ZipFile(path) as read:
            members = {info.filename: read.read(info) for info in read.infolist()}
        with zipfile.ZipFile(path, "w") as write:
            for name, contents in members.items():
                write.writestr(name, re.sub(rb"numpy\._?core", core, contents))
    else:
        path.write_bytes(re.sub(rb"numpy\._?core", core, path.read_bytes()))

    found = own_file.read(path).state

    assert found.keys() == weights.keys()
    assert torch.equal(found["weight"], weights["weight"])


def test_the_file_of_a_trainer_is_separated_with(tmp_path: Path, files: Files) -> None:
    checkpoint, config = files("mdx23c")
    torch.save(trained(msst.state("mdx23c")), checkpoint)

    assert Separator(checkpoint=checkpoint, config=config).stems == ("vocals", "other")


def test_a_scheduler_beside_the_weights_is_ignored(tmp_path: Path) -> None:
    weights = {"weight": torch.arange(6.0)}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(7))])
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max")
    torch.save({**trained(weights), "best_metric": scheduler}, tmp_path / "last.ckpt")

    assert torch.equal(own_file.read(tmp_path / "last.ckpt").state["weight"], weights["weight"])


def test_files_of_the_catalogue_have_no_metrics(tmp_path: Path) -> None:
    torch.save(trained({"weight": torch.ones(1)}), tmp_path / "mine.ckpt")

    with pytest.raises(CheckpointError, match="it needs 'numpy"):
        readers.read("state_dict", tmp_path / "mine.ckpt")


def test_metrics_are_no_weights(tmp_path: Path) -> None:
    torch.save({"model_state_dict": {"weight": np.ones(3)}}, tmp_path / "mine.ckpt")

    with pytest.raises(CheckpointError, match="to contain tensors by name, got Ignored"):
        own_file.read(tmp_path / "mine.ckpt")


@pytest.mark.parametrize(
    "name",
    ["numpy.load", "numpy._core.multiarray.fromfile", "torch.load", "torch.optimiser", "os.system"],
)
def test_other_functions_are_refused(name: str, tmp_path: Path) -> None:
    call = hostile_files.name(name) + hostile_files.text("x") + b"\x85R"
    weight = (hostile_files.text("weight"), hostile_files.one_tensor())
    contents = hostile_files.table(
        (hostile_files.text("best_metric"), call),
        (hostile_files.text("model_state_dict"), hostile_files.table(weight)),
    )
    (tmp_path / "mine.ckpt").write_bytes(hostile_files.zipped(contents, hostile_files.FOUR))

    with pytest.raises(CheckpointError, match=f"it needs '{re.escape(name)}'"):
        own_file.read(tmp_path / "mine.ckpt")


class Attack:
    """Creates a file when it is unpickled without care."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("place", ["alone", "beside", "metric", "inside"])
def test_no_code_in_a_checkpoint_runs(
    place: str, files: Files, tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint, config = files("mdx23c")
    weights: dict[str, Any] = msst.state("mdx23c")
    if place == "alone":
        checkpoint.write_bytes(pickle.dumps(Attack()))
    else:
        contents: dict[str, dict[str, Any]] = {
            "beside": {"state_dict": weights, "optimizer": Attack()},
            "metric": {**trained(weights), "best_metric": np.array([Attack()])},
            "inside": {**weights, "more": Attack()},
        }
        torch.save(contents[place], checkpoint)

    with pytest.raises(CheckpointError, match="contains more than numbers or is damaged"):
        Separator(checkpoint=checkpoint, config=config)

    assert not Path("ran").exists()


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("damage", ["missing", "shape", "other", "cut"])
def test_damaged_checkpoints_are_refused_in_one_sentence(
    system: str, damage: str, files: Files, golden: Golden
) -> None:
    checkpoint, config = files(system)
    weights = msst.state(system)
    key = sorted(weights)[len(weights) // 2]
    if damage == "missing":
        del weights[key]
    if damage == "shape":
        weights[key] = weights[key][..., None]
    if damage == "other":
        weights = {"conv.weight": torch.zeros(3, 3)}
    torch.save(weights, checkpoint)
    if damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-2000])

    with pytest.raises(DemixError) as raised:
        Separator(checkpoint=checkpoint, config=config)

    assert "\n" not in str(raised.value)


WRONG: dict[str, Any] = {
    "audio.sample_rate": "44100",
    "audio.chunk_size": 10**12,
    "training.instruments": ["../vocals", "other"],
    "inference.num_overlap": 1000,
    "inference.normalize": "yes",
}


@pytest.mark.parametrize("key", WRONG)
def test_impossible_configs_are_refused(key: str, files: Files) -> None:
    checkpoint, config = files("mdx23c")
    section, _, name = key.partition(".")
    sections = {**msst.CONFIGS["mdx23c"]}
    sections[section] = {**sections[section], name: WRONG[key]}
    config.write_text(yaml.safe_dump(sections))

    with pytest.raises(ConfigError, match=name if section != "training" else "names a stem"):
        Separator(checkpoint=checkpoint, config=config)


@pytest.mark.parametrize(
    ("system", "changes", "message"),
    [
        (
            "mdx23c",
            {"audio": {"chunk_size": 3000}},
            r"needs a length .* for audio\.chunk_size, got 3000; the nearest is 3008",
        ),
        (
            "mdx23c",
            {"inference": {"chunk_size": 3200}},
            r"for inference\.chunk_size, got 3200; the nearest is 3264",
        ),
        (
            "mdx23c",
            {"inference": {"method": "kuielab", "dim_t": 47}},
            r"needs a number of frames .* for inference\.dim_t, got 47; the nearest is 48",
        ),
        (
            "mdx23c",
            {"inference": {"method": "demucs"}},
            r"needs 'msst' or 'kuielab' or 'bandit' for inference\.method, got 'demucs'",
        ),
        (
            "bandit_v2",
            {"audio": {"chunk_size": 1024}, "model": {"pad_mode": "reflect"}},
            r"for audio\.chunk_size, got 1024; the nearest is 1025",
        ),
        (
            "bs_roformer",
            {"audio": {"hop_length": 60}, "inference": {"method": "kuielab", "dim_t": 2}},
            r"for inference\.dim_t, got 2; the nearest is 4",
        ),
    ],
    ids=str,
)
def test_chunks_that_a_network_cannot_take_are_refused_before_a_song_is_read(
    system: str, changes: dict[str, dict[str, Any]], message: str, files: Files
) -> None:
    checkpoint, config = files(system)
    config.write_text(yaml.safe_dump(changed(system, changes)))

    with pytest.raises(ConfigError, match=message) as raised:
        Separator(checkpoint=checkpoint, config=config)

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("system", ["bandit_v2", "bs_roformer", "mel_band_roformer", "scnet"])
@pytest.mark.parametrize("rest", [1, 128])
def test_a_song_may_end_in_a_chunk_that_is_shorter_than_half_a_window(
    system: str, rest: int, files: Files
) -> None:
    checkpoint, config = files(system)
    changes = {"inference": {"method": "demucs", "num_overlap": 2}}
    config.write_text(yaml.safe_dump(changed(system, changes)))
    hop = msst.CONFIGS[system]["audio"]["chunk_size"] // 2
    song = 0.1 * torch.randn(2, 2 * hop + rest, generator=torch.Generator().manual_seed(0))

    stems = Separator(checkpoint=checkpoint, config=config)(song, msst.RATE_HZ)

    assert all(stem.shape == song.shape for stem in stems.values())
    assert all(bool(torch.isfinite(stem).all()) for stem in stems.values())


def changed(system: str, changes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The config of a system with other values."""
    sections = msst.CONFIGS[system]
    return sections | {name: sections.get(name, {}) | new for name, new in changes.items()}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_output_needs_a_name(system: str, files: Files) -> None:
    checkpoint, config = files(system)
    names = {"instruments": [f"stem {number}" for number in range(5)]}
    config.write_text(yaml.safe_dump({**msst.CONFIGS[system], "training": names}))

    with pytest.raises(ConfigError, match=r"needs names for [123] outputs of the weights, .* got"):
        Separator(checkpoint=checkpoint, config=config)


VALUES: tuple[Any, ...] = (-1, 0, 10**9, "x", [], None, 1.5, {}, [[1]], True)


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_value_in_a_config_hangs_or_crashes(system: str) -> None:
    name, weights = msst.PLUGINS.get(system, system), msst.state(system)
    errors = []
    for section, keys in msst.CONFIGS[system].items():
        for key, value in itertools.product(keys, VALUES):
            sections = {**msst.CONFIGS[system], section: {**keys, key: value}}
            try:
                config = Config(sections, "mine")
                chunking.of_config(config)
                config.stems()
                plugin.network(name, config, weights)
            except DemixError as error:
                errors.append(str(error))

    assert len(errors) > 50
    assert not any("\n" in error for error in errors)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "mine.yaml"], "--config and --overlap are for --checkpoint"),
        (["--overlap", "2"], "--config and --overlap are for --checkpoint"),
        (["--checkpoint", "x.ckpt", "--track", "cdx"], "takes the place of --recipe and --track"),
        (["--checkpoint", "x.ckpt"], "expected a file of weights at x.ckpt"),
        (["--checkpoint", "scnet_tiny"], "did you mean 'scnet_"),
        (["--checkpoint", "demucs_v2"], "not of a network with a config"),
        (["--checkpoint", "scnet_small"], "fetch scnet_small"),
    ],
)
def test_impossible_options_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, stems = separate(tmp_path, *words)

    assert status == 2
    assert message in capsys.readouterr().err
    assert not stems
