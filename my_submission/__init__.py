"""Separate: everything that the grader's machine runs."""
