"""Networks as CUDA graphs: all kernels of a run are started at once, where shapes repeat.

A graph is recorded for inputs of one shape and replayed from then on. It holds the memory of a run
as long as it exists, so graphs are only used on request: ``DEMIX_CUDA_GRAPHS=1``. A network that
waits for the GPU, for example to read a value, cannot be recorded, and runs without a graph.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable

from torch import Tensor

from demixing.machine.cuda import Gpu

logger = logging.getLogger(__name__)

VARIABLE = "DEMIX_CUDA_GRAPHS"
"""Environment variable: 1 records networks as graphs."""

MOST_GRAPHS = 4
"""Shapes of a network that are recorded: a whole part of a batch and the last one, short chunks."""

RUNS_BEFORE = 2
"""Runs of a shape before it is recorded: they choose kernels and allocate workspaces."""

MOST_SHAPES = 1000
"""Shapes that are counted; songs' last chunks may have any length."""

TOLERANCE = 1e-2
"""Largest difference of a repeated run, relative to the largest output; kernels may differ."""

Network = Callable[[Tensor], Tensor]


def wanted() -> bool:
    """Whether networks are recorded."""
    return os.environ.get(VARIABLE, "") == "1"


class Graphed:
    """A network that is recorded for the shapes that repeat.

    Args:
        network: on the GPU.
        gpu: the GPU.
        most: see :data:`MOST_GRAPHS`.
    """

    def __init__(self, network: Network, gpu: Gpu, most: int = MOST_GRAPHS) -> None:
        self._network, self._gpu, self._most = network, gpu, most
        self._graphs: dict[object, Network] = {}
        self._seen: Counter[object] = Counter()
        self._off = False

    def __call__(self, x: Tensor) -> Tensor:
        """Run the network on a tensor of the GPU."""
        key = (x.shape, x.dtype)
        if key in self._graphs:
            return self._graphs[key](x)
        output = self._network(x)
        if not self._off and len(self._graphs) < self._most:
            self._count(key)
            if self._seen[key] > RUNS_BEFORE:
                self._record(key, x, output)
        return output

    @property
    def recorded(self) -> int:
        """Number of shapes that are recorded."""
        return len(self._graphs)

    def forget(self) -> None:
        """Free the memory of all graphs, and record no more, because memory has run out."""
        self._graphs.clear()
        self._off = True

    def _count(self, key: object) -> None:
        """Count a run of a shape."""
        if len(self._seen) >= MOST_SHAPES:
            self._seen.clear()
        self._seen[key] += 1

    def _record(self, key: object, x: Tensor, expected: Tensor) -> None:
        """Record a run, if the network can be recorded and repeats its output."""
        try:
            graph = self._gpu.capture(self._network, x)
            if not alike(graph(x), expected):
                raise RuntimeError("a repeated run gives another output")
        # Whatever stops a network from being recorded, it can run without.
        except Exception as error:
            self._off = True
            logger.info("no CUDA graph: %s", str(error).partition("\n")[0])
            self._gpu.release()
        else:
            self._graphs[key] = graph


def alike(output: Tensor, expected: Tensor) -> bool:
    """Whether two outputs of a network for the same input agree.

    >>> import torch
    >>> alike(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.001]))
    True
    >>> alike(torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 0.0]))
    False
    """
    if output.shape != expected.shape or output.dtype != expected.dtype:
        return False
    error = (output - expected).abs().max()
    return bool(error <= TOLERANCE * expected.abs().max())
