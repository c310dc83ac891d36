"""What `python -m training check` looks at: a song is heard once, block by block, and then judged.

listening      one song: all its files side by side, a few seconds at a time
  samples        per file: clipping, NaN, offset, mono
  spectra        frames of a stem, and what a stem sounds like in numbers
  bleeding       how much of a stem's quiet places follows another stem
  fingerprints   the distances between peaks, which any copy shares
findings       what one song tells: missing, short, silent, clipped, sum, bleeding
labels         stems that sound like another class of the data set
twins          the same audio twice, and leaks between splits
"""
