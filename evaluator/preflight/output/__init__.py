"""Checks of the separated stems: of the files, and of the arrays before they were written."""
