"""A bad file of weights is one clear sentence and exit status 2."""

import dataclasses
import hashlib
import logging
from pathlib import Path

import pytest
import torch

from demixing.cli.main import main
from demixing.errors import CheckpointError
from demixing.weights import catalogue, checkpoints
from demixing.weights.checkpoints import Checkpoint
from demixing.weights.readers import safetensors
from demixing.weights.weight_file import opened

NAME = "demucs_v2"
STATE = {"weight": torch.ones(3, 2), "bias": torch.zeros(3).half()}
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("DEMIX_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def official(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An official file outside the folder of weights; the catalogue has its sha256."""
    path = tmp_path / "official.th"
    torch.save(STATE, path)
    enter(monkeypatch, path)
    return path


def enter(monkeypatch: pytest.MonkeyPatch, path: Path, **changes: object) -> Checkpoint:
    """Change the entry of the catalogue to fit a file."""
    known = catalogue.entries()
    contents = path.read_bytes()
    fitting = {"sha256": hashlib.sha256(contents).hexdigest(), "size_bytes": len(contents)}
    entry = dataclasses.replace(known[NAME], **(fitting | changes))  # type: ignore[arg-type]
    tables = known | {NAME: entry}
    for module in ("cli.fetch", "cli.verify"):
        monkeypatch.setattr(f"demixing.{module}.entries", lambda: tables)
    for module in ("cli.import_", "weights.checkpoints"):
        monkeypatch.setattr(f"demixing.{module}.find", lambda name: tables[name])
    return entry


def place(weights: Path) -> Path:
    return weights / catalogue.find(NAME).file


def verified(capsys: pytest.CaptureFixture[str], *names: str) -> tuple[int, dict[str, str], str]:
    """Run the command; return its status, the conditions by name, and its errors."""
    status = main(["verify", *names])
    printed = capsys.readouterr()
    records = [line.split("\t") for line in printed.out.splitlines()]
    return status, {name: condition for condition, name, _ in records}, printed.err


# verify


def test_a_good_file_is_ok(
    official: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official.rename(place(weights))

    assert verified(capsys, NAME) == (0, {NAME: "ok"}, "")


@pytest.mark.parametrize(
    ("damage", "condition", "reason"),
    [
        (None, "missing", "no weights for 'demucs_v2' at"),
        (LFS_POINTER, "Git-LFS pointer", "run: git lfs pull"),
        (b"", "truncated", "bytes, got 0; run: demixing fetch demucs_v2"),
        (b"\0" * 100_000, "wrong size", "got 100000"),
    ],
    ids=["missing", "an LFS pointer", "empty", "too long"],
)
def test_each_kind_of_bad_file_has_its_own_condition(
    official: Path,
    weights: Path,
    damage: bytes | None,
    condition: str,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if damage is not None:
        place(weights).write_bytes(damage)

    status, conditions, said = verified(capsys, NAME)

    assert (status, conditions) == (2, {NAME: condition})
    assert reason in said
    assert said.count("\n") == 1


def test_one_changed_bit_is_a_wrong_hash(
    official: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = bytearray(official.read_bytes())
    contents[-1] ^= 1
    place(weights).write_bytes(contents)

    status, conditions, said = verified(capsys, NAME)

    assert (status, conditions) == (2, {NAME: "wrong hash"})
    assert "expected sha256" in said


def test_a_hash_with_fewer_digits_is_compared_as_a_prefix(
    official: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prefix = hashlib.sha256(official.read_bytes()).hexdigest()[:8]
    enter(monkeypatch, official, sha256=prefix, size_bytes=None)
    official.rename(place(weights))
    assert verified(capsys, NAME)[1] == {NAME: "ok"}

    place(weights).write_bytes(b"something else")
    assert verified(capsys, NAME)[1] == {NAME: "wrong hash"}


def test_a_file_without_a_published_hash_is_reported_as_such(
    official: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = enter(monkeypatch, official, sha256="")
    official.rename(place(weights))

    assert verified(capsys, NAME) == (0, {NAME: "no hash published"}, "")
    with caplog.at_level(logging.WARNING):
        checkpoints.load(entry)
    (line,) = caplog.messages
    assert line.startswith("demucs_v2: its authors published no hash, so only the size of ")


@pytest.mark.usefixtures("weights")
def test_without_names_missing_files_are_only_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, conditions, said = verified(capsys)

    assert (status, said) == (0, "")
    assert list(conditions) == list(catalogue.entries())
    assert conditions["spleeter_2stems_vocals"] == "ok"
    assert conditions["demucs_v4_955717e8"] == "missing"


def test_without_names_damaged_files_count(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place(weights).write_bytes(LFS_POINTER)

    status, conditions, said = verified(capsys)

    assert (status, conditions[NAME]) == (2, "Git-LFS pointer")
    assert said.count("\n") == 1


# import


def test_a_conversion_replaces_the_official_file(
    official: Path, weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", NAME, str(official)]) == 0

    path = weights / f"{NAME}.safetensors"
    assert capfd.readouterr().out == f"{path}\n"
    state = checkpoints.contents(checkpoints.find(NAME)).state
    assert torch.equal(state["weight"], STATE["weight"])
    assert state["bias"].dtype == torch.float32
    assert verified(capfd, NAME) == (0, {NAME: "imported"}, "")
    assert [p.name for p in weights.iterdir()] == [path.name]


def test_a_conversion_has_provenance_and_always_the_same_bytes(
    official: Path, weights: Path
) -> None:
    main(["import", NAME, str(official)])
    path = weights / f"{NAME}.safetensors"
    first = path.read_bytes()

    main(["import", NAME, str(official)])

    assert path.read_bytes() == first
    with opened(path) as file:
        _, provenance = safetensors.read_with_provenance(file)
    entry = checkpoints.find(NAME)
    assert provenance["source_file"] == "official.th"
    assert provenance["source_sha256"] == entry.sha256
    assert provenance["url"] == entry.url
    assert provenance["licence"] == entry.licence


def test_the_official_file_comes_first(official: Path, weights: Path) -> None:
    main(["import", NAME, str(official)])
    place(weights).write_bytes(b"damaged")

    with pytest.raises(CheckpointError, match="got 7; run"):
        checkpoints.load(checkpoints.find(NAME))


@pytest.mark.parametrize(
    ("contents", "reason"), [(b"something else", "expected"), (LFS_POINTER, "is a Git-LFS pointer")]
)
def test_only_the_file_in_the_catalogue_is_converted(
    official: Path,
    weights: Path,
    contents: bytes,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    official.write_bytes(contents)

    assert main(["import", NAME, str(official)]) == 2

    assert reason in capsys.readouterr().err
    assert not list(weights.iterdir())


def test_a_file_that_contains_its_network_needs_no_conversion(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "conv_tasnet_speech", str(tmp_path)]) == 2

    assert "contains its network and needs no conversion" in capsys.readouterr().err
    assert not list(weights.iterdir())


def test_a_conversion_of_another_file_is_not_used(
    official: Path, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    main(["import", NAME, str(official)])
    entry = enter(monkeypatch, official, sha256="0" * 64)

    with pytest.raises(CheckpointError, match="was not converted from the registered"):
        checkpoints.load(entry)


def test_an_altered_conversion_is_not_used(
    official: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["import", NAME, str(official)])
    path = weights / f"{NAME}.safetensors"
    altered = bytearray(path.read_bytes())
    altered[-1] ^= 1
    path.write_bytes(altered)
    capsys.readouterr()

    status, conditions, said = verified(capsys, NAME)

    assert (status, conditions) == (2, {NAME: "damaged import"})
    assert "were altered since its import" in said


@pytest.mark.parametrize("contents", [b"", LFS_POINTER, b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_not_a_conversion_is_one_sentence(
    official: Path, weights: Path, contents: bytes
) -> None:
    (weights / f"{NAME}.safetensors").write_bytes(contents)

    with pytest.raises(CheckpointError, match=f"{NAME}.safetensors") as caught:
        checkpoints.load(checkpoints.find(NAME))

    assert "\n" not in str(caught.value)


# Separating with a bad file


@pytest.fixture
def spleeter_weights(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the catalogue expect Spleeter's file in the folder of weights; return its path."""
    path = weights / "vocals.th"
    find = catalogue.find
    entry = dataclasses.replace(
        find("spleeter_2stems_vocals"), package="", file=path.name, format="state_dict"
    )

    def found(name: str) -> Checkpoint:
        if name != entry.name:
            return find(name)
        if not path.exists():
            return entry
        contents = path.read_bytes()
        if contents == LFS_POINTER:
            return entry
        sha256 = hashlib.sha256(contents).hexdigest()
        return dataclasses.replace(entry, sha256=sha256, size_bytes=len(contents))

    monkeypatch.setattr(checkpoints, "find", found)
    return path


def pointer(path: Path) -> None:
    path.write_bytes(LFS_POINTER)


def other_network(path: Path) -> None:
    torch.save({"conv.weight": torch.ones(2)}, path)


def cut_off(path: Path) -> None:
    other_network(path)
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no weights for 'spleeter_2stems_vocals' at"),
        (pointer, "is a Git-LFS pointer instead of 'spleeter_2stems_vocals'"),
        (other_network, "the weights 'spleeter_2stems_vocals' are for another network than"),
        (cut_off, "contains more than numbers or is damaged"),
    ],
    ids=["missing", "an LFS pointer", "another network", "cut off before it was registered"],
)
def test_separating_without_the_right_file_is_one_sentence(
    spleeter_weights: Path,
    tmp_path: Path,
    make: object,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert callable(make)
    make(spleeter_weights)
    (tmp_path / "song.wav").touch()  # the weights are opened before the song
    words = ["separate", str(tmp_path / "song.wav"), "-o", str(tmp_path / "out")]

    assert main([*words, "--recipe", "mdx_filters"]) == 2

    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
