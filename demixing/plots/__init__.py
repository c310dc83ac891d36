"""Pictures: one file per picture.

Each file turns results that exist into numbers that can be tested, then draws them. Nothing here
computes results. matplotlib and jinja2 (extra ``report``) are imported with the first picture.
"""
