"""The grader against submissions that fail, cheat, or run wild, in the sandbox.

The sandbox is real: processes, namespaces, files. Only the grader runs in this process, unless it
has to be killed, or to see another file system.

A song may take two minutes for each of its seconds, so no machine is too slow for a good one. Songs
that hang do so forever, so they are very short.
"""

import json
import os
import shutil
import signal
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile

from demixing.evaluation import output_lock
from evaluator.__main__ import main
from evaluator.grading import session
from evaluator.grading.sandbox import in_image
from tests.home_grader import (
    HANG,
    NEEDS_SANDBOX,
    ROOT,
    SAMPLES,
    SHORT,
    SONGS,
    STEMS,
    Done,
    Grade,
    grading,
    write_songs,
    write_submission,
)
from tests.waiting import begun, until

pytestmark = NEEDS_SANDBOX


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_songs(tmp_path_factory.mktemp("songs"), dict.fromkeys(SONGS, SAMPLES))


@pytest.fixture(scope="module")
def submission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_submission(tmp_path_factory.mktemp("submission"))


@pytest.fixture
def grade(data: Path, submission: Path, tmp_path: Path) -> Iterator[Grade]:
    with grading(data, submission, tmp_path / "grade") as made:
        yield made


def test_a_clean_submission_is_scored_as_the_evaluator_does(grade: Grade, tmp_path: Path) -> None:
    done = grade.process("--json", str(tmp_path / "scores.json"))

    assert done.status == 0, done.err
    assert grade.outcomes() == dict.fromkeys(SONGS, "ok")
    assert "the server would score this submission" in done.out
    folders = (grade.output / "references", grade.output / "predictions")
    main([*map(str, folders), "--json", str(tmp_path / "plain.json")])
    assert (tmp_path / "scores.json").read_text() == (tmp_path / "plain.json").read_text()
    assert all(one["peak_bytes"] > 1e6 for one in grade.results().values())
    assert all(one["limit_s"] == pytest.approx(60.0) for one in grade.results().values())


FAULTS = {
    "raises": ("raise ValueError('no')", "error", "ValueError: no"),
    "aborts": ("import os; os.abort()", "died", "status 134"),
    "exits": ("import os; os._exit(0)", "died", "status 0"),
    "hangs": (HANG, "late", "alarm"),
    # A song that uses too much keeps doing so until the grader checks.
    "memory": (f"hold = b'1' * 3 * 10**8; {HANG}", "memory", "killed"),
    "disk": (
        "for name in ('/tmp/one', '/shared/predictions/two'):\n"
        " with open(name, 'wb') as file: file.write(bytes(2 * 10**7))\n" + HANG,
        "error",
        "to the disk",
    ),
    "full": (
        (
            "import os\ntry: open('/tmp/one', 'wb').write(bytes(4 * 10**7))\n"
            "finally: os.unlink('/tmp/one')"
        ),
        "error",
        "",  # the system's own message, or that of a check at the same moment
    ),
    "no_stem": ("(folder / 'bass.wav').unlink()", "incomplete", "bass.wav is missing"),
    "no_audio": (
        "(folder / 'bass.wav').write_bytes(b'RIFF')",
        "incomplete",
        "not a readable audio",
    ),
    "too_short": (
        (
            "import wave\nwith wave.open(str(folder / 'bass.wav'), 'wb') as file:\n"
            " file.setparams((2, 2, 44100, 0, 'NONE', '')); file.writeframes(bytes(400))"
        ),
        "incomplete",
        "100 samples, expected",
    ),
    "pipe": (
        "import os; (folder / 'bass.wav').unlink(); os.mkfifo(folder / 'bass.wav')",
        "incomplete",
        "not a regular file",
    ),
    "speaks": (
        "import os\nfor fd in range(3, 20):\n try: os.write(fd, b'[]\\n')\n except OSError: 0",
        "error",
        "harness's own pipe",
    ),
}
"""Python code, outcome, and part of the message, by song."""

DEAF = {
    "ignores_the_alarm": f"import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN); {HANG}",
    "catches_the_alarm": (
        "import signal, time\nwhile True:\n try:\n"
        "  signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM]); time.sleep(10**6)\n"
        " except BaseException: pass"
    ),
}
HOLD_ALARMS = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])"
"""No alarm comes before a song is ready for it, however slow the machine is."""


def one_grade_of(
    faults: Mapping[str, str],
    *options: str,
    folder: Path,
    submission: Path,
    late: Collection[str],
    loading: str = "",
) -> tuple[Done, Grade]:
    """Grade a song for each fault, short ones for ``late``, and a good ``_next`` after each."""
    lengths: dict[str, int] = {}
    for name in faults:
        lengths |= {name: SHORT if name in late else SAMPLES, f"{name}_next": SAMPLES}
    data = write_songs(folder / "songs", lengths)
    with grading(data, submission, folder / "grade") as grade:
        return grade(*options, **faults, **{"": loading}), grade


@pytest.fixture(scope="module")
def faulty(
    tmp_path_factory: pytest.TempPathFactory, submission: Path
) -> Iterator[tuple[Done, Grade]]:
    """One grade of all :data:`FAULTS`; the alarm has all the time that it needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "GRACE_S", 60.0)
        yield one_grade_of(
            {name: fault for name, (fault, _, _) in FAULTS.items()},
            *("--memory", "0.25", "--disk", "0.03"),
            folder=tmp_path_factory.mktemp("faulty"),
            submission=submission,
            late=("hangs",),
        )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_song_that_fails_costs_only_itself(faulty: tuple[Done, Grade], fault: str) -> None:
    done, grade = faulty
    _, outcome, said = FAULTS[fault]

    assert done.status == 1, done.err
    assert grade.outcomes()[fault] == outcome, grade.results()[fault]
    assert said in grade.results()[fault]["message"]
    assert grade.outcomes()[f"{fault}_next"] == "ok", grade.results()[f"{fault}_next"]
    assert "the server would reject this submission" in done.out


def test_a_submission_that_ignores_the_alarm_is_killed(
    tmp_path: Path, submission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "GRACE_S", 0.5)

    done, grade = one_grade_of(
        DEAF, folder=tmp_path, submission=submission, late=DEAF, loading=HOLD_ALARMS
    )

    assert done.status == 1, done.err
    for song in DEAF:
        assert grade.outcomes()[song] == "late"
        assert "ignored the alarm" in grade.results()[song]["message"]
        assert grade.outcomes()[f"{song}_next"] == "ok"


@pytest.mark.parametrize(
    ("fault", "outcome", "options"),
    [
        ("raise ImportError('no torch')", "error", ()),
        ("import os; os.kill(os.getpid(), 9)", "died", ()),
        (HANG, "late", ("--setup", "0.5")),
    ],
)
def test_a_submission_that_does_not_start_is_one_sentence(
    grade: Grade, fault: str, outcome: str, options: tuple[str, ...]
) -> None:
    done = grade(*options, **{"": fault})

    assert done.status == 1
    assert f"error: the submission did not start ({outcome})" in done.err


def test_each_start_grades_at_least_one_song(grade: Grade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.Session, "alive", False)

    grade("--songs", "one", "two")

    assert grade.outcomes() == {"one": "ok", "two": "ok"}


def test_forks_are_bounded_and_end_with_their_grade(grade: Grade) -> None:
    bomb = (
        "import os, time\ncount = 0\n"
        "try:\n while os.fork(): count += 1\n"
        "except OSError: raise RuntimeError(f'{count} forks')\n"
        "time.sleep(10**6)"
    )

    done = grade("--processes", "60", one=bomb)

    assert done.status == 1
    assert grade.outcomes() == {"one": "error", "three": "ok", "two": "ok"}
    forks = int(grade.results()["one"]["message"].removeprefix("RuntimeError: ").split()[0])
    assert forks < 60


def test_true_stems_are_out_of_reach(grade: Grade, data: Path) -> None:
    """Two songs look for true stems, and the second one for those of the first."""
    look = f"""
import builtins, os, pathlib
seen = [str(path) for path in pathlib.Path('/data').rglob('*') if path.is_file()]
assert all(path.endswith('mixture.wav') for path in seen), seen
readme = {str(ROOT / "README.md")!r}
for path in ({str(data)!r}, {str(grade.output)!r}, '/proc/1/root{data}', readme):
    assert not os.path.exists(path), path
# A link to the true stems, which the grader could follow.
(folder / 'bass.wav').unlink()
os.symlink({str(data / "one" / "bass.wav")!r}, folder / 'bass.wav')
"""
    swap = f"import os, shutil; shutil.rmtree(folder); os.symlink({str(data / 'one')!r}, folder)"

    grade(one=look, three=swap)

    one = grade.results()["one"]
    assert (one["outcome"], "not a regular file" in one["message"]) == ("incomplete", True), one
    assert grade.outcomes() == {"one": "incomplete", "three": "incomplete", "two": "ok"}
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
    done = grade(**dict.fromkeys(SONGS, write))

    assert grade.outcomes() == dict.fromkeys(SONGS, "ok"), done.err


def test_there_is_no_network_and_requests_for_it_are_reported(grade: Grade) -> None:
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
    done = grade(one=ask)

    assert done.status == 0
    line = next(line for line in done.out.splitlines() if line.startswith("requested"))
    assert "192.0.2.7:443" in line
    assert "weights.example.org" in line
    assert "127.0.0.1" not in line


def test_collected_stems_cannot_be_changed_later(grade: Grade) -> None:
    keep = "import builtins, os; builtins.kept = os.open(folder / 'bass.wav', os.O_WRONLY)"
    damage = "import builtins, os; os.pwrite(builtins.kept, b'damaged' * 100, 0)"

    grade(one=keep, three=damage)

    assert grade.outcomes() == dict.fromkeys(SONGS, "ok")
    kept = (grade.output / "predictions" / "one" / "bass.wav").read_bytes()
    assert kept[:4] == b"RIFF"
    assert b"damaged" not in kept


def test_a_killed_grade_can_be_resumed(grade: Grade) -> None:
    """Killed at the start, in the first song, and in the last."""
    known: dict[str, Any] = {}
    for hanging, in_song in (("one", False), ("one", True), ("two", True)):
        faults = {hanging: f"print('there'); {HANG}"}
        with begun(grade.command("--resume", faults=faults)) as process:
            if in_song:
                assert process.stderr is not None
                assert "there\n" in iter(process.stderr.readline, "")
            else:
                until((grade.output / "grade.json").exists)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        results = grade.results() if (grade.output / "grade.jsonl").exists() else {}
        assert {name: results[name] for name in known} == known
        known = results
    assert set(known) == {"one", "three"}
    (grade.output / ".unfinished-report").touch()

    done = grade("--resume")

    assert done.status == 0, done.err
    assert grade.outcomes() == dict.fromkeys(SONGS, "ok")
    assert {name: grade.results()[name] for name in known} == known
    assert sorted(path.name for path in grade.output.iterdir()) == [
        *("grade.json", "grade.jsonl", "mixtures", "predictions", "references")
    ]


def mounted(folder: Path, commands: str) -> tuple[str, ...]:
    """First words of a command that runs with its own file system in a folder."""
    unshare = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    folder.mkdir(parents=True, exist_ok=True)
    return (*unshare, "sh", "-ec", f'cd "{folder}"; {commands}; cd "{ROOT}"; exec "$@"', "sh")


def test_a_full_disk_loses_no_result(grade: Grade) -> None:
    # Room for references, mixtures, and the stems of about one song.
    sums = f"mount -t tmpfs -o size=1200k,mode=755 tmpfs {grade.output}; trap : EXIT"
    keep = grade.output.with_name("kept")
    before = mounted(grade.output, sums)
    script = f'"$@"; status=$?; cp -r {grade.output} {keep}; exit $status'
    done = grade.process(before=(*before, "sh", "-c", script, "sh"))

    assert done.status == 2
    assert "free some space" in done.err
    assert done.err.count("Traceback") == 0
    lines = (keep / "grade.jsonl").read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    for one in results:
        assert one["outcome"] == "ok"
        for stem in STEMS:
            info = soundfile.info(keep / "predictions" / one["name"] / f"{stem}.wav")
            assert info.frames == SAMPLES


def test_predictions_that_cannot_be_written_are_one_sentence(grade: Grade) -> None:
    assert grade("--songs", "one").status == 0
    lock = f"mount --bind {grade.output}/predictions {grade.output}/predictions"
    lock += f"; mount -o remount,bind,ro {grade.output}/predictions"
    done = grade.process("--resume", "--songs", "one", before=mounted(grade.output, lock))
    assert done.status == 0, done.err  # it is there

    shutil.rmtree(grade.output / "predictions" / "one")
    done = grade.process("--resume", "--songs", "one", before=mounted(grade.output, lock))

    assert done.status == 2
    assert "(Read-only file system)" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_folders_that_are_not_a_grade_are_left_alone(
    grade: Grade, data: Path, resume: tuple[str, ...]
) -> None:
    shutil.copytree(data, grade.output / "references")

    for options, said in (
        ((), "other contents"),
        (("--data", str(grade.output / "references")), "expected songs outside"),
    ):
        done = grade(*resume, *options)

        assert done.status == 2
        assert said in done.err
        assert {path.name for path in (grade.output / "references").iterdir()} == set(SONGS)
    assert [path.name for path in grade.output.iterdir()] == ["references"]


def test_a_second_grade_leaves_the_files_of_the_first_alone(grade: Grade) -> None:
    grade("--songs", "one")
    live = grade.output / f"{session.PREFIX}live"
    live.mkdir()
    before = sorted(grade.output.rglob("*"))

    with output_lock.held(grade.output):
        done = grade("--songs", "two")

    assert done.status == 2
    assert f"error: another run is at work in {str(grade.output)!r}; wait for it" in done.err
    assert sorted(grade.output.rglob("*")) == before


def test_a_song_may_be_called_like_the_mixture(submission: Path, tmp_path: Path) -> None:
    lengths = dict.fromkeys(("m", "mix", "mixture"), SAMPLES)
    data = write_songs(tmp_path / "songs", lengths)
    with grading(data, submission, tmp_path / "grade") as grade:
        done = grade()

    assert done.status == 0, done.err
    for name in lengths:
        found = [path.name for path in (grade.output / "mixtures" / name).iterdir()]
        assert found == ["mixture.wav"]


def test_another_grade_is_not_resumed(grade: Grade) -> None:
    assert grade("--songs", "one").status == 0

    done = grade("--resume", "--songs", "two")

    assert done.status == 2
    assert "made with another profile, runner or songs" in done.err


def test_the_interface_of_2021_is_supported(grade: Grade, submission: Path, tmp_path: Path) -> None:
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

    assert done.status == 0, done.err
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

    assert done.status == 0, done.err
    assert grade.outcomes() == dict.fromkeys(SONGS, "ok")


def test_only_the_contents_of_the_image_are_visible(tmp_path: Path) -> None:
    for name in ("my_submission", "models", "tests", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "aicrowd.json").touch()

    def names() -> list[str]:
        return [path.name for path in in_image(tmp_path)]

    assert names() == ["aicrowd.json", "models", "my_submission", "tests"]
    (tmp_path / ".dockerignore").write_text("# only\n*\n!my_submission/\n!models/\n**/x/\n")
    assert names() == ["models", "my_submission"]


def test_folders_that_the_image_leaves_out_are_empty(
    grade: Grade, submission: Path, tmp_path: Path
) -> None:
    shutil.copytree(submission, tmp_path / "copy")
    for name in ("kept", "left_out"):
        (tmp_path / "copy" / "my_submission" / name).mkdir()
        (tmp_path / "copy" / "my_submission" / name / "file").touch()
    (tmp_path / "copy" / ".dockerignore").write_text(
        "*\n!my_submission/\nmy_submission/left_out/\n"
    )
    look = (
        "import os\nraise RuntimeError(str([os.listdir(f'my_submission/{name}') "
        "for name in ('kept', 'left_out')]))"
    )

    grade("--submission", str(tmp_path / "copy"), "--songs", "one", one=look)

    assert grade.results()["one"]["message"] == "RuntimeError: [['file'], []]"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", "nowhere"), "nowhere"),
        (("--songs", "four"), "no song named 'four' (available: one"),
        (("--submission", "docs"), "expected a folder with my_submission/"),
        (("--env", "x"), "expected --env NAME=VALUE"),
        (
            ("--image", "x", "--engine", "no-such-engine"),
            "cannot start the engine 'no-such-engine'",
        ),
        (("--profile", "cdx23"), "dialog"),
        (("--processes", "0"), "--processes: expected a whole number from 1 to 4194304, got '0'"),
        (("--processes", "-5"), "got '-5'"),
        (("--processes", "4194305"), "got '4194305'"),
        (("--cpus", "0"), "--cpus: expected a number from 1e-06 to 1000000000, got '0'"),
        (("--memory", "1e-12"), "got '1e-12'"),
        (("--disk", "1e300"), "got '1e300'"),
        (("--setup", "nan"), "got 'nan'"),
    ],
)
def test_bad_input_is_one_sentence(grade: Grade, options: tuple[str, ...], said: str) -> None:
    done = grade(*options)

    assert done.status == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not grade.output.exists()


def test_a_submission_to_the_other_track_is_not_started(
    grade: Grade, submission: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(submission, tmp_path / "copy")
    challenge = "cinematic-sound-demixing-track-cdx-23"
    (copy / "aicrowd.json").write_text(json.dumps({"challenge_id": challenge}), "utf-8-sig")

    wrong = grade("--submission", str(copy))

    assert wrong.status == 2
    assert (
        f"expected a submission to MDX, the track of mdx23 and its songs, found '{challenge}'"
        in (wrong.err)
    )
    assert "add --env DEMIX_TRACK=mdx" in wrong.err
    assert wrong.err.count("\n") == 1
    assert not grade.output.exists()

    right = grade("--submission", str(copy), "--env", "DEMIX_TRACK=mdx")

    assert right.status == 0, right.err
