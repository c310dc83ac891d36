"""``ensemble FILE... -o OUT``: average stems that were made elsewhere."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demixing.cli import arguments, say, say_json
from demixing.cli.separate import FORMATS, LOSSLESS_BITS, add_sample_format, check_format
from demixing.errors import ConfigError, SongError
from demixing.printing import printable

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "ensemble",
        description="Write the weighted mean, or the median, of files that are estimates of one "
        "stem, by any program. All files must have the same rate, channels and samples.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an audio file")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=f"the new file; its suffix chooses the format: {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--weights",
        metavar="W,...",
        help="weight of each file, separated by commas (default: all the same)",
    )
    parser.add_argument(
        "--median", action="store_true", help="the median instead of the mean, of 3 files or more"
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FILE",
        help="the true stem: print the SDR of each file and of the ensemble (default: none)",
    )
    add_sample_format(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write the ensemble."""
    kind = options.output.suffix[1:].lower()
    if kind not in FORMATS:
        raise ConfigError(
            f"expected --output to end with .{', .'.join(FORMATS)}, got {options.output}"
        )
    check_format(kind, options.bits, options.bitrate)
    weights = numbers(options.weights)
    if os.path.lexists(options.output) and not options.overwrite:
        raise SongError(f"{options.output} already exists; use --overwrite to replace it")
    inputs = {os.path.realpath(path) for path in (*options.files, options.reference) if path}
    if os.path.realpath(options.output) in inputs:
        raise SongError(f"{options.output} is both an input and the output; choose another")
    from demixing.cli import file_ensemble  # imports torch

    file_ensemble.check(options.files, weights, by_median=options.median)
    by = file_ensemble.mean(weights or [1.0] * len(options.files))
    scores = file_ensemble.write(
        options.files,
        options.output,
        file_ensemble.median if options.median else by,
        bits=options.bits or LOSSLESS_BITS.get(kind, ("32f",))[0],
        bitrate=options.bitrate,
        replace=options.overwrite,
        reference=options.reference,
    )
    if options.json:
        say_json(as_json(options, scores))
        return 0
    say(options.output)
    for path, score in zip((*options.files, options.output), scores, strict=bool(scores)):
        print(f"{score:8.3f} dB  {printable(os.fspath(path))}")
    if scores:
        print(f"{scores[-1] - max(scores[:-1]):+8.3f} dB  over the best of the files")
    return 0


def numbers(words: str | None) -> list[float] | None:
    """Numbers that are separated by commas; None if there are none.

    Raises:
        ConfigError: a word is not a number.
    """
    if words is None:
        return None
    try:
        return [float(word) for word in words.split(",")]
    except ValueError as error:
        raise ConfigError(f"expected --weights like 2,1,1, got {words!r}") from error


def as_json(options: argparse.Namespace, scores: list[float]) -> dict[str, Any]:
    """Plain values of the result."""
    files = [os.fspath(path) for path in options.files]
    result: dict[str, Any] = {"output": os.fspath(options.output), "files": files}
    if scores:
        result["sdr_db"] = dict(zip(files, scores[:-1], strict=True))
        result["ensemble_sdr_db"] = scores[-1]
        result["gain_db"] = scores[-1] - max(scores[:-1])
    return result
