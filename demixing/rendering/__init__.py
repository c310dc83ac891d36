"""Songs with known stems, rendered from packages that Debian carries."""
