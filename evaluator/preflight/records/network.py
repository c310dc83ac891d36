"""Attempts to reach the network, which is not there when the server grades."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.graded import Graded


def find(graded: Graded) -> Iterator[Finding]:
    """Look at the hosts and addresses that were asked for."""
    hosts = sorted({host for one in graded.start_ups for host in one.connections})
    if hosts:
        yield fault(
            f"the network was asked for {listed(hosts)}",
            "the server has none: downloads fail there, or wait until the time is over",
            "put the files that are wanted into the repository",
        )
