"""The grader's pipes and its scoring do not depend on what a submission does with its ends."""

import os
import select
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from demixing.evaluation.audio import Layout
from evaluator.grading import collecting, records, session
from evaluator.grading.profiles import PROFILES, changed
from evaluator.grading.runners import INSIDE, Usage
from tests.waiting import until

SAMPLES = 1000
LAYOUT = Layout(44_100, 2, SAMPLES)
PIPE_BYTES = 64 * 1024

NEVER_READS = "import harness, time; harness.supervise(); time.sleep(10**6)"


@pytest.mark.process
def test_process_1_ends_with_the_grader_though_nobody_reads_its_requests(tmp_path: Path) -> None:
    requests = tmp_path / "requests"
    requests.write_bytes(b"\n" * 3 * PIPE_BYTES)
    with (
        requests.open("rb") as file,
        subprocess.Popen(
            [sys.executable, "-c", NEVER_READS], cwd=INSIDE, stdin=file, start_new_session=True
        ) as process,
    ):
        try:
            until(lambda: process.poll() is not None)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # outside a sandbox, the child stays


class Silent:
    """A submission that writes nothing, or takes back what it wrote."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(["sleep", "1000"], stdin=pipe, stdout=pipe, stderr=pipe)

    def hold(self) -> int:
        raise AssertionError

    def usage(self) -> Usage:
        return Usage(0, 0, 0)

    def out_of_memory(self) -> bool:
        return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.process
def test_a_message_that_is_gone_again_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "READY_S", 0.1)
    monkeypatch.setattr(session, "GRACE_S", 0.1)
    monkeypatch.setattr(select, "select", lambda read, *_: (read[:1], [], []))
    silent = Silent()
    held = session.Session(changed(PROFILES["mdx23"]), silent, tmp_path)
    outcomes: list[str] = []
    waiting = threading.Thread(target=lambda: outcomes.append(held.start_up().outcome))
    waiting.start()
    try:
        until(lambda: outcomes)
    finally:
        silent.stop()
        waiting.join()

    assert outcomes == [records.LATE]


def wav(value: float) -> bytes:
    """A WAV of equal 64-bit floats."""
    data = struct.pack("<d", value) * SAMPLES * 2
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 2, 44_100, 44_100 * 16, 16, 64)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e308])
def test_stems_that_cannot_be_scored_are_the_result_of_their_song(
    value: float, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "song").mkdir(parents=True)
    target.mkdir()
    for stem in ("bass", "drums", "other", "vocals"):
        (source / "song" / f"{stem}.wav").write_bytes(wav(value if stem == "other" else 0.1))
    held = os.open(source, os.O_RDONLY)
    try:
        fault = collecting.collect("song", "mdx", held, target, LAYOUT)
    finally:
        os.close(held)

    assert fault.startswith("other.wav has samples that are damaged, not finite, or larger")
    assert not list(target.iterdir())
