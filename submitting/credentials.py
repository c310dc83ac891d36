"""Passes git a token that is never visible or sent to another host.

A credential helper, configured in the environment (``GIT_CONFIG_COUNT``, git 2.31 or later), reads
it from another environment variable. So it appears in no address, argument or file, and git calls
the helper only for AIcrowd's host over https, regardless of the remote or any redirection.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from evaluator.preflight.git import Git
from submitting.errors import SubmissionError
from submitting.login import Login

HOST = "gitlab.aicrowd.com"
"""The only host that gets the token."""

VARIABLE = "SUBMIT_AICROWD_TOKEN"

HELPER = (
    '!f() { test "$1" = get && printf "username=oauth2\\npassword=%s\\n" "$' + VARIABLE + '"; }; f'
)
"""Git runs it in a shell, where ``printf`` is a builtin, so the token is never an argument."""

OLDEST = (2, 31)


def wanted(url: str) -> bool:
    """Whether an address gets the token.

    >>> wanted("https://gitlab.aicrowd.com/a/b.git"), wanted("https://gitlab.aicrowd.com.evil/b")
    (True, False)
    >>> wanted("http://gitlab.aicrowd.com/a/b.git"), wanted("/tmp/b.git")
    (False, False)
    """
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and parts.hostname == HOST and parts.port in (None, 443)
    except ValueError:
        return False


def environment(login: Login | None) -> Mapping[str, str]:
    """Environment variables for git commands that contact the remote.

    Args:
        login: has the token. If None, git fails instead of prompting for a password.
    """
    never_ask = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": ""}
    if login is None:
        return never_ask
    try:
        count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    except ValueError:
        count = 0
    key = f"credential.https://{HOST}.helper"
    # The empty one clears all earlier helpers, one of which might store the token.
    given = {
        part: value
        for index, helper in enumerate(("", HELPER), start=count)
        for part, value in (
            (f"GIT_CONFIG_KEY_{index}", key),
            (f"GIT_CONFIG_VALUE_{index}", helper),
        )
    }
    return {
        **never_ask,
        **given,
        "GIT_CONFIG_COUNT": str(count + 2),
        "GIT_TRACE_REDACT": "1",
        VARIABLE: login.token,
    }


def check_git(folder: Path) -> None:
    """Raise unless git reads configuration from the environment.

    Raises:
        SubmissionError: git is too old.
    """
    version = Git(folder).text("version")
    found = re.search(r"(\d+)\.(\d+)", version)
    if not found or (int(found[1]), int(found[2])) < OLDEST:
        raise SubmissionError(
            f"expected git 2.31 or later, to give it the token without writing it to a file, got "
            f"{version.strip()!r}; install a newer one, or push with ssh"
        )
