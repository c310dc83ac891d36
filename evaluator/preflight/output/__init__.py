"""Checks of what was separated: of the files, and of the arrays before they were written."""
