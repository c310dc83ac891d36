"""``train``: train a network on songs with known stems."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import console
from demixing.errors import ConfigError

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers

logger = logging.getLogger(__name__)

STOPPED = "stopped; run it again to resume from the last checkpoint"


def add(commands: "Subparsers") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "train",
        description="Train a network. A run that was stopped resumes from its last checkpoint. "
        "With --plot, draw the curves of runs instead, and train nothing.",
    )
    describe(parser)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="TOML file, see demixing/training/config.py; with --plot, one or several files, or "
        "folders of runs",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="change an option of the run, such as optimiser.learning_rate=1e-4; may be repeated "
        "(default: no change)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the run (default: training_outputs/RUN)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="do not train: draw the training curves of the runs so far, from their logs, and "
        "exit; png, svg or pdf (default: train)",
    )


def run(options: argparse.Namespace) -> int:
    """Train, and print each validation result; or draw the curves of runs.

    Raises:
        ConfigError: an option is wrong, or there is no data, or no log to draw.
        OutputError: the run or the picture cannot be written.
    """
    if len(options.runs) > 1 and (options.out or not options.plot):
        what = "with --out" if options.out else "to train; several are for --plot"
        raise ConfigError(f"expected one RUN {what}, got {len(options.runs)}")
    if options.plot:
        draw([folder_of(one, options.out) for one in options.runs], options.plot)
        return 0
    (run_file,) = options.runs
    from demixing.training import config

    logging.getLogger("demixing").setLevel(logging.INFO)
    described = config.load(run_file, options.settings)
    # After checking the file: torch is slow.
    from demixing.machine import device
    from demixing.training import distributed, loop

    with distributed.joined() as processes:
        if processes.first:
            logger.info("%s", device.headline(processes.device, described.precision))
        lines = loop.train(described, folder_of(run_file, options.out), processes)
        console.show(line for line in lines if processes.first)
    return 0


def folder_of(run: Path, out: Path | None) -> Path:
    """The folder of a run, which is named by its file, or by the folder itself."""
    return out or (run if run.is_dir() else Path("training_outputs", run.stem))


def draw(folders: Sequence[Path], path: Path) -> None:
    """Draw the training curves of runs."""
    from demixing.plots import canvas, training, training_figure

    canvas.check_figure(path)
    training_figure.write([training.read(folder) for folder in folders], path)
