"""The optimiser of a network, and its learning rate at every step."""

import math

import torch
from torch import nn

from demixing.training.config import Optimiser


def learning_rate(optimiser: Optimiser, done: int, steps: int) -> float:
    """The learning rate of the step after ``done`` of ``steps`` steps.

    >>> how = Optimiser(learning_rate=1.0, warm_up_steps=2, decay="linear", last=0.0)
    >>> [learning_rate(how, done, 6) for done in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if done < optimiser.warm_up_steps:
        return optimiser.learning_rate * (done + 1) / optimiser.warm_up_steps
    part = (done - optimiser.warm_up_steps) / max(steps - optimiser.warm_up_steps, 1)
    left = {
        "constant": 1.0,
        "linear": 1 - part,
        "cosine": (1 + math.cos(math.pi * min(part, 1.0))) / 2,
    }[optimiser.decay]
    return optimiser.learning_rate * (optimiser.last + (1 - optimiser.last) * left)


def optimiser_of(network: nn.Module, how: Optimiser) -> torch.optim.Optimizer:
    """Build the optimiser of a network; norms and biases have no weight decay."""
    matrices = [one for one in network.parameters() if one.requires_grad and one.dim() > 1]
    others = [one for one in network.parameters() if one.requires_grad and one.dim() <= 1]
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[how.kind]
    first, second = how.betas
    made: torch.optim.Optimizer = kind(
        [
            {"params": matrices, "weight_decay": how.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=how.learning_rate,
        betas=(first, second),
        amsgrad=how.amsgrad,
    )
    return made
