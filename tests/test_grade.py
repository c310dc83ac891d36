"""The grader against submissions that fail, cheat, and go wild, in the sandbox.

Each test is a whole grade by the command line: real processes, namespaces, files.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from evaluator.errors import EvaluationError
from evaluator.grading.sandbox import Sandbox, in_image

ROOT = Path(__file__).parents[1]
STEMS = ("bass", "drums", "other", "vocals")
SONGS = ("one", "two", "three")
MARK = "GRADER_TEST"


def sandbox_works() -> str:
    try:
        Sandbox(ROOT).check()
    except EvaluationError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(sandbox_works()), reason=sandbox_works() or "works")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    for name in SONGS:
        (folder / name).mkdir()
        for stem in STEMS:
            audio = 0.05 * rng.standard_normal((22_050, 2))
            soundfile.write(folder / name / f"{stem}.wav", audio, 44_100)
        stems = [soundfile.read(folder / name / f"{stem}.wav")[0] for stem in STEMS]
        soundfile.write(folder / name / "mixture.wav", sum(stems), 44_100)
    return folder


@pytest.fixture(scope="module")
def submission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = tmp_path_factory.mktemp("submission") / "my_submission"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("fake_submission.py"), package / "aicrowd_wrapper.py")
    return package.parent


class Grade:
    """Grades the fake submission into a folder of its own."""

    def __init__(self, data: Path, submission: Path, output: Path) -> None:
        self.output = output
        self.mark = uuid.uuid4().hex
        self._command = [
            *(sys.executable, "-m", "evaluator", "grade", "--data", str(data)),
            *("--submission", str(submission), "--output", str(output)),
            *("--env", f"{MARK}={self.mark}"),
            *("--per-second", "6"),  # songs last half a second, and the machine may be busy
        ]

    def begin(self, *options: str, before: tuple[str, ...] = (), **env: str) -> Any:
        settings = [part for key, value in env.items() for part in ("--env", f"{key}={value}")]
        return subprocess.Popen(
            [*before, *self._command, *settings, *options],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *options: str, before: tuple[str, ...] = (), **env: str) -> Any:
        process = self.begin(*options, before=before, **env)
        out, err = process.communicate(timeout=100)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def results(self) -> dict[str, dict[str, Any]]:
        lines = (self.output / "grade.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        return {one["name"]: one for one in records if one["kind"] == "SongResult"}

    def outcomes(self) -> dict[str, str]:
        return {name: one["outcome"] for name, one in self.results().items()}

    def left_running(self) -> list[str]:
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found


@pytest.fixture
def grade(data: Path, submission: Path, tmp_path: Path) -> Iterator[Grade]:
    made = Grade(data, submission, tmp_path / "grade")
    yield made
    deadline = time.monotonic() + 5
    while made.left_running() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert made.left_running() == []


def test_a_clean_submission_is_scored_as_the_evaluator_does(grade: Grade, tmp_path: Path) -> None:
    done = grade("--json", str(tmp_path / "scores.json"))

    assert done.returncode == 0, done.stderr
    assert grade.outcomes() == dict.fromkeys(SONGS, "ok")
    assert "the server would score this submission" in done.stdout
    plain = subprocess.run(
        [
            *(sys.executable, "-m", "evaluator", str(grade.output / "references")),
            *(str(grade.output / "predictions"), "--json", str(tmp_path / "plain.json")),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert plain.returncode == 0
    assert (tmp_path / "scores.json").read_text() == (tmp_path / "plain.json").read_text()
    assert all(one["peak_bytes"] > 1e6 for one in grade.results().values())
    assert all(one["limit_s"] == pytest.approx(3.0) for one in grade.results().values())


@pytest.mark.parametrize(
    ("fault", "outcome", "said"),
    [
        ("raise ValueError('no')", "error", "ValueError: no"),
        ("import os; os.abort()", "died", "status 134"),
        ("import os; os._exit(0)", "died", "status 0"),
        ("import time; time.sleep(100)", "late", "alarm"),
        (
            "import signal, time; signal.signal(signal.SIGALRM, signal.SIG_IGN); time.sleep(100)",
            "late",
            "did not heed the alarm",
        ),
        (
            "import time\nwhile True:\n try: time.sleep(100)\n except BaseException: pass",
            "late",
            "did not heed the alarm",
        ),
        ("hold = [bytearray(b'1' * 10**7) for _ in range(100)]", "memory", "killed at"),
        (
            (
                "import time\nwith open('/tmp/big', 'wb') as file:\n"
                " for _ in range(40): file.write(bytes(10**6)); file.flush()\n"
                " time.sleep(0.5)"
            ),
            "error",
            "to the disk",
        ),
        ("(folder / 'bass.wav').unlink()", "incomplete", "bass.wav is missing"),
        ("(folder / 'bass.wav').write_bytes(b'RIFF')", "incomplete", "no audio file"),
        (
            (
                "import wave\nwith wave.open(str(folder / 'bass.wav'), 'wb') as file:\n"
                " file.setparams((2, 2, 44100, 0, 'NONE', '')); file.writeframes(bytes(400))"
            ),
            "incomplete",
            "100 samples, expected",
        ),
        (
            "import os; (folder / 'bass.wav').unlink(); os.mkfifo(folder / 'bass.wav')",
            "incomplete",
            "no plain file",
        ),
        (
            "import os\nfor fd in range(3, 20):\n try: os.write(fd, b'[]\\n')\n except OSError: 0",
            "error",
            "harness's own pipe",
        ),
    ],
)
def test_a_song_that_fails_costs_only_itself(
    grade: Grade, fault: str, outcome: str, said: str
) -> None:
    done = grade("--memory", "0.25", "--disk", "0.03", FAULT=fault, SONG="one")

    assert done.returncode == 1, done.stderr
    assert grade.outcomes() == {"one": outcome, "two": "ok", "three": "ok"}
    assert said in grade.results()["one"]["message"]
    assert "the server would reject this submission" in done.stdout


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("raise ImportError('no torch')", "error"),
        ("import os; os.kill(os.getpid(), 9)", "died"),
        ("import time; time.sleep(100)", "late"),
    ],
)
def test_a_submission_that_does_not_start_is_one_sentence(
    grade: Grade, fault: str, outcome: str
) -> None:
    done = grade("--setup", "0.5", FAULT=fault, WHEN="LOADING")

    assert done.returncode == 1
    assert f"error: the submission did not start ({outcome})" in done.stderr


def test_forks_are_bounded_and_end_with_their_song(grade: Grade) -> None:
    bomb = "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.01)"

    done = grade("--processes", "60", FAULT=bomb, SONG="two")

    assert done.returncode == 1
    assert grade.outcomes() == {"one": "ok", "two": "late", "three": "ok"}


def test_true_stems_are_out_of_reach(grade: Grade, data: Path) -> None:
    look = f"""
import os, pathlib
seen = [str(path) for path in pathlib.Path('/data').rglob('*') if path.is_file()]
assert all(path.endswith('mixture.wav') for path in seen), seen
readme = {str(ROOT / "README.md")!r}
for path in ({str(data)!r}, {str(grade.output)!r}, '/proc/1/root{data}', readme):
    assert not os.path.exists(path), path
# Whoever collects the stems could follow a link to them.
(folder / 'bass.wav').unlink()
os.symlink({str(data / "one" / "bass.wav")!r}, folder / 'bass.wav')
"""
    grade(FAULT=look, SONG="one")

    one = grade.results()["one"]
    assert (one["outcome"], "no plain file" in one["message"]) == ("incomplete", True), one


def test_a_link_in_place_of_a_folder_is_not_followed(grade: Grade, data: Path) -> None:
    swap = f"import os, shutil; shutil.rmtree(folder); os.symlink({str(data / 'one')!r}, folder)"

    grade(FAULT=swap, SONG="one")

    assert grade.results()["one"]["outcome"] == "incomplete"
    assert (data / "one" / "bass.wav").is_file()


def test_nothing_can_be_written_but_predictions_and_temporary_files(grade: Grade) -> None:
    write = """
import os
code = '/opt/submission'
for folder in ('/', code, code + '/my_submission', '/data', '/data/one', '/usr', '/grader'):
    try:
        open(os.path.join(folder, 'planted'), 'w')
    except OSError:
        continue
    raise AssertionError(folder)
open('/tmp/fine', 'w').write('x')
"""
    done = grade(FAULT=write)

    assert grade.outcomes() == dict.fromkeys(SONGS, "ok"), done.stderr


def test_the_network_is_not_there_and_who_asks_is_named(grade: Grade) -> None:
    ask = """
import socket
for address in (('192.0.2.7', 443), ('127.0.0.1', 9)):
    try:
        socket.create_connection(address, timeout=1)
    except OSError:
        pass
import subprocess, sys
code = "import socket; socket.getaddrinfo('weights.example.org', 80)"
subprocess.run([sys.executable, '-c', code], capture_output=True)
"""
    done = grade(FAULT=ask, SONG="one")

    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if line.startswith("asked for"))
    assert "192.0.2.7:443" in line
    assert "weights.example.org" in line
    assert "127.0.0.1" not in line


def test_what_was_taken_cannot_be_changed_later(grade: Grade) -> None:
    later = """
import builtins, os
if song == 'one':
    builtins.kept = os.open(folder / 'bass.wav', os.O_WRONLY)
elif song == 'two':
    os.pwrite(builtins.kept, b'damaged' * 100, 0)
"""
    grade(FAULT=later)

    kept = (grade.output / "predictions" / "one" / "bass.wav").read_bytes()
    assert kept[:4] == b"RIFF"
    assert b"damaged" not in kept


def test_a_grade_that_is_killed_goes_on_where_it_was(grade: Grade) -> None:
    rng = random.Random(7)
    slow = "import time; time.sleep(0.3)"
    known: dict[str, Any] = {}
    for _ in range(4):
        process = grade.begin("--resume", FAULT=slow)
        time.sleep(rng.uniform(0.5, 2.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (grade.output / "grade.jsonl").exists():
            results = grade.results()
            assert {name: results[name] for name in known} == known
            known = results
    done = grade("--resume", FAULT=slow)

    assert done.returncode == 0, done.stderr
    assert grade.outcomes() == dict.fromkeys(SONGS, "ok")
    assert {name: grade.results()[name] for name in known} == known
    assert sorted(path.name for path in grade.output.iterdir()) == [
        *("grade.json", "grade.jsonl", "mixtures", "predictions", "references")
    ]


def mounted(folder: Path, commands: str) -> tuple[str, ...]:
    """The beginning of a command that runs with a file system of its own in a folder."""
    unshare = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    folder.mkdir(parents=True, exist_ok=True)
    return (*unshare, "sh", "-ec", f'cd "{folder}"; {commands}; cd "{ROOT}"; exec "$@"', "sh")


def test_a_full_disk_loses_no_result(grade: Grade) -> None:
    # Room for references, mixtures, and the stems of about one song.
    sums = f"mount -t tmpfs -o size=1200k,mode=755 tmpfs {grade.output}; trap : EXIT"
    keep = grade.output.with_name("kept")
    before = mounted(grade.output, sums)
    script = f'"$@"; status=$?; cp -r {grade.output} {keep}; exit $status'
    done = grade(before=(*before, "sh", "-c", script, "sh"))

    assert done.returncode == 2
    assert "make room" in done.stderr
    assert done.stderr.count("Traceback") == 0
    lines = (keep / "grade.jsonl").read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    for one in results:
        assert one["outcome"] == "ok"
        for stem in STEMS:
            info = soundfile.info(keep / "predictions" / one["name"] / f"{stem}.wav")
            assert info.frames == 22_050


def test_predictions_that_cannot_be_written_are_one_sentence(grade: Grade) -> None:
    assert grade("--songs", "one").returncode == 0
    lock = f"mount --bind {grade.output}/predictions {grade.output}/predictions"
    lock += f"; mount -o remount,bind,ro {grade.output}/predictions"
    done = grade("--resume", "--songs", "one", before=mounted(grade.output, lock))
    assert done.returncode == 0, done.stderr  # it is there

    shutil.rmtree(grade.output / "predictions" / "one")
    done = grade("--resume", "--songs", "one", before=mounted(grade.output, lock))

    assert done.returncode == 2
    assert "which failed (Read-only file system)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_folders_that_are_not_a_grade_are_left_alone(
    grade: Grade, data: Path, resume: tuple[str, ...]
) -> None:
    shutil.copytree(data, grade.output / "references")

    for options, said in (
        ((), "something else"),
        (("--data", str(grade.output / "references")), "expected songs outside"),
    ):
        done = grade(*resume, *options)

        assert done.returncode == 2
        assert said in done.stderr
        assert {path.name for path in (grade.output / "references").iterdir()} == set(SONGS)
    assert [path.name for path in grade.output.iterdir()] == ["references"]


def test_another_grade_is_not_gone_on_with(grade: Grade) -> None:
    assert grade("--songs", "one").returncode == 0

    done = grade("--resume", "--songs", "two")

    assert done.returncode == 2
    assert "made with another profile, place or songs" in done.stderr


def test_the_interface_of_2021_is_served(grade: Grade, submission: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(submission, copy)
    (copy / "my_submission" / "mdx21.py").write_text(
        "import shutil\n"
        "class Old:\n"
        "    def prediction_setup(self): self.ready = True\n"
        "    def prediction(self, mixture_file_path, bass_file_path, drums_file_path,\n"
        "                   other_file_path, vocals_file_path):\n"
        "        for path in (bass_file_path, drums_file_path, other_file_path,\n"
        "                     vocals_file_path):\n"
        "            shutil.copy(mixture_file_path, path)\n",
        encoding="utf-8",
    )

    done = grade("--profile", "mdx21", "--submission", str(copy))

    assert done.returncode == 0, done.stderr
    assert grade.outcomes() == dict.fromkeys(SONGS, "ok")


def test_references_may_be_flac(grade: Grade, data: Path, tmp_path: Path) -> None:
    packed = tmp_path / "flac"
    for path in sorted(data.rglob("*.wav")):
        # The fake submission reads no floats, which a mixture in FLAC would become.
        suffix = ".wav" if path.stem == "mixture" else ".flac"
        target = packed / path.relative_to(data).with_suffix(suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, *soundfile.read(path))

    done = grade("--data", str(packed))

    assert done.returncode == 0, done.stderr
    assert grade.outcomes() == dict.fromkeys(SONGS, "ok")


def test_only_what_the_image_would_hold_is_visible(tmp_path: Path) -> None:
    for name in ("my_submission", "models", "tests", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "aicrowd.json").touch()

    def names() -> list[str]:
        return [path.name for path in in_image(tmp_path)]

    assert names() == ["aicrowd.json", "models", "my_submission", "tests"]
    (tmp_path / ".dockerignore").write_text("# only\n*\n!my_submission/\n!models/\n**/x/\n")
    assert names() == ["models", "my_submission"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", "nowhere"), "nowhere"),
        (("--songs", "four"), "no song named 'four' (have: one"),
        (("--submission", "docs"), "expected a folder with my_submission/"),
        (("--env", "x"), "expected --env NAME=VALUE"),
        (("--image", "x", "--engine", "no-such-engine"), "expected the engine 'no-such-engine'"),
        (("--profile", "cdx23"), "dialog"),
    ],
)
def test_bad_input_is_one_sentence(grade: Grade, options: tuple[str, ...], said: str) -> None:
    done = grade(*options)

    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not grade.output.exists()
