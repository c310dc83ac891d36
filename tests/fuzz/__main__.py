"""``python -m tests.fuzz``: damages files of all kinds, and reads them.

What goes wrong is minimised and kept in ``tests/fuzz/corpus/``, which ``tests/test_fuzz.py`` reads
again in every run of the tests.
"""

import argparse
import hashlib
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.fuzz.cases import Finding, Target, finding, minimised
from tests.fuzz.mutation import damaged
from tests.fuzz.targets import targets

CORPUS = Path(__file__).parent / "corpus"


def main() -> int:
    """Fuzz for some minutes; the status is 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Read damaged files.")
    parser.add_argument("--minutes", type=float, default=10.0, help="default: 10")
    parser.add_argument("--seed", type=int, default=None, help="default: the time")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else time.time_ns()
    known = targets()
    chosen = {name: known[name] for name in options.target or known}
    counts: Counter[str] = Counter()
    found: set[tuple[str, str]] = set()
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for name, data, one in run(chosen, seed, Path(folder)):
            counts[name] += 1
            if one is not None and (name, one.kind) not in found:
                found.add((name, one.kind))
                path = kept(name, known[name], data, one, Path(folder))
                print(f"{name}: {one.kind}\n  {path}\n{one.text}", flush=True)
            if time.monotonic() - start_s > 60 * options.minutes:
                break
    total, took_s = sum(counts.values()), time.monotonic() - start_s
    print(f"{total} cases, {total / took_s:.0f} per second, {len(found)} findings; seed {seed}")
    return 1 if found else 0


def run(
    chosen: dict[str, Target], seed: int, folder: Path
) -> Iterator[tuple[str, bytes, Finding | None]]:
    """Read one damaged file of each target in turn, without end.

    Args:
        chosen: targets by name.
        seed: everything follows from it.
        folder: for the files.

    Yields:
        The target's name, the file, and what went wrong.
    """
    torch.set_num_threads(1)
    draw = random.Random(seed)
    seeds = {name: target.seeds() for name, target in chosen.items()}
    while True:
        for name, target in chosen.items():
            data = damaged(draw.choice(seeds[name]), seeds[name], draw)
            yield name, data, finding(target, data, folder)


def kept(name: str, target: Target, data: bytes, found: Finding, folder: Path) -> Path:
    """Minimise a file and keep it."""
    small = minimised(target, data, found, folder)
    path = CORPUS / name / hashlib.sha256(small).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(small)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
