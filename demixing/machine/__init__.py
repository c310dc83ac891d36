"""This machine: its container, threads, devices, and where the package is installed."""
