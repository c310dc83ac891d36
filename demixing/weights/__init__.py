"""Files of weights: catalogue, download, verification, and reading without running anything."""
