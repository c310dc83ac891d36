"""The entry to the contest: what the grading server loads and runs.

Unlike ``demixing`` this is a program, so importing it chooses how threads wait.
"""

from demixing.machine import threads

threads.wait_passively()
