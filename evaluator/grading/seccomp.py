"""A seccomp filter: the system calls that a submission may not make.

The kernel runs the filter, a program of classic BPF, before each system call. Most refused calls
fail with EPERM, as they do in containers. The list covers what reaches into other processes, makes
namespaces or mounts, keeps secrets in the kernel, or has a record of faults in the kernel that any
user can trigger. Where no control group counts memory and processors, it also covers memory that
belongs to no process, and a change of processors.

Sources: Linux, Documentation/userspace-api/seccomp_filter.rst, include/uapi/linux/{audit,filter,
seccomp,sched}.h and the tables of system calls of x86 and asm-generic.
"""

import errno
import platform
import struct
from collections.abc import Iterable, Iterator, Mapping

ARCHITECTURES: Mapping[str, int] = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
"""Number by which the kernel names an architecture, by its name in Python."""

FIRST_X32_CALL = 0x4000_0000
"""On x86_64, numbers from here on belong to the x32 interface, which has a table of its own."""

REFUSED: Mapping[str, tuple[int, int]] = {
    # Other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    # Namespaces and mounts; clone and clone3 have rules of their own.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # Keys and memory that outlive a process, or that the kernel cannot see.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "memfd_secret": (447, 447),
    # Large parts of the kernel that no separation needs.
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "modify_ldt": (154, -1),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    # The machine itself; these need privileges, too.
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "vhangup": (153, 58),
}
"""Numbers on x86_64 and aarch64; -1 where there is no such call."""

UNCOUNTED: Mapping[str, tuple[int, int]] = {
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "mq_open": (240, 180),
}
"""Calls for memory of no process, which only a control group counts."""

CLONE, CLONE3 = (56, 220), (435, 435)
SOCKET, SOCKETPAIR = (41, 198), (53, 199)
IOCTL = (16, 29)
SCHED_SETAFFINITY = (203, 122)

NEW_NAMESPACES = 0x7E02_0000
"""The flags of clone that make namespaces: CLONE_NEW*."""

FAMILIES = (1, 2, 10)
"""Sockets that may be made: local, IPv4 and IPv6. Not VSOCK, ALG, PACKET, NETLINK, and others."""

TERMINAL_REQUESTS = (0x5412, 0x541C)
"""TIOCSTI types into a terminal, TIOCLINUX pastes into it."""

_ALLOW, _FAIL, _KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in the description of a call: seccomp_data."""

Line = tuple[int, int, int, int]
"""An instruction: code, lines to skip if true, lines to skip if false, and a constant."""


def program(*, memory: bool, processors: bool, machine: str = platform.machine()) -> bytes:
    """Assemble the filter.

    Args:
        memory: whether a control group limits memory.
        processors: whether a control group limits processors.
        machine: a key of :data:`ARCHITECTURES`.

    Returns:
        Instructions as the kernel, and bubblewrap, read them.

    Raises:
        KeyError: the architecture is not known.
    """
    at = list(ARCHITECTURES).index(machine)
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_x32(machine),
        *_refused(REFUSED, at),
        *_case(CLONE3[at], [_fail(errno.ENOSYS)]),  # glibc then calls clone, which is checked
        *_case(CLONE[at], [_argument(0), (_ANY_BIT, 0, 1, NEW_NAMESPACES), _fail(), _allow()]),
        *_case(IOCTL[at], [_argument(1), *_unless(TERMINAL_REQUESTS, _allow(), _fail())]),
        *_sockets(at),
        *([] if memory else _refused(UNCOUNTED, at)),
        # It succeeds without an effect, because some libraries report each failure.
        *([] if processors else _case(SCHED_SETAFFINITY[at], [_fail(0)])),
        _allow(),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _x32(machine: str) -> Iterable[Line]:
    """Refuse the second table of calls of x86_64."""
    if machine != "x86_64":
        return ()
    return (_AT_LEAST, 0, 1, FIRST_X32_CALL), (_RETURN, 0, 0, _KILL)


def _refused(calls: Mapping[str, tuple[int, int]], at: int) -> Iterator[Line]:
    """Refuse calls, whatever their arguments."""
    for numbers in calls.values():
        if numbers[at] >= 0:
            yield from _case(numbers[at], [_fail()])


def _sockets(at: int) -> Iterator[Line]:
    """Allow only sockets of :data:`FAMILIES`."""
    rule = [_argument(0), *_unless(FAMILIES, _fail(errno.EAFNOSUPPORT), _allow())]
    yield from _case(SOCKET[at], rule)
    yield from _case(SOCKETPAIR[at], rule)


def _case(number: int, rule: Iterable[Line]) -> list[Line]:
    """Apply a rule, which ends with a decision, to one call."""
    lines = list(rule)
    return [(_EQUAL, 0, len(lines), number), *lines]


def _unless(values: tuple[int, ...], otherwise: Line, found: Line) -> list[Line]:
    """Decide whether the loaded number is one of some values."""
    count = len(values)
    tests = [(_EQUAL, count - index, 0, value) for index, value in enumerate(values)]
    return [*tests, otherwise, found]


def _argument(index: int) -> Line:
    """Load the lower half of an argument; both machines are little-endian."""
    return _LOAD, 0, 0, _ARGUMENTS + 8 * index


def _fail(number: int = errno.EPERM) -> Line:
    """Let the call fail without doing anything; it succeeds for 0."""
    return _RETURN, 0, 0, _FAIL | number


def _allow() -> Line:
    """Let the kernel do it."""
    return _RETURN, 0, 0, _ALLOW
