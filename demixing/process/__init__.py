"""The child process that separates the grader's songs, and its supervision."""
