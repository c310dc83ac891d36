"""The entry to the contest: what the grading server loads and runs."""
