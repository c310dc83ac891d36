"""Submissions that attack the grader, its machine, or the true stems, in the real sandbox.

All attacks are songs of one grade, in alphabetical order. An attack that is refused raises
``Refused``, or its song just goes on.
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluator.grading import monitor, seccomp, session
from tests.home_grader import (
    NEEDS_SANDBOX,
    SAMPLES,
    SHORT,
    STEMS,
    Done,
    Grade,
    grading,
    write_songs,
    write_submission,
)

pytestmark = NEEDS_SANDBOX

LATE = "x_stops_its_parent"
"""The only song that may take just a second, because it always takes as long as it may."""

MACHINE = platform.machine()
CALLS = [
    numbers[list(seccomp.ARCHITECTURES).index(MACHINE)]
    for numbers in seccomp.REFUSED.values()
    if MACHINE in seccomp.ARCHITECTURES
]

PRELUDE = """
import ctypes, errno, itertools, os, resource, shutil, signal, socket, stat, subprocess, sys
import threading, time
libc = ctypes.CDLL(None, use_errno=True)

class Refused(Exception):
    pass

def say(line):
    "Write to every descriptor, one of which is the harness's own."
    for number in range(3, 20):
        try:
            os.write(number, line)
        except OSError:
            pass

def refused(action, *arguments):
    "Raise unless an action fails; the action may be one of the C library."
    try:
        done = action(*arguments)
    except OSError:
        return
    assert done == -1, (action, arguments, done)

def hang():
    time.sleep(10**6)

bass = folder / 'bass.wav'
"""


@dataclass(frozen=True)
class Attack:
    """A song.

    Attributes:
        code: Python code, after :data:`PRELUDE`.
        outcomes: of its song.
        said: part of the message.
    """

    code: str
    outcomes: tuple[str, ...] = ("ok",)
    said: str = ""


ATTACKS: Mapping[str, Attack] = {
    "device_for_stem": Attack(
        """
bass.unlink()
refused(os.mknod, bass, stat.S_IFCHR | 0o666, os.makedev(1, 5))
""",
        ("incomplete",),
        said="bass.wav is missing",
    ),
    "folder_for_stem": Attack(
        "bass.unlink(); bass.mkdir()", ("incomplete",), said="not a regular file"
    ),
    "hard_link": Attack(
        "bass.unlink(); os.link(folder / 'drums.wav', bass)",
        ("incomplete",),
        said="not a regular file",
    ),
    "link_for_predictions": Attack(
        """
parent = folder.parent
refused(os.rename, parent, '/shared/away')
refused(os.symlink, '../../references', '/shared/other')
raise Refused
""",
        ("error",),
        said="Refused",
    ),
    "link_for_stem": Attack(
        "bass.unlink(); os.symlink('/proc/self/environ', bass)",
        ("incomplete",),
        said="not a regular file",
    ),
    "nested_folders": Attack("""
here = os.getcwd(); os.chdir(folder)
for _ in range(1500): os.mkdir('d'); os.chdir('d')
os.chdir(here)
"""),
    "no_folder": Attack(
        "shutil.rmtree(folder); folder.write_text('x')", ("incomplete",), said="no folder"
    ),
    "pipe_for_the_log": Attack("""
for place in (folder.parent, folder.parents[1]):
 try: os.mkfifo(place / '.connections')
 except OSError: pass
"""),
    "socket_for_stem": Attack(
        """
bass.unlink(); os.chdir(folder)
socket.socket(socket.AF_UNIX).bind('bass.wav'); os.chdir('/opt/submission')
""",
        ("incomplete",),
        said="not a regular file",
    ),
    "sparse_stem": Attack(
        "os.truncate(bass, 993 * 2**20)", ("incomplete",), said="bytes, expected at most"
    ),
    "say_brackets": Attack("say(b'[' * 60000 + b'\\n')", ("error",), said="harness's own pipe"),
    "say_digits": Attack(
        "say(b'{\"outcome\": \"ok\", \"import_s\": 1' + b'0' * 400 + b'}\\n')",
        ("error",),
        said="harness's own pipe",
    ),
    "say_done": Attack(
        """
shutil.rmtree(folder)
say(('{"outcome": "ok", "song": "%s"}' % song).encode() + b'\\n')
""",
        ("incomplete",),
        said="no folder",
    ),
    # The real message about the song before arrives while this one is wanted.
    "say_done_next": Attack("", ("error",), said="harness's own pipe"),
    "say_infinity": Attack(
        'say(b\'{"outcome": "ok", "arrays": {"a": {"shape": [Infinity]}}}\\n\')',
        ("error",),
        said="harness's own pipe",
    ),
    "say_much": Attack("say(b'x' * 9 * 10**6)", ("error",), said="harness's own pipe"),
    "use_deleted_files": Attack(
        """
files = []
for _ in range(90):
 files.append(open('/tmp/deleted', 'wb', 0)); os.unlink('/tmp/deleted')
 for _ in range(8): files[-1].write(bytes(2**20))
""",
        ("error",),
    ),
    "use_files": Attack(
        "for number in itertools.count(): open(f'/tmp/{number}', 'w').close()",
        ("error",),
        said="more than 3000 files",
    ),
    "use_memory_of_no_process": Attack(
        """
for _ in range(120):
 try: file = os.memfd_create('x')
 except PermissionError: raise MemoryError
 for _ in range(8): os.write(file, bytes(2**20))
""",
        ("memory", "error"),
    ),
    "use_processes": Attack(
        """
for count in range(1000):
 try: threading.Thread(target=hang, daemon=True).start()
 except RuntimeError: break
os.write(2, f'{count} threads'.encode())
assert count < 100; os.abort()
""",
        ("died",),
    ),
    "use_processors": Attack("""
try: os.sched_setaffinity(0, range(os.cpu_count()))
except OSError: pass
end = time.monotonic() + 0.6
for _ in range(4):
 if not os.fork():
  while time.monotonic() < end: pass
  os._exit(0)
for _ in range(4): os.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
assert used.ru_utime + used.ru_stime < 1.0, used
"""),
    "use_segments": Attack(
        """
libc.shmat.restype = ctypes.c_void_p
number = libc.shmget(0, 900 * 2**20, 0o1600)
if number < 0: raise MemoryError
ctypes.memset(libc.shmat(number, None, 0), 1, 900 * 2**20)
""",
        ("memory", "error"),
    ),
    "use_shared_memory": Attack(
        """
with open('/dev/shm/x', 'wb', 0) as file:
 for _ in range(100): file.write(bytes(2**20))
""",
        ("error", "memory"),
    ),
    "what_calls": Attack(f"""
for number in {CALLS}:
 if number >= 0:
  refused(libc.syscall, number, 0, 0, 0, 0, 0, 0)
  assert ctypes.get_errno() == errno.EPERM, number
"""),
    "what_clone3": Attack(
        "refused(libc.syscall, 435, 0, 0); assert ctypes.get_errno() == errno.ENOSYS"
    ),
    "what_descriptors": Attack("""
for name in os.listdir('/proc/self/fd'):
 try: target = os.readlink(f'/proc/self/fd/{name}')
 except OSError: continue
 assert target.startswith(('pipe:', '/dev/null', '/proc/')), target
assert stat.S_ISFIFO(os.fstat(2).st_mode)
refused(os.read, 2, 1); refused(os.ftruncate, 2, 0)
"""),
    "what_namespaces": Attack("""
refused(libc.unshare, 0x10000000)
done = subprocess.run(['unshare', '-Urm', 'true'], capture_output=True)
assert done.returncode
"""),
    "what_noise": Attack("os.write(2, b'\\x1b]0;title\\x07\\n' + b'y' * 10**7)"),
    "what_processes": Attack("""
others = {pid for pid in os.listdir('/proc') if pid.isdigit()} - {str(os.getpid())}
assert '1' in others
for pid in others:
 refused(open, f'/proc/{pid}/mem', 'r+b'); refused(open, f'/proc/{pid}/environ')
 refused(os.listdir, f'/proc/{pid}/fd'); refused(os.listdir, f'/proc/{pid}/root')
 refused(libc.ptrace, 0x4206, int(pid), None, None)
"""),
    "what_sockets": Attack(
        "for family in (16, 17, 38, 40): refused(socket.socket, family, socket.SOCK_RAW)"
    ),
    "what_x32": Attack(
        """
assert os.uname().machine == 'x86_64' or os.abort()
libc.syscall(0x40000000 | 39)
""",
        ("died",),
    ),
    "x_daemon": Attack("""
if not os.fork():
 os.setsid()
 for number in range(1, 32):
  try: signal.signal(number, signal.SIG_IGN)
  except OSError: pass
 if os.fork(): os._exit(0)
 hang()
os.wait()
"""),
    "x_kills_its_parent": Attack("os.kill(os.getppid(), signal.SIGKILL); os._exit(0)", ("died",)),
    LATE: Attack("os.kill(os.getppid(), signal.SIGSTOP); os._exit(0)", ("late", "died")),
    "z_good": Attack(""),
}
"""By song."""


@pytest.fixture(scope="module")
def submission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_submission(tmp_path_factory.mktemp("submission"))


@pytest.fixture(scope="module")
def attacked(
    tmp_path_factory: pytest.TempPathFactory, submission: Path
) -> Iterator[tuple[Done, Grade]]:
    """One grade of all :data:`ATTACKS`."""
    folder = tmp_path_factory.mktemp("attacks")
    data = write_songs(
        folder / "songs", {name: SHORT if name == LATE else SAMPLES for name in ATTACKS}
    )
    code = {name: f"{PRELUDE}\n{attack.code}" for name, attack in ATTACKS.items()}
    limits = ("--memory", "0.3", "--disk", "0.03", "--cpus", "1", "--processes", "100")
    with (
        grading(data, submission, folder / "grade") as grade,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(session, "GRACE_S", 2.0)
        patch.setattr(monitor, "MOST_ENTRIES", 3000)
        done = grade(*limits, **code)
        print(done.out)  # noqa: T201 - with time and memory of each attack, for pytest -rP
        yield done, grade


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_the_result_of_its_song(attacked: tuple[Done, Grade], attack: str) -> None:
    done, grade = attacked

    result = grade.results()[attack]
    assert done.status == 1, done.err
    assert result["outcome"] in ATTACKS[attack].outcomes, result
    assert ATTACKS[attack].said in result["message"], result


def test_true_stems_are_neither_taken_nor_deleted(attacked: tuple[Done, Grade]) -> None:
    _, grade = attacked

    for song in ATTACKS:
        for stem in STEMS:
            true, _ = soundfile.read(grade.output / "references" / song / f"{stem}.wav")
            taken = grade.output / "predictions" / song / f"{stem}.wav"
            assert not taken.exists() or not np.array_equal(soundfile.read(taken)[0], true)


def test_output_is_escaped_and_bounded(attacked: tuple[Done, Grade]) -> None:
    done, grade = attacked

    assert "\\x1b]0;title\\x07" in done.err
    assert "\x1b" not in done.err + done.out
    assert "the rest of the submission's output is not shown" in done.err
    assert len(done.err) < 2 * 2**20
    assert (grade.output / "grade.jsonl").stat().st_size < 2**20


def test_nothing_is_left_of_attacks(attacked: tuple[Done, Grade]) -> None:
    _, grade = attacked

    assert sorted(path.name for path in grade.output.iterdir()) == [
        *("grade.json", "grade.jsonl", "mixtures", "predictions", "references")
    ]
