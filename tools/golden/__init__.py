"""Golden outputs: what the original code of a system computes from weights that names seed.

One module for each system runs the original from a checkout beside this repository and stores
what it gives in tests/golden/. The tests fill our network with the same weights and compare.
"""
