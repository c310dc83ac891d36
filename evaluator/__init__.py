"""The contest's grader: official scores, a local grading server, checks before submitting."""
