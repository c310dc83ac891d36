"""Options of a run: a TOML file that contains only changes from the defaults.

    [network]
    name = "shared_unet"

    [optimiser]
    learning_rate = 3e-4

Each table is a frozen dataclass with the defaults. An unknown key is an error.
"""

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_args

from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.recipes.tables import MOST_NUMBER
from demixing.training import chain

Table = TypeVar("Table")
Options = Mapping[str, Any]

PRECISIONS = ("fp32", "bf16")
WAVEFORMS, MAGNITUDES, PROJECTIONS = DOMAINS = ("waveforms", "magnitudes", "projections")
KINDS = ("adamw", "adam")
DECAYS = ("constant", "cosine", "linear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network to train.

    Attributes:
        name: name of a module in ``demixing/networks/trainable/``.
        options: options of its ``build``.
        start: weights to start from: a name in the catalogue of weights, or a ``.safetensors``
            file of an earlier run; random if empty.
    """

    name: str = "shared_unet"
    options: Options = field(default_factory=dict)
    start: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The songs for training and validation.

    Attributes:
        train: folders of songs.
        shares: how often each folder is drawn; if empty, every second is equally likely.
        valid: folders of songs for validation.
        valid_songs: number of songs to use from each of these folders, the first ones; all if 0.
        examples_per_epoch: length of an epoch, which only matters for the random numbers.
    """

    train: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    valid: tuple[str, ...] = ()
    valid_songs: int = 0
    examples_per_epoch: int = 10_000

    def __post_init__(self) -> None:
        least = "must be at least 0"
        _check(self.valid_songs >= 0, f"data.valid_songs {least}", self.valid_songs)
        _check(
            not self.shares or (min(self.shares) >= 0 and 0 < sum(self.shares) < math.inf),
            f"data.shares {least}, and not all 0",
            self.shares,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser:
    """The optimiser and its learning rate.

    Attributes:
        kind: one of :data:`KINDS`.
        amsgrad: use the largest second moment so far.
        learning_rate: the peak.
        betas: decay of the first and the second moment.
        weight_decay: decoupled for AdamW, added to the gradient for Adam.
        warm_up_steps: number of steps in which the rate rises linearly.
        decay: shape of the decay of the rate after that: one of :data:`DECAYS`.
        last: rate of the last step, relative to the peak.
        clip_norm: maximum norm of the gradient of all weights; no limit if 0.
    """

    kind: str = "adamw"
    amsgrad: bool = False
    learning_rate: float = 3e-4
    betas: tuple[float, ...] = (0.9, 0.999)
    weight_decay: float = 0.0
    warm_up_steps: int = 100
    decay: str = "cosine"
    last: float = 0.05
    clip_norm: float = 5.0

    def __post_init__(self) -> None:
        _check(self.kind in KINDS, f"optimiser.kind must be one of {', '.join(KINDS)}", self.kind)
        _check(
            self.decay in DECAYS, f"optimiser.decay must be one of {', '.join(DECAYS)}", self.decay
        )
        _check(
            0 < self.learning_rate < math.inf,
            "optimiser.learning_rate must be above 0 and finite",
            self.learning_rate,
        )
        _check(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            "optimiser.betas must be two numbers of at least 0 and below 1",
            self.betas,
        )
        _check(0 <= self.last <= 1, "optimiser.last must be from 0 to 1", self.last)
        for name in ("weight_decay", "warm_up_steps", "clip_norm"):
            value = getattr(self, name)
            _check(value >= 0, f"optimiser.{name} must be at least 0", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The schedule of validations.

    Attributes:
        every_steps: number of steps between two validations.
        patience: a run ends after this many validations without a better score; never if 0.
    """

    every_steps: int = 500
    patience: int = 0

    def __post_init__(self) -> None:
        _check(
            self.every_steps > 0,
            "validation.every_steps must be above 0 (set data.valid to [] for no validation)",
            self.every_steps,
        )
        _check(self.patience >= 0, "validation.patience must be at least 0", self.patience)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All options of a run.

    Attributes:
        summary: purpose of the run, in one line.
        stems: names of the stems to learn.
        sample_rate_hz: sample rate of the songs.
        samples: length of an example.
        seed: seed of the examples and of random weights.
        batch: examples per step, over all processes together.
        steps: number of steps.
        workers: processes that prepare examples, for each device.
        precision: precision of matrix products: one of :data:`PRECISIONS`.
        domain: domain in which estimates are compared with stems: one of :data:`DOMAINS`.
        ema_decay: decay of the average of the weights, which is validated and exported.
        save_every_steps: number of steps between two checkpoints.
        network: see :class:`Network`.
        data: see :class:`Data`.
        optimiser: see :class:`Optimiser`.
        validation: see :class:`Validation`.
        loss: ``name`` and ``options`` of a module in ``demixing/training/losses/``.
        augmentations: for each, the ``name`` of a module in ``demixing/training/augmentations/``
            and its options, in the order in which they act.
    """

    summary: str = ""
    stems: tuple[str, ...] = ()
    sample_rate_hz: int = 44_100
    samples: int = 261_120
    seed: int = 2023
    batch: int = 4
    steps: int = 10_000
    workers: int = 1
    precision: str = "fp32"
    domain: str = WAVEFORMS
    ema_decay: float = 0.999
    save_every_steps: int = 100
    network: Network = field(default_factory=Network)
    data: Data = field(default_factory=Data)
    optimiser: Optimiser = field(default_factory=Optimiser)
    validation: Validation = field(default_factory=Validation)
    loss: Options = field(default_factory=lambda: {"name": "wave_l1"})
    augmentations: tuple[Options, ...] = chain.STANDARD

    def __post_init__(self) -> None:
        _check(self.precision in PRECISIONS, "precision must be fp32 or bf16", self.precision)
        domains = " or ".join(DOMAINS)
        _check(self.domain in DOMAINS, f"domain must be {domains}", self.domain)
        for name in ("samples", "batch", "steps", "save_every_steps", "sample_rate_hz"):
            _check(getattr(self, name) > 0, f"{name} must be above 0", getattr(self, name))
        _check(self.workers >= 0, "workers must be at least 0", self.workers)
        _check(0 <= self.seed < 1 << 63, "seed must be at least 0 and below 2**63", self.seed)
        _check(0 <= self.ema_decay < 1, "ema_decay must be at least 0 and below 1", self.ema_decay)


def load(path: Path, settings: Sequence[str] = ()) -> Run:
    """Read the options of a run.

    Args:
        path: path of the TOML file.
        settings: changes, ``a.b=value`` each, with values as in TOML; strings need no quotes.

    Raises:
        ConfigError: the file cannot be read, or an option is unknown or invalid.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"expected a run in {str(path)!r}, but {reason}") from error
    run = updated(Run(), table)
    for setting in settings:
        run = updated(run, _table_of(setting))
    _check(bool(run.stems), "stems must name the stems to learn", run.stems)
    _check(bool(run.data.train), "data.train must name folders of songs", run.data.train)
    return run


def updated(table: Table, changes: Mapping[str, Any], within: str = "") -> Table:
    """Copy a table, with changes.

    Args:
        table: a dataclass of this module.
        changes: values by key, tables within tables.
        within: prefix of the keys, for messages.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type.

    >>> updated(Run(), {"optimiser": {"lerning_rate": 1}})
    Traceback (most recent call last):
        ...
    demixing.errors.ConfigError: a run has no option 'optimiser.lerning_rate'; ...
    """
    known = {one.name: one.type for one in fields(table)}  # type: ignore[arg-type]
    new: dict[str, Any] = {}
    for key, value in changes.items():
        name = f"{within}{key}"
        if key not in known:
            raise ConfigError(f"a run has no option {name!r}{did_you_mean(key, list(known))}")
        old = getattr(table, key)
        if dataclasses.is_dataclass(old):
            _check(isinstance(value, dict), f"{name} must be a table", value)
            new[key] = updated(old, value, f"{name}.")
        else:
            new[key] = _converted(name, old, value, known[key])
    return dataclasses.replace(table, **new)  # type: ignore[type-var]


def as_table(run: Run) -> dict[str, Any]:
    """All options of a run as plain values, for checkpoints."""
    return dataclasses.asdict(run)


def _converted(name: str, old: object, value: Any, kind: object = None) -> Any:
    """Check that a value has the type of the default, and convert it.

    Args:
        name: of the option, for messages.
        old: the default, or another value of its type.
        value: the new value.
        kind: type of the option, if it is a tuple.

    Raises:
        ConfigError: it has another type.
    """
    if isinstance(old, tuple):
        value = [value] if isinstance(value, str) else value
        _check(isinstance(value, list | tuple), f"{name} must be a list", value)
        example = {str: "", float: 0.0}.get(get_args(kind)[0], {})
        return tuple(_converted(f"each of {name}", example, one) for one in value)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        _check(abs(value) < MOST_NUMBER, f"{name} must be a smaller number", value)
        return float(value)
    expected = dict if isinstance(old, Mapping) else type(old)
    _check(type(value) is expected, f"{name} must be of the type {expected.__name__}", value)
    return value


def _table_of(setting: str) -> dict[str, Any]:
    """Parse ``a.b=value``.

    Raises:
        ConfigError: it has another form.

    >>> _table_of("data.valid=x")
    {'data': {'valid': 'x'}}
    """
    key, sign, text = setting.partition("=")
    _check(bool(sign and key.strip()), "--set wants KEY=VALUE", setting)
    try:
        return tomllib.loads(f"{key} = {text}")
    except (ValueError, RecursionError):  # also a number of too many digits
        pass
    try:
        return tomllib.loads(f"{key} = {_quoted(text)}")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set wants KEY=VALUE as in TOML, got {setting!r}: {error}") from error


def _quoted(text: str) -> str:
    """A string in TOML notation."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check(fine: bool, expected: str, got: object) -> None:
    """Report a wrong value.

    Raises:
        ConfigError: ``fine`` is false.
    """
    if not fine:
        raise ConfigError(f"{expected}, got {got!r}")
