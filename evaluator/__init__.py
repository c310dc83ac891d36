"""The contest's grader: official scores, the grading server at home, checks before submitting."""
