"""Training: data, losses, augmentations, the loop and fits of recipes. Separating needs none."""
