"""Configs of networks: what they may say, and how they cut a song."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from demixing.errors import ConfigError
from demixing.separator import Chunking, SongEnd, Window
from demixing.separators.msst import chunking, plugin
from demixing.separators.msst import config as configs
from demixing.separators.msst.config import Config

YAML = """
audio:
  chunk_size: 485100 # 44100 * 11
  sample_rate: 44100
model:
  dims: &dims [4, 32, 64, 128]
  again: *dims
  sizes: !!python/tuple
  - 4096
  - 2048
training:
  instruments:
    - vocals
    - other
  target_instrument: vocals
  use_amp: true
inference:
  num_overlap: 4
  normalize: true
"""

LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n" + "\n".join(
    f"{letter}: &{letter} [{', '.join(8 * [f'*{before}'])}]"
    for before, letter in itertools.pairwise("abcdefghijklm")
)
"""Each line contains the one before eight times."""


def config(**sections: Any) -> Config:
    return Config(sections, "mine")


def test_a_config_of_msst_is_read_with_tuples_as_lists(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)

    found = configs.read(path)

    assert found.get("model.sizes") == [4096, 2048]
    assert found.get("model.again") == [4, 32, 64, 128]
    assert found.stems() == ("vocals",)
    assert found.rest() == "other"
    assert found.flag("inference.normalize")
    assert found.integer("audio.chunk_size", most=10**6) == 485_100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audio: !!python/object/apply:os.system ['touch ran']", "as YAML"),
        ("audio: !!python/name:os.system", "as YAML"),
        ("audio: !!python/module:os", "as YAML"),
        (LAUGHS, "at most 10000 values"),
        ("a: &a [*a]", "at most 10000 values"),
        (f"a: 0x{'f' * 5000}", "at most 64 bits"),
        ("- 1\n- 2", "have sections"),
        ("1: 2", "have sections"),
        ("audio: [", "as YAML"),
        ("\x00", "as YAML"),
        ("[" * 100_000, "as YAML"),
        ("a: " + "x" * (1 << 17), "at most"),
        ("", "have sections"),
    ],
    ids=range(13),
)
def test_other_files_are_refused_in_one_sentence(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=message) as raised:
        configs.read(path)

    assert "\n" not in str(raised.value)
    assert not Path("ran").exists()


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config .*none.yaml: No such file"):
        configs.read(tmp_path / "none.yaml")


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "2", None, [2], 10**9])
def test_integers_have_a_type_and_bounds(value: object) -> None:
    with pytest.raises(ConfigError, match=r"needs an integer from 1 to 64 for inference.n, got"):
        config(inference={"n": value}).integer("inference.n", most=64)


@pytest.mark.parametrize(
    "stems",
    ["vocals", [1], ["a", "a"], [".."], ["a/b"], ["a\0"], [""], [], [f"s{n}" for n in range(65)]],
    ids=str,
)
def test_stems_are_distinct_names_of_files(stems: object) -> None:
    with pytest.raises(ConfigError, match="config of mine"):
        config(training={"instruments": stems}).stems()


def test_a_network_without_a_target_leaves_no_rest() -> None:
    assert config(training={"instruments": ["bass", "drums"]}).rest() == ""


def test_the_rest_of_one_of_many_instruments_has_a_name_of_its_own() -> None:
    many = {"instruments": ["bass", "drums", "other"], "target_instrument": "bass"}

    assert config(training=many).rest() == "rest"
    assert config(training=many | {"target_instrument": "rest"}).rest() == "residual"


AUDIO = {"chunk_size": 352_800, "hop_length": 1024}


@pytest.mark.parametrize(
    ("inference", "cut"),
    [
        (
            {},
            Chunking(
                chunk=352_800,
                hop=176_400,
                end=SongEnd.MIRRORED_IF_LONG,
                window=Window.TENTHS,
            ),
        ),
        (
            {"chunk_size": 44_100, "num_overlap": 4},
            Chunking(chunk=44_100, hop=11_025, end=SongEnd.MIRRORED_IF_LONG, window=Window.TENTHS),
        ),
        (
            {"method": "kuielab", "dim_t": 256, "num_overlap": 8},
            Chunking(chunk=261_120, hop=32_640, end=SongEnd.COVERED, window=Window.FLAT),
        ),
        (
            {"method": "bandit", "num_overlap": 8},
            Chunking(chunk=352_800, hop=44_100, end=SongEnd.MIRRORED, window=Window.HANN),
        ),
        (
            {"method": "demucs"},
            Chunking(chunk=352_800, hop=176_400, end=SongEnd.EVERY_HOP_RAGGED),
        ),
    ],
    ids=str,
)
def test_each_method_cuts_as_its_authors_do(inference: dict[str, Any], cut: Chunking) -> None:
    assert chunking.of_config(config(audio=AUDIO, inference=inference)) == cut


def test_a_user_may_choose_another_overlap() -> None:
    assert chunking.of_config(config(audio=AUDIO), 8).hop == 44_100


@pytest.mark.parametrize(
    ("inference", "message"),
    [
        ({"method": "mine"}, "unknown inference.method 'mine'"),
        ({"method": ["x"]}, "unknown inference.method"),
        ({"chunk_size": 10**12}, "inference.chunk_size"),
        ({"num_overlap": 0}, "inference.num_overlap"),
        ({"method": "bandit", "num_overlap": 1}, "overlap of at least 2"),
        ({"method": "kuielab"}, "inference.dim_t"),
    ],
)
def test_impossible_chunks_are_refused(inference: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chunking.of_config(config(audio=AUDIO, inference=inference))


@pytest.mark.parametrize("overlap", [0, -1, 65, 2.0, 2.5, True, "2"])
def test_an_impossible_overlap_is_refused(overlap: Any) -> None:
    with pytest.raises(ConfigError, match="expected an overlap from 1 to 64"):
        chunking.of_config(config(audio=AUDIO), overlap)


def test_only_names_of_the_catalogue_are_required_weights() -> None:
    assert plugin.required_weights("scnet_small") == ["scnet_small"]
    assert plugin.required_weights("scnet_small", "scnet_xl") == ["scnet_xl"]
    assert plugin.required_weights("scnet_small", "mine.ckpt") == []


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown network"):
        plugin.system_of(config(model={"kind": "mine"}))


def test_a_model_may_be_called_kwargs() -> None:
    assert config(kwargs={"n_fft": 4}).integer("model.n_fft", most=8) == 4
    assert config(kwargs={"n_fft": 4}).keys("model") == {"n_fft"}
    assert config(kwargs={"n_fft": 4}, model=None).keys("model") == set()


def test_null_is_a_value_only_of_the_model() -> None:
    assert config(audio={"n": None}).integer("audio.n", 3, most=8) == 3
    with pytest.raises(ConfigError, match=r"from 1 to 8 for model\.n, got nothing"):
        config(model={"n": None}).integer("model.n", 3, most=8)


@pytest.mark.parametrize("value", [3, 0, 10, "4", True])
def test_even_integers_are_even(value: object) -> None:
    assert config(model={"n": 4}).integer("model.n", most=8, even=True) == 4
    with pytest.raises(ConfigError, match=r"needs an even integer from 1 to 8 for model\.n, got"):
        config(model={"n": value}).integer("model.n", most=8, even=True)


def test_a_value_agrees_with_the_weights_or_may_be_missing() -> None:
    given = config(model={"scale": [2, 2], "dim": None})

    given.agrees("model.scale", (2, 2))
    given.agrees("model.depth", 6, optional=True)
    with pytest.raises(ConfigError, match=r"needs \(2, 3\), as in the weights, for model.scale"):
        given.agrees("model.scale", (2, 3))
    with pytest.raises(ConfigError, match=r"model\.depth, got nothing; use the config that was"):
        given.agrees("model.depth", 6)
    with pytest.raises(ConfigError, match=r"model\.dim, got nothing"):
        given.agrees("model.dim", 6, optional=True)


@pytest.mark.parametrize("sections", [{}, {"model": None}, {"model": [1]}], ids=str)
def test_a_missing_section_is_named_for_each_of_its_keys(sections: dict[str, Any]) -> None:
    given = Config(sections, "mine")

    assert given.get("model.x", 3) == 3
    with pytest.raises(ConfigError, match="the config of mine needs a section model, got"):
        given.text("model.x")


def test_the_first_of_some_values_is_the_default() -> None:
    assert config(model={}).one_of("model.kind", "GRU", "LSTM") == "GRU"
    assert config(model={"kind": "LSTM"}).one_of("model.kind", "GRU", "LSTM") == "LSTM"
    with pytest.raises(ConfigError, match=r"needs 'GRU' or nothing for model\.kind, got 'x'"):
        config(model={"kind": "x"}).one_of("model.kind", "GRU", None)
