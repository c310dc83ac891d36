"""The command itself: its arguments, its output, and its behaviour without a checkout."""

import argparse
import contextlib
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from demixing.cli import bar as cli_bar
from demixing.cli import completion, console, contest, evaluate_track, note
from demixing.cli import main as cli
from demixing.cli.arguments import Parser
from demixing.cli.main import COMMANDS, leaves, main, parser
from demixing.engine import progress_bar
from demixing.errors import ConfigError
from demixing.machine import installation
from demixing.machine.device import chosen_device
from demixing.recipes import reading

ROOT = Path(__file__).parents[1]
MDX = ("bass", "drums", "other", "vocals")
CDX = ("dialog", "effect", "music")
OWN = [name for name in COMMANDS if name not in contest.COMMANDS]

WriteSong = Callable[..., Path]


def described(name: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    return completion.described()[name]


def error_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The message about wrong arguments, which is one line; the status is 2."""
    with pytest.raises(SystemExit) as stopped:
        main(words)
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    return printed.err


# Help


def test_help_names_every_command_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])

    lines = capsys.readouterr().out.splitlines()
    assert stopped.value.code == 0
    for title, group in cli.GROUPS.items():
        start = lines.index(f"{title}:") + 1
        assert [line.split()[0] for line in lines[start : start + len(group)]] == list(group)


@pytest.mark.parametrize("name", OWN)
def test_every_option_has_help_and_shows_its_default(name: str) -> None:
    for one in cli.leaves(described(name)):
        formatter = one._get_formatter()
        exclusive = [
            action
            for group in one._mutually_exclusive_groups
            for action in group._group_actions
            if group.required
        ]
        for action in one._actions:
            assert action.help, action
            if action.option_strings and not action.required and action.nargs != 0:
                shown = str(formatter._get_help_string(action))
                assert "default" in shown or action in exclusive, action.option_strings


@pytest.mark.process
def test_help_of_no_command_imports_a_library() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from demixing.cli.main import main\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        main([name, '--help'])\n"
        "    except SystemExit as stopped:\n"
        "        assert stopped.code == 0\n"
        "    loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "    others = loaded - {'demixing', '__mp_main__'} - sys.stdlib_module_names\n"
        "    assert not others, (name, others)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *OWN], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])

    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("demixing 0.")


@pytest.mark.process
@pytest.mark.parametrize("module", ["demixing", "my_submission"])
def test_both_modules_are_the_command(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "seperate"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: no command named 'seperate'; did you mean 'separate'?")


@pytest.mark.process
def test_a_reader_that_quits_early_is_not_an_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "demixing", "list", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (console.BROKEN_PIPE, b"")


# Words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lits"], "error: no command named 'lits'; did you mean 'list'?"),
        (["list", "--jsn"], "error: unknown option '--jsn'; did you mean '--json'?"),
        (["separate", "a", "-o", "b", "--format", "flack"], "'flack'; did you mean 'flac'?"),
        (["list", "more"], "error: unexpected: more"),
        (["separate", "a"], "required: -o/--output; see: demixing separate --help"),
        (["plan", "--seconds", "x"], "argument --seconds: expected a number, got 'x'"),
        (
            ["separate", "a", "-o", "b", "--jobs", "two"],
            "--jobs: expected a whole number, got 'two'",
        ),
        (["list", "-q", "-v"], "not allowed with argument"),
        ([], "required: COMMAND; see: demixing --help"),
    ],
)
def test_a_wrong_word_is_one_line_and_a_suggestion(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_of(capsys, *words)


def test_a_negative_number_is_the_value_of_an_option_and_0_is_an_option_itself() -> None:
    options = parser(["separate"]).parse_args(["separate", "a", "--jobs", "-3", "-0", "-o", "b"])

    assert (options.jobs, options.null) == (-3, True)


@pytest.mark.parametrize(
    ("words", "references", "estimates", "songs"),
    [
        ("--songs A REF EST", "REF", "EST", ["A"]),
        ("--songs A B REF EST", "REF", "EST", ["A", "B"]),
        ("REF --songs A EST", "REF", "EST", ["A"]),
        ("REF --songs A B EST", "REF", "EST", ["A", "B"]),
        ("REF EST --songs A B", "REF", "EST", ["A", "B"]),
        ("REF --songs A -- EST", "REF", "EST", ["A"]),
        ("--songs=A REF --track mdx EST", "REF", "EST", ["A"]),
        ("--songs A --track mdx -- -REF EST", "-REF", "EST", ["A"]),
    ],
)
def test_options_leave_enough_words_for_the_positional_arguments(
    words: str, references: str, estimates: str, songs: list[str]
) -> None:
    options = parser(["score"]).parse_args(["score", *words.split()])

    assert (str(options.references), str(options.estimates)) == (references, estimates)
    assert options.songs == songs


@pytest.mark.parametrize(
    ("words", "recipes", "folders"),
    [
        ("--data D R S", ["R", "S"], ["D"]),
        ("R S --data D E", ["R", "S"], ["D", "E"]),
        ("R --data D --data E", ["R"], ["D", "E"]),
        ("R --once S --data D", ["R", "S"], ["D"]),
        ("--data D E --once -- R", ["R"], ["D", "E"]),
        ("--data D R S --songs b", ["R", "S"], ["D"]),
    ],
)
def test_an_option_keeps_one_word_where_many_arguments_are_possible(
    words: str, recipes: list[str], folders: list[str]
) -> None:
    options = parser(["compare"]).parse_args(["compare", *words.split()])

    assert options.systems == recipes
    assert [str(folder) for folder in options.data] == folders


@pytest.mark.parametrize("name", [name for name, one in COMMANDS.items() if one.module])
def test_usage_lines_work_as_printed(name: str) -> None:
    """Options come first there, also those that take any number of words."""
    for leaf in leaves(completion.described()[name]):
        words: list[str] = []
        expected = {}
        for group in leaf._mutually_exclusive_groups:
            if group.required:
                words += [group._group_actions[0].option_strings[-1], "1"]
        for action in leaf._actions:
            value = str(next(iter(action.choices))) if action.choices else "1"
            if action.option_strings and (action.required or action.nargs == "+"):
                words += [action.option_strings[-1], value]
            elif not action.option_strings and action.nargs != "?":
                expected[action.dest] = value
        options = vars(leaf.parse_args([*words, *expected.values()]))
        for dest, value in expected.items():
            given = options[dest] if isinstance(options[dest], list) else [options[dest]]
            assert [str(one) for one in given] == [value]


def test_songs_may_precede_or_follow_options() -> None:
    words = ["separate", "a", "-oDIR", "b", "--bits", "24", "-"]

    options = parser(["separate"]).parse_args(words)

    assert list(map(str, options.songs)) == ["a", "b", "/dev/stdin"]
    assert (str(options.output), options.bits) == ("DIR", "24")


def test_numbers_below_zero_are_values() -> None:
    assert parser(["plan"]).parse_args(["plan", "--seconds", "-1"]).seconds == -1


def test_an_abbreviation_takes_its_value_and_two_of_them_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert parser(["plan"]).parse_args(["plan", "--sec", "5"]).seconds == 5
    two = Parser(prog="two")
    two.add_argument("--abc")
    two.add_argument("--abd")
    with pytest.raises(SystemExit):
        two.parse_args(["--ab", "1"])
    assert "ambiguous option: --ab" in capsys.readouterr().err


# Options of all commands


@pytest.mark.parametrize(
    ("words", "level"),
    [([], logging.WARNING), (["-v"], logging.INFO), (["--quiet"], logging.ERROR)],
)
def test_the_log_has_the_requested_verbosity(words: list[str], level: int) -> None:
    assert cli.level(parser(["list"]).parse_args(["list", *words])) == level


def test_quiet_shows_no_notes(capsys: pytest.CaptureFixture[str]) -> None:
    note("loud", argparse.Namespace(quiet=False))
    note("quiet", argparse.Namespace(quiet=True))

    assert capsys.readouterr().err == "note: loud\n"


def test_a_missing_device_is_one_sentence(
    write_song: WriteSong, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["separate", str(write_song()), "-o", str(out), "--recipe", "mdx_silence"]

    assert main([*words, "--device", "cuda:77"]) == 2

    assert "this machine has no device 'cuda:77'" in capsys.readouterr().err
    assert not out.exists()


def test_the_option_overrules_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_DEVICE", "cuda:77")

    with cli.device(argparse.Namespace(device="cpu")):
        assert chosen_device() == torch.device("cpu")


@pytest.mark.parametrize("name", OWN)
def test_commands_that_run_networks_have_a_device(name: str) -> None:
    leaves = cli.leaves(described(name))
    found = {"--device" in completion.option_words(one) for one in leaves}

    # Parts of batch that separate add it themselves; others do not have it.
    assert found == ({True, False} if name == "batch" else {COMMANDS[name].device})
    for one in leaves:
        assert {"--verbose", "--quiet"} <= set(completion.option_words(one))


@pytest.mark.parametrize(("group", "shown"), [(0, True), (1, False)])
def test_a_job_in_the_background_shows_no_bar(
    group: int, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[str] = []

    def bar(name: str) -> contextlib.nullcontext[None]:
        bars.append(name)
        return contextlib.nullcontext()

    monkeypatch.setattr(progress_bar, "bar", bar)
    monkeypatch.setattr(os, "tcgetpgrp", lambda terminal: os.getpgrp() + group)
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2)

    with cli_bar("song", quiet=False), cli_bar("quiet song", quiet=True):
        assert bars == ["song"] * shown


# JSON


def json_of(capsys: pytest.CaptureFixture[str], *words: str) -> object:
    assert main(words) == 0
    return json.loads(capsys.readouterr().out)


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json_of(capsys, "list", "--json")

    assert isinstance(found, dict)
    assert [one["name"] for one in found["recipes"]] == reading.names()
    default = next(one for one in found["recipes"] if one["name"] == "mdx_default")
    assert default["optional"] == {"htdemucs": "missing"}
    assert {one["name"] for one in found["separators"]} >= {"spleeter", "equal_shares"}


def test_verified_files_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json_of(capsys, "verify", "--json", "cdx_unet")

    assert isinstance(found, list)
    (one,) = found
    assert (one["name"], one["condition"]) == ("cdx_unet", "ok")
    assert Path(one["path"]).is_file()


def test_the_plan_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json_of(capsys, "plan", "--json", "--recipe", "cdx_equal_shares", "--seconds", "60")

    assert isinstance(found, dict)
    assert [one["member"] for one in found["members"]] == ["equal_shares"]
    assert found["plans"][-1]["track"] == "cdx"
    assert found["plans"][-1]["members"] == ["equal_shares"]


def test_separated_songs_as_json_lines(
    write_song: WriteSong, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = write_song("two\nlines.wav")
    words = ["separate", str(song), str(tmp_path / "no.wav"), "-o", str(out), "--json"]

    assert main([*words, "--recipe", "mdx_silence"]) == 2

    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert (good["song"], good["error"]) == (str(song), None)
    assert {stem: Path(path).is_file() for stem, path in good["stems"].items()} == dict.fromkeys(
        MDX, True
    )
    assert (bad["song"], bad["stems"]) == (str(tmp_path / "no.wav"), {})
    assert "but there is none" in bad["error"]


def test_scores_as_json_and_csv(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json_of(capsys, "score", str(data), str(data), "--json", "-")
    assert isinstance(found, dict)
    assert [song["name"] for song in found["songs"]] == ["a", "b"]

    assert main(["score", str(data), str(data), "--csv", "-"]) == 0
    assert capsys.readouterr().out.startswith("song,mean,bass,")


def test_scores_go_to_a_file_beside_the_table(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(data), str(data), "--json", str(tmp_path / "s.json")]) == 0

    assert "MEAN, active" in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["track"] == "mdx"


# Evaluating


def test_clipping_is_noted_only_where_the_reference_is_not_as_loud(
    write_song: WriteSong, tmp_path: Path
) -> None:
    loud = write_song("loud.wav", audio=np.full((10, 2), 3.0), subtype="FLOAT")
    quiet = write_song("quiet.wav", audio=np.full((10, 2), -0.5))
    estimate = write_song("estimate.wav", audio=np.full((10, 2), -1.0))

    assert evaluate_track.clipped(estimate, quiet) == 20
    assert evaluate_track.clipped(estimate, loud) == 0
    assert evaluate_track.clipped(quiet, loud) == 0


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_clipped_estimate_is_one_note_with_its_stems(
    write_song: WriteSong, tmp_path: Path, out: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in MDX:
        write_song(f"data/song/{stem}.{kind}")
    loud = np.full((1000, 2), 8.0)
    write_song("data/song/mixture.wav", audio=loud, subtype="FLOAT")
    words = ["evaluate", "--data", str(tmp_path / "data"), "--output", str(out)]

    assert main([*words, "--recipe", "mdx_equal_shares"]) == 0

    stems = ", ".join(f"{stem} (2000 samples)" for stem in MDX)
    assert capsys.readouterr().err == (
        f"note: song: its 16-bit files are clipped, unlike the true stems: {stems}\n"
    )


@pytest.mark.engine
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("track", "stems"), [("mdx", MDX), ("cdx", CDX)])
def test_an_installed_package_evaluates_without_the_contest(
    write_song: WriteSong,
    tmp_path: Path,
    out: Path,
    track: str,
    stems: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stem in stems:
        write_song(f"data/song/{stem}.wav")
    words = ["evaluate", "--data", str(tmp_path / "data"), "--recipe", f"{track}_equal_shares"]

    assert main([*words, "--output", str(out)]) == 0

    said = capsys.readouterr()
    assert said.err == ""
    assert "(the contest allows 1.57 x, which was not enforced here)" in said.out
    found = json.loads((out / track / "scores.json").read_text())
    monkeypatch.setattr(installation, "INSTALLED", False)
    assert main([*words, "--output", str(tmp_path / "other"), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == {track: found}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name your songs by --data DIR"),
        (["--data", "DATA", "--limit"], "--limit needs a checkout"),
        (["--data", "DATA", "--jobs", "2"], "--jobs above 1 needs a checkout"),
    ],
)
def test_an_evaluation_that_needs_a_checkout_is_one_sentence(
    data: Path, out: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(data) if word == "DATA" else word for word in words]

    assert main(["evaluate", *given, "--output", str(out)]) == 2

    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not out.exists()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", contest.COMMANDS)
def test_an_installed_package_reports_that_the_contest_needs_a_checkout(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"error: `demixing {name}` needs the contest's folders")
    assert said.count("\n") == 1


@pytest.mark.usefixtures("installed")
def test_an_installed_package_has_no_submission_to_describe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["describe"]) == 2
    assert "name the track by $DEMIX_TRACK" in capsys.readouterr().err

    monkeypatch.setenv("DEMIX_TRACK", "mdx")
    assert main(["describe"]) == 0


@pytest.mark.parametrize("name", contest.COMMANDS)
def test_a_checkout_has_the_commands_of_the_contest(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])

    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: demixing {name} ")
    assert "--submission" in shown


def test_the_contest_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if Path(one).resolve() != ROOT])

    assert contest.module("samples", "a test").__name__ == "samples"
    monkeypatch.setattr(installation, "ROOT", tmp_path)
    with pytest.raises(ConfigError, match="a test needs the contest's folders"):
        contest.module("samples", "a test")


# Completion


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    return {name: make(completion.described()) for name, make in completion.SCRIPTS.items()}


@pytest.mark.process
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sep", {"separate"}),
        ("separate --form", {"--format"}),
        ("separate song.mp3 --format ", {"wav", "flac", "mp3", "m4a", "opus"}),
        ("score --track c", {"cdx"}),
        ("render ", {"mdx", "cdx"}),
        ("render mdx --gener", {"--generation"}),
        ("render cdx --split te", {"test"}),
        ("grade --prof", {"--profile"}),
        ("completion f", {"fish"}),
        ("separate song", set()),  # a file: the shell completes it
    ],
)
def test_bash_completes(scripts: dict[str, str], line: str, expected: set[str]) -> None:
    words = ["demixing", *line.split(" ")]
    program = (
        f"{scripts['bash']}\n"
        f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _demixing\n"
        'echo "${COMPREPLY[@]}"'
    )

    done = subprocess.run(
        ["bash", "--norc", "-c", program], capture_output=True, text=True, check=True
    )

    assert set(done.stdout.split()) == expected


@pytest.mark.process
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_scripts(shell: str, scripts: dict[str, str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")

    subprocess.run([shell, "-n", "-c", scripts[shell]], check=True)


def test_the_script_of_fish_has_every_option(scripts: dict[str, str]) -> None:
    lines = scripts["fish"].splitlines()

    for name, one in completion.described().items():
        own = [line for line in lines if f"__fish_seen_subcommand_from {name}'" in line]
        assert len(own) >= len({id(action) for action in one._actions if action.option_strings})
    assert any(line.endswith("-l format -f -a 'wav flac mp3 m4a opus' -r") for line in lines)


@pytest.mark.usefixtures("installed")
def test_an_installed_package_completes_no_command_that_needs_a_checkout() -> None:
    assert not completion.described().keys() & contest.COMMANDS.keys()


def test_audio_of_an_installed_evaluation_is_16_bits(
    data: Path, out: Path, installed: None
) -> None:
    del installed
    words = ["--data", str(data), "--recipe", "mdx_silence", "--output", str(out)]

    assert main(["evaluate", *words]) == 0

    assert soundfile.info(out / "mdx" / "predictions" / "a" / "bass.wav").subtype == "PCM_16"


def test_an_interruption_while_a_command_is_imported_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load", interrupted)

    assert main(["list"]) == 130

    assert capsys.readouterr().err == "stopped; what is finished stays\n"
