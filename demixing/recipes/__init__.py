"""Recipes: which separators to use, and how to combine their outputs into stems."""
