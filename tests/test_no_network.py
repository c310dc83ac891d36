"""Nothing that the package does to separate and to score looks for a network, libraries included.

A child process runs under a filter of system calls that kills it when it opens an internet socket,
which the resolver does, too. So code in C is watched as well as code in Python.
"""

import os
import platform
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

NUMBERS = {"x86_64": 41, "aarch64": 198}
"""Of the system call ``socket``."""

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() not in NUMBERS,
        reason="the filter is written for Linux on x86_64 and aarch64",
    ),
]

FILTER = f"""
import ctypes, struct

# Load the number of the call; if it is socket, load the family; kill for IPv4 and IPv6.
PROGRAM = (
    (0x20, 0, 0, 0), (0x15, 0, 4, {NUMBERS.get(platform.machine(), 0)}), (0x20, 0, 0, 16),
    (0x15, 1, 0, 2), (0x15, 0, 1, 10), (0x06, 0, 0, 0x80000000), (0x06, 0, 0, 0x7FFF0000),
)
code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in PROGRAM))
program = struct.pack("<HxxxxxxQ", len(PROGRAM), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) == 0, "no filter"  # PR_SET_SECCOMP
"""


def watched(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program under the filter."""
    inherited = {key: word for key, word in os.environ.items() if "TELEMETRY" not in key}
    return subprocess.run(
        [sys.executable, "-c", FILTER + textwrap.dedent(program)],
        cwd=Path(__file__).parents[1],
        env=inherited,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module", autouse=True)
def can_filter() -> None:
    if "no filter" in watched("").stderr:
        pytest.skip("this system permits no filter")


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "import socket; socket.getaddrinfo('example.org', 80)",
    ],
)
def test_a_process_that_looks_for_a_network_is_killed(program: str) -> None:
    assert watched(program).returncode == -signal.SIGSYS


def test_separating_and_scoring_look_for_no_network(copying_model: bytes, tmp_path: Path) -> None:
    (tmp_path / "copy.onnx").write_bytes(copying_model)

    done = watched(
        f"""
        import numpy as np
        import demixing
        import av
        from demixing.evaluation.metrics import sdr
        import demixing.separators.mdx_net, onnxruntime

        onnxruntime.InferenceSession({str(tmp_path / "copy.onnx")!r})
        stems = demixing.Separator("mdx_equal_shares")(np.ones((1000, 2), np.float32), 44_100)
        scores_db = sdr.sdr(*np.random.default_rng(1).standard_normal((2, 1, 1000, 2)))
        print(sorted(stems), onnxruntime.__version__, scores_db)
        """
    )

    assert done.returncode == 0, done.stderr
    assert "vocals" in done.stdout
