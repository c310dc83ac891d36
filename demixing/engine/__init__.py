"""A song on its way through the members of a recipe."""
