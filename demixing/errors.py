"""All errors that this package raises on purpose.

    DemixError
    ├── SongError          the audio is not what we accept
    ├── ConfigError        a recipe, a setting or a command line is wrong
    ├── CheckpointError    a file of weights is missing, altered or of another network
    ├── OutputError        stems break the contract with the grader, or cannot be written
    ├── EvaluationError    songs cannot be scored, or a submission not graded
    └── SubmissionError    nothing was pushed; in ``submitting``, which only the contest needs

The commands print them as one sentence and end with status 2. Any other exception is a bug.
"""


class DemixError(Exception):
    """Base of all errors that a user can act on."""


class SongError(DemixError):
    """The audio is not what we accept."""


class ConfigError(DemixError):
    """A recipe, a setting or a command line is wrong."""


class CheckpointError(DemixError):
    """A file of weights is missing, altered or of another network."""


class OutputError(DemixError):
    """Stems break the contract with the grader, or cannot be written."""


class EvaluationError(DemixError):
    """Songs cannot be scored, or a submission cannot be graded or checked."""
