"""Audio for measurements: coloured noise and tones, so nothing has to be downloaded."""

import torch
from torch import Tensor

SAMPLE_RATE_HZ = 44_100


def song(duration_s: float) -> Tensor:
    """Return a stereo song ``(2, samples)``, always the same and never silent.

    Args:
        duration_s: length in seconds.
    """
    generator = torch.Generator().manual_seed(2023)
    samples = int(duration_s * SAMPLE_RATE_HZ)
    time_s = torch.arange(samples) / SAMPLE_RATE_HZ
    noise = torch.randn(2, samples, generator=generator)
    noise = torch.nn.functional.avg_pool1d(noise, 5, stride=1, padding=2)
    beat = torch.exp(-8 * (time_s % 0.5))
    tones = torch.stack(
        [torch.sin(2 * torch.pi * hz * time_s) for hz in (110.0, 220.5, 440.2, 1319.0)]
    ).sum(dim=0)
    return 0.1 * noise * (0.2 + beat) + 0.05 * tones
