"""Recipes: which separators are used, and how their outputs become stems."""
