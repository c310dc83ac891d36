"""What an installed package reads for an evaluation."""

from pathlib import Path

import numpy as np
import soundfile

from demixing.cli import in_process
from demixing.evaluation.run import Run
from demixing.recipes.tracks import TRACKS


def test_the_name_of_a_clip_may_contain_that_of_a_side(tmp_path: Path) -> None:
    run = Run(folder=tmp_path, track="cdx", recipe="", recipe_sha256="", data="", limit="none")
    folder = run.dataset / "A_Lt"
    folder.mkdir(parents=True)
    for value, side in enumerate(("Lt", "Rt")):
        soundfile.write(folder / f"A_Lt_mixture_{side}.wav", np.full(10, value / 2), 44_100)

    mixture, rate_hz = in_process.read(run, TRACKS["cdx"], "A_Lt")

    assert rate_hz == 44_100
    assert np.array_equal(mixture, np.full((10, 2), [0.0, 0.5]))
