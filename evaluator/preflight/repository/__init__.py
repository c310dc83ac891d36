"""Checks of the folder that would be pushed."""
