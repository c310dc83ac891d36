"""The Wiener filter agrees with norbert, in both precisions, and where single precision is hard."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demixing.networks.wiener import wiener
from tools.golden.agreement import agreement_db
from tools.golden.open_unmix import spectra

GOLDEN = Path(__file__).parent / "golden" / "open_unmix.npz"


@pytest.mark.parametrize(("name", "real"), [("double", torch.float64), ("single", torch.float32)])
def test_it_is_the_filter_of_norbert(name: str, real: torch.dtype) -> None:
    mixture, magnitudes = spectra()
    with np.load(GOLDEN) as golden:
        norbert = torch.from_numpy(golden[f"norbert_{name}"])

    answer = wiener(
        magnitudes.to(real),
        mixture.to(torch.complex128 if name == "double" else torch.complex64),
        epsilon=torch.finfo(real).eps,
    )

    assert answer.dtype == norbert.dtype
    assert agreement_db(norbert.to(torch.complex128), answer) > 110


def test_single_precision_keeps_a_mixture_from_one_direction() -> None:
    draw = torch.Generator().manual_seed(0)
    one = torch.complex(*torch.randn(2, 33, 200, generator=draw, dtype=torch.float64)) * 30
    mixture = torch.stack([one, 0.7 * one])
    magnitudes = torch.rand(4, 1, 33, 200, generator=draw, dtype=torch.float64) * mixture.abs()

    exact = wiener(magnitudes, mixture)
    single = wiener(magnitudes.float(), mixture.to(torch.complex64))

    assert agreement_db(exact, single) > 90


@pytest.mark.parametrize("iterations", [0, 1, 2])
@pytest.mark.parametrize("softmask", [False, True])
def test_with_a_residual_the_stems_sum_to_the_mixture(iterations: int, *, softmask: bool) -> None:
    mixture, magnitudes = spectra()

    stems = wiener(magnitudes, mixture, iterations, softmask=softmask, residual=True)

    assert stems.shape == (4, *mixture.shape)
    # Except for the share of the noise that keeps the filter finite.
    assert agreement_db(mixture, stems.sum(dim=0)) > (60 if iterations else 250)


def test_songs_of_a_batch_do_not_affect_each_other() -> None:
    mixture, magnitudes = spectra()
    quiet = 0.01 * mixture.flip(-1)

    both = wiener(torch.stack([magnitudes, magnitudes]), torch.stack([mixture, quiet]))

    torch.testing.assert_close(both[1], wiener(magnitudes, quiet))


def test_silence_gives_silence() -> None:
    silent = torch.zeros(2, 5, 6, dtype=torch.complex64)

    stems: Any = wiener(torch.zeros(3, 2, 5, 6), silent, 2)

    assert not stems.any()


def test_neither_argument_is_changed() -> None:
    mixture, magnitudes = spectra()
    before = mixture.clone(), magnitudes.clone()

    wiener(magnitudes, mixture, 2, residual=True)

    assert torch.equal(mixture, before[0])
    assert torch.equal(magnitudes, before[1])


def test_shapes_that_do_not_fit_are_refused() -> None:
    mixture, magnitudes = spectra()

    with pytest.raises(ValueError, match=r"expected magnitudes \(targets, 2, bins, frames\)"):
        wiener(magnitudes[:, :1], mixture)
