"""Songs are cut into overlapping chunks, and the stems of chunks are joined again."""
