"""Compare speed and memory with other people's code.

    python -m benchmarks [--quick] [--original CHECKOUT] [NAME...]

Prints a table of ratios; above 1, ours is faster. Both sides share weights, song, process and
number of threads, and take turns. All figures of a GPU: ``python -m benchmarks gpu``, see
:mod:`benchmarks.gpu`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import (
    bandit,
    bytesep,
    danna_sep,
    demucs_v2,
    engine,
    gpu,
    hybrid_demucs,
    jobs,
    loading,
    mdx_net,
    memory,
    mrx,
    open_unmix,
    roformer,
    scnet,
    scoring,
    spleeter,
    start,
    tfc_tdf_v3,
)
from benchmarks.timing import HEAD, Line, machine, row
from demixing.cli.arguments import Parser
from demixing.errors import DemixError
from demixing.machine import threads

Cases = dict[str, Callable[..., Iterator[Line]]]
CASES: Cases = {
    "spleeter": spleeter.run,
    "htdemucs": hybrid_demucs.run_v4,
    "hdemucs": hybrid_demucs.run_v3,
    "demucs_time": hybrid_demucs.run_time,
    "mdx_net": mdx_net.run,
    "demucs_v2": demucs_v2.run,
    "danna_sep": danna_sep.run,
    "bytesep": bytesep.run,
    "open_unmix": open_unmix.run,
    "tfc_tdf_v3": tfc_tdf_v3.run,
    "roformer": roformer.run,
    "scnet": scnet.run,
    "bandit": bandit.run,
    "mrx": mrx.run,
    "engine": engine.run,
    "memory": memory.run,
    "jobs": jobs.run,
    "loading": loading.run,
    "scoring": scoring.run,
    "start": start.run,
}


def main(arguments: Sequence[str] | None = None, cases: Cases = CASES) -> int:
    """Run the command line and return the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["gpu"]:  # a program of its own
        return gpu.main(words[1:])
    parser = Parser(prog="python -m benchmarks", description="Measure ratios.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one or more of {', '.join(cases)} (default: all, which takes long), or gpu alone",
    )
    parser.add_argument("--quick", action="store_true", help="shorter songs, fewer rounds")
    parser.add_argument(
        "--original", type=Path, metavar="CHECKOUT", help="the code to compare with"
    )
    options = parser.parse_args(words)
    if unknown := set(options.names) - set(cases):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; have: {', '.join(cases)}")
    threads.use()
    head = [machine(), HEAD]  # of the table, which is not begun without a row
    given = {"original": options.original.resolve()} if options.original else {}
    failed = False
    for name in options.names or cases:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            for line in cases[name](quick=options.quick, **given):
                print(*head, row(line), sep="\n", flush=True)
                head.clear()
        except DemixError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
