"""The listening report: one HTML page with the sound, pictures and scores of separated songs.

From folders to a page, module by module:

    sounds       a waveform that is read in blocks, from one file or several
    runs         the folders that `demixing evaluate` leaves -> songs with references and estimates
    peaks        the outline of a waveform
    seconds      the SDR of each second
    spectrogram  level by time and frequency; picture makes a PNG of it
    opus         encodes sound for a browser
    measuring    one pass over the blocks of a stem, for all of these
    evaluated    runs -> songs of the page; separated does the same for songs without references
    tables       the scores as rows for the page
    page         fills the template; assets/ has the template, its style and its scripts
    writing      the page, and large sound in files beside it, all or nothing

Memory does not depend on the length of a song, except for its compressed sound.
"""
