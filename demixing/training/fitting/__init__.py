"""Fit the weights of a recipe to songs whose stems are known."""
