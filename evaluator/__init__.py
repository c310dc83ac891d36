"""The contest's grader: the official score, a server like AIcrowd's, checks before submitting."""
