"""Golden outputs: outputs of a system's original code, with weights seeded by name.

One module for each system runs the original code from a checkout next to this repository, and
stores its outputs in tests/golden/. Tests fill our network with the same weights and compare.
"""
