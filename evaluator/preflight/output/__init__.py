"""Checks of the separated stems: the files, and the arrays before they were written."""
