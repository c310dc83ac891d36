"""Hands a token to git so that it shows nowhere, and goes nowhere else.

A credential helper, given in the environment (``GIT_CONFIG_COUNT``, git 2.31 or later), reads it
from another variable of the environment. So it stands in no address, no argument, no file, and git
asks that helper for AIcrowd's host over https alone, whatever the remote or a redirection says.
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
"""The only host that is ever given the token."""

VARIABLE = "SUBMIT_AICROWD_TOKEN"

HELPER = (
    '!f() { test "$1" = get && printf "username=oauth2\\npassword=%s\\n" "$' + VARIABLE + '"; }; f'
)
"""Run by git in a shell; ``printf`` is part of that, so the token is nobody's argument."""

OLDEST = (2, 31)


def wanted(url: str) -> bool:
    """Whether an address is one that the token is for.

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
    """Variables for commands of git that speak to the remote.

    Args:
        login: whose token; None: git asks nobody, and fails where a password is wanted.
    """
    never_ask = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": ""}
    if login is None:
        return never_ask
    try:
        count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    except ValueError:
        count = 0
    key = f"credential.https://{HOST}.helper"
    # The empty one makes git forget all helpers before it: one of them might store the token.
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
    """Raise unless git knows configuration by environment.

    Raises:
        SubmissionError: it is too old.
    """
    said = Git(folder).text("version")
    found = re.search(r"(\d+)\.(\d+)", said)
    if not found or (int(found[1]), int(found[2])) < OLDEST:
        raise SubmissionError(
            f"expected git 2.31 or later, to hand it the token without writing it down, got "
            f"{said.strip()!r}; install a newer one, or push by ssh"
        )
