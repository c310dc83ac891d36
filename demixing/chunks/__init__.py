"""Songs are cut into overlapping chunks, and the chunks' stems are joined again."""
