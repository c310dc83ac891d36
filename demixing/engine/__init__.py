"""Runs a song through the members of a recipe."""
