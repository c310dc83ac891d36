"""Print where the time of a hybrid network goes, layer by layer.

    python -m benchmarks.layers NAME [SECONDS]

NAME is a key of :data:`benchmarks.hybrid_demucs.CASES`. Columns: products and sums of the layer,
the least it reads and writes (inputs, outputs and weights), and milliseconds of processor time of
demucs' network, of ours in fp32 and in bf16, each the best of three in turns. Inner loops of LSTMs
are not counted.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.hybrid_demucs import CASES, build
from benchmarks.songs import song
from demixing.machine import threads
from demixing.networks.rewrites import rewrite

ROUNDS = 3
HEAD = "| layer | GFLOP | MB | demucs ms | fp32 ms | bf16 ms |\n|---|---|---|---|---|---|"


def attention_flops(q: torch.Size, k: torch.Size, *_: object, **__: object) -> int:
    """Count the two products of an attention: PyTorch does not for its kernel for CPUs.

    Args:
        q: shape of the queries, ``(b, heads, t, c)``.
        k: shape of the keys, ``(b, heads, s, c)``.

    >>> attention_flops(torch.Size([1, 2, 3, 4]), torch.Size([1, 2, 5, 4]))
    480
    """
    return 4 * q.numel() * k[-2]


ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}


class Clock:
    """Measures the layers of a network; the best of all rounds counts.

    Args:
        network: any.
        names: dotted names of its layers.
    """

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        self.network = network
        self.best_ms = dict.fromkeys([*names, "all"], float("inf"))
        self.megabytes = dict.fromkeys(names, 0.0)
        for name in names:
            layer = network.get_submodule(name)
            layer.register_forward_pre_hook(self._starting(name))
            layer.register_forward_hook(self._ended(name))
        self._start_s: dict[str, float] = {}

    def run(self, audio: Tensor) -> None:
        """Run the network once."""
        start_s = time.process_time()
        self.network(audio)
        self._keep("all", start_s)

    def _starting(self, name: str) -> Callable[..., None]:
        """Return a hook that is called before a layer."""

        def hook(*_: object) -> None:
            self._start_s[name] = time.process_time()

        return hook

    def _ended(self, name: str) -> Callable[..., None]:
        """Return a hook that is called after a layer."""

        def hook(layer: nn.Module, inputs: object, output: object) -> None:
            self._keep(name, self._start_s[name])
            tensors = [*_tensors(inputs), *_tensors(output), *layer.parameters()]
            self.megabytes[name] = sum(tensor.nbytes for tensor in tensors) / 1e6

        return hook

    def _keep(self, name: str, start_s: float) -> None:
        """Keep the time since a start, if it is the best."""
        self.best_ms[name] = min(self.best_ms[name], 1e3 * (time.process_time() - start_s))


def layers(network: nn.Module, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of layers; lists of layers, and what contains them, are opened."""
    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList) or _lists(child):
            yield from layers(child, f"{prefix}{name}.")
        elif any(True for _ in child.parameters()) and name != "freq_emb":
            yield prefix + name


def gigaflops(network: nn.Module, audio: Tensor) -> Callable[[str], float]:
    """Count products and sums; return a function from a layer's name, or "", to 1e9 of them."""
    torch.backends.mha.set_fastpath_enabled(False)  # its one operation would count as nothing
    try:
        with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
            network(audio)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    counts = counter.get_flop_counts()
    root = type(network).__name__

    def of(name: str) -> float:
        return float(sum(counts.get(f"{root}.{name}" if name else root, {}).values())) / 1e9

    return of


def table(name: str, duration_s: float) -> Iterator[str]:
    """Measure a network, and yield the lines of a table."""
    plain, audio = build(CASES[name]), song(duration_s)[None]
    count, names = gigaflops(plain, audio), list(layers(plain))
    low = Clock(rewrite(plain, torch.bfloat16), names)
    clocks = [Clock(rewrite(plain), names), low]
    clocks.insert(0, Clock(plain, names))
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for clock in clocks:
                clock.run(audio)
    yield HEAD
    for layer in names:
        times = in_columns(clock.best_ms[layer] for clock in clocks)
        megabytes = clocks[0].megabytes.get(layer, 0)
        yield f"| {layer} | {count(layer):.1f} | {megabytes:.0f} | {times} |"
    all_ms = [clock.best_ms["all"] for clock in clocks]
    rest = [clock.best_ms["all"] - sum(clock.best_ms[layer] for layer in names) for clock in clocks]
    yield f"| outside of layers: STFT, inverse, sums | | | {in_columns(rest)} |"
    yield f"| all | {count(''):.1f} | | {in_columns(all_ms)} |"


def in_columns(times_ms: Iterable[float]) -> str:
    """Milliseconds as neighbouring cells of a table."""
    return " | ".join(f"{ms:.0f}" for ms in times_ms)


def _lists(module: nn.Module) -> bool:
    """Return whether a module directly contains lists of layers."""
    return any(isinstance(child, nn.ModuleList) for child in module.children())


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a layer's inputs or outputs."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def main(name: str, duration_s: str = "7.8") -> None:
    """Print the table of a network for a song of some seconds."""
    threads.use()
    for line in table(name, float(duration_s)):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
