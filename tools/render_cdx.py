"""Render film-like clips of one split from unpacked Debian packages, as many as you like.

    python tools/render_cdx.py UNPACKED_DIR OUT --split valid --clips 32 --clip-s 20 --seed 1

``UNPACKED_DIR`` has one folder per package of the split (``tools/film_sources.py``), made with
``dpkg-deb -x FILE.deb UNPACKED_DIR/PACKAGE``. Each clip is a folder of three FLAC files, which
``evaluate_locally.py --data OUT`` scores; its mixture is their sum and is not written. The same
packages and the same seed give the same clips, each of them however many others there are.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.film_audio import STEMS, active_level_db, write_stems
from tools.film_clips import draw_clip, fill_stock
from tools.film_sources import SPLITS


def main() -> None:
    """Write the clips and print the levels of their stems."""
    parser = argparse.ArgumentParser(description="Render film-like clips of one split.")
    parser.add_argument("unpacked", type=Path, help="folder with one unpacked package per folder")
    parser.add_argument("out", type=Path, help="gets a folder per clip")
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--clip-s", type=float, default=20.0, help="length of a clip in seconds")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    stock = fill_stock(arguments.unpacked, SPLITS[arguments.split])
    print("clip", *(f"{stem} dB" for stem in STEMS), "peak", sep="\t")
    for index in range(arguments.clips):
        stems = draw_clip(stock, arguments.clip_s, arguments.seed, index)
        folder = arguments.out / f"clip_{index:03}"
        folder.mkdir(parents=True, exist_ok=True)
        write_stems(folder, stems)
        levels = (f"{active_level_db(stem):.1f}" if stem.any() else "silent" for stem in stems)
        peak = np.abs(stems.sum(axis=0)).max()
        print(folder.name, *levels, f"{peak:.2f}", sep="\t")


if __name__ == "__main__":
    main()
