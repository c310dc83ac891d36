"""Runs a submission as the grading server does, on this machine.

A *runner* isolates the submission from everything but its songs: a container of its image, or
without an engine a sandbox of Linux namespaces. Inside, the harness (``inside/harness.py``) loads
the submission, requests songs and reports results. Outside, the grader
(:mod:`evaluator.grading.grader`, :mod:`evaluator.grading.session`) measures time and memory, and
collects the stems.
"""
