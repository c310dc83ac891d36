"""Small files that would cost gigabytes or hours, and files that are swapped, are refused."""

import contextlib
import hashlib
import os
import random
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.weights import bounds, checkpoints, own_file, readers
from demixing.weights.onnx_session import open_session
from demixing.weights.readers import Contents
from demixing.weights.safe_unpickling import MOST_STEPS
from demixing.weights.weight_file import WeightFile, opened
from tests import hostile_files
from tests.fuzz import cases
from tests.hostile_files import ATTACKS, Attack
from tests.test_checkpoints import entry_of

HARMLESS = (
    *("a large index of the memo", "a metric of 32 GB"),
    *("Concat that doubles", "a constant of 32 GB"),
)
"""Files that are read, without harm."""

MOST_BYTES = 400 << 20
"""Address space of a reader beyond what it has mapped: it opens the file, and has some threads."""


def read(format_: str, path: Path) -> object:
    if format_ == "onnx":
        return open_session(path)
    if format_ == "own_file":
        return own_file.read(path)
    if format_ == "onnx_archive":
        return checkpoints.sessions(replace(entry_of(path), format=format_), path)
    return readers.read(format_, path, 0 if format_ == "spleeter_archive" else None)


def refusal(format_: str, path: Path) -> str:
    """Why a file is refused; empty if it is read."""
    try:
        read(format_, path)
    except CheckpointError as error:
        return str(error)
    return ""


CASES = [
    pytest.param(
        attack,
        format_,
        id=f"{attack.name}-{format_}",
        marks=[pytest.mark.slow] if attack.large else [],
    )
    for attack in ATTACKS
    for format_ in (*attack.formats, *(["own_file"] if "state_dict" in attack.formats else []))
]


@pytest.mark.process
@pytest.mark.parametrize(("attack", "format_"), CASES)
def test_a_small_file_costs_little(
    attack: Attack, format_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "MOST_BYTES", MOST_BYTES)
    torch.set_num_threads(1)

    def refused(path: Path) -> None:
        said = refusal(format_, path)
        assert bool(said) == (attack.name not in HARMLESS) or format_ != attack.formats[0]
        assert "too little memory" not in said
        assert len(said) < 600
        assert "\n" not in said

    assert cases.finding(cases.Target(list, refused), attack.make(), tmp_path) is None


def test_honest_files_may_share_numbers(tmp_path: Path) -> None:
    shared = torch.ones(100, 100)
    state = {"a": shared, "b": shared, "c": shared.t(), "d": shared[:5]}
    torch.save(state, tmp_path / "a.th")

    found = readers.read("state_dict", tmp_path / "a.th").state

    assert all(torch.equal(found[key], state[key]) for key in state)
    assert found["a"].data_ptr() == found["b"].data_ptr()


def test_a_pickle_has_a_limited_number_of_steps(tmp_path: Path) -> None:
    contents = hostile_files.zipped(b"]" * (MOST_STEPS + 1), {})
    (tmp_path / "a.th").write_bytes(contents)

    with pytest.raises(CheckpointError, match="it has too many values"):
        readers.read("state_dict", tmp_path / "a.th")


@pytest.mark.parametrize("steps", [b"\x96\x00", b"\x97", b"\x82\x01", b"iposix\nsystem\n", b"2"])
def test_steps_that_no_file_of_tensors_needs_are_refused(tmp_path: Path, steps: bytes) -> None:
    (tmp_path / "a.th").write_bytes(hostile_files.zipped(b"}" + steps, {}))

    with pytest.raises(CheckpointError, match="a step that no file of tensors needs"):
        readers.read("lightning", tmp_path / "a.th")


def test_integers_of_one_hash_are_not_keys(tmp_path: Path) -> None:
    prime = (1 << 61) - 1
    table = hostile_files.table(*((hostile_files.integer(prime * i), b"N") for i in range(2, 9)))
    (tmp_path / "a.th").write_bytes(hostile_files.zipped(table, {}))

    with pytest.raises(CheckpointError, match="is the key of a dict"):
        readers.read("state_dict", tmp_path / "a.th")


@pytest.mark.parametrize(
    "value", ["[" * 50 + "]" * 50, {"a": [1] * 20_000}, 1 << 80, "a" * 200_000, {1: 2}, object()]
)
def test_what_is_not_plain(value: object) -> None:
    nested: object = value
    if isinstance(value, str) and value.startswith("["):
        nested = []
        for _ in range(30):
            nested = [nested]

    assert not bounds.is_plain(nested)


def test_messages_are_short_whatever_they_show() -> None:
    looped: list[object] = []
    looped.append(looped)
    shared: object = ()
    for _ in range(60):
        shared = (shared, shared)

    for value in (
        looped,
        shared,
        "a" * 10**6,
        1 << 10**6,
        dict.fromkeys(range(9), shared),
        b"x" * 999,
    ):
        assert len(bounds.shown(value)) <= 200


# One descriptor from verification to reading


def swapped(path: Path, other: bytes, stop: threading.Event) -> None:
    """Put another file in place of one, and the first one back, again and again.

    Each stays for 0 to 4 ms, so that swaps meet every moment of a load of about that length.
    """
    good, spare = path.read_bytes(), path.with_name("spare")
    pauses = random.Random(0)
    while not stop.is_set():
        for contents in (other, good):
            spare.write_bytes(contents)
            os.replace(spare, path)  # noqa: PTH105
            time.sleep(pauses.uniform(0, 0.004))


@pytest.mark.process
def test_a_file_that_is_swapped_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.th"
    torch.save({"w": torch.full((50_000,), 2.0)}, path)
    other = path.read_bytes()
    torch.save({"w": torch.full((50_000,), 1.0)}, path)
    entry = replace(entry_of(path), format="state_dict")
    stop = threading.Event()
    thread = threading.Thread(target=swapped, args=(path, other, stop))
    thread.start()
    try:
        for _ in range(200):
            with contextlib.suppress(CheckpointError):  # it was another file, or changed meanwhile
                assert checkpoints.load(entry, path)["w"][0] == 1.0
    finally:
        stop.set()
        thread.join()

    # On a busy machine every load above may have met a swap. At rest the file is read.
    assert checkpoints.load(entry, path)["w"][0] == 1.0


def test_a_file_is_not_opened_again_after_it_was_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.th"
    torch.save({"w": torch.ones(3)}, path)
    entry = replace(entry_of(path), format="state_dict")
    verified = readers.read

    def swapping(format_: str, file: WeightFile, part: int | None) -> Contents:
        torch.save({"w": torch.zeros(3)}, tmp_path / "other")
        (tmp_path / "other").replace(path)
        found = verified(format_, file, part)
        seen.append(found.state["w"])
        return found

    seen: list[Tensor] = []
    monkeypatch.setattr(readers, "read", swapping)

    with contextlib.suppress(CheckpointError):  # the first file's number of links has changed
        checkpoints.load(entry, path)

    assert seen[0].tolist() == [1, 1, 1]


def test_a_file_that_is_written_to_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.th"
    torch.save({"w": torch.ones(3)}, path)
    entry = replace(entry_of(path), format="state_dict")
    verified = readers.read

    def writing(format_: str, file: WeightFile, part: int | None) -> Contents:
        found = verified(format_, file, part)
        path.write_bytes(path.read_bytes() + b"x")
        return found

    monkeypatch.setattr(readers, "read", writing)

    with pytest.raises(CheckpointError, match="was changed while it was read; try again"):
        checkpoints.load(entry, path)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.th"
    path.write_bytes(b"x")
    entry = replace(entry_of(path), sha256=hashlib.sha256(b"").hexdigest())
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")

    with pytest.raises(OSError, match=r"not a file|Is a directory|No such device"), opened(path):
        pass
    with pytest.raises(CheckpointError, match="no weights for"):
        checkpoints.load(entry, path)
