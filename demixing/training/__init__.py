"""Makes training material and, later, trains on it: nothing here runs on the grader's machine."""
