"""Submitting, against real bare repositories, with real git and git-lfs."""

import contextlib
import copy
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from evaluator.grading import command as grading
from evaluator.preflight import command as preflight
from submit import main
from submitting import credentials, login
from submitting.errors import SubmissionError
from submitting.login import Login
from submitting.remote import address, results_page
from tests.small_repository import CDX, MDX, WEIGHTS, SmallRepository, clean

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]
TOKEN = "glpat-0123456789-secret"
LARGE = 5_000_001

lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")


@dataclass(frozen=True)
class Done:
    """The status and the output of a command."""

    returncode: int
    stdout: str
    stderr: str


class Submitter(SmallRepository):
    """A repository, with a bare repository next to it as the remote.

    Args:
        folder: does not exist yet; ``home`` and ``remote.git`` are next to it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.remote = folder.with_name("remote.git")
        command = ["git", "init", "--quiet", "--bare", "--template=", str(self.remote)]
        subprocess.run(command, check=True, env=clean())
        self.git("remote", "set-url", "aicrowd", f"file://{self.remote}")
        self.home = folder.with_name("home")
        self.home.mkdir()

    def submit(self, *words: str, **variables: str) -> Done:
        """Submit in this process."""
        with (
            mock.patch.dict(os.environ, self.environment(variables), clear=True),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as err,
        ):
            status = main([*words, "--no-run"])
        return Done(status, out.getvalue(), err.getvalue())

    def submit_alone(self, *words: str, **variables: str) -> Done:
        """Submit in another process, whose pipes also get everything that git prints."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "submit.py"), *words, "--no-run"],
            cwd=self.folder,
            env=self.environment({"PYTHONPATH": str(ROOT), **variables}),
            capture_output=True,
            text=True,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return clean(HOME=str(self.home), **{"XDG_CONFIG_HOME": "", **variables})

    def there(self, *words: str) -> str:
        """Run git in the remote."""
        command = ["git", "--git-dir", str(self.remote), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean())
        return done.stdout.strip()

    def login(self, text: str | None = None) -> None:
        """Write the same files as aicrowd-cli 0.1.18."""
        usual = (
            'aicrowd_api_key = "0000"\n\n[gitlab]\n'
            f'oauth_token = "{TOKEN}"\nuserid = 7\nusername = "somebody"\n'
        )
        path = self.home / ".config" / "aicrowd-cli" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(usual if text is None else text)

    def state(self) -> tuple[str, ...]:
        """Everything that a submission could change here."""
        questions = (
            ("for-each-ref",),
            ("status", "--porcelain", "--ignored"),
            ("config", "--local", "--list"),
            ("diff", "--cached"),
        )
        return tuple(self.git(*words) for words in questions)


@pytest.fixture
def repository(tmp_path: Path) -> Submitter:
    return Submitter(tmp_path / "repository")


@pytest.fixture
def fake_git(tmp_path: Path) -> Path:
    """A folder with a ``git`` that logs its arguments and variables, and runs git.

    Commands that contact AIcrowd are replaced; they exit with the status in a file ``answer``.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "git"
    path.write_text(
        f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
with open({str(tmp_path / "calls")!r}, "a") as file:
    file.write(json.dumps([words, dict(os.environ)]) + chr(10))
if words[0] in ("push", "ls-remote"):
    sys.stderr.write("remote: hello " + os.environ.get("SUBMIT_AICROWD_TOKEN", "") + chr(10))
    sys.exit(int(Path({str(tmp_path / "answer")!r}).read_text()))
os.execv({shutil.which("git")!r}, ["git", *words])
"""
    )
    path.chmod(0o755)
    (tmp_path / "answer").write_text("0")
    return folder


def calls(tmp_path: Path) -> list[tuple[list[str], dict[str, str]]]:
    return [tuple(json.loads(line)) for line in (tmp_path / "calls").read_text().splitlines()]


@pytest.mark.process
def test_two_names_are_two_submissions_and_a_used_name_is_refused(repository: Submitter) -> None:
    first = repository.submit_alone("first try")

    assert first.returncode == 0, first.stderr
    assert repository.there("cat-file", "-t", "submission-first-try") == "tag"
    head = repository.git("rev-parse", "HEAD")
    assert repository.there("rev-parse", "submission-first-try^{commit}") == head
    assert repository.there("rev-parse", "master") == head

    repository.write("my_submission/more.py", "")
    second = repository.submit("second")

    assert second.returncode == 0, second.stderr
    assert repository.there("show", "submission-second:my_submission/more.py") == ""
    before = repository.state()

    again = repository.submit("second")

    assert again.returncode == 2
    assert "the tag 'submission-second' already exists here" in again.stderr
    assert repository.state() == before

    repository.git("tag", "--delete", "submission-second")
    elsewhere = repository.submit("second")

    assert elsewhere.returncode == 2
    assert "'aicrowd' already has a tag 'submission-second'" in elsewhere.stderr


def test_the_same_commit_is_not_submitted_twice(repository: Submitter) -> None:
    """AIcrowd does not grade a commit again under another tag."""
    for name in ("one", "two"):
        assert repository.submit(name).returncode == 0

    commits = [
        repository.there("rev-parse", f"submission-{name}^{{commit}}") for name in ("one", "two")
    ]
    assert commits[0] != commits[1]


def test_a_new_commit_is_submitted_as_it_is(repository: Submitter) -> None:
    head = repository.git("rev-parse", "HEAD")

    assert repository.submit("one").returncode == 0

    assert repository.there("rev-parse", "submission-one^{commit}") == head


def test_a_dry_run_shows_commands_and_changes_nothing(repository: Submitter) -> None:
    repository.write("new.txt", "")
    before = repository.state()

    done = repository.submit("a b", "--dry-run")

    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("+ ")] == [
        "+ git add --all",
        "+ git commit --quiet --message 'Submission a-b'",
        "+ git tag --annotate submission-a-b --message 'Submission a-b'",
        "+ git push --atomic aicrowd HEAD:refs/heads/master refs/tags/submission-a-b",
    ]
    assert repository.state() == before
    assert repository.there("for-each-ref") == ""


@pytest.mark.parametrize("known", [True, False])
def test_a_dry_run_needs_no_account(repository: Submitter, known: bool) -> None:
    """Whether or not the remote exists, and even if git does not know an author."""
    if known:
        repository.git("remote", "set-url", "aicrowd", f"https://{credentials.HOST}/me/kit.git")
    else:
        repository.git("remote", "remove", "aicrowd")
    for key in ("name", "email"):
        repository.git("config", "--unset", f"user.{key}")
    repository.git("config", "user.useConfigOnly", "true")
    before = repository.state()

    done = repository.submit("one", "--dry-run")

    assert done.returncode == 0, done.stderr
    assert "run: aicrowd login" in done.stdout
    assert "+ git push --atomic aicrowd" in done.stdout
    assert ("/YOUR-AICROWD-USERNAME/" in done.stdout) is not known
    assert repository.state() == before


def test_a_dry_run_without_the_network_says_what_it_could_not_check(repository: Submitter) -> None:
    shutil.rmtree(repository.remote)

    done = repository.submit("one", "--dry-run")

    assert done.returncode == 0, done.stderr
    assert "whether the name is free is not known" in done.stdout


@pytest.mark.parametrize("name", ["", "  ", "a..b", "a~b", "a:b", "a.lock", "a/", "a\\b", "a\x07"])
def test_names_that_git_would_refuse_are_refused(repository: Submitter, name: str) -> None:
    done = repository.submit(name)

    assert done.returncode == 2
    assert done.stderr.startswith("error: expected a name")


def test_faults_stop_a_submission(repository: Submitter) -> None:
    repository.contest(authors=["YOUR-AICROWD-USERNAME"])
    before = repository.state()

    done = repository.submit("one")

    assert done.returncode == 1
    assert "fault [contest_fields]" in done.stdout
    assert repository.state() == before
    assert repository.submit("one", "--anyway").returncode == 0


def test_another_branch_is_pushed_as_master(repository: Submitter) -> None:
    repository.git("checkout", "--quiet", "-b", "my-work")

    assert repository.submit("one").returncode == 0

    assert (
        repository.there("for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/master"
    )


def test_the_branch_of_the_remote_can_be_chosen(repository: Submitter) -> None:
    assert repository.submit("one", "--branch", "main").returncode == 0

    assert (
        repository.there("for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/main"
    )


@lfs
@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("kind", ["file", "path"])
def test_large_files_arrive_as_lfs_objects(
    repository: Submitter, committed: bool, kind: str
) -> None:
    if kind == "path":
        repository.git("remote", "set-url", "aicrowd", str(repository.remote))
    contents = os.urandom(LARGE)
    name = "models/weights/large net[1].bin"
    repository.write(name, contents)
    if committed:  # whole, before LFS tracked it
        repository.commit()

    done = repository.submit("large")

    assert done.returncode == 0, done.stderr
    pointer = repository.there("show", f"submission-large:{name}")
    assert pointer.startswith("version https://git-lfs")
    digest = pointer.split("sha256:")[1].split()[0]
    stored = repository.remote / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    assert stored.read_bytes() == contents
    assert repository.git("status", "--porcelain") == ""
    assert repository.submit("again").returncode == 0


@lfs
def test_the_tag_can_be_cloned_with_its_large_files(repository: Submitter, tmp_path: Path) -> None:
    contents = os.urandom(LARGE)
    repository.write(WEIGHTS, contents)
    assert repository.submit("large").returncode == 0

    clone = tmp_path / "clone"
    subprocess.run(
        [
            "git",
            "clone",
            "--quiet",
            "--branch",
            "submission-large",
            f"file://{repository.remote}",
            clone,
        ],
        env=clean(GIT_LFS_SKIP_SMUDGE="1"),
        check=True,
        capture_output=True,
    )
    for words in (("install", "--local"), ("pull",)):
        subprocess.run(
            ["git", "lfs", *words], cwd=clone, env=clean(), check=True, capture_output=True
        )

    assert (clone / WEIGHTS).read_bytes() == contents


def path_without_lfs(folder: Path) -> str:
    """A search path with git but without git-lfs."""
    folder.mkdir()
    for name in ("git", "sh", "env", "uname"):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    return str(folder)


def test_without_git_lfs_large_files_are_refused_or_pushed_whole(
    repository: Submitter, tmp_path: Path
) -> None:
    search = path_without_lfs(tmp_path / "search")
    if Path(exec_path(), "git-lfs").exists():
        pytest.skip("git-lfs is among git's own programs")
    repository.write(WEIGHTS, os.urandom(LARGE))
    before = repository.state()

    refused = repository.submit("large", PATH=search)

    assert refused.returncode == 2
    assert f"expected git-lfs, for {WEIGHTS}" in refused.stderr
    assert repository.state() == before

    whole = repository.submit("large", "--whole-files", PATH=search)

    assert whole.returncode == 0, whole.stderr
    assert int(repository.there("cat-file", "-s", f"submission-large:{WEIGHTS}")) == LARGE


def exec_path() -> str:
    return subprocess.run(
        ["git", "--exec-path"], capture_output=True, text=True, check=True
    ).stdout.strip()


def refuse(repository: Submitter) -> Path:
    """Make the remote refuse every push."""
    hook = repository.remote / "hooks" / "pre-receive"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho 'no room for you' >&2\nexit 1\n")
    hook.chmod(0o755)
    return hook


def test_a_push_that_fails_can_be_repeated_under_the_same_name(repository: Submitter) -> None:
    hook = refuse(repository)
    repository.write("new.txt", "")

    bad = repository.submit("one")

    assert bad.returncode == 1
    assert "no room for you" in bad.stderr
    assert "no tag reached 'aicrowd'" in bad.stderr
    assert "undo: git reset --soft" in bad.stderr
    assert repository.git("tag") == repository.there("for-each-ref") == ""

    hook.unlink()
    good = repository.submit("one")

    assert good.returncode == 0, good.stderr
    assert repository.there("show", "submission-one:new.txt") == ""


def test_a_refused_push_of_a_clean_repository_changes_nothing_and_says_so(
    repository: Submitter,
) -> None:
    refuse(repository)
    before = repository.state()

    bad = repository.submit("one")

    assert bad.returncode == 1
    assert "no tag reached 'aicrowd'" in bad.stderr
    assert "undo" not in bad.stderr
    assert repository.state() == before


@pytest.mark.parametrize("anyway", [False, True])
def test_a_shallow_clone_must_fetch_the_rest_first(
    repository: Submitter, tmp_path: Path, anyway: bool
) -> None:
    repository.write("second.txt", "")
    repository.commit()
    clone = tmp_path / "clone"
    address = f"file://{repository.folder}"
    repository.git("clone", "--quiet", "--depth", "1", address, str(clone))
    shallow = copy.copy(repository)
    shallow.folder = clone
    shallow.git("remote", "add", "aicrowd", f"file://{repository.remote}")
    for key, value in (("name", "Somebody"), ("email", "somebody@example.org")):
        shallow.git("config", f"user.{key}", value)

    done = shallow.submit("one", *(["--anyway"] if anyway else []))

    assert done.returncode == 1
    assert "git fetch --unshallow" in (done.stderr if anyway else done.stdout)
    assert "--force" not in done.stderr
    assert shallow.git("tag") == ""

    shallow.git("fetch", "--quiet", "--unshallow")
    assert shallow.submit("one").returncode == 0


def test_a_remote_with_other_commits_is_not_overwritten_by_default(
    repository: Submitter, tmp_path: Path
) -> None:
    other = SmallRepository(tmp_path / "other")
    other.write("other.txt", "")
    other.commit()
    other.git("push", "--quiet", str(repository.remote), "master")
    theirs = repository.there("rev-parse", "master")

    bad = repository.submit("one")

    assert bad.returncode == 1
    assert "add --force" in bad.stderr
    assert repository.there("rev-parse", "master") == theirs
    assert repository.there("tag") == ""

    assert repository.submit("one", "--force").returncode == 0
    assert repository.there("rev-parse", "master") == repository.git("rev-parse", "HEAD")


def test_a_failed_commit_can_be_undone(repository: Submitter) -> None:
    hook = repository.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    repository.write("new.txt", "")

    done = repository.submit("one")

    assert done.returncode == 1
    assert "undo: git reset" in done.stderr
    assert repository.git("tag") == ""


def test_an_unreachable_remote_stops_it_before_any_change(repository: Submitter) -> None:
    shutil.rmtree(repository.remote)
    repository.write("new.txt", "")
    before = repository.state()

    done = repository.submit("one")

    assert done.returncode == 2
    assert "expected to reach the remote 'aicrowd'" in done.stderr
    assert repository.state() == before


def test_a_missing_author_is_one_sentence(repository: Submitter) -> None:
    for key in ("name", "email"):
        repository.git("config", "--unset", f"user.{key}")
    repository.git("config", "user.useConfigOnly", "true")

    done = repository.submit("one")

    assert done.returncode == 2
    assert "git config --global user.name" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("user_id", ["userid = 7\n", ""])
def test_without_an_author_commits_are_by_the_user_at_aicrowd(
    repository: Submitter, user_id: str
) -> None:
    """As AIcrowd's submit.sh does, but without changing the user's configuration of git."""
    for key in ("name", "email"):
        repository.git("config", "--unset", f"user.{key}")
    repository.git("config", "user.useConfigOnly", "true")
    repository.login(f'[gitlab]\noauth_token = "{TOKEN}"\n{user_id}username = "somebody"\n')
    repository.write("new.txt", "")
    before = repository.git("config", "--local", "--list")

    done = repository.submit("one")

    assert done.returncode == 0, done.stderr
    number = "7-" if user_id else ""
    address = f"somebody <{number}somebody@users.noreply.gitlab.aicrowd.com>"
    assert repository.there("log", "-1", "--format=%an <%ae>", "master") == address
    assert repository.there(
        "for-each-ref", "--format=%(taggername) %(taggeremail)", "refs/tags"
    ) == (address)
    assert repository.git("config", "--local", "--list") == before


@pytest.mark.parametrize(
    "text",
    ["", 'aicrowd_api_key = "0"\n', "[gitlab]\nusername = 'a'\noauth_token = ''\n", None, "["],
)
def test_without_a_login_one_sentence_says_what_to_do(
    repository: Submitter, text: str | None
) -> None:
    repository.git("remote", "set-url", "aicrowd", "https://gitlab.aicrowd.com/somebody/kit.git")
    if text is not None:
        repository.login(text)

    done = repository.submit("one")

    assert done.returncode == 2
    assert "run: aicrowd login" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("homeless")
def test_without_a_home_one_sentence_says_what_to_do() -> None:
    with pytest.raises(SubmissionError, match=r"set HOME to a folder, then run: aicrowd login"):
        login.read()


def test_the_remote_is_added_without_the_token(
    repository: Submitter, tmp_path: Path, fake_git: Path
) -> None:
    repository.git("remote", "remove", "aicrowd")
    repository.login()

    done = repository.submit("one", PATH=f"{fake_git}:{os.environ['PATH']}")

    assert done.returncode == 0, done.stderr
    url = "https://gitlab.aicrowd.com/somebody/sdx-2023-music-demixing-track-starter-kit"
    assert repository.git("remote", "get-url", "aicrowd") == f"{url}.git"
    assert f"the result appears at {url}/-/issues" in done.stdout


@pytest.mark.process
@pytest.mark.parametrize("status", ["0", "1"])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_the_token_is_visible_nowhere(
    repository: Submitter, tmp_path: Path, fake_git: Path, status: str, dry: tuple[str, ...]
) -> None:
    """It is in no output, even if git prints it, in no argument, and in no file."""
    repository.git("remote", "remove", "aicrowd")
    repository.login()
    (tmp_path / "answer").write_text(status)

    search = f"{fake_git}:{os.environ['PATH']}"
    done = repository.submit_alone("one", *dry, PATH=search, GIT_TRACE="1")

    assert done.returncode == (0 if dry else int(status)), done.stderr
    assert TOKEN not in done.stdout + done.stderr
    for words, variables in calls(tmp_path):
        assert TOKEN not in " ".join(words)
        holders = {name for name, value in variables.items() if TOKEN in value}
        speaks = words[0] in ("push", "ls-remote")
        assert holders == ({credentials.VARIABLE} if speaks else set()), words
    for path in (repository.folder / ".git").rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes(), path
    if not dry:
        assert "hello ***" in done.stderr


@pytest.mark.parametrize("store", [True, False])
def test_git_sends_the_token_only_to_aicrowd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: bool
) -> None:
    """Git itself is run; a helper that would store passwords is never called."""
    settings = tmp_path / "gitconfig"
    stored = tmp_path / "stored"
    settings.write_text(f"[credential]\nhelper = store --file {stored}\n" if store else "")
    for name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "some.key")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "kept")
    given = credentials.environment(Login(username="somebody", token=TOKEN))
    variables = {**os.environ, **given, "GIT_CONFIG_GLOBAL": str(settings)}

    def ask(*words: str, of: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *words], input=of, env=variables, cwd=tmp_path, capture_output=True, text=True
        )

    good = ask("credential", "fill", of="protocol=https\nhost=gitlab.aicrowd.com\n\n")
    assert f"username=oauth2\npassword={TOKEN}\n" in good.stdout
    for other in ("https\nhost=gitlab.example.org", "http\nhost=gitlab.aicrowd.com"):
        bad = ask("credential", "fill", of=f"protocol={other}\n\n")
        assert bad.returncode != 0
        assert TOKEN not in bad.stdout + bad.stderr
    ask("credential", "approve", of=good.stdout)
    assert not stored.exists()
    assert ask("config", "some.key").stdout == "kept\n"


def test_another_host_needs_no_login(repository: Submitter) -> None:
    assert not credentials.wanted(f"file://{repository.remote}")
    assert TOKEN not in str(credentials.environment(None))
    assert repository.submit("one").returncode == 0


def test_a_token_in_the_remotes_address_is_refused_and_not_repeated(repository: Submitter) -> None:
    url = f"https://oauth2:{TOKEN}@gitlab.aicrowd.com/somebody/kit.git"
    repository.git("remote", "set-url", "aicrowd", url)

    done = repository.submit("one")

    assert done.returncode == 2
    assert "git remote set-url aicrowd https://gitlab.aicrowd.com/somebody/kit.git" in done.stderr
    assert TOKEN not in done.stdout + done.stderr


def test_a_login_does_not_print_its_token() -> None:
    assert TOKEN not in repr(Login(username="somebody", token=TOKEN))


@pytest.mark.parametrize(
    ("challenge", "repository", "name"),
    [
        (MDX, "", "sdx-2023-music-demixing-track-starter-kit"),
        (CDX, "", "sdx-2023-cinematic-sound-demixing-starter-kit"),
        ("evaluations-api-music-demixing", "", "music-demixing-challenge-starter-kit"),
        (None, "mine.git", "mine"),
    ],
)
def test_the_address_follows_from_the_challenge(
    challenge: str | None, repository: str, name: str
) -> None:
    url = address("somebody", challenge, repository)

    assert url == f"https://gitlab.aicrowd.com/somebody/{name}.git"
    assert results_page(url) == f"https://gitlab.aicrowd.com/somebody/{name}/-/issues"


@pytest.mark.process
def test_the_shell_script_does_the_same(repository: Submitter) -> None:
    """It submits its own folder."""
    for name in ("submit.sh", "submit.py"):
        shutil.copy(ROOT / name, repository.folder / name)
    interpreter = repository.folder / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    repository.write(".gitignore", ".venv/\n__pycache__/\n")

    done = subprocess.run(
        [repository.folder / "submit.sh", "by shell", "--no-run"],
        cwd=repository.home,
        env=clean(PYTHONPATH=str(ROOT), HOME=str(repository.home)),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert repository.there("tag") == "submission-by-shell"


def test_the_example_for_gitlab_is_inactive_and_has_existing_commands() -> None:
    """At the root it would also be active at AIcrowd."""
    assert not (ROOT / ".gitlab-ci.yml").exists()
    text = (ROOT / "docs" / "gitlab-ci.yml").read_text()
    parsers = {"preflight": preflight.parser, "grade": grading.parser}
    commands = re.findall(r"-m evaluator (\w+) (.*)", text)

    assert [name for name, _ in commands] == ["preflight", "grade"]
    for name, rest in commands:
        parsers[name]().parse_args(rest.split())
    for name in re.findall(r"requirements[\w-]*\.txt", text):
        assert (ROOT / name).is_file()
