"""The package's exceptions.

    DemixError
    ├── SongError the audio is not accepted
    ├── ConfigError        a recipe, a setting or a command line is wrong
    ├── CheckpointError a weight file is missing, altered or for another network
    ├── OutputError stems violate the grader's contract, or cannot be written
    ├── EvaluationError songs cannot be scored, or a submission cannot be graded
    └── SubmissionError    nothing was pushed; in ``submitting``, which only the contest needs

Commands print them as one sentence and exit with status 2. Any other exception is a bug.
"""


class DemixError(Exception):
    """Base class of all errors that a user can act on."""


class SongError(DemixError):
    """The audio is not accepted."""


class ConfigError(DemixError):
    """A recipe, a setting or a command line is wrong."""


class CheckpointError(DemixError):
    """A weight file is missing, altered or for another network."""


class OutputError(DemixError):
    """Stems violate the grader's contract, or cannot be written."""


class EvaluationError(DemixError):
    """Songs cannot be scored, or a submission cannot be graded or checked."""
