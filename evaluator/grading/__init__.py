"""Runs a submission like the grading server, on this machine.

A *runner* isolates the submission from everything but its songs: a container of its image, or a
sandbox made by bubblewrap if there is no container engine. Inside, the harness
(``inside/harness.py``) loads the submission, requests songs and reports results. Outside, the
grader (:mod:`evaluator.grading.grader`, :mod:`evaluator.grading.session`) measures time and memory,
and collects the stems.
"""
