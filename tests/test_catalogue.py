"""The catalogue of weights is checked key by key, and its entries agree with themselves."""

from pathlib import Path
from typing import Any

import pytest

from demixing.errors import CheckpointError
from demixing.recipes import boards
from demixing.weights import catalogue

GOOD = """
[good]
network = ""
file = "a.th"
format = "state_dict"
sha256 = ""
licence = "MIT"
code_licence = "MIT"
trained_on = ["nothing"]
stems = ["vocals"]
sample_rate_hz = 44_100
source = "a test"
published = "none"
"""
KNOWN = catalogue.entries()
CONFIGURED = [one for one in KNOWN.values() if one.config]
every_config = pytest.mark.parametrize("entry", CONFIGURED, ids=lambda one: one.name)


def read(tmp_path: Path, text: str) -> catalogue.Checkpoint:
    path = tmp_path / "checkpoints.toml"
    path.write_text(text)
    return catalogue.entries(path)["good"]


def changed(line: str) -> str:
    """The good table with one line replaced, or added."""
    key = line.partition(" ")[0]
    kept = [one for one in GOOD.splitlines() if not one.startswith(f"{key} ")]
    return "\n".join([*kept, line])


def test_optional_keys_have_defaults(tmp_path: Path) -> None:
    entry = read(tmp_path, GOOD)

    assert (entry.mirrors, entry.needs_gpu, entry.config) == ([], False, {})


def test_a_config_is_kept_as_it_is(tmp_path: Path) -> None:
    section = "model = { dims = [4, 32], zero_dc = false, name = 'a', share = 0.25 }"

    entry = read(tmp_path, f"{GOOD}\n[good.config]\n{section}")

    expected: dict[str, Any] = {"dims": [4, 32], "zero_dc": False, "name": "a", "share": 0.25}
    assert entry.config == {"model": expected}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("network = 5", "table 'good': network: expected a string, got 5"),
        ("stems = 'vocals'", "stems: expected a list of strings, got 'vocals'"),
        ("stems = ['vocals', 5]", "stems: expected a list of strings"),
        ("stems = []", "stems: expected different names"),
        ("stems = ['a', 'a']", "stems: expected different names"),
        ("sample_rate_hz = '44100'", "sample_rate_hz: expected an integer, got '44100'"),
        ("sample_rate_hz = 0", "sample_rate_hz: expected a rate up to 768000, got 0"),
        ("size_bytes = true", "size_bytes: expected an integer, got True"),
        ("size_bytes = -1", "size_bytes: expected a size up to"),
        ("part = -1", "part: expected an index below 100"),
        ("needs_gpu = 1", "needs_gpu: expected true or false, got 1"),
        ("bf16_change_db = nan", "bf16_change_db: expected a number, got nan"),
        ("sha256 = 'ABC'", "sha256: expected up to 64 hexadecimal digits, got 'ABC'"),
        (f"sha256 = '{'a' * 65}'", "sha256: expected up to 64 hexadecimal digits"),
        (f"source = '{'a' * 1001}'", "source: expected at most 100 strings of 1000 characters"),
        ("file = '/etc/passwd'", "file: expected a relative path"),
        ("file = 'a/../../b'", "file: expected a relative path"),
        ("file = ''", "file: expected a relative path"),
        ("url = 'file:///etc/passwd'", "url: expected an address with https: or hf:"),
        ("mirrors = ['http://a/b']", "mirrors: expected addresses with https: or hf:"),
        ("mirrors = 'https://a/b'", "mirrors: expected a list of strings"),
        ("licences = 'MIT'", "no key 'licences'; did you mean 'licence'?"),
        ("name = 'other'", "no key 'name'"),
        ("folder = 'a'", "no key 'folder'"),
        ("config = 5", "config: expected a table, got 5"),
        ("config = { modell = { dim = 1 } }", "config: no section 'modell'; did you mean 'model'"),
        ("config = { model = 5 }", "config.model: expected a table, got 5"),
        ("config = { model = { day = 2026-11-30 } }", "config.model.day: expected a string, or"),
        ("config = { model = { dim = inf } }", "config.model.dim: expected a string, or a number"),
        ("config = { model = { dim = nan } }", "config.model.dim: expected a string, or a number"),
        ("config = { model = { dim = 10_000_000_000 } }", "or a number up to 1e+09, got 100000"),
        ("config = { model = { a = [[[1]]] } }", "config.model.a.1.1: expected at most 4 levels"),
        (f"config = {{ model = {{ a = {[1] * 1001} }} }}", "config: expected at most 1000 values"),
    ],
)
def test_a_wrong_value_is_one_sentence(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(CheckpointError, match="cannot read the catalogue of weights") as caught:
        read(tmp_path, changed(line))

    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("good = 5", "table 'good': expected a table, got 5"),
        (GOOD.replace("[good]", "['../good']"), "expected a name of letters"),
        (GOOD.replace("licence", "x_licence", 1), "no key 'x_licence'"),
        ("\n".join(GOOD.splitlines()[:-1]), "the key 'published' is missing"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, text)

    assert reason in str(caught.value)


# The entries


@every_config
def test_a_config_agrees_with_its_entry(entry: catalogue.Checkpoint) -> None:
    training = entry.config["training"]
    target = training.get("target_instrument")

    assert entry.config["audio"]["sample_rate"] == entry.sample_rate_hz
    assert entry.stems == ([target] if target else training["instruments"])
    assert target is None or target in training["instruments"]
    assert entry.network in {
        *("tfc_tdf_v3", "bs_roformer", "mel_band_roformer", "scnet", "bandit", "mrx"),
    }
    method = entry.config.get("inference", {}).get("method", "msst")
    assert method in ("msst", "kuielab", "demucs", "bandit")


def test_all_weights_of_the_new_networks_have_a_config() -> None:
    assert len(CONFIGURED) == 35
    networks = {one.network for one in CONFIGURED}
    assert all(one.config for one in KNOWN.values() if one.network in networks)


@every_config
def test_what_others_measured_has_a_metric_and_a_test_set(entry: catalogue.Checkpoint) -> None:
    metric, _, rest = entry.published.partition(", ")

    assert metric in ("SDR", "SI-SDR", "none in what was read")
    assert metric.startswith("none") or ": " in rest


def test_chunks_of_tfc_tdf_are_whole_frames() -> None:
    for entry in CONFIGURED:
        if entry.network == "tfc_tdf_v3":
            audio, inference = entry.config["audio"], entry.config["inference"]
            frames, rest = divmod(inference["chunk_size"], audio["hop_length"])
            assert (rest, (frames + 1) % 2**5) == (0, 0), entry.name
            assert audio["dim_f"] <= audio["n_fft"] // 2 + 1


def test_transformers_need_a_gpu() -> None:
    networks = {one.network for one in CONFIGURED if one.needs_gpu}

    assert {"bs_roformer", "mel_band_roformer"} <= networks
    assert not {"bandit", "mrx"} & networks
    assert not KNOWN["scnet_small"].needs_gpu


# Leaderboards


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kuielab_mdx_a_seed0", {"mdx": ("A", "C")}),
        ("kuielab_mdx_b_seed0", {"mdx": ("B", "C")}),
        ("kuielab_mdx_c_model1", {"mdx": ("C",)}),
        ("kuielab_cdx_a_seed0", {"cdx": ("A", "B")}),
        ("bandit_plus", {"cdx": ("A", "B")}),
        ("bandit_v2_multi", {"cdx": ("B",)}),
        ("mrx", {"cdx": ("A", "B")}),
        ("scnet_small", {"mdx": ("C",)}),
        ("mdx23c_drumsep", {}),
    ],
)
def test_leaderboards_follow_from_the_training_data(
    name: str, expected: dict[str, tuple[str, ...]]
) -> None:
    entry = KNOWN[name]

    assert boards.admitting(entry.stems, entry.trained_on) == expected


@pytest.mark.parametrize("data", ["DnR v3 train", "DnR test", "MUSDB18-HQ train", "not stated"])
def test_other_data_are_for_the_last_leaderboard_alone(data: str) -> None:
    assert boards.admitting(["speech"], ["DnR train", data]) == {"cdx": ("B",)}
    assert boards.admitting(["vocals"], [data]) == {"mdx": ("C",)}
