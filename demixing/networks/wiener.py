"""Multichannel Wiener filter: makes the estimates of all stems consistent with the mixture.

Each stem is modelled as Gaussian, with a power v for each bin and frame and one 2x2 spatial
covariance R for each bin. Both are computed from the current estimates, and the best linear
estimates under that model,

    y_j = v_j R_j C^-1 x,        C = sum_k v_k R_k + sqrt(epsilon) I,

replace them; this is one iteration of expectation maximisation.

In single precision, the usual formulas lose all digits where all stems come from one direction,
because det C is then a small difference of large products. Here it is a sum of positive terms,

    det C = sum_jk v_j v_k D_jk + sqrt(epsilon) tr(sum_k v_k R_k) + epsilon,

with D_jk = det R_j for j = k, and otherwise half of a_j d_k + d_j a_k - 2 Re(b_j conj(b_k)). Only
D contains differences; it does not depend on the frame and is computed in double precision. C^-1 x
is computed once for all stems.

Source: Nugraha, Liutkus, Vincent, "Multichannel music separation with deep neural networks",
EUSIPCO 2016; the same filter as in the packages norbert 0.2.1 and open-unmix 1.3.0. The two
formulas above are our own derivation.
"""

import torch
from torch import Tensor

SCALE = 10.0
"""Mixtures with louder bins are scaled down to this, as the originals do."""


def wiener(
    magnitudes: Tensor,
    mixture: Tensor,
    iterations: int = 1,
    *,
    softmask: bool = False,
    residual: bool = False,
    epsilon: float = 1e-10,
) -> Tensor:
    """Estimate the stems' spectra from their magnitudes and the mixture's spectrum.

    Args:
        magnitudes: of the stems, not negative, ``(targets, 2, bins, frames)``; optionally with a
            batch axis in front. Directions are assumed constant over all frames.
        mixture: complex ``(2, bins, frames)``; optionally with a batch axis in front.
        iterations: of expectation maximisation; 0 returns the initial estimates.
        softmask: whether the initial estimates are the mixture divided in the ratio of the
            magnitudes, instead of the magnitudes with the phase of the mixture.
        residual: whether the mixture minus the estimates becomes an additional stem.
        epsilon: noise power that keeps the filter finite. open-unmix uses 1e-10, norbert the
            machine epsilon: 2.2e-16 in double precision, 1.2e-7 in single.

    Returns:
        Complex ``(targets, 2, bins, frames)``, with the residual last and the batch axis in front.

    Raises:
        ValueError: the shapes do not match.
    """
    if magnitudes.dim() == mixture.dim() + 1 == 5:
        options = {"softmask": softmask, "residual": residual, "epsilon": epsilon}
        pairs = zip(magnitudes, mixture, strict=True)
        return torch.stack([wiener(one, mix, iterations, **options) for one, mix in pairs])  # type: ignore[arg-type]
    if magnitudes.dim() != 4 or magnitudes.shape[1:] != mixture.shape or len(mixture) != 2:
        raise ValueError(
            "expected magnitudes (targets, 2, bins, frames) and a mixture (2, bins, frames), "
            f"got {tuple(magnitudes.shape)} and {tuple(mixture.shape)}"
        )
    if softmask:
        stems = mixture * (magnitudes / (magnitudes.sum(dim=0) + epsilon))
    else:
        stems = magnitudes * phase(mixture)
    if residual:
        stems = torch.cat([stems, (mixture - stems.sum(dim=0))[None]])
    if iterations == 0:
        return stems
    scale = (mixture.abs().max() / SCALE).clamp(min=1)
    mixture, stems = mixture / scale, stems / scale
    for _ in range(iterations):
        stems = _maximised(stems, mixture, epsilon)
    return stems.mul_(scale)


def phase(spectrum: Tensor) -> Tensor:
    """Divide complex numbers, of any shape, by their magnitudes; zeros become 1.

    >>> phase(torch.tensor([3 + 4j, 0j]))
    tensor([0.6000+0.8000j, 1.0000+0.0000j])
    """
    return torch.where(spectrum == 0, 1, torch.sgn(spectrum))


def _maximised(stems: Tensor, mixture: Tensor, epsilon: float) -> Tensor:
    """Run one iteration on stems ``(targets, 2, bins, frames)``; same shape."""
    # Bins come first: the rest are small matrix products, one per bin.
    power = torch.view_as_real(stems).square().sum(dim=(1, -1)).transpose(0, 1).contiguous() / 2
    directions = torch.stack([_direction(stem, epsilon) for stem in stems], dim=1)
    a, d, b_real, b_imag = directions.unbind(-1)  # of R = (a, b; conj(b), d), (bins, targets)
    rows = torch.cat([_mixed(directions), directions.transpose(1, 2)], dim=1)
    products = rows.to(power.dtype) @ power  # (bins, targets + 4, frames)
    across = products[:, :-4].mul_(power).sum(dim=1)
    c_left, c_right, c_real, c_imag = products[:, -4:].unbind(1)
    noise = epsilon**0.5
    determinant = across.add_(c_left + c_right, alpha=noise).add_(epsilon)
    c_left = c_left + noise
    c_across = torch.complex(c_real, c_imag)
    left, right = mixture
    # Solve C z = x by elimination: its errors are in a direction that every R suppresses.
    z_right = (c_left * right - c_across.conj() * left) / determinant
    z_left = (left - c_across * z_right) / c_left
    b = torch.complex(b_real, b_imag).to(mixture.dtype)
    a, d = a.to(power.dtype), d.to(power.dtype)
    output = torch.empty_like(stems)
    for target, out in enumerate(output):
        v, across_j = power[:, target], b[:, target, None]
        torch.addcmul(a[:, target, None] * z_left, across_j, z_right, out=out[0]).mul_(v)
        torch.addcmul(d[:, target, None] * z_right, across_j.conj(), z_left, out=out[1]).mul_(v)
    return output


def _direction(stem: Tensor, epsilon: float) -> Tensor:
    """Return the spatial covariance of a stem ``(2, bins, frames)``, float64 ``(bins, 4)``.

    The columns are a, d, re b and im b of R = (a, b; conj(b), d).
    """
    left, right = torch.view_as_real(stem).double()
    powers = torch.stack([left.square().sum(dim=(1, 2)), right.square().sum(dim=(1, 2))])
    real = (left * right).sum(dim=(1, 2))
    imag = (left[..., 1] * right[..., 0] - left[..., 0] * right[..., 1]).sum(dim=1)
    return torch.stack([*powers, real, imag], dim=1) / (powers.sum(dim=0) / 2 + epsilon)[:, None]


def _mixed(directions: Tensor) -> Tensor:
    """Compute D of the module: ``(bins, targets, 4)`` to ``(bins, targets, targets)``."""
    # As a bilinear form: (a, d, re b, im b) with (d / 2, a / 2, -re b, -im b).
    mirrored = directions[..., [1, 0, 2, 3]] * directions.new_tensor([0.5, 0.5, -1, -1])
    return (directions @ mirrored.transpose(1, 2)).clamp(min=0)
