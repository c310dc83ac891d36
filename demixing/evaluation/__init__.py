"""Scores separated songs as AIcrowd's leaderboard does; needs only numpy, scipy and soundfile.

From files to a score, module by module:

    songs       finds the songs of a folder and their stems
    stem_file   names the streams of a file that holds several stems; stem_streams reads them
    audio       reads stems in blocks and rejects damaged files
    song_reader reads all stems of a song in step, ahead of their use
    metrics     one file per metric; frames, mel, hearing and per_stem are what they are made of
    measuring   the files of a song -> the values of metrics
    scoring     two folders of songs -> one score per song and stem
    summary     those scores -> the leaderboard's means, and means over active references
    comparison  scores of several systems -> differences, with intervals and tests
    report      those means -> table, JSON, CSV
    dataset     songs in any layout -> the folders that the grader gives to a submission
    boards      the contest's leaderboards; board_place, predicted_place: where a mean would be
    ledger      a line per evaluation
    run         the folder of one evaluation: its settings, and which songs are finished
"""
