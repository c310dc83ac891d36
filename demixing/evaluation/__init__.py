"""Scores separated songs like AIcrowd's board; needs only numpy and soundfile.

From files to a score, module by module:

    songs      finds the songs of a folder and their stems
    audio      reads stems in blocks and rejects damaged files
    metrics    one file per metric
    scoring    two folders of songs -> one score per song and stem
    summary    those scores -> the board's means, and means over active references
    report     those means -> table, JSON, CSV
    dataset    songs in any layout -> the folders that the grader gives to a submission
    run        the folder of one evaluation: its settings, and which songs are finished
"""
