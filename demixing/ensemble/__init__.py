"""Combines the outputs of several separators: weights, doubt, gates, leakage."""
