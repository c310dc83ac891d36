"""Recipes: which separators are asked, and how their answers become stems."""
