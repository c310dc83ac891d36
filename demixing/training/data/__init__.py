"""Songs with known stems: found, read, checked."""
