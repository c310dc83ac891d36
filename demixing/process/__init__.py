"""The child process in which the grader's songs are separated, and who looks after it."""
