"""The agreement of an output with its reference in dB; higher is closer."""

import torch
from torch import Tensor


def agreement_db(reference: Tensor, answer: Tensor) -> float:
    """Return the energy of the reference over that of the error, in dB; about 300 if equal.

    Args:
        reference: real or complex, of any shape.
        answer: the output to compare, of the same shape.

    >>> round(agreement_db(torch.ones(4), torch.full((4,), 0.9)), 3)
    20.0
    """
    assert reference.shape == answer.shape, f"{reference.shape} and {answer.shape}"
    wide = torch.complex128 if reference.is_complex() else torch.float64
    expected = reference.to(wide)
    error = (answer.to(wide) - expected).abs().square().sum().clamp(min=1e-30)
    return float(10 * torch.log10(expected.abs().square().sum() / error))
