"""Checks of times, memory and errors."""
