"""Renders songs and film sound with known stems from Debian packages."""
