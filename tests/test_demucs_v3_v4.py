"""Bags of Demucs v3 and v4 give the same stems as demucs' apply_model, with narrow networks."""

import copy
import functools
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from torch import Tensor

import demixing
from demixing import separators
from demixing.chunks.overlap_add import OverlapAdd
from demixing.engine.normalisation import Normaliser, SongStatistics
from demixing.errors import CheckpointError, ConfigError
from demixing.networks.rewrites import rewrite
from demixing.separators.demucs import bags, hybrid, package_networks, spectra
from demixing.separators.demucs.bag_separator import BagSeparator
from demixing.separators.demucs.bags import Bag
from demixing.weights import checkpoints
from demixing.weights.readers import Contents
from tools.golden import seeded
from tools.golden.agreement import agreement_db

pytestmark = pytest.mark.engine

NARROW = {"channels": 4, "rescale": 0}
"""Without the slow rescaling of initial weights, which loaded ones replace."""

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "time": (Demucs, NARROW),
    "amplitude": (HDemucs, {**NARROW, "cac": False, "hybrid_old": True, "wiener_iters": 0}),
    "complex": (HDemucs, NARROW),
    "v4": (
        HTDemucs,
        {
            "channels": 8,
            "rescale": 0,
            "bottom_channels": 16,
            "t_layers": 3,
            "t_heads": 2,
            "segment": Fraction(1, 4),
        },
    ),
}
MEMBERS = {
    "mdx": ("time", "time", "amplitude", "complex"),
    "repro_mdx_a_hybrid_only": ("amplitude", "complex"),
    "htdemucs": ("v4",),
    "htdemucs_ft": ("v4",) * 4,
    "htdemucs_6s": ("v4",),
    "cdx23": ("v4",) * 3,
}
SEGMENT_S = 0.25


@dataclass(frozen=True)
class Entry:
    name: str
    bf16_change_db: float | None = None


def bag(name: str) -> Bag:
    return bags.find(name, 3 if "mdx" in name else 4)


@functools.cache
def member(name: str, index: int) -> Any:
    """A small network instead of a member of a bag; no test changes it."""
    kind, options = KINDS[MEMBERS[name][index]]
    known = bag(name)
    with torch.random.fork_rng(devices=[]):
        network = kind(sources=list(known.stems), **options).eval()
    state = network.state_dict()
    for key, value in state.items():
        state[key] = seeded.drawn(f"{known.members[index]}{key}", tuple(value.shape))
    network.load_state_dict(state)
    return network


@dataclass
class Shelf:
    """Small networks instead of the files of a bag, with weights seeded by names."""

    bag: Bag
    opened: list[str] = field(default_factory=list)

    def contents(self, entry: Entry) -> Contents:
        """What the file would contain, plus an argument that newer classes no longer accept."""
        self.opened.append(entry.name)
        network = member(self.bag.name, list(self.bag.files().values()).index(entry.name))
        _, arguments = network._init_args_kwargs
        return Contents(
            state={key: value.clone() for key, value in network.state_dict().items()},
            network=f"{type(network).__module__}.{type(network).__name__}",
            arguments={**arguments, "forgotten": True},
        )

    def theirs(self, song: Tensor) -> Tensor:
        """Stems of a song as demucs' command line makes them, without shifts."""
        networks = [member(self.bag.name, index) for index in range(len(self.bag.members))]
        weights = [
            [self.bag.weights[stem][index] if self.bag.weights else 1.0 for stem in self.bag.stems]
            for index in range(len(networks))
        ]
        together = BagOfModels(networks, weights, SEGMENT_S)
        mono = song.mean(dim=0)
        mean, level = (mono.mean(), mono.std() + 1e-8) if self.bag.normalises else (0.0, 1.0)
        mixture = ((song - mean) / level)[None]
        with torch.inference_mode():
            stems = apply_model(together, mixture, shifts=0, overlap=self.bag.overlap)[0]
        return stems * level + mean


@pytest.fixture
def shelf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf(bag(request.param))
    monkeypatch.setattr(checkpoints, "find", Entry)
    monkeypatch.setattr(checkpoints, "contents", made.contents)
    return made


def built(shelf: Shelf, **options: Any) -> BagSeparator:
    generation = shelf.bag.generation
    options = {"bag": shelf.bag.name, "segment_s": SEGMENT_S, **options}
    separator = separators.build(f"demucs_v{generation}", options)
    assert isinstance(separator, BagSeparator)
    return separator


def streamed(separator: BagSeparator, song: Tensor) -> Tensor:
    normaliser = Normaliser(separator, SongStatistics.of([song]), groups=1)
    overlap = OverlapAdd(separator)
    parts = [overlap.push(normaliser.into(part[None])) for part in song.split(9999, dim=-1)]  # type: ignore[no-untyped-call]
    return normaliser.back(torch.cat([*parts, overlap.finish()], dim=-1))[0]


@pytest.mark.parametrize("shelf", ["mdx", "htdemucs_ft", "htdemucs_6s"], indirect=True)
def test_a_bag_separates_as_the_original_does(shelf: Shelf) -> None:
    song = seeded.song(20_000, seed=3) + 0.01

    answer = streamed(built(shelf), song)

    assert agreement_db(shelf.theirs(song), answer) > 90


RECIPE = """
track = "mdx"
summary = "-"

[[members]]
separator = "demucs_v{version}"
options = {{ bag = "{bag}", segment_s = {segment_s} }}
outputs = {{ bass = ["bass"], drums = ["drums"], other = ["other"], vocals = ["vocals"] }}
"""


def stereo(samples: int) -> Tensor:
    return seeded.song(samples, seed=5) + 0.01


def with_silence(samples: int) -> Tensor:
    song = seeded.song(samples, seed=6)
    song[:, samples // 4 : -samples // 4] = 0
    return song


SONGS = {
    "odd length": lambda: stereo(20_007),
    "mono": lambda: stereo(20_007)[:1],
    "silence inside": lambda: with_silence(40_000),
    "3 s": lambda: stereo(3 * 44_100),
}


@pytest.mark.parametrize("song", SONGS.values(), ids=SONGS)
@pytest.mark.parametrize("shelf", ["repro_mdx_a_hybrid_only", "htdemucs"], indirect=True)
def test_users_get_the_output_of_the_original_command(
    shelf: Shelf, song: Callable[[], Tensor], tmp_path: Path
) -> None:
    recipe = tmp_path / "demucs.toml"
    version = shelf.bag.generation
    recipe.write_text(RECIPE.format(version=version, bag=shelf.bag.name, segment_s=SEGMENT_S))
    audio = song()

    stems = demixing.Separator(recipe, device="cpu")(audio, 44_100)

    answer = torch.stack([stems[stem] for stem in shelf.bag.stems])
    expected = shelf.theirs(audio.expand(2, -1))
    if len(audio) == 1:  # Demucs' command writes stereo stems
        expected = expected.mean(dim=1, keepdim=True)
    assert agreement_db(expected, answer) > 100


@pytest.mark.parametrize("shelf", ["cdx23"], indirect=True)
def test_film_sound_is_separated_as_its_authors_do(shelf: Shelf) -> None:
    song = seeded.song(16_000, seed=3) + 0.05

    separator = built(shelf)
    answer = streamed(separator, song)

    assert separator.normalises == ""
    assert separator.chunking.hop == int((1 - 0.8) * separator.chunking.chunk)
    assert agreement_db(shelf.theirs(song), answer) > 100


@pytest.mark.parametrize("shelf", ["mdx", "htdemucs_ft"], indirect=True)
def test_only_networks_with_a_weight_are_loaded(shelf: Shelf) -> None:
    song = seeded.song(13_000, seed=3)

    some = built(shelf, stems=["bass"])
    answer = streamed(some, song)
    opened = list(shelf.opened)

    expected = {"mdx": ["0d19c1c6", "7ecf8ec1"], "htdemucs_ft": ["d12395a8"]}[shelf.bag.name]
    assert [name[-8:] for name in opened] == expected
    assert agreement_db(streamed(built(shelf), song)[1:2], answer) > 90


@pytest.mark.parametrize("shelf", ["mdx", "htdemucs"], indirect=True)
def test_digital_silence_at_the_end_is_part_of_a_song(shelf: Shelf) -> None:
    half = seeded.song(7_000, seed=1)
    song = torch.cat([half, -half, torch.zeros(2, 6_000)], dim=-1)  # with a mean of zero

    answer = streamed(built(shelf), song)

    assert agreement_db(shelf.theirs(song), answer) > 90


HYBRIDS = {
    "v3": ("complex", {}, 9_001),
    "v3, deep": ("complex", {"depth": 6, "channels": 6}, 44_100),
    "v4": ("v4", {}, 11_025),
    "v4, a short input": ("v4", {}, 9_001),
    "v4, of any length": ("v4", {"use_train_segment": False}, 13_000),
    "v4, a narrow transformer": ("v4", {"bottom_channels": 0}, 11_025),
    "v4, no transformer": ("v4", {"t_layers": 0, "bottom_channels": 0}, 11_025),
}
"""By name: an entry of :data:`KINDS`, changed arguments, samples of the input."""


@pytest.mark.parametrize(("kind", "changes", "samples"), HYBRIDS.values(), ids=HYBRIDS)
def test_a_network_runs_as_demucs_runs_it(kind: str, changes: dict[str, Any], samples: int) -> None:
    make, options = KINDS[kind]
    plain = make(sources=["a", "b", "c"], **options | changes).eval()
    faster = rewrite(plain)
    assert hybrid.is_hybrid(faster)
    mixture = torch.stack([seeded.song(samples, seed=seed) + 0.05 for seed in (1, 2)])
    given = mixture.clone()

    with torch.inference_mode():
        expected, answer = plain(mixture), hybrid.Hybrid(faster)(mixture)

    assert torch.equal(mixture, given)
    assert answer.shape == expected.shape
    assert agreement_db(expected, answer) > 110


def test_inputs_are_freed_before_the_last_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    make, options = KINDS["v4"]
    network = hybrid.Hybrid(rewrite(make(sources=["a", "b"], **options).eval()))
    inputs: list[weakref.ref[Tensor]] = []
    living: list[bool] = []

    def noted(x: Tensor) -> hybrid.Normalised:
        found = hybrid.Normalised(x.clone(), x.new_zeros(1), x.new_ones(1))
        assert found.x is not None
        inputs.append(weakref.ref(found.x))
        return found

    def between(*tensors: Tensor) -> None:
        living.extend(one() is not None for one in inputs)
        raise InterruptedError

    monkeypatch.setattr(hybrid, "normalised", noted)
    monkeypatch.setattr(network, "_between", between)
    with pytest.raises(InterruptedError), torch.inference_mode():
        network(torch.zeros(1, 2, 11_025))

    assert living == [False, False]


def test_a_device_without_complex_numbers_gets_the_spectrum_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make, options = KINDS["v4"]
    network = hybrid.Hybrid(rewrite(make(sources=["a", "b"], **options).eval())).to("meta")
    # For such devices, demucs' STFT is computed on the CPU.
    spectrum = torch.zeros(1, 2, 2048, 11, dtype=torch.complex64)
    monkeypatch.setattr(network.network, "_spec", lambda _: spectrum)
    devices = []

    def encoded(x: Tensor, xt: Tensor) -> None:
        devices.extend([x.device.type, xt.device.type])
        raise InterruptedError

    monkeypatch.setattr(network, "_encoded", encoded)
    with pytest.raises(InterruptedError):
        network(torch.zeros(1, 2, 11_025, device="meta"))

    assert devices == ["meta", "meta"]


@pytest.mark.parametrize("kind", ["amplitude", "complex", "v4"])
def test_other_networks_keep_demucs_own_steps(kind: str) -> None:
    make, options = KINDS[kind]
    changes = {"hybrid_old": True} if kind == "complex" else {"cac": False} if kind == "v4" else {}
    network = make(sources=["a", "b"], **options | changes).eval()

    assert not hybrid.is_hybrid(rewrite(network))
    assert not hybrid.is_hybrid(network)


@pytest.mark.parametrize("samples", [11_025, 9_001])
def test_the_faster_inverse_agrees_with_that_of_demucs(samples: int) -> None:
    make, options = KINDS["complex"]
    plain = make(sources=["a", "b"], **options, cac=False).eval()
    assert not hybrid.is_hybrid(rewrite(plain))
    faster = copy.deepcopy(plain)
    spectra.replace_inverse(faster)
    frames = -(-samples // plain.hop_length)
    generator = torch.Generator().manual_seed(samples)
    outputs = torch.randn(2, 2, 2, 2048, frames, dtype=torch.complex64, generator=generator)

    assert agreement_db(*(one._ispec(outputs, samples) for one in (plain, faster))) > 120


def test_frames_of_the_first_hybrid_networks_keep_demucs_own_inverse() -> None:
    make, options = KINDS["amplitude"]
    network = make(sources=["a", "b"], **options)

    spectra.replace_inverse(network)

    assert "_ispec" not in vars(network)


def test_accepted_lengths_are_known_without_the_network() -> None:
    with torch.device("meta"):
        network = Demucs(["a"], channels=4)
    ours = package_networks.lengths(network)

    lengths = [1, 4778, 4779, 44_100, 44 * 44_100]
    assert [ours(one) for one in lengths] == [network.valid_length(one) for one in lengths]


@pytest.mark.parametrize("generation", [3, 4])
def test_every_file_of_every_bag_is_in_the_catalogue(generation: int) -> None:
    for name in bags.names(generation):
        bag = bags.find(name, generation)
        for file in bag.files().values():
            assert checkpoints.find(file).stems == list(bag.stems)
        for stem, weights in bag.weights.items():
            assert stem in bag.stems
            assert len(weights) == len(bag.members)


@pytest.mark.parametrize("shelf", ["htdemucs"], indirect=True)
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bag": "mdx"}, r"Demucs v4 has no bag 'mdx' \(available: htdemucs,"),
        ({"stems": ["guitar"]}, "does not output 'guitar'"),
        ({"stems": []}, "stems must be at least one"),
        ({"segment_s": 0.6}, "at most 0.25 s, got 0.6 s"),
        ({"segment_s": 0}, "more than 0 and at most"),
        ({"overlap": 1}, "an overlap from 0 to less than 1"),
    ],
    ids=str,
)
def test_impossible_options_are_refused(shelf: Shelf, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        built(shelf, **options)


def contents(**changes: Any) -> Contents:
    known: dict[str, Any] = {"network": "demucs.htdemucs.HTDemucs", "state": {}}
    return Contents(**{**known, "arguments": {"sources": ["a"]}, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": "os.system"}, "to name one of demucs.demucs.Demucs"),
        ({"arguments": {}}, "are invalid for demucs.htdemucs.HTDemucs"),
        ({"arguments": {"sources": ["b"]}}, "to output a, got b"),
        ({}, "for another network than HTDemucs"),
    ],
    ids=str,
)
def test_files_of_other_networks_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        package_networks.build(contents(**changes), "small", ["a"])


def test_without_demucs_the_error_names_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "demucs.htdemucs", None)

    with pytest.raises(
        ConfigError, match="pip install --no-deps --requirement requirements-demucs"
    ):
        package_networks.build(contents(), "small", ["a"])


@pytest.mark.parametrize(("kind", "given"), [("time", [1, 3]), ("complex", [1, 3]), ("v4", [1, 3])])
def test_outputs_of_a_network_can_be_removed(kind: str, given: list[int]) -> None:
    make, options = KINDS[kind]
    network = make(sources=["a", "b", "c", "d"], **options).eval()
    chunk = seeded.song(11_000)[None]

    with torch.inference_mode():
        everything = network(chunk)
        assert package_networks.keep_outputs(network, [3, 1]) == given
        some = network(chunk)

    assert some.shape == (1, 2, 2, 11_000)
    assert network.sources == ["b", "d"]
    assert agreement_db(everything[:, given], some) > 100


def test_a_network_with_a_wiener_filter_keeps_its_outputs() -> None:
    make, options = KINDS["amplitude"]
    network = make(sources=["a", "b"], **options)

    assert package_networks.keep_outputs(network, [1]) == [0, 1]
