import math
from pathlib import Path

import pytest

from demixing.errors import ConfigError
from demixing.training.config import Run, load, updated


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text('stems = ["a", "b"]\ndata = { train = ["x"] }\n' + text, encoding="utf-8")
    return path


def test_a_file_names_only_what_it_changes(tmp_path: Path) -> None:
    run = load(written(tmp_path, "batch = 7\n[optimiser]\nlearning_rate = 1\n"))

    assert run.batch == 7
    assert run.optimiser.learning_rate == 1.0
    assert run.steps == Run().steps
    assert run.stems == ("a", "b")


@pytest.mark.parametrize(
    ("setting", "name", "expected"),
    [
        ("batch=3", "batch", 3),
        ("precision=bf16", "precision", "bf16"),
        ('precision="bf16"', "precision", "bf16"),
        ("stems=['c']", "stems", ("c",)),
        ("ema_decay=0", "ema_decay", 0.0),
    ],
)
def test_settings_come_after_the_file(
    tmp_path: Path, setting: str, name: str, expected: object
) -> None:
    run = load(written(tmp_path, "batch = 7\n"), [setting])

    assert getattr(run, name) == expected


def test_numbers_of_a_list_are_converted() -> None:
    run = updated(Run(), {"data": {"shares": [1, 2]}, "optimiser": {"betas": [0, 0.9]}})

    assert [type(one) for one in (*run.data.shares, *run.optimiser.betas)] == [float] * 4


def test_a_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = written(tmp_path, "batch = 7\n")
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")

    assert load(path).batch == 7


def test_settings_reach_into_tables(tmp_path: Path) -> None:
    run = load(written(tmp_path, ""), ["network.options.width=3", "optimiser.clip_norm=2"])

    assert run.network.options == {"width": 3}
    assert run.optimiser.clip_norm == 2.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimiser": {"lerning_rate": 1}}, r"no option 'optimiser\.lerning_rate'; did you mean"),
        ({"bach": 1}, "no option 'bach'; did you mean 'batch'"),
        ({"batch": "many"}, "batch must be of the type int, got 'many'"),
        ({"batch": True}, "batch must be of the type int, got True"),
        ({"batch": 0}, "batch must be above 0, got 0"),
        ({"optimiser": 3}, "optimiser must be a table, got 3"),
        ({"optimiser": {"kind": "sgd"}}, "optimiser.kind must be one of adamw, adam, got 'sgd'"),
        ({"precision": "fp8"}, "precision must be fp32 or bf16, got 'fp8'"),
        ({"loss": []}, "loss must be of the type dict"),
        (
            {"augmentations": ["remix"]},
            "each of augmentations must be of the type dict, got 'remix'",
        ),
        ({"data": {"train": [1]}}, r"each of data\.train must be of the type str, got 1"),
        (
            {"data": {"shares": ["all"]}},
            r"each of data\.shares must be of the type float, got 'all'",
        ),
        ({"data": {"shares": [1, -1]}}, r"data\.shares must be at least 0, and not all 0"),
        ({"data": {"valid_songs": -1}}, r"data\.valid_songs must be at least 0, got -1"),
        ({"optimiser": {"betas": [2, 3]}}, r"optimiser\.betas must be two numbers .* below 1"),
        ({"optimiser": {"weight_decay": -1}}, r"optimiser\.weight_decay must be at least 0"),
        (
            {"optimiser": {"clip_norm": math.nan}},
            r"optimiser\.clip_norm must be at least 0, got nan",
        ),
        ({"optimiser": {"learning_rate": math.inf}}, r"optimiser\.learning_rate must be above 0"),
        ({"optimiser": {"learning_rate": 10**400}}, r"optimiser\.learning_rate must be a smaller"),
        ({"optimiser": {"warm_up_steps": -1}}, r"optimiser\.warm_up_steps must be at least 0"),
        (
            {"validation": {"every_steps": 0}},
            r"every_steps must be above 0 \(set data\.valid to \[\]",
        ),
        ({"validation": {"patience": -1}}, r"validation\.patience must be at least 0, got -1"),
        ({"seed": 1 << 64}, r"seed must be at least 0 and below 2\*\*63"),
    ],
)
def test_an_invalid_option_is_reported(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        updated(Run(), changes)


@pytest.mark.parametrize(
    ("text", "said"), [("x = = 1", "expected a run in"), ("stems = []", "expected a run in")]
)
def test_other_files_than_runs_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(written(tmp_path, text))


def test_a_run_needs_songs(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('stems = ["a"]', encoding="utf-8")

    with pytest.raises(ConfigError, match=r"data\.train must name folders"):
        load(path)


@pytest.mark.parametrize("setting", ["batch", "=3", "batch = [", "batch=" + 5000 * "9"])
def test_invalid_settings_are_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError):
        load(written(tmp_path, ""), [setting])
