"""Compares systems on the same songs.

From the contents of ``scores.json`` to an answer, module by module:

    scores       the scores of one system, as all other modules use them
    reading      the contents of a scores.json -> those scores
    artists      the artist in the name of a song
    pairing      the songs that all systems have; refuses scores of different references
    differences  paired systems -> means, and differences with intervals and p-values
    results      the types of these
    verdict      those differences -> sentences
    table        the same as a table for people
    export       the same as JSON and CSV

The statistics, one file each, know arrays only:

    bootstrap    interval of a mean
    sign_flip    paired permutation test
    holm         correction of several p-values
    power        the smallest difference that a number of songs can show
"""
