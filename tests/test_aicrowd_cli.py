"""``aicrowd submission create`` of aicrowd-cli 0.1.18, as docs/submitting.md describes it.

The real command pushes to a bare repository on this machine, whose path contains AIcrowd's host,
because the command derives the page of results from it.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from submitting.credentials import HOST
from tests.small_repository import SmallRepository, clean

pytestmark = [pytest.mark.process]
pytest.importorskip("aicrowd")

ROOT = Path(__file__).parents[1]
PROGRAM = (
    "import sys\n"
    "from importlib import import_module\n"
    "from aicrowd.cli import cli\n"
    "create = import_module('aicrowd.submission.create')\n"
    "create.must_get_api_key = lambda _: '0'\n"
    "sys.exit(cli())\n"
)
"""The command, except that the website is not asked whether the key is valid."""


def documented() -> list[list[str]]:
    """The commands in the section of docs/submitting.md, without their comments."""
    text = (ROOT / "docs" / "submitting.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text, flags=re.MULTILINE)
    (found,) = (one for one in section if one.startswith("With AIcrowd's own command"))
    lines = [line.partition("#")[0].split() for line in found.splitlines() if line[:4] == " " * 4]
    return [line for line in lines if line]


class Cli(SmallRepository):
    """A repository whose remote is a bare one, and a login without a token for git."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.remote = folder.parent / HOST / "somebody" / "kit.git"
        self.remote.parent.mkdir(parents=True)
        self.git("init", "--quiet", "--bare", "--template=", str(self.remote))
        self.git("remote", "set-url", "aicrowd", f"file://{self.remote}")
        self.config = folder.parent / "home" / ".config" / "aicrowd-cli" / "config.toml"
        self.config.parent.mkdir(parents=True)
        self.config.write_text('aicrowd_api_key = "0"\n', encoding="utf-8")

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a documented command; ``aicrowd`` is this interpreter's."""
        home = str(self.config.parents[2])
        start = [sys.executable, "-c", PROGRAM] if words[0] == "aicrowd" else words[:1]
        return subprocess.run(
            [*start, *words[1:]],
            cwd=self.folder,
            env=clean(HOME=home, NO_COLOR="1"),
            capture_output=True,
            text=True,
            check=False,
        )

    def there(self, *words: str) -> str:
        return self.git("--git-dir", str(self.remote), *words)


@pytest.fixture
def repository(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "repository")


def test_the_documented_commands_submit(repository: Cli) -> None:
    repository.write("new.txt", "")
    commands = [words for words in documented() if words[1] != "lfs"]
    assert [words[0] for words in commands] == ["git", "git", "git", "aicrowd"]

    for words in commands:
        done = repository.run(words)
        assert done.returncode == 0, done.stderr + done.stdout

    assert f"https://{HOST}/somebody/kit/-/issues" in done.stdout.replace("\n", "")
    (tag,) = repository.there("tag").splitlines()
    assert tag == "submission-first-try"
    assert repository.there("show", f"{tag}:new.txt") == ""
    assert repository.there("rev-parse", "master") == repository.git("rev-parse", "HEAD")


def test_without_the_two_keys_it_refuses(repository: Cli) -> None:
    """Why the section sets them by hand."""
    *_, command = documented()

    done = repository.run(command)

    assert done.returncode != 0
    assert "Please run this command from the challenge directory" in done.stdout + done.stderr
    assert repository.there("tag") == ""
