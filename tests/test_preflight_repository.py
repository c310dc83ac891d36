"""Preflight of a repository: each planted fault is found, and a clean one has no finding."""

import codecs
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demixing.errors import EvaluationError
from evaluator.__main__ import main
from evaluator.grading.dockerignore import Ignored
from evaluator.preflight import FAULT, NOTE, REPOSITORY, Finding, findings
from evaluator.preflight.checkout import Checkout
from evaluator.preflight.requirements import required
from tests.small_repository import CDX, CONTEST, MDX, POINTER, WEIGHTS, SmallRepository, clean

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]
MDX21 = "evaluations-api-music-demixing"
OF_2023 = ("labelnoise", "bleeding", "gpu")
"""Fields that the edition of 2021 does not have."""
TOKEN = "glpat-secret-of-somebody"


@pytest.fixture(autouse=True)
def no_git_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in clean().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def repository(tmp_path: Path) -> SmallRepository:
    return SmallRepository(tmp_path / "repository")


def found(repository: SmallRepository, **options: int | str) -> dict[str, list[Finding]]:
    result: dict[str, list[Finding]] = {}
    checkout = Checkout(folder=repository.folder, **options)  # type: ignore[arg-type]
    for one in findings(REPOSITORY, checkout):
        result.setdefault(one.check, []).append(one)
    return result


def the_one(repository: SmallRepository, check: str, severity: str = FAULT) -> str:
    """Text of the only finding, which must be of a check and a severity."""
    every = [one for group in found(repository).values() for one in group]
    assert [(one.check, one.severity) for one in every] == [(check, severity)], every
    return str(every[0])


def test_a_clean_repository_has_no_finding(repository: SmallRepository) -> None:
    assert not found(repository)


def test_pointers_instead_of_weights_are_found(repository: SmallRepository) -> None:
    repository.write(WEIGHTS, POINTER)
    repository.commit()

    assert WEIGHTS in the_one(repository, "lfs_pointers")


def test_a_large_file_that_lfs_does_not_track_is_found(repository: SmallRepository) -> None:
    repository.write("models/large name.bin", b"0" * 5_000_001)
    repository.commit()

    assert "models/large name.bin (5 MB)" in the_one(repository, "lfs_limit", NOTE)


def test_the_limit_can_be_chosen(repository: SmallRepository) -> None:
    repository.write("models/small.bin", b"0" * 3000)
    repository.commit()

    assert not found(repository, lfs_limit_bytes=3000)
    assert set(found(repository, lfs_limit_bytes=2999)) == {"lfs_limit"}


def test_a_large_file_that_git_holds_whole_is_found(repository: SmallRepository) -> None:
    """Attributes that are newer than the file have no effect until it is added again."""
    repository.write("models/large.bin", b"0" * 5_000_001)
    repository.commit()
    repository.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    repository.git("add", ".gitattributes")
    repository.git("commit", "--quiet", "--message", "attributes")

    assert "models/large.bin" in str(found(repository)["lfs_limit"][0])


def test_a_large_file_in_the_history_is_a_note(repository: SmallRepository) -> None:
    path = repository.write("large.bin", b"0" * 5_000_001)
    repository.commit()
    path.unlink()
    repository.commit()

    assert "large.bin" in the_one(repository, "lfs_limit", NOTE)


def test_uncommitted_changes_are_found(repository: SmallRepository) -> None:
    repository.write("my_submission/__init__.py", "# changed\n")

    assert "my_submission/__init__.py" in the_one(repository, "dirty_tree", NOTE)


def test_a_file_that_is_not_added_is_found(repository: SmallRepository) -> None:
    repository.write("näw file", "")

    assert "näw file" in the_one(repository, "dirty_tree", NOTE)


def test_a_missing_remote_is_found(repository: SmallRepository) -> None:
    repository.git("remote", "remove", "aicrowd")

    assert "'aicrowd'" in the_one(repository, "remote", NOTE)


def test_a_token_in_an_address_is_found_and_not_repeated(repository: SmallRepository) -> None:
    url = f"https://oauth2:{TOKEN}@gitlab.aicrowd.com/somebody/kit.git"
    repository.git("remote", "set-url", "aicrowd", url)

    assert TOKEN not in the_one(repository, "password")


@pytest.mark.parametrize(
    "url", ["git@gitlab.aicrowd.com:me/kit.git", "ssh://git@gitlab.aicrowd.com:22/me/kit.git"]
)
def test_an_address_with_a_user_alone_is_fine(repository: SmallRepository, url: str) -> None:
    repository.git("remote", "set-url", "aicrowd", url)

    assert not found(repository)


def test_another_branch_is_a_note(repository: SmallRepository) -> None:
    repository.git("checkout", "--quiet", "-b", "main")

    assert "'main'" in the_one(repository, "branch", NOTE)
    assert not found(repository, branch="main")


def test_missing_weights_are_found(repository: SmallRepository) -> None:
    repository.describe({"condition": "missing"})
    repository.commit()

    assert "'net'" in the_one(repository, "weights")


ABSENT = {
    "condition": "missing",
    "optional": True,
    "absent": True,
    "fetch": "recommended",
    "gain_db": 5.365,
}


def test_missing_optional_weights_are_a_note(repository: SmallRepository) -> None:
    repository.describe(ABSENT)
    repository.commit()

    text = the_one(repository, "weights", NOTE)
    assert "optional, and missing" in text
    assert "scores about 5.4 dB less" in text
    assert "fetch recommended, and commit the file, under Git LFS if it is larger than 5 MB" in text


def test_an_unknown_loss_is_not_mentioned(repository: SmallRepository) -> None:
    repository.describe({**ABSENT, "gain_db": None})
    repository.commit()

    assert "dB" not in the_one(repository, "weights", NOTE)


def test_training_data_of_missing_weights_does_not_matter(
    repository: SmallRepository,
) -> None:
    repository.contest(external_dataset_used=False)
    repository.describe({**ABSENT, "trained_on": ["800 songs"]})
    repository.commit()

    assert set(found(repository)) == {"weights"}


def test_existing_optional_weights_are_checked_like_others(
    repository: SmallRepository,
) -> None:
    repository.describe({"optional": True, "absent": False, "condition": "Git-LFS pointer"})
    repository.commit()
    assert "Git-LFS pointer" in the_one(repository, "weights")

    path = repository.write("models/weights/net.ignored", "weights")
    repository.describe({"optional": True, "absent": False, "path": str(path)})
    repository.commit()
    assert "ignored by git" in the_one(repository, "weights")


def test_weights_outside_the_repository_are_found(
    repository: SmallRepository, tmp_path: Path
) -> None:
    (tmp_path / "net.bin").touch()
    repository.describe({"path": str(tmp_path / "net.bin")})
    repository.commit()

    assert "outside" in the_one(repository, "weights")


def test_weights_that_git_ignores_are_found(repository: SmallRepository) -> None:
    path = repository.write("models/weights/net.ignored", "weights")
    repository.describe({"path": str(path)})
    repository.commit()

    assert "ignored by git" in the_one(repository, "weights")


def test_weights_that_the_image_leaves_out_are_found(repository: SmallRepository) -> None:
    path = repository.write("models/weights/net.tmp", "weights")
    repository.describe({"path": str(path)})
    repository.commit()

    assert "'**/*.tmp' of .dockerignore" in the_one(repository, "weights")


def test_weights_that_were_not_added_are_found(repository: SmallRepository) -> None:
    path = repository.write("models/weights/new.bin", "weights")
    repository.describe({"path": str(path)})
    repository.git("add", "description.json")
    repository.git("commit", "--quiet", "--message", "other weights")

    assert set(found(repository)) == {"untracked_weights", "dirty_tree"}


@pytest.mark.parametrize(("package", "there"), [("some.package", True), ("other", False)])
def test_weights_of_a_package_must_be_required(
    repository: SmallRepository, package: str, there: bool
) -> None:
    repository.describe({"path": "/somewhere/net.bin", "package": package})
    repository.commit()

    assert bool(found(repository)) != there


@pytest.mark.parametrize("program", ["raise SystemExit('no weights')", "print('[]')", None])
def test_a_submission_without_a_description_is_a_note(
    repository: SmallRepository, program: str | None
) -> None:
    if program is None:
        (repository.folder / "my_submission" / "__main__.py").unlink()
    else:
        repository.write("my_submission/__main__.py", program)
    repository.commit()

    assert "the weights in use are unknown" in the_one(repository, "weights", NOTE)


def test_settings_of_this_machine_do_not_count(
    repository: SmallRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only variables that the image sets too."""
    program = (
        "import os, sys; sys.exit(' '.join(k + v for k, v in os.environ.items() if 'DEMIX' in k))"
    )
    repository.write("my_submission/__main__.py", program)
    repository.write("Dockerfile", 'FROM x\nENV A=1 \\\n    DEMIX_RECIPE="mine"\n')
    repository.commit()
    monkeypatch.setenv("DEMIX_TRACK", "cdx")

    text = the_one(repository, "weights", NOTE)

    assert "DEMIX_RECIPEmine" in text
    assert "DEMIX_TRACK" not in text


@pytest.mark.parametrize(
    "field", ["authors", "external_dataset_used", "labelnoise", "bleeding", "gpu", "description"]
)
def test_a_missing_field_is_found(repository: SmallRepository, field: str) -> None:
    repository.contest(without=field)
    repository.commit()

    assert f"has no {field}" in the_one_of(repository, "contest_fields")


def the_one_of(repository: SmallRepository, check: str, severity: str = FAULT) -> str:
    """Text of the only finding of one check."""
    (one,) = found(repository)[check]
    assert one.severity == severity
    return str(one)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("authors", "somebody"),
        ("authors", []),
        ("authors", ["YOUR-AICROWD-USERNAME"]),
        ("authors", ["<your-user-name>"]),
        ("authors", [""]),
        ("gpu", "false"),
        ("external_dataset_used", 1),
        ("description", ""),
        ("description", None),
        ("challenge_id", "music-demixing-track-mdx-24"),
        ("challenge_id", None),
    ],
)
def test_a_wrong_field_is_found(repository: SmallRepository, field: str, value: object) -> None:
    repository.contest(**{field: value})  # type: ignore[arg-type]
    repository.commit()

    assert field in the_one_of(repository, "contest_fields")


def test_a_field_of_another_contest_is_a_note(repository: SmallRepository) -> None:
    repository.contest(team="us")
    repository.commit()

    assert "team" in the_one(repository, "contest_fields", NOTE)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_an_invalid_contest_file_is_found(repository: SmallRepository, text: str | None) -> None:
    if text is None:
        (repository.folder / "aicrowd.json").unlink()
    else:
        repository.write("aicrowd.json", text)
    repository.commit()

    assert "aicrowd.json" in the_one(repository, "contest_fields")


def test_a_contest_file_of_windows_is_read(repository: SmallRepository) -> None:
    """Its editors put a byte order mark before the text."""
    path = repository.folder / "aicrowd.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    repository.commit()

    assert not found(repository)


def test_cdx_has_its_own_fields(repository: SmallRepository) -> None:
    repository.contest(challenge_id=CDX)
    repository.describe(track="cdx", boards=["B"])
    repository.commit()

    assert "labelnoise, bleeding" in the_one(repository, "contest_fields", NOTE)


def test_2021_has_its_own_fields(repository: SmallRepository) -> None:
    repository.write(
        "aicrowd.json",
        json.dumps(
            {
                "challenge_id": MDX21,
                "grader_id": MDX21,
                "authors": ["somebody"],
                "external_dataset_used": True,
                "description": "a network",
            }
        ),
    )
    repository.commit()

    assert "contest_fields" not in found(repository)


Change = Callable[[SmallRepository], None]


def boards(
    *, track: str = "mdx", boards: list[str], trained_on: list[str], **fields: Any
) -> Change:
    def change(repository: SmallRepository) -> None:
        challenge = MDX if track == "mdx" else CDX
        repository.contest(challenge_id=challenge, **fields)
        if track == "cdx":
            table = json.loads((repository.folder / "aicrowd.json").read_text())
            kept = {k: v for k, v in table.items() if k not in ("labelnoise", "bleeding")}
            repository.write("aicrowd.json", json.dumps(kept))
        repository.describe({"trained_on": trained_on}, track=track, boards=boards)
        repository.commit()

    return change


NOISY, MUSDB, DNR = ["SDXDB23 label noise"], ["MUSDB18-HQ train"], ["DnR train", "DnR cv"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (boards(boards=["C"], trained_on=MUSDB, external_dataset_used=False), "is false, but"),
        (
            boards(boards=["C"], trained_on=MUSDB, labelnoise=True, external_dataset_used=True),
            "leaderboard C",
        ),
        (
            boards(
                boards=["A", "B", "C"],
                trained_on=[],
                labelnoise=True,
                bleeding=True,
                external_dataset_used=False,
            ),
            "labelnoise and bleeding are both true",
        ),
        (
            boards(boards=["A", "C"], trained_on=NOISY, labelnoise=True),
            "labelnoise and external_dataset_used are both true",
        ),
        (
            boards(
                boards=["A", "C"],
                trained_on=MUSDB,
                labelnoise=True,
                external_dataset_used=False,
            ),
            "claims leaderboard A, but was trained on MUSDB18-HQ train",
        ),
        (
            boards(track="cdx", boards=["A", "B"], trained_on=["DnR test"]),
            "claims leaderboard A, but was trained on DnR test",
        ),
        (
            boards(track="cdx", boards=["B"], trained_on=MUSDB, external_dataset_used=False),
            "is false, but",
        ),
    ],
)
def test_leaderboards_that_do_not_admit_the_weights_are_found(
    repository: SmallRepository, change: Change, words: str
) -> None:
    change(repository)

    every = found(repository)

    assert set(every) == {"boards"}
    assert words in " ".join(map(str, every["boards"]))


@pytest.mark.parametrize(
    "change",
    [
        boards(boards=["A", "C"], trained_on=NOISY, labelnoise=True, external_dataset_used=False),
        boards(track="cdx", boards=["A", "B"], trained_on=DNR, external_dataset_used=False),
        boards(track="cdx", boards=["B"], trained_on=MUSDB),
        boards(boards=["A", "B", "C"], trained_on=[], external_dataset_used=False),
    ],
)
def test_leaderboards_that_admit_the_weights_are_fine(
    repository: SmallRepository, change: Change
) -> None:
    change(repository)

    assert not found(repository)


def test_a_flag_that_costs_a_leaderboard_is_a_note(repository: SmallRepository) -> None:
    boards(track="cdx", boards=["A", "B"], trained_on=DNR)(repository)

    assert "leaderboard A" in the_one(repository, "boards", NOTE)


def test_weights_that_need_a_gpu_without_one_are_a_note(repository: SmallRepository) -> None:
    repository.describe({"needs_gpu": True})
    repository.commit()

    assert "need one: net; on the server's CPUs" in the_one(repository, "gpu", NOTE)

    repository.contest(gpu=True)
    repository.commit()
    assert not found(repository)


def test_a_recipe_of_the_other_track_is_found(repository: SmallRepository) -> None:
    repository.describe(track="cdx", boards=["B"])
    repository.commit()

    assert "for cdx" in the_one(repository, "boards")


def test_a_folder_that_is_not_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="expected a git repository"):
        Checkout(folder=tmp_path)


def test_a_folder_in_a_repository_is_refused(repository: SmallRepository) -> None:
    with pytest.raises(EvaluationError, match="expected the top"):
        Checkout(folder=repository.folder / "models")


def test_a_repository_without_a_commit_can_be_checked(tmp_path: Path) -> None:
    repository = SmallRepository(tmp_path / "repository")
    repository.git("update-ref", "-d", "HEAD")

    assert set(found(repository)) == {"dirty_tree"}


@pytest.mark.parametrize(
    ("lines", "name", "by"),
    [
        (("*", "!models/"), "models/weights/a.bin", ""),
        (("*", "!models"), "data/a.bin", "*"),
        (("models/weights",), "models/weights/a.bin", "models/weights"),
        (("*.bin",), "models/a.bin", ""),
        (("**/*.bin",), "a.bin", "**/*.bin"),
        (("models/**", "!models/a?.bin"), "models/ab.bin", ""),
        (("/models/[ab].bin",), "models/b.bin", "/models/[ab].bin"),
        (("a.b",), "axb", ""),
    ],
)
def test_dockerignore_is_read_as_docker_reads_it(
    lines: tuple[str, ...], name: str, by: str
) -> None:
    assert Ignored(lines).by(name) == by


def test_packages_are_compared_as_the_registry_does(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r other.txt\nA.b_C[x]>=1 ; python_version>'3'\n")

    assert required(tmp_path, "a-b-c")
    assert not required(tmp_path, "other")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_requirements_are_read_as_pip_reads_them(tmp_path: Path, encoding: str) -> None:
    text = "first==1\r\n# für später\r\nlast==1\r\n"
    (tmp_path / "requirements.txt").write_bytes(text.encode(encoding))
    more = codecs.BOM_UTF16_BE + "most==1\n".encode("utf-16-be")
    (tmp_path / "requirements-more.txt").write_bytes(more)

    assert required(tmp_path, "first")
    assert required(tmp_path, "last")
    assert required(tmp_path, "most")
    assert not required(tmp_path, "später")


def test_requirements_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").mkdir()

    with pytest.raises(EvaluationError, match=r"expected requirements for pip in .*requirements"):
        required(tmp_path, "a")


def preflight(folder: Path, *options: str) -> int:
    """Run the command in this process; return its status."""
    with contextlib.chdir(folder), pytest.raises(SystemExit) as ended:
        main(["preflight", *options])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.process
def test_the_command_line_is_for_scripts(
    repository: SmallRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"

    good = subprocess.run(
        [sys.executable, "-m", "evaluator", "preflight", "--no-run", "--json", str(report)],
        cwd=repository.folder,
        env=clean(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )

    assert (good.returncode, good.stdout) == (0, "")
    assert json.loads(report.read_text()) == {"faults": 0, "notes": 0, "findings": []}

    repository.git("checkout", "--quiet", "-b", "main")
    assert preflight(repository.folder, "--no-run") == 0  # a note is no fault
    capsys.readouterr()

    repository.contest(authors=[])
    repository.commit()
    assert preflight(repository.folder, "--no-run", "--json", str(report)) == 1

    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["note", "[branch]"],
        ["fault", "[contest_fields]"],
    ]
    table = json.loads(report.read_text())
    assert (table["faults"], table["notes"]) == (1, 1)
    assert {"check", "severity", "what", "why", "how"} == set(table["findings"][0])


@pytest.mark.parametrize(
    "options",
    [
        ("--lfs-limit", "0"),
        ("--lfs-limit", "nan"),
        ("--lfs-limit", "inf"),
        ("--json", "/nowhere/x"),
        ("--graded", "."),
    ],
)
def test_bad_input_is_status_2(
    repository: SmallRepository, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert preflight(repository.folder, *options) == 2

    assert capsys.readouterr().err.splitlines()[-1].startswith("error: expected ")


def test_what_submitting_does_itself_is_no_fault(tmp_path: Path) -> None:
    """A fresh clone of this project has no remote of AIcrowd, and new weights are not added."""
    origin = SmallRepository(tmp_path / "origin")
    origin.git("remote", "remove", "aicrowd")
    origin.git("clone", "--quiet", str(origin.folder), str(tmp_path / "clone"))
    clone = tmp_path / "clone"
    (clone / "large.bin").write_bytes(b"0" * 5_000_001)

    every = list(findings(REPOSITORY, Checkout(folder=clone)))

    assert {one.check for one in every} == {"dirty_tree", "lfs_limit", "remote"}
    assert {one.severity for one in every} == {NOTE}


def test_a_shallow_clone_is_found_unless_the_remote_has_the_rest(tmp_path: Path) -> None:
    origin = SmallRepository(tmp_path / "origin")
    origin.write("second.txt", "")
    origin.commit()
    address = f"file://{origin.folder}"
    origin.git("clone", "--quiet", "--depth", "1", address, str(tmp_path / "clone"))
    clone = tmp_path / "clone"

    def shallow() -> list[str]:
        every = findings(REPOSITORY, Checkout(folder=clone))
        return [one.how for one in every if one.check == "shallow"]

    assert shallow() == ["run: git fetch --unshallow"]
    subprocess.run(["git", "remote", "add", "aicrowd", address], cwd=clone, check=True)
    subprocess.run(["git", "fetch", "--quiet", "--depth", "1", "aicrowd"], cwd=clone, check=True)
    assert shallow() == []
    subprocess.run(["git", "remote", "remove", "aicrowd"], cwd=clone, check=True)
    subprocess.run(["git", "fetch", "--quiet", "--unshallow"], cwd=clone, check=True)
    assert shallow() == []


def test_a_repository_of_another_user_gets_gits_own_remedy(
    repository: SmallRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    with pytest.raises(EvaluationError) as raised:
        Checkout(folder=repository.folder)

    text = str(raised.value)
    assert f"git config --global --add safe.directory {repository.folder}" in text
    assert "git init" not in text
    assert "\n" not in text


def test_2021_needs_the_programs_of_its_server(repository: SmallRepository) -> None:
    table = {name: value for name, value in CONTEST.items() if name not in OF_2023}
    repository.write("aicrowd.json", json.dumps({**table, "challenge_id": MDX21, "grader_id": "x"}))
    repository.commit()

    text = the_one(repository, "edition")

    assert "no run.sh and no predict.py" in text
    assert "demixing grade --profile mdx21" in text
    for name in ("run.sh", "predict.py"):
        repository.write(name, "")
    repository.commit()
    assert not found(repository)
