"""The grader's defences one by one; most need no sandbox."""

import dataclasses
import json
import os
import shutil
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demixing.errors import EvaluationError
from demixing.evaluation.audio import Layout
from evaluator.grading import (
    bubblewrap,
    cgroup,
    clearing,
    messages,
    monitor,
    records,
    sandbox,
    seccomp,
)
from evaluator.grading.cgroup import Group, Limits
from evaluator.grading.collecting import collect
from evaluator.grading.output import LONGEST_LINE, MOST_BYTES, Output
from evaluator.grading.profiles import PROFILES
from evaluator.grading.sandbox import Sandbox
from tests.home_grader import (
    HANG,
    NEEDS_SANDBOX,
    ROOT,
    SAMPLES,
    STEMS,
    Grade,
    grading,
    write_songs,
    write_submission,
)
from tests.waiting import begun, until

LAYOUT = Layout(44_100, 2, 100)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder in which a submission has written good stems of the song ``a``."""
    folder = tmp_path / "shared" / "predictions" / "a"
    folder.mkdir(parents=True)
    for stem in STEMS:
        soundfile.write(folder / f"{stem}.wav", np.zeros((100, 2)), 44_100)
    return folder.parent


@pytest.fixture
def held(shared: Path) -> Iterator[int]:
    """A descriptor of the folder of predictions."""
    descriptor = os.open(shared, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def test_a_link_in_place_of_predictions_leads_nowhere(
    shared: Path, held: int, target: Path, tmp_path: Path
) -> None:
    true = tmp_path / "references" / "a"
    true.mkdir(parents=True)
    for stem in STEMS:
        soundfile.write(true / f"{stem}.wav", np.full((100, 2), 0.5), 44_100)
    shared.rename(shared.with_name("away"))
    shared.symlink_to(tmp_path / "references")

    assert not collect("a", "mdx", held, target, LAYOUT)
    clearing.clear(held, ["a"])

    assert not soundfile.read(target / "a" / "bass.wav")[0].any()
    assert len(list(true.iterdir())) == len(STEMS)
    assert not list(shared.with_name("away").iterdir())


def test_a_stem_that_grows_while_it_is_copied_is_refused(
    shared: Path, held: int, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(descriptor: int, count: int) -> bytes:
        with (shared / "a" / "bass.wav").open("ab") as file:
            file.write(bytes(count))
        return read(descriptor, count)

    read = os.read
    monkeypatch.setattr(os, "read", grow)

    assert "grew beyond" in collect("a", "mdx", held, target, LAYOUT)
    assert not list(target.iterdir())


def test_a_stem_that_becomes_a_pipe_does_not_block(
    shared: Path, held: int, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap(*arguments: object, **named: object) -> os.stat_result:
        found = status(*arguments, **named)  # type: ignore[arg-type]
        monkeypatch.setattr(os, "stat", status)
        (shared / "a" / "bass.wav").unlink()
        os.mkfifo(shared / "a" / "bass.wav")
        return found

    status = os.stat
    monkeypatch.setattr(os, "stat", swap)

    assert "not a regular file" in collect("a", "mdx", held, target, LAYOUT)


def test_any_tree_is_deleted_and_no_link_is_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    descriptor = os.open(tree, os.O_RDONLY)
    here = os.open(".", os.O_RDONLY)
    os.chdir(tree)
    for _ in range(1100):  # more than Python may recurse
        os.mkdir("d")  # noqa: PTH102
        os.chdir("d")
        Path("link").symlink_to(kept)
    os.fchdir(here)
    os.close(here)

    assert monitor.disk(descriptor)[1] > monitor.MOST_ENTRIES
    assert clearing.clear(descriptor)

    assert not list(tree.iterdir())
    assert (kept / "file").exists()
    os.close(descriptor)


def test_deleting_has_an_end(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").touch()
    descriptor = os.open(tmp_path, os.O_RDONLY)

    assert not clearing.clear(descriptor, [f"{number}" for number in range(20)], most=5)

    assert len(list(tmp_path.iterdir())) == 15
    os.close(descriptor)


ARRAY = '{"dtype": "f", "shape": %s, "rate_hz": 1, "finite": true, "peak": 1.0}'


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 60_000,
        b"null",
        b'{"outcome": 1}',
        b'{"outcome": "best"}',
        b'{"outcome": "ok", "message": ["x"]}',
        b'{"outcome": "ok", "import_s": 1' + b"0" * 400 + b"}",
        b'{"outcome": "ok", "import_s": 1e400}',
        b'{"outcome": "ok", "import_s": NaN}',
        b'{"outcome": "ok", "import_s": true}',
        b'{"outcome": "ok", "arrays": []}',
        *(
            b'{"outcome": "ok", "arrays": {"a": %b}}' % (ARRAY % shape).encode()
            for shape in ("[Infinity]", "[1e400]", "[1.5]", "7", '["1"]', "[1" + "0" * 30 + "]")
        ),
        b"\xff\xfe",
    ],
)
def test_messages_of_other_types_are_not_the_harness_s(line: bytes) -> None:
    assert messages.parse(line) is None


def test_long_messages_are_cut() -> None:
    text = json.dumps({"outcome": "error", "message": "x" * 5000, "arrays": {}})
    many = {f"{number}": json.loads(ARRAY % "[1]") for number in range(50)}

    parsed = messages.parse(text.encode())
    crowded = messages.parse(json.dumps({"outcome": "ok", "arrays": many}).encode())

    assert parsed is not None
    assert len(parsed.message) == messages.SHOWN
    assert crowded is not None
    assert not crowded.arrays


SONG = {"kind": "SongResult", "name": "a", "seconds": 1.0, "limit_s": 2.0}
GOOD = SONG | {"peak_bytes": 3, "outcome": "ok", "message": "", "arrays": {}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seconds": "long"}, "a record of a grade.seconds to be a finite number, got 'long'"),
        ({"arrays": {"bass": 1}}, "arrays.'bass' to be a table, got 1"),
        ({"name": None}, "a record of a grade.name to be a text, got None"),
        ({"outcome": "fine"}, "an outcome of ok, late"),
        ({"kind": []}, "a record of a grade.kind to be a text, got a list"),
        ({"kind": "Other"}, "one of another kind"),
        ({"peak_bytes": 10**30}, "a whole number of at most 19 digits"),
    ],
)
def test_records_of_other_types_are_one_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="expected a record") as refused:
        records.parse(json.dumps(GOOD | change))

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_deep_record_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="brackets are too deep"):
        records.parse("[" * 100_000)


def run(program: bytes, machine: int, number: int, *arguments: int) -> int:
    """Run a filter as the kernel does, and return its decision."""
    call = struct.pack("=iIQ6Q", number, machine, 0, *arguments, *[0] * (6 - len(arguments)))
    lines = list(struct.iter_unpack("=HBBI", program))
    at, loaded = 0, 0
    while True:
        code, yes, no, constant = lines[at]
        at += 1
        if code == 0x06:
            return int(constant)
        if code == 0x20:
            loaded = int.from_bytes(call[constant : constant + 4], "little")
            continue
        test = {0x15: loaded == constant, 0x35: loaded >= constant, 0x45: loaded & constant}[code]
        at += yes if test else no


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
@pytest.mark.parametrize("counted", [True, False])
def test_the_filter_refuses_what_it_lists_and_nothing_else(machine: str, counted: bool) -> None:
    program = seccomp.program(memory=counted, processors=counted, machine=machine)
    name = seccomp.ARCHITECTURES[machine]
    at = list(seccomp.ARCHITECTURES).index(machine)
    allowed, kill, refused = 0x7FFF_0000, 0x8000_0000, 0x0005_0001
    listed = {numbers[at] for numbers in seccomp.REFUSED.values()}
    uncounted = {numbers[at] for numbers in seccomp.UNCOUNTED.values()}
    clone, clone3, socket, pair, control, processors = (
        numbers[at]
        for numbers in (
            *(seccomp.CLONE, seccomp.CLONE3, seccomp.SOCKET, seccomp.SOCKETPAIR),
            *(seccomp.IOCTL, seccomp.SCHED_SETAFFINITY),
        )
    )

    for number in set(range(600)) - {clone3, socket, pair, processors}:
        bad = number in listed or (number in uncounted and not counted)
        assert run(program, name, number) == (refused if bad else allowed), number
    assert run(program, name + 1, 0) == kill
    assert run(program, name, clone3) == 0x0005_0000 + 38
    assert run(program, name, clone, 0x11) == allowed
    assert run(program, name, clone, 0x1000_0011) == refused
    assert run(program, name, control, 1, 0x5412) == refused
    assert run(program, name, control, 1, 0x5401) == allowed
    assert run(program, name, processors) == (allowed if counted else 0x0005_0000)
    for family in range(64):
        expected = allowed if family in seccomp.FAMILIES else 0x0005_0000 + 97
        assert run(program, name, socket, family) == run(program, name, pair, family) == expected
    if machine == "x86_64":
        assert run(program, name, 0x4000_0000 + 39) == kill


LIMITS = Limits(memory_bytes=2**30, processes=50, cpus=1.5)
FILES = {
    2: ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max"),
    1: (
        *("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        *("pids.max", "cpu.cfs_period_us", "cpu.cfs_quota_us"),
    ),
}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make new folders get a control group's files, as the kernel does."""

    def appear(version: int) -> None:
        def mkdir(folder: Path, *arguments: object, **named: object) -> None:
            make(folder, *arguments, **named)  # type: ignore[arg-type]
            for name in FILES[version] if folder.name.startswith(cgroup.PREFIX) else ():
                (folder / name).touch()

        make = Path.mkdir
        monkeypatch.setattr(Path, "mkdir", mkdir)
        monkeypatch.setattr(Path, "rmdir", shutil.rmtree)

    return appear


def system(root: Path, groups: str, *folders: str) -> None:
    """Write the files of a machine with control groups."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for folder in folders:
        path = root / "sys" / "fs" / "cgroup" / folder
        path.mkdir(parents=True, exist_ok=True)
        (path / cgroup.PROCESSES).touch()


def test_a_group_of_version_2_is_made_where_controllers_are_handed_down(
    tmp_path: Path, kernel: Callable[[int], None]
) -> None:
    system(tmp_path, "0::/user/shell\n", "user/shell", "user")
    user = tmp_path / "sys" / "fs" / "cgroup" / "user"
    (user / "shell" / "cgroup.subtree_control").write_text("")
    (user / "cgroup.subtree_control").write_text("cpu memory pids\n")
    kernel(2)

    group = Group.make(LIMITS, tmp_path)

    assert group is not None
    (folder,) = set(group.folders.values())
    assert folder.parent == user
    written = {name: (folder / name).read_text() for name in FILES[2]}
    assert written == {
        "memory.max": f"{2**30}",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "50",
        "cpu.max": "150000 100000",
    }
    (folder / "memory.stat").write_text("anon 5\nfile 7\nshmem 6\n")
    (folder / "memory.events").write_text("oom 1\noom_kill 1\n")
    assert (group.memory_bytes(), group.out_of_memory()) == (11, True)
    group.remove()
    assert not folder.exists()


def test_a_group_of_version_1_has_a_folder_for_each_controller(
    tmp_path: Path, kernel: Callable[[int], None]
) -> None:
    names = ("memory", "pids", "cpu")
    system(tmp_path, "3:memory:/a\n2:pids:/\n1:cpu:/\n", "memory/a", "pids", "cpu")
    kernel(1)

    group = Group.make(LIMITS, tmp_path)

    assert group is not None
    assert group.limited == set(names)
    assert (group.folders["memory"] / "memory.limit_in_bytes").read_text() == f"{2**30}"
    assert (group.folders["cpu"] / "cpu.cfs_quota_us").read_text() == "150000"
    (group.folders["memory"] / "memory.stat").write_text("rss 1\ntotal_rss 5\ntotal_shmem 6\n")
    assert (group.memory_bytes(), group.out_of_memory()) == (11, False)


def test_there_is_no_group_without_limits_of_memory_and_processes(
    tmp_path: Path, kernel: Callable[[int], None]
) -> None:
    system(tmp_path, "3:memory:/\n1:cpu:/\n", "memory", "cpu")
    kernel(1)

    assert Group.make(LIMITS, tmp_path) is None
    assert not list(tmp_path.rglob(f"{cgroup.PREFIX}*"))


def shown(written: bytes, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed for the output of a submission."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(reader, "rb", 0) as pipe, open(writer, "wb", 0) as end:  # noqa: PTH123
        output = Output(pipe)
        for start in range(0, len(written), 60_000):
            end.write(written[start : start + 60_000])
            output.show()
        end.close()
        output.show()
    return capsys.readouterr().err


def test_output_is_printed_by_line_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    written = b"one\n 10 %\r 20 %\r\n\x1b[31mred\xff\nno end"

    assert shown(written, capsys) == "one\n 20 %\n\\x1b[31mred\ufffd\nno end\n"


def test_output_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(b"x" * 10**6, capsys)

    assert len(text) < MOST_BYTES * 1.01
    assert max(map(len, text.splitlines())) <= LONGEST_LINE
    assert "is not shown" in text


def test_no_bubblewrap_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "PROGRAM", "no-such-program")

    with pytest.raises(EvaluationError, match="found no no-such-program; install bubblewrap"):
        Sandbox(ROOT).check()


def test_the_folder_of_python_must_not_contain_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sandbox, "_program", lambda: "bwrap")
    monkeypatch.setattr(sandbox, "_found", lambda name: name)

    with pytest.raises(EvaluationError, match="expected Python in a folder of its own"):
        Sandbox(ROOT, tmp_path / "bin" / "python").check()


@pytest.mark.parametrize("closed", ["", "aicrowd_wrapper.py"])
def test_root_grades_only_what_every_user_can_read(
    tmp_path: Path, submission: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    path = submission / "my_submission" / closed
    path.chmod(0o700)
    monkeypatch.setattr(bubblewrap, "is_root", lambda: True)
    monkeypatch.setattr(sandbox, "_program", lambda: "bwrap")
    monkeypatch.setattr(sandbox, "_found", lambda name: name)

    with pytest.raises(EvaluationError, match="is closed to other users; run: chmod -R go") as said:
        Sandbox(submission).check()

    assert f"{str(path)!r} is closed" in str(said.value)
    assert str(said.value).endswith(f" {tmp_path / 'submission'}")


def test_root_of_another_namespace_has_no_other_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for mapping, expected in (("0 1000 1", False), ("0 0 4294967295", True)):
        monkeypatch.setattr(bubblewrap, "lines", lambda _, mapping=mapping: [mapping])
        assert bubblewrap.is_root() == expected


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    return write_songs(tmp_path / "songs", {"one": SAMPLES})


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    (tmp_path / "submission").mkdir()
    return write_submission(tmp_path / "submission")


@pytest.fixture
def grade(songs: Path, submission: Path, tmp_path: Path) -> Iterator[Grade]:
    with grading(songs, submission, tmp_path / "grade") as made:
        yield made


def in_sandbox(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs the sandbox."""
    for mark in NEEDS_SANDBOX:
        test = mark(test)
    return test


@in_sandbox
@pytest.mark.parametrize("ignored", ["", "*\n!my_submission/\n!outputs/\n"])
def test_an_output_that_the_submission_can_see_is_refused(
    grade: Grade, submission: Path, ignored: str
) -> None:
    if ignored:
        (submission / ".dockerignore").write_text(ignored)
        (submission / "outputs").mkdir()

    done = grade("--output", str(submission / "outputs" / "grade"))

    assert done.status == 2
    assert "expected the output where the submission cannot see them" in done.err
    assert done.err.count("\n") == 1
    assert not (submission / "outputs" / "grade").exists()


@in_sandbox
def test_an_output_that_the_image_leaves_out_is_fine(grade: Grade, submission: Path) -> None:
    (submission / ".dockerignore").write_text("*\n!my_submission/\n!outputs/\noutputs/grade/\n")
    (submission / "outputs" / "grade").mkdir(parents=True)

    assert grade("--output", str(submission / "outputs" / "grade")).status == 0


@in_sandbox
def test_songs_that_the_submission_can_see_are_refused(
    grade: Grade, songs: Path, submission: Path, tmp_path: Path
) -> None:
    shutil.copytree(songs, submission / "songs")
    linked = tmp_path / "linked" / "one"
    linked.mkdir(parents=True)
    for path in (submission / "songs" / "one").iterdir():
        (linked / path.name).symlink_to(path)

    for data, what in ((submission / "songs", "the songs"), (linked.parent, "the true stems")):
        done = grade("--data", str(data))

        assert done.status == 2
        assert f"expected {what} where the submission cannot see them" in done.err


@in_sandbox
def test_a_limit_on_file_sizes_is_one_sentence(grade: Grade) -> None:
    limit = ("prlimit", "--fsize=100000000")

    done = grade.process(before=limit)

    assert done.status == 2
    assert "`ulimit -f` forbids more than 100000000" in done.err
    assert "Traceback" not in done.err


@in_sandbox
@pytest.mark.parametrize("text", ['{"profile": 1}', "[" * 100_000, "[]", '{"songs": []}'])
def test_a_damaged_manifest_is_one_sentence(grade: Grade, text: str) -> None:
    grade.output.mkdir()
    (grade.output / "grade.json").write_text(text)
    (grade.output / "grade.jsonl").write_text("")

    done = grade("--resume")

    assert done.status == 2
    assert "is damaged" in done.err
    assert done.err.count("\n") == 1


@in_sandbox
def test_damaged_records_are_graded_again(grade: Grade) -> None:
    assert grade().status == 0
    (line, *_) = (grade.output / "grade.jsonl").read_text().splitlines()
    damaged = ["[" * 100_000, "7", json.dumps(json.loads(line) | {"seconds": "x"})]
    (grade.output / "grade.jsonl").write_text("\n".join(damaged) + "\n")

    assert grade("--resume").status == 0
    assert grade.outcomes() == {"one": "ok"}


@in_sandbox
def test_a_killed_grader_leaves_no_process_and_no_group(grade: Grade) -> None:
    """The submission has a daemon that ignores all signals; it must not outlive the grader."""
    daemon = (
        "import os, signal\n"
        "for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)\n"
        "if not os.fork(): os.setsid(); os.fork(); " + HANG + "\n"
        f"print('there'); {HANG}"
    )
    with begun(grade.command(faults={"one": daemon})) as process:
        assert process.stderr is not None
        assert "there\n" in iter(process.stderr.readline, "")
        assert len(grade.left_running()) >= 2
        process.send_signal(signal.SIGKILL)
        process.communicate()

    until(lambda: not grade.left_running())
    assert grade().status == 0  # and removes what the other has left
    assert not [*grade.output.glob("session-*")]
    pid = f"{cgroup.PREFIX}{process.pid}-"
    assert not [*Path("/sys/fs/cgroup").glob(f"**/{pid}*")]


@in_sandbox
def test_without_a_control_group_calls_that_escape_its_count_are_refused(
    grade: Grade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Group, "make", lambda *_: None)
    attack = (
        "import os, ctypes\n"
        "try: os.memfd_create('x')\n"
        "except PermissionError: pass\n"
        "else: raise AssertionError\n"
        "assert ctypes.CDLL(None).shmget(0, 4096, 0o1600) == -1\n"
        "before = os.sched_getaffinity(0)\n"
        "os.sched_setaffinity(0, range(64))\n"
        "assert os.sched_getaffinity(0) == before\n"
        "assert len(before) == 1\n"
    )

    done = grade("--cpus", "1", one=attack)

    assert done.status == 0, done.err
    assert "note: no control group can be made here" in done.err


@in_sandbox
@pytest.mark.skipif(not bubblewrap.is_root(), reason="only root can become another user")
@pytest.mark.skipif(
    not os.access(sys.executable, os.X_OK) or Path(sys.base_prefix).is_relative_to("/root"),
    reason="other users cannot run this Python",
)
def test_an_ordinary_user_can_grade_as_well(grade: Grade) -> None:
    grade.output.parent.chmod(0o777)
    for path in (*grade.output.parents, ROOT):
        if not path.stat().st_mode & 1:
            pytest.skip(f"other users cannot enter {path}")
    user = ("setpriv", "--reuid=61002", "--regid=61002", "--clear-groups")

    done = grade.process(before=user)

    assert done.status == 0, done.err


def test_files_in_memory_do_not_count_as_memory() -> None:
    profile = dataclasses.replace(PROFILES["mdx23"], memory_bytes=5, disk_bytes=7)

    assert sandbox._limits(profile).memory_bytes == 12
