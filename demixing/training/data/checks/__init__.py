"""The checks of `demixing check`: each song is analysed once, block by block, and then judged.

analysis       one song: all its files side by side, a few seconds at a time
  signal_faults  per file: clipping, NaN, offset, mono
  spectra        frames of a stem, and features of its sound
  bleeding       how much of a stem's quiet places follows another stem
  fingerprints   the distances between peaks, which all copies share
findings       faults of one song: missing, short, silent, clipped, sum, bleeding
labels         stems that sound like another class of the data set
duplicates     the same audio twice, and leaks between splits
"""
