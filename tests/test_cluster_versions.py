"""What must be the same on all machines of a Ray cluster, and what a user reads if it is not."""

import importlib
import sys
from pathlib import Path

import pytest

from demixing.cluster import on_ray, ray_actor

OWN = {"machine": "here", "demixing": "0.2.0", "code": "abc", "torch": "2.13.0"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with one module, in place of this one."""
    module = tmp_path / "other_package" / "a.py"
    module.parent.mkdir()
    module.write_bytes(b"x = 1\n")
    monkeypatch.setattr(ray_actor, "PACKAGE", "other_package")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    return module


def test_code_differs_if_a_module_does_and_not_by_line_ends_or_hidden_files(package: Path) -> None:
    before = ray_actor.code()
    package.write_bytes(b"x = 1\r\n")
    assert ray_actor.code() == before

    package.with_name(".#a.py").symlink_to("me@machine.1234")  # an editor's lock
    (package.parent / ".checkpoints").mkdir()
    package.with_name(".checkpoints").joinpath("a.py").write_bytes(b"x = 0\n")
    assert ray_actor.code() == before

    package.write_bytes(b"x = 2\n")
    assert ray_actor.code() not in ("", before)
    package.rename(package.with_name("b.py"))
    assert len({ray_actor.code(), before, ""}) == 3


def test_a_torch_for_another_device_is_the_same_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_actor, "version", lambda name: "2.13.0+cu128")

    assert ray_actor.facts()["torch"] == "2.13.0"


def test_a_worker_with_another_version_does_not_begin() -> None:
    worker = ray_actor.Actor({**ray_actor.facts(), "torch": "0.1"}, b"is not read")

    assert worker.get_ready() == ray_actor.facts()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"torch": "2.12.1"},
            "'there' of the Ray cluster has demixing 0.2.0 (code abc) and torch 2",
        ),
        ({"code": "", "demixing": ""}, "'there' of the Ray cluster has no demixing, but this one"),
        (
            {"torch": ""},
            "and no torch, but this one has demixing 0.2.0 (code abc) and torch 2.13.0:",
        ),
    ],
)
def test_a_difference_is_one_sentence(found: dict[str, str], words: str) -> None:
    said = on_ray.refusal(OWN, {**OWN, "machine": "there", **found})

    assert words in said
    assert said.endswith("install the same on both, then run the same command again")
