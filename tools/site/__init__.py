"""Builds the documentation as a site: what mkdocs.yml cannot say by itself."""
