"""Compares systems on the same songs."""
