"""The kinds of findings, without anything that is slow to import."""

from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "missing": "a stem that has no file",
    "unreadable": "a file that cannot be decoded",
    "empty": "a file without samples",
    "rate": "not the sample rate of most files; Hz",
    "short": "shorter than the longest file of the song; missing samples",
    "nan": "samples that are NaN or infinite",
    "silent": "the stem is silent; level in dB",
    "clipped": "samples in flat tops near full scale",
    "offset": "mean of a channel, full scale at 1",
    "dead": "one channel is silent, the other is not",
    "mono": "both channels are the same",
    "sum": "the stems do not sum to the mixture; SDR in dB",
    "ignored": "an audio file, or a folder of such, that is not a stem",
    "bleeding": "part of a stem's quiet places that follows another stem, 0 to 1",
    "label": "sounds like another class; nats",
    "duplicate": "the same audio twice; part of the fingerprint",
    "leak": "the same audio in two splits; part of the fingerprint",
    "source": "a source file of songs in two splits; songs",
    "name": "a song's name that occurs in two splits",
}
"""Kinds of findings, each with the meaning and the unit of its number."""
