"""One submission: the checks, the commands, and the message if a command fails."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluator.preflight import listed
from evaluator.preflight.checkout import Checkout
from evaluator.preflight.git import Git, has_password, without_password
from submitting import credentials, large, login, remote
from submitting.errors import SubmissionError
from submitting.login import Login
from submitting.shell import HIDDEN, Shell

PREFIX = "submission-"
"""AIcrowd grades tags whose names start with it."""

ANYONE = "YOUR-AICROWD-USERNAME"
"""Shown by a dry run without a login."""

MOST_SHOWN = 10
"""Maximum number of committed files to list."""

CORRECTED = ("branch", "dirty_tree", "lfs_limit", "remote", "untracked_weights")
"""Preflight checks whose findings a submission fixes by itself."""


def tag_name(name: str, git: Git) -> str:
    """The tag of a submission: spaces become ``-``, as in AIcrowd's submit.sh.

    Raises:
        SubmissionError: git does not accept the tag.
    """
    tag = PREFIX + "-".join(name.split())
    if tag == PREFIX or not git.succeeds("check-ref-format", f"refs/tags/{tag}"):
        raise SubmissionError(
            f"expected a name of letters, digits, '-', '_' and '.', got {name!r}, which git "
            "does not accept as a tag; choose another"
        )
    return tag


@dataclass(kw_only=True)
class Submission:
    """What is pushed, and where.

    Attributes:
        checkout: the repository.
        tag: tag of the submission.
        repository: its name at AIcrowd; if empty, the kit's.
        whole_files: push large files without LFS.
        force: replace the remote's branch if it has other commits.
        dry_run: only show commands.
    """

    checkout: Checkout
    tag: str
    repository: str = ""
    whole_files: bool = False
    force: bool = False
    dry_run: bool = False
    _url: str = field(init=False, default="")
    _login: Login | None = field(init=False, default=None)
    _new_remote: bool = field(init=False, default=False)
    _large: list[str] = field(init=False, default_factory=list)
    _tags: dict[str, str] = field(init=False, default_factory=dict)
    _identity: Mapping[str, str] = field(init=False, default_factory=dict)

    def prepare(self) -> None:
        """Run all checks without changing anything.

        Raises:
            SubmissionError: something is missing, or the name is taken.
        """
        git = self.checkout.git
        if git.text("ls-files", "--unmerged"):
            raise SubmissionError(
                "expected a working tree without conflicts, found some; finish the merge first"
            )
        self._identity = self._author(git)
        self._find_remote(git)
        if git.succeeds("show-ref", "--verify", "--quiet", f"refs/tags/{self.tag}"):
            raise SubmissionError(
                f"expected a new name, but the tag {self.tag!r} already exists here; choose "
                f"another, or, if it was never pushed, run: git tag -d {self.tag}"
            )
        self._tags = self._taken()
        if self.tag in self._tags:
            raise SubmissionError(
                f"expected a new name, but {self.checkout.remote!r} already has a tag "
                f"{self.tag!r}; choose another: AIcrowd grades each name once"
            )
        self._large = large.to_track(self.checkout, whole=self.whole_files)

    def push(self) -> str:
        """Commit, tag and push.

        Returns:
            Page where the result appears; empty if the remote is not AIcrowd's.

        Raises:
            SubmissionError: a command failed; the message lists what was done and what to do next.
        """
        git, checkout = self.checkout.git, self.checkout
        secret = self._login.token if self._login else ""
        shell = Shell(folder=checkout.folder, dry_run=self.dry_run, secret=secret)
        before = git.run("rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()
        try:
            if self._new_remote:
                shell.run("git", "remote", "add", checkout.remote, self._url)
            if self._large or large.uses_lfs(checkout):
                large.track(shell, checkout, self._large)
            self._commit(shell, before)
            shell.run(
                *("git", "tag", "--annotate", self.tag, "--message", self._title()),
                environment=self._identity,
            )
            branch = f"{'+' if self.force else ''}HEAD:refs/heads/{checkout.branch}"
            shell.run(
                *("git", "push", "--atomic", checkout.remote, branch, f"refs/tags/{self.tag}"),
                environment=credentials.environment(self._login),
            )
        except (SubmissionError, KeyboardInterrupt, OSError) as error:
            raise SubmissionError(self._aftermath(shell, before, error)) from error
        return remote.results_page(self._url)

    def _author(self, git: Git) -> Mapping[str, str]:
        """Variables that name the author, if git does not know one: the user at AIcrowd.

        Raises:
            SubmissionError: nothing names one.
        """
        if all(git.succeeds("var", f"GIT_{who}_IDENT") for who in ("AUTHOR", "COMMITTER")):
            return {}
        try:
            user = login.read()
        except SubmissionError as error:
            if self.dry_run:
                return {}
            raise SubmissionError(
                "expected a git author for the commit, found none; run: aicrowd login, or: "
                "git config --global user.name NAME, and: git config --global user.email ADDRESS"
            ) from error
        print(f"git has no author, so commits are by {user.username} <{user.email}>")
        return {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", user.username), ("EMAIL", user.email))
        }

    def _find_remote(self, git: Git) -> None:
        """Find the remote's address, and the login if it is for that address.

        Raises:
            SubmissionError: the address contains a password, or there is no login.
        """
        name = self.checkout.remote
        self._url = git.run("remote", "get-url", "--push", name).stdout.strip()
        if not self._url:
            self._login = self._logged_in()
            contest = self.checkout.contest
            challenge = contest.get("challenge_id") if isinstance(contest, Mapping) else None
            username = self._login.username if self._login else ANYONE
            self._url = remote.address(username, challenge, self.repository)
            self._new_remote = True
        elif has_password(self._url):
            raise SubmissionError(
                f"expected an address without a password for the remote {name!r}, got "
                f"{without_password(self._url)}; run: git remote set-url {name} "
                f"{without_password(self._url).replace('***@', '')}"
            )
        elif credentials.wanted(self._url):
            self._login = self._logged_in()
        if self._login is not None:
            credentials.check_git(self.checkout.folder)

    def _logged_in(self) -> Login | None:
        """The login at AIcrowd; None for a dry run without one.

        Raises:
            SubmissionError: there is none.
        """
        try:
            return login.read()
        except SubmissionError as error:
            if not self.dry_run:
                raise
            print(f"a submission needs a login ({error})")
            return None

    def _taken(self) -> dict[str, str]:
        """As :meth:`_remote_tags`; none for a dry run that cannot reach the remote.

        Raises:
            SubmissionError: the remote cannot be reached.
        """
        if self.dry_run and self._login is None and credentials.wanted(self._url):
            return {}  # without a login, the repository cannot be read
        try:
            return self._remote_tags()
        except SubmissionError as error:
            if not self.dry_run:
                raise
            print(f"whether the name is free is not known: {error}")
            return {}

    def _remote_tags(self) -> dict[str, str]:
        """Commits of the remote's submissions, by tag.

        Raises:
            SubmissionError: the remote cannot be reached.
        """
        git = Git(self.checkout.folder, credentials.environment(self._login))
        done = git.run("ls-remote", "--tags", self._url, f"refs/tags/{PREFIX}*")
        if done.returncode:
            if self._new_remote:  # GitLab creates a repository when something is pushed to it
                return {}
            errors = without_password(done.stderr.strip())
            if self._login:
                errors = errors.replace(self._login.token, HIDDEN)
            raise SubmissionError(
                f"expected to reach the remote {self.checkout.remote!r} "
                f"({without_password(self._url)}), but git reports: {errors or 'nothing'}; check "
                "the network, the address, and your login (run: aicrowd login)"
            )
        found = {}
        for line in done.stdout.splitlines():
            object_, _, ref = line.partition("\t")
            # An annotated tag is followed by the commit it points to, marked with ^{}.
            found[ref.removeprefix("refs/tags/").removesuffix("^{}")] = object_
        return found

    def _commit(self, shell: Shell, before: str) -> None:
        """Commit everything, with an empty commit if the current one was submitted before.

        AIcrowd does not grade the same commit again under another tag.
        """
        git = self.checkout.git
        shell.run("git", "add", "--all")
        names = git.names("diff", "--cached", "--name-only", "-z") if before else []
        if names:
            print(f"  {len(names)} files: {listed(names, MOST_SHOWN)}")
        changed = bool(self._large) or bool(git.text("status", "--porcelain"))
        again = before in self._tags.values() or (
            before and git.text("tag", "--list", f"{PREFIX}*", "--points-at", before).strip()
        )
        words = ["git", "commit", "--quiet", "--message", self._title()]
        if changed or not before:
            shell.run(*words, environment=self._identity)
        elif again:
            shell.run(*words, "--allow-empty", environment=self._identity)

    def _title(self) -> str:
        """Message of the commit and of the tag."""
        return f"Submission {self.tag.removeprefix(PREFIX)}"

    def _aftermath(self, shell: Shell, before: str, error: BaseException) -> str:
        """After a failure, delete the tag unless it was pushed, and describe the state."""
        git, name = self.checkout.git, self.checkout.remote
        reason = str(error) or "it was interrupted"
        try:
            arrived = self.tag in self._remote_tags()
        except SubmissionError:
            arrived = False  # if it did arrive, the next attempt will report it
        if arrived:
            return (
                f"{reason}; but the tag {self.tag!r} reached {name!r}, so the submission was made; "
                "look for its result there"
            )
        git.run("tag", "--delete", self.tag)
        after = git.run("rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()
        parts = [reason, f"no tag reached {name!r}"]
        if after != before:
            undo = f"git reset --soft {before}" if before else "git update-ref -d HEAD"
            parts.append(f"the commit {after[:10]} stays (undo: {undo})")
        elif not git.succeeds("diff", "--cached", "--quiet"):
            parts.append("changes are added but not committed (undo: git reset)")
        if self._new_remote and any(line.startswith("git remote add") for line in shell.done):
            parts.append(f"the remote {name!r} stays")
        parts.append("fix the problem reported above and submit again under the same name")
        if self.checkout.cut_off:
            parts.append("this is a shallow clone, so run first: git fetch --unshallow")
        elif not self.force:
            parts.append("if the remote's branch has commits that are not here, add --force")
        return "; ".join(parts)
