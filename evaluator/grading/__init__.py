"""Runs a submission as the grading server does, on this machine.

A *place* keeps the submission away from everything but its songs: a container of its image, or
without an engine a sandbox of Linux namespaces. In it the harness (``harness.py``)
builds the wrapper and asks for one song after the other; out here the grader
(:mod:`evaluator.grading.grader`) looks at clock and memory, and takes the stems.
"""
