"""Render film-like clips: the old form of ``demixing render cdx``, cited in docs/decisions.

    python tools/render_cdx.py UNPACKED_DIR OUT --split valid --clips 32 --seconds 20 --seed 1

The same packages and the same seed still give the same clips.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demixing.cli.main import main

if __name__ == "__main__":
    places = ["--packages", sys.argv[1], "--out", sys.argv[2]] if len(sys.argv) > 2 else []
    words = [word.replace("--clip-s", "--seconds") for word in sys.argv[3:]]
    sys.exit(main(["render", "cdx", *places, *words]))
