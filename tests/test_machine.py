"""Facts about the machine and the container, read from Linux's files."""

from pathlib import Path

import pytest

from demixing.machine.linux import ControlGroup, control_groups, cpu_flags, cpu_model


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_processor_has_a_name_and_flags(tmp_path: Path) -> None:
    text = "processor\t: 0\nmodel name\t: Fast CPU\nflags\t\t: fpu avx512_bf16\nbugs\t: none\n"
    write(tmp_path / "proc/cpuinfo", text)

    assert cpu_model(tmp_path) == "Fast CPU"
    assert cpu_flags(tmp_path) == {"fpu", "avx512_bf16"}


def test_nothing_is_known_without_linux(tmp_path: Path) -> None:
    assert cpu_model(tmp_path) == ""
    assert cpu_flags(tmp_path) == frozenset()
    assert list(control_groups("cpu", tmp_path)) == []


@pytest.mark.parametrize("controller", ["cpu", "memory"])
def test_groups_of_both_versions_lead_to_the_top(tmp_path: Path, controller: str) -> None:
    write(tmp_path / "proc/self/cgroup", f"7:{controller}:/a\n3:pids:/b\nwhat\n0::/box/c\n")
    mount = tmp_path / "sys/fs/cgroup"

    assert list(control_groups(controller, tmp_path)) == [
        ControlGroup(1, mount / controller / "a"),
        ControlGroup(1, mount / controller),
        ControlGroup(2, mount / "box/c"),
        ControlGroup(2, mount / "box"),
        ControlGroup(2, mount),
    ]
