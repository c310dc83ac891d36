"""Weight files: catalogue, download, verification, and safe reading."""
