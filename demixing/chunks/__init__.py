"""A song becomes overlapping chunks, and their stems become a song again."""
