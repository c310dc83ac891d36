"""The precision of what float32 is too coarse for: long sums, and transforms with quiet bins."""

import torch


def exact(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on Apple's GPUs, which have nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64
