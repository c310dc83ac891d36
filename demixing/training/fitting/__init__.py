"""Fits the weights of a recipe to songs with known stems."""
