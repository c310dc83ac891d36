"""Runs networks on the fake device, and prints what goes wrong as JSON: test_fake_device.py.

python -m tests.on_fake_device PRECISION...
"""

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from demixing import separators
from demixing.networks import exact, execution, trainable
from demixing.networks.execution import DTYPES, Execution, PreparedNetwork
from demixing.training import loop, losses, validation
from demixing.training.config import DOMAINS, PRECISIONS, Optimiser, Run
from demixing.training.distributed import Processes
from demixing.training.ema import Average
from demixing.training.optimiser import optimiser_of
from tests import fake_device
from tests.test_trainable import SMALL
from tools.golden import narrow
from tools.golden.agreement import agreement_db

LEAST_DB = {"fp32": 50, "single": 50, "bf16": 15, "fp16": 30}
"""Agreement with the CPU in the same precision: a few operations differ, such as attention."""

ONLY_FP32 = ("gtcrn",)
"""Separators without a choice of precision."""

BATCH = 1
SHORT = 12_000
"""Samples of a chunk that may have any length."""

STEMS = ("bass", "drums", "other")
SMALLEST = "shared_unet"
LOSS_OPTIONS: dict[str, dict[str, Any]] = {
    "sum": {"terms": [{"name": "wave_l1"}, {"name": "magnitude_l1"}]},
    "quantile": {"loss": {"name": "wave_l1"}, "quantile": 0.6},
}


Checks = Iterator[tuple[str, Callable[[], object]]]
"""Names, and calls that raise if something is wrong."""


def main() -> None:
    """Print a JSON object: by name of a check, what went wrong, or null."""
    kept = fake_device.register()
    found: dict[str, str | None] = {}
    for name, check in checks(sys.argv[1:]):
        try:
            check()
            found[name] = None
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error)[:300]}"
    sys.stdout.write(json.dumps(found))
    del kept


def checks(precisions: list[str]) -> Checks:
    """All checks; separators in all precisions, training in those that it has."""
    yield from mistakes()
    yield from separating(precisions)
    yield from training([one for one in precisions if one in PRECISIONS])


def separating(precisions: list[str]) -> Checks:
    """Checks of all separators with networks of torch."""
    for name in with_networks():
        for precision in precisions:
            if name not in ONLY_FP32 or precision in ("fp32", "single"):
                yield f"{name} {precision}", functools.partial(agrees, name, precision)


def with_networks() -> list[str]:
    """Names of the separators whose networks are on a device."""
    return [name for name in separators.names() if hasattr(narrow.build(name), "to_cpu")]


def agrees(name: str, precision: str) -> None:
    """Compare a separator on the device with the CPU.

    Raises:
        AssertionError: its output differs.
    """
    fake_device.single = precision == "single"
    exact.exact.__code__ = (_single if fake_device.single else _double).__code__
    dtype = DTYPES.get(precision, torch.float32)
    expected, got = (separated(name, where, dtype) for where in ("cpu", fake_device.DEVICE))
    assert type(got) is Tensor, "the stems are not on the CPU"
    assert got.shape == expected.shape
    assert torch.isfinite(got).all()
    found_db = agreement_db(expected, got)
    assert found_db > LEAST_DB[precision], f"agreement of {found_db:.0f} dB only"


def _single(device: torch.device) -> torch.dtype:
    return torch.float32


def _double(device: torch.device) -> torch.dtype:
    return torch.float64


def separated(name: str, where: str, dtype: torch.dtype) -> Tensor:
    """Stems of noise, from a separator on a device."""
    device = torch.device(where)
    how = Execution(device=device, dtype=dtype)
    setattr(execution, "choose", lambda *_, **__: how)  # noqa: B010 (mypy would refuse it)
    separator: Any = moved(narrow.build(name), device)
    cut = separator.chunking
    brief = SHORT + 2 * cut.context if cut.end.ragged else cut.chunk
    samples = min(cut.chunk, *cut.shorter, brief)
    with torch.no_grad():  # torch's place for other devices does not know inference mode
        stems: Tensor = separator.separate(noise(BATCH, 2, samples))
    return stems


def moved(value: Any, device: torch.device) -> Any:
    """A separator whose networks without a device get one, as some narrow ones need."""
    if isinstance(value, nn.Module):
        return PreparedNetwork(value.to(device), device, torch.float32)
    if type(value) is tuple:
        return tuple(moved(one, device) for one in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name for field in dataclasses.fields(value) if field.init}
        old = {name: getattr(value, name) for name in fields & {"network", "networks"}}
        return dataclasses.replace(value, **{key: moved(one, device) for key, one in old.items()})
    return value


def training(precisions: list[str]) -> Checks:
    """Checks of training: networks in all precisions, all domains and all losses."""
    for name in trainable.names():
        for precision in precisions:
            yield f"{name} {precision}", functools.partial(learns, name, precision=precision)
    for where in DOMAINS:
        yield f"domain {where}", functools.partial(learns, SMALLEST, domain=where)
    for name in losses.names():
        yield f"loss {name}", functools.partial(compares, name)


def learns(name: str, **settings: Any) -> None:
    """Compare a training step on the device with the CPU, and use the averaged network.

    Raises:
        AssertionError: the loss or the gradient differs.
    """
    one, other = (stepped(name, device, settings) for device in ("cpu", fake_device.DEVICE))
    coarse = settings.get("precision") == "bf16"
    for key in ("loss", "gradient"):
        error = abs(one[key] / other[key] - 1)
        assert error < (0.3 if coarse else 1e-3), f"{key}: {one[key]} and {other[key]}"


def stepped(name: str, where: str, settings: dict[str, Any]) -> dict[str, float]:
    """Train one step, and return what goes to the log."""
    run = Run(stems=STEMS, optimiser=Optimiser(warm_up_steps=0, learning_rate=1e-4), **settings)
    device = torch.device(where)
    torch.default_generator.manual_seed(0)
    network = trainable.build(name, STEMS, SMALL.get(name, {})).to(device)
    average = Average(network, 0.9)
    step = loop._Step(run, network, optimiser_of(network, run.optimiser), Processes(0, 1, device))
    values = step(noise(2, len(STEMS), 2, 12_000), 0)
    average.update(network, 1)
    if where != "cpu":
        estimate = validation._OnDevice(average.network)(noise(1, 2, 12_000))
        assert type(estimate) is Tensor, "the estimate is not on the CPU"
        assert torch.isfinite(estimate).all()
    return values


def compares(name: str) -> None:
    """Compare a loss on the device with the CPU.

    Raises:
        AssertionError: the value or the gradient differs.
    """
    loss = losses.build(name, LOSS_OPTIONS.get(name, {}))
    found = []
    for device in ("cpu", fake_device.DEVICE):
        estimate = noise(2, len(STEMS), 2, 12_000).to(device).requires_grad_()
        value = loss(estimate, estimate.detach().flip(0)).mean()
        value.backward()  # type: ignore[no-untyped-call]
        assert estimate.grad is not None
        found.append((value.detach().cpu(), estimate.grad.cpu()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-7)


def mistakes() -> Checks:
    """Checks that must fail, except for the last: what real GPUs refuse."""
    there = torch.ones(2, device=fake_device.DEVICE)
    yield "constant", functools.partial(torch.mul, there, torch.arange(2))
    yield "double", functools.partial(_double_on_single, there)
    yield "number", functools.partial(torch.mul, there, torch.tensor(2.0))


def _double_on_single(x: Tensor) -> None:
    fake_device.single = True
    x.double()


def noise(*shape: int) -> Tensor:
    """The same audio in every run."""
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


if __name__ == "__main__":
    main()
