"""Builds the separators of networks with a config; see the package.

A checkpoint is a name in the catalogue, whose table has the config, or a user's own file: then the
config is a YAML file, unless the file was written by ``demixing import``, which keeps both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demixing.errors import CheckpointError, ConfigError
from demixing.separators.msst.config import Config, read

if TYPE_CHECKING:
    from torch import Tensor

    from demixing.separators.msst.separator import NetworkSeparator
    from demixing.weights.readers import Contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a network comes from, before its weights are read.

    Attributes:
        system: name of the plug-in that builds the network.
        config: of the network.
        contents: reads the file.
        bf16_change_db: from the catalogue.
    """

    system: str
    config: Config
    contents: "Callable[[], Contents]"
    bf16_change_db: float | None = None


def is_file(checkpoint: str) -> bool:
    """Whether a checkpoint is the path of a file, not a name in the catalogue.

    >>> is_file("scnet_small"), is_file("mine.ckpt"), is_file("./mine")
    (False, True, True)
    """
    return not checkpoint.replace("_", "").isalnum()


def required_weights(default: str, checkpoint: str = "") -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens.

    Args:
        default: see :func:`build`, also for the other argument.
        checkpoint: a user's own file is in no catalogue.
    """
    name = checkpoint or default
    return [] if is_file(name) else [name]


def find(checkpoint: str, config: str = "") -> Source:
    """Find a checkpoint and its config; the weights are not read yet.

    Args:
        checkpoint: see :func:`build`, also for the other argument.
        config: path of a YAML file; "": the config of the catalogue or of the file.

    Raises:
        ConfigError: the config is missing or cannot be read.
        CheckpointError: the catalogue has no such name.
    """
    from demixing.weights import checkpoints, own_file

    given = read(Path(config)) if config else None
    if is_file(checkpoint):
        path = Path(checkpoint)
        system, sections = own_file.config(path)
        kept = given or Config(sections, checkpoint)
        if not kept.sections:
            raise ConfigError(
                f"{path} needs the YAML file of its authors: name it with --config, or as the "
                "option config in a recipe"
            )
        return Source(
            system=system_of(kept) if given else system,
            config=kept,
            contents=lambda: own_file.read(path),
        )
    entry = checkpoints.find(checkpoint)
    if not entry.config:
        raise ConfigError(f"the weights {checkpoint!r} are not of a network with a config")
    return Source(
        system=entry.network,
        config=given or Config(entry.config, checkpoint),
        contents=lambda: checkpoints.contents(entry),
        bf16_change_db=entry.bf16_change_db,
    )


def system_of(config: Config) -> str:
    """Name of the plug-in whose network a config describes.

    Raises:
        ConfigError: none of them knows it.
    """
    from demixing import separators

    known = separators.having("recognises")
    for name in known:
        if separators.module(name).recognises(config):
            return name
    raise ConfigError(
        f"the config of {config.name} is of an unknown network; expected one of {', '.join(known)}"
    )


def build(
    system: str,
    default: str,
    checkpoint: str = "",
    config: str = "",
    overlap: int | None = None,
    precision: str = "fp32",
) -> "NetworkSeparator":
    """Load a network.

    Args:
        system: name of the plug-in.
        default: its default checkpoint.
        checkpoint: a name in the catalogue, or the path of a file; "": the default.
        config: path of a YAML file; "": the config of the catalogue, or of the file.
        overlap: number of chunks for each sample, so the price; None: as its authors chose it.
        precision: of the network, see :mod:`demixing.networks.execution`.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
        ConfigError: the config is missing or impossible, or there is no such precision.
    """
    name = checkpoint or default
    source = find(name, config)
    if source.system != system:
        raise ConfigError(f"{name} is of the network {source.system}, not {system}")
    return assemble(source, overlap=overlap, precision=precision)


def assemble(
    source: Source, *, overlap: int | None = None, precision: str = "fp32"
) -> "NetworkSeparator":
    """Build the separator of a source; see :func:`build` for the options and errors."""
    from demixing import separators
    from demixing.separators.msst import chunking, separator
    from demixing.weights.loading import fill

    config, module = source.config, separators.module(source.system)
    cut, stems = chunking.of_config(config, overlap), config.stems()
    made, state = network(source.system, config, source.contents().state)
    if hasattr(made, "nearest_length"):
        chunking.check(config, cut.chunk, made.nearest_length(cut.chunk))
    fill(made, state, config.name)
    return separator.prepare(
        made,
        stems=stems,
        chunking=cut,
        sample_rate_hz=config.integer("audio.sample_rate", 44_100, least=8000, most=192_000),
        normalises=_normalises(config),
        answers_silence=getattr(module, "ANSWERS_SILENCE", False),
        rewrite=getattr(module, "rewrite", None),
        precision=precision,
        bf16_change_db=source.bf16_change_db,
    )


def _normalises(config: Config) -> str:
    """How songs are normalised: MSST has numpy's deviation, SCNet's authors have torch's."""
    if not config.flag("inference.normalize"):
        return ""
    return "mono" if config.get("inference.method") == "demucs" else "population"


def network(system: str, config: Config, state: "Mapping[str, Tensor]") -> Any:
    """Build a network without weights.

    Args:
        system: name of the plug-in.
        config: of the network.
        state: the weights of the file.

    Returns:
        The network, and the weights that fill it.

    Raises:
        CheckpointError: the weights are of another network.
        ConfigError: the config is of another network, or impossible.
    """
    from demixing import separators

    try:
        return separators.module(system).network(config, state)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"cannot build the network of {config.name} from its config: {error}"
        ) from error
