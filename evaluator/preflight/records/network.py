"""Finds network requests, which fail on the server."""

from collections.abc import Iterator

from evaluator.preflight import Finding, fault, listed
from evaluator.preflight.graded import Graded


def find(graded: Graded) -> Iterator[Finding]:
    """List the hosts and addresses that were requested."""
    hosts = sorted({host for one in graded.start_ups for host in one.connections})
    if hosts:
        yield fault(
            f"network requests for {listed(hosts)}",
            "the server has none: downloads fail there, or block until the time is over",
            "put the required files into the repository",
        )
