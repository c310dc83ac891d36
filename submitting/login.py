"""Reads what ``aicrowd login`` stored: the user's name and token at AIcrowd's GitLab.

The file is aicrowd-cli's own (version 0.1.18), config.toml in click's folder for an application of
that name:

    aicrowd_api_key = "..."

    [gitlab]
    oauth_token = "..."
    userid = 1
    username = "..."

A login with ``--api-key`` has no second table.
"""

import os
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from submitting.errors import SubmissionError

REMEDY = "run: aicrowd login, without --api-key, and follow the link that it prints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The user who submits.

    Attributes:
        username: user name at AIcrowd's GitLab.
        token: allows pushing in the user's name. Never printed.
        user_id: number of the user there; empty if it is not known.
    """

    username: str
    token: str = field(repr=False)
    user_id: str = ""

    @property
    def email(self) -> str:
        """The user's address that GitLab keeps private, as AIcrowd's submit.sh gives it to git.

        >>> Login(username="me", token="", user_id="7").email
        '7-me@users.noreply.gitlab.aicrowd.com'
        """
        number = f"{self.user_id}-" if self.user_id else ""
        return f"{number}{self.username}@users.noreply.gitlab.aicrowd.com"


def file() -> Path:
    """Configuration file of aicrowd-cli, where click's ``get_app_dir`` puts it.

    Raises:
        SubmissionError: the user has no home.
    """
    try:
        return _folder() / "aicrowd-cli" / "config.toml"
    except RuntimeError as error:
        raise SubmissionError(
            "expected a login at AIcrowd in the user's home folder, but this user has none; set "
            f"HOME to a folder, then {REMEDY}"
        ) from error


def _folder() -> Path:
    """The folder in which programs of the user keep their settings.

    Raises:
        RuntimeError: the user has no home.
    """
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home())
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def read() -> Login:
    """Read the login.

    Raises:
        SubmissionError: there is no login, the file is damaged, or the user has no home.
    """
    path = file()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SubmissionError(
            f"expected a login at AIcrowd in {path}, found none; {REMEDY}"
        ) from error
    except (OSError, ValueError):
        # Not chained, because the error may quote the line with the token.
        raise SubmissionError(
            f"expected the configuration of aicrowd-cli in {path}, but it cannot be read; {REMEDY}"
        ) from None
    gitlab = table.get("gitlab")
    known = gitlab if isinstance(gitlab, dict) else {}
    username, token = known.get("username"), known.get("oauth_token")
    if not (isinstance(username, str) and isinstance(token, str) and username and token):
        raise SubmissionError(
            f"expected gitlab.username and gitlab.oauth_token in {path}, found a login "
            f"without them; {REMEDY}"
        )
    number = known.get("userid")
    return Login(
        username=username, token=token, user_id=str(number) if isinstance(number, int) else ""
    )
