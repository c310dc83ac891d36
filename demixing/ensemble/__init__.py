"""How the answers of several separators become one: weights, doubt, gates, leakage."""
