"""The number of threads comes from the container's quota, in every way that Linux writes it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from demixing.machine import threads


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_groups_the_affinity_mask_decides(tmp_path: Path) -> None:
    assert threads.allowed(tmp_path) == 16


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 16), ("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1)],
)
def test_version_2(tmp_path: Path, quota: str, expected: int) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota + "\n"})

    assert threads.allowed(root) == expected


def test_the_tightest_group_on_the_way_to_the_top_binds(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/box/cpu.max": "800000 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
        },
    )

    assert threads.allowed(root) == 3


def test_a_container_whose_own_path_is_not_mounted(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"},
    )

    assert threads.allowed(root) == 4


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "expected"), [("-1", 16), ("250000", 3)])
def test_version_1(tmp_path: Path, folder: str, quota: str, expected: int) -> None:
    group = f"sys/fs/cgroup/{folder}/docker/abc"
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n",
            f"{group}/cpu.cfs_quota_us": quota + "\n",
            f"{group}/cpu.cfs_period_us": "100000\n",
        },
    )

    assert threads.allowed(root) == expected


def test_nonsense_is_ignored(tmp_path: Path) -> None:
    root = tree(
        tmp_path, {"proc/self/cgroup": "what\n0::/\n", "sys/fs/cgroup/cpu.max": "few 0\n0 0\n"}
    )

    assert threads.allowed(root) == 16


@pytest.mark.parametrize(("wish", "expected"), [("3", 3), ("0", 16), ("many", 16), ("", 16)])
def test_the_environment_overrides_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, expected: int
) -> None:
    monkeypatch.setenv(threads.THREADS_VARIABLE, wish)

    assert threads.chosen(tmp_path) == expected


def test_our_variable_comes_before_openmps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads.chosen(tmp_path) == 5

    monkeypatch.setenv(threads.THREADS_VARIABLE, "3")
    assert threads.chosen(tmp_path) == 3


@pytest.fixture
def torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("torch_threads")
def test_a_program_uses_what_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.THREADS_VARIABLE, "2")
    for before in (1, 3):
        torch.set_num_threads(before)

        threads.use()

        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("torch_threads")
@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 2), (3, 2)])
def test_the_library_adds_no_threads(
    monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    monkeypatch.setenv(threads.THREADS_VARIABLE, "2")
    torch.set_num_threads(before)

    threads.limit()

    assert torch.get_num_threads() == after


def test_a_new_process_is_given_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in threads.environment(3).items():
        monkeypatch.setenv(name, value)

    assert threads.chosen(tmp_path) == 3


def test_without_an_affinity_mask_the_processors_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)

    assert threads.allowed(tmp_path) == 5


def environment_after(program: str, **variables: str) -> list[str]:
    """Run a program in a new process that has none of our variables but these."""
    ours = ("OMP_WAIT_POLICY", "ORT_DISABLE_TELEMETRY")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    report = "; import os, sys; print(*(f'{name}={value}' for name, value in os.environ.items()))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}{report}; print(*sys.modules)"],
        cwd=Path(__file__).parents[1],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.process
@pytest.mark.parametrize(
    ("variables", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")]
)
def test_threads_wait_without_spinning_unless_the_user_wants_it(
    variables: dict[str, str], expected: str
) -> None:
    program = "from demixing.machine import threads; threads.wait_passively()"

    found = environment_after(program, **variables)

    assert f"OMP_WAIT_POLICY={expected}" in found
    assert "torch" not in found, "torch was loaded before the variable was set"


@pytest.mark.process
def test_the_library_changes_no_variable() -> None:
    found = environment_after("import demixing; demixing.Separator")

    assert "torch" in found
    assert not [word for word in found if word.startswith("OMP_WAIT_POLICY=")]


@pytest.mark.process
def test_a_submission_chooses_how_threads_wait_before_torch_is_loaded() -> None:
    found = environment_after("import my_submission")

    assert "OMP_WAIT_POLICY=PASSIVE" in found
    assert "torch" not in found


@pytest.mark.process
def test_onnx_runtime_sends_no_telemetry() -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in environment_after("import demixing.separators.mdx_net")
