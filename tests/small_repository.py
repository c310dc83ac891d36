"""A small repository that could be submitted, for tests of preflight and of submit.py."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MDX = "music-demixing-track-mdx-23"
CDX = "cinematic-sound-demixing-track-cdx-23"

WEIGHTS = "models/weights/net.bin"

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 12345\n"
)

CONTEST: Mapping[str, Any] = {
    "challenge_id": MDX,
    "authors": ["somebody"],
    "external_dataset_used": True,
    "labelnoise": False,
    "bleeding": False,
    "gpu": False,
    "description": "a network",
}

DESCRIBES = """import json, os, sys
assert sys.argv[1:] == ["describe", "--json"]
with open("description.json") as file:
    table = json.load(file)
for weights in table["weights"]:
    weights["path"] = os.path.abspath(weights["path"])
print(json.dumps(table))
"""

MADE: dict[str, bytes] = {}
"""All files of the first repository; later ones are copies of it."""


class SmallRepository:
    """A git repository with one file of weights, independent of this machine's settings.

    Args:
        folder: does not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        if MADE:  # git takes ten processes to make one
            for name, contents in MADE.items():
                self.write(name, contents)
            return
        self._make()
        for path in folder.rglob("*"):
            if path.is_file():
                MADE[str(path.relative_to(folder))] = path.read_bytes()

    def _make(self) -> None:
        self.git("init", "--quiet", "--initial-branch=master", "--template=")
        self.git("config", "user.name", "Somebody")
        self.git("config", "user.email", "somebody@example.org")
        self.git("remote", "add", "aicrowd", "https://gitlab.aicrowd.com/somebody/kit.git")
        self.write("my_submission/__main__.py", DESCRIBES)
        self.write("my_submission/__init__.py", "")
        self.write(".dockerignore", "*\n!my_submission/\n!models/\n**/*.tmp\n")
        self.write(".gitignore", "__pycache__/\n*.ignored\n")
        self.write("requirements-weights.txt", "# weights\nSome_Package==1.0\n")
        self.write(WEIGHTS, "weights")
        self.contest()
        self.describe()
        self.commit()

    def git(self, *words: str) -> str:
        """Run git and return its output."""
        done = subprocess.run(
            ["git", *words], cwd=self.folder, capture_output=True, text=True, env=clean()
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a commit")

    def contest(self, without: str = "", **changes: Any) -> None:
        """Write aicrowd.json."""
        table = {key: value for key, value in CONTEST.items() if key != without}
        self.write("aicrowd.json", json.dumps({**table, **changes}))

    def describe(self, weights: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """Set the submission's description of itself."""
        one = {
            "name": "net",
            "path": WEIGHTS,
            "package": "",
            "condition": "ok",
            "trained_on": ["MUSDB18-HQ train"],
            **(weights or {}),
        }
        table = {"track": "mdx", "recipe": "best", "boards": ["C"], "weights": [one], **changes}
        self.write("description.json", json.dumps(table))


def clean(**variables: str) -> dict[str, str]:
    """This environment without settings for git or AIcrowd."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "AICROWD_", "DEMIX_", "XDG_"))
    }
    return {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **variables}
