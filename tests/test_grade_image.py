"""The grader's commands for a container engine; a stand-in for docker logs and runs them."""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing.errors import EvaluationError
from evaluator.grading import session
from evaluator.grading.command import main
from evaluator.grading.container import Contained, Container
from evaluator.grading.profiles import Profile
from evaluator.grading.runners import Mounts

HERE = Path(__file__).parent


@pytest.fixture
def engine(tmp_path: Path) -> str:
    package = tmp_path / "image" / "my_submission"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    text = (HERE / "fake_submission.py").read_text(encoding="utf-8")
    (package / "aicrowd_wrapper.py").write_text(text, encoding="utf-8")
    program = [sys.executable, str(HERE / "fake_engine.py"), str(tmp_path / "log")]
    return shlex.join([*program, str(package.parent)])


def said(tmp_path: Path) -> list[list[str]]:
    return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    for stem in ("bass", "drums", "other", "vocals"):
        path = tmp_path / "songs" / "one" / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.random.default_rng(1).standard_normal((4410, 2)), 44_100)
    mixture = path.with_name("mixture.wav")
    soundfile.write(mixture, np.zeros((4410, 2)), 44_100)
    return tmp_path / "songs"


@pytest.mark.process
def test_an_image_gets_the_limits_of_the_server_and_no_network(
    tmp_path: Path, engine: str, songs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--image", "mine", "--engine", engine, "--data", str(songs), "--per-second=600"]
    arguments += ["--output", str(tmp_path / "out"), "--engine-option=--gpus=all"]

    status = main([*arguments, "--env", "A=b"])

    assert status == 0, capsys.readouterr().err
    assert "all 1 songs in time" in capsys.readouterr().out
    run = next(words for words in said(tmp_path) if words[0] == "run")
    for option in (
        *("--rm", "--interactive", "--network=none", "--cpus=4", f"--memory={16 * 2**30}b"),
        *(f"--memory-swap={16 * 2**30}b", "--pids-limit=1024", "--gpus=all", "--env=A=b"),
        *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
        *("--env=AICROWD_DATASET_DIR=/data", "--env=AICROWD_PUBLIC_SHARED_DIR=/shared"),
        f"--volume={tmp_path / 'out' / 'mixtures'}:/data:ro",
    ):
        assert option in run
    assert run.index("--gpus=all") < run.index("mine")
    assert not any("references" in word for word in run)


@pytest.fixture
def private() -> Iterator[None]:
    """Files that this process makes are closed to other users."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.process
@pytest.mark.usefixtures("private")
def test_the_user_of_an_image_can_read_its_input_with_any_umask(
    tmp_path: Path, engine: str, songs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: dict[str, int] = {}
    start = Container.start

    def noted(self: Container, profile: Profile, mounts: Mounts) -> Contained:
        for folder in (mounts.mixtures, mounts.inside):
            for path in (folder, *folder.rglob("*")):
                modes[path.name] = path.stat().st_mode & 0o777
        return start(self, profile, mounts)

    monkeypatch.setattr(Container, "start", noted)
    (songs / "one" / "mixture.wav").chmod(0o600)
    arguments = ["--image", "mine", "--engine", engine, "--data", str(songs), "--per-second=600"]

    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0

    assert modes == {
        **dict.fromkeys(("mixtures", "one", "inside"), 0o755),
        **dict.fromkeys(("mixture.wav", "harness.py", "sitecustomize.py"), 0o644),
    }


@pytest.mark.process
def test_a_container_that_hangs_is_killed_by_its_name(
    tmp_path: Path, engine: str, songs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "GRACE_S", 0.5)
    faults = {
        "": "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)",
        "one": "import time; time.sleep(10**6)",
    }
    arguments = ["--image", "mine", "--engine", engine, "--data", str(songs), "--per-second=10"]
    arguments += ["--output", str(tmp_path / "out"), "--env", f"FAULTS={json.dumps(faults)}"]

    assert main(arguments) == 1

    run = next(words for words in said(tmp_path) if words[0] == "run")
    name = next(word for word in run if word.startswith("--name=")).removeprefix("--name=")
    assert ["kill", name] in said(tmp_path)


@pytest.mark.process
def test_a_missing_image_is_one_sentence(engine: str) -> None:
    with pytest.raises(EvaluationError, match=r"reports: Error: no such image; run `make image`"):
        Container("missing", engine).check()


def test_no_engine_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(EvaluationError, match="expected docker or podman"):
        Container("mine").check()


@pytest.mark.process
def test_a_track_that_does_not_match_is_said_before_a_container_is_started(
    tmp_path: Path, engine: str, songs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image may come from another folder, so this is only a warning."""
    challenge = {"challenge_id": "cinematic-sound-demixing-track-cdx-23"}
    (tmp_path / "aicrowd.json").write_text(json.dumps(challenge), encoding="utf-8")
    arguments = ["--image", "mine", "--engine", engine, "--data", str(songs), "--per-second=600"]
    arguments += ["--output", str(tmp_path / "out"), "--submission", str(tmp_path)]

    main(arguments)

    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("warning, if the image was built from this folder: expected")
    assert "--env DEMIX_TRACK=mdx" in lines[0]
