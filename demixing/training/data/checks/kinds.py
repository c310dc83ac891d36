"""The kinds of findings, without anything that is slow to import."""

from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "missing": "a stem that has no file",
    "unreadable": "a file that cannot be decoded",
    "rate": "another sample rate than most files have; Hz",
    "short": "less than the longest file of the song; seconds that lack",
    "nan": "samples that are no number",
    "silent": "nothing to hear; level in dB",
    "clipped": "samples in flat tops near full scale",
    "offset": "mean of a channel, full scale at 1",
    "dead": "one channel is silent, the other is not",
    "mono": "both channels are the same",
    "sum": "the stems do not sum to the mixture; SDR in dB",
    "ignored": "an audio file that is no stem",
    "bleeding": "part of a stem's quiet places that follows another stem, 0 to 1",
    "label": "sounds like another class; nats",
    "twin": "the same audio twice; part of the fingerprint",
    "leak": "the same audio in two splits; part of the fingerprint",
    "source": "a source file that songs of two splits were made of; songs",
    "name": "a song's name that is in two splits",
}
"""Kinds of findings, and what their number is."""
