"""The repository at AIcrowd: its address, and the page where results appear."""

import re
from urllib.parse import urlsplit

from submitting.credentials import HOST
from submitting.errors import SubmissionError

REPOSITORIES = {
    "music-demixing-track-mdx-23": "sdx-2023-music-demixing-track-starter-kit",
    "cinematic-sound-demixing-track-cdx-23": "sdx-2023-cinematic-sound-demixing-starter-kit",
    "evaluations-api-music-demixing": "music-demixing-challenge-starter-kit",
}
"""Names of AIcrowd's starter kits, and of participants' forks, by challenge."""


def address(username: str, challenge: object, repository: str = "") -> str:
    """Address of a user's repository for a challenge, without a token.

    Args:
        username: user name at AIcrowd's GitLab.
        challenge: ``challenge_id`` of aicrowd.json.
        repository: name of the repository; if empty, the kit's.

    Raises:
        SubmissionError: no kit is known for the challenge, or a name is not valid.
    """
    name = repository or (REPOSITORIES.get(challenge, "") if isinstance(challenge, str) else "")
    if not name:
        raise SubmissionError(
            f"expected challenge_id in aicrowd.json to be one of {', '.join(REPOSITORIES)}, got "
            f"{challenge!r}; correct it, or name your repository with --repository"
        )
    for part in (username, name):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", part):
            raise SubmissionError(f"expected the name of a user or repository, got {part!r}")
    return f"https://{HOST}/{username}/{name.removesuffix('.git')}.git"


def results_page(url: str) -> str:
    """Page where the result of a submission appears; empty if the remote is not AIcrowd's.

    >>> results_page("git@gitlab.aicrowd.com:me/kit.git")
    'https://gitlab.aicrowd.com/me/kit/-/issues'
    >>> results_page("file:///tmp/kit.git")
    ''
    """
    short = re.fullmatch(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)", url)
    host, path = (short[1], short[2]) if short else (urlsplit(url).hostname, urlsplit(url).path)
    if host != HOST:
        return ""
    return f"https://{HOST}/{path.strip('/').removesuffix('.git')}/-/issues"
