"""Pictures: what is drawn is in one file, how it is drawn in another.

    plan, plan_figure                         time against quality of a recipe
    training, training_figure                 training curves
    check_songs, check_excerpts, check_page   a checked data set as a page
    canvas, page.css                          what figures and pages share

The first file of each turns results into numbers that can be tested. Nothing here computes results.
matplotlib and jinja2 (extra ``report``) are imported with the first picture.
"""
