"""The contract of every trainable network; a new file is included automatically."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from demixing.networks import trainable
from demixing.networks.bytesep import ResUNet143
from demixing.networks.bytesep_mobilenet import MobileNet
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.separator import Chunking

pytestmark = pytest.mark.engine

STEMS = ("bass", "drums", "other")
SMALL: dict[str, dict[str, Any]] = {
    "band_split": {"features": 8, "layers": 2},
    "bytesep_mobilenet": {"channels": [4, 4, 4, 4, 4, 4]},
    "bytesep_resunet": {"channels": [2, 4, 4, 4, 4, 4], "blocks": 1},
    "bytesep_subband": {"channels": [2, 4, 4, 4, 4, 4], "blocks": 1},
    "shared_unet": {"widths": [2, 4, 4, 4, 4, 4]},
}
"""Options that make networks narrow enough for tests."""

UNUSED = {"shared_unet": ("down.5.norm.",)}
"""Prefixes of weights that published files contain and the output does not depend on."""

every_network = pytest.mark.parametrize("name", trainable.names())


def built(name: str, seed: int = 0) -> ChunkGeometry:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        return trainable.build(name, STEMS, SMALL.get(name, {}))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@every_network
@pytest.mark.parametrize("samples", [12_000, 14_111])
def test_mixtures_become_stems_of_their_length(name: str, samples: int) -> None:
    network = built(name).eval()
    mixtures = noise(2, 2, samples)
    before = mixtures.clone()

    with torch.inference_mode():
        stems = network(mixtures)

    assert stems.shape == (2, len(STEMS), 2, samples)
    assert stems.dtype == torch.float32
    assert torch.isfinite(stems).all()
    assert torch.equal(mixtures, before), "the mixture must not be modified"


@every_network
@pytest.mark.parametrize("bf16", [False, True])
def test_every_weight_learns(name: str, *, bf16: bool) -> None:
    network = built(name).train()
    mixtures = noise(2, 2, 14_080)

    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        stems = network(mixtures)
    (stems - mixtures[:, None] / 3).abs().mean().backward()

    assert stems.dtype == torch.float32
    for key, weight in network.named_parameters():
        if weight.requires_grad and not key.startswith(UNUSED.get(name, ())):
            assert weight.grad is not None, key
            assert torch.isfinite(weight.grad).all(), key
            assert weight.grad.dtype == torch.float32, key


@every_network
def test_a_step_along_the_gradient_makes_the_error_smaller(name: str) -> None:
    network = built(name).train()
    mixtures, target = noise(2, 2, 14_080), noise(2, 3, 2, 14_080, seed=1)
    before = (network(mixtures) - target).abs().mean()
    before.backward()

    with torch.no_grad():
        for weight in network.parameters():
            if weight.grad is not None:
                weight.sub_(1e-3 * weight.grad / (weight.grad.norm() + 1e-12))
        after = (network(mixtures) - target).abs().mean()

    assert after < before


@every_network
def test_bfloat16_leaves_the_spectra_exact(name: str) -> None:
    network = built(name).eval()
    mixtures = noise(1, 2, 14_080)

    with torch.inference_mode():
        exact = network(mixtures)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = network(mixtures)

    assert (coarse - exact).square().sum() < 0.01 * exact.square().sum()


@every_network
def test_gradients_in_bfloat16_are_as_large_as_those_in_float32(name: str) -> None:
    network = built(name).train()
    mixtures, target = noise(2, 2, 14_080), noise(2, 3, 2, 14_080, seed=1)
    gradients = []

    for bf16 in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            stems = network(mixtures)
        network.zero_grad()
        (stems - target).square().mean().backward()
        found = [weight.grad for weight in network.parameters() if weight.grad is not None]
        gradients.append(torch.cat([gradient.flatten() for gradient in found]).norm())

    # Not their direction: ByteSep's changes a lot if weights are rounded, also in float32.
    assert 0.5 < gradients[1] / gradients[0] < 2


@every_network
@pytest.mark.parametrize("level", [0.0, 1e-20, 30.0])
def test_extreme_mixtures_give_finite_stems_and_gradients(name: str, level: float) -> None:
    network = built(name).train()

    stems = network(torch.full((2, 2, 12_000), level))
    stems.abs().mean().backward()

    assert torch.isfinite(stems).all()
    assert all(
        torch.isfinite(weight.grad).all()
        for weight in network.parameters()
        if weight.grad is not None
    )


@every_network
def test_examples_of_a_batch_do_not_affect_each_other(name: str) -> None:
    network = built(name).eval()
    mixtures = noise(2, 2, 12_000)

    with torch.inference_mode():
        together, alone = network(mixtures), network(mixtures[1:])

    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-6)


@every_network
def test_a_copy_for_inference_gives_the_same_and_leaves_the_network_alone(name: str) -> None:
    network = built(name).train()
    with torch.no_grad():
        network(noise(2, 2, 14_080, seed=1))  # something for the statistics to learn
    before = copy.deepcopy(network.state_dict())
    mixtures = noise(1, 2, 14_080)

    ready = trainable.prepared(network, torch.float32)
    coarse = trainable.prepared(network, torch.bfloat16)
    with torch.inference_mode():
        answer, rounded = ready(mixtures), coarse(mixtures)
        expected = network.eval()(mixtures)

    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-5)
    assert rounded.dtype == torch.float32
    assert torch.isfinite(rounded).all()
    assert not ready.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@every_network
def test_the_declared_chunks_suit_the_engine(name: str) -> None:
    network = built(name)

    cut = Chunking(chunk=network.chunk, hop=network.hop, context=network.context, step=network.step)

    assert network.sample_rate_hz == 44_100
    assert all(
        length % network.step == 0 for length in (network.chunk, network.hop, network.context)
    )
    assert cut.hop < cut.chunk - 2 * cut.context, "something is left to be cross-faded"


@every_network
def test_the_number_of_stems_is_the_requested_one(name: str) -> None:
    network = trainable.build(name, ("vocals",), SMALL.get(name, {})).eval()

    with torch.inference_mode():
        assert network(noise(1, 2, 12_000)).shape == (1, 1, 2, 12_000)


@every_network
def test_it_has_a_summary(name: str) -> None:
    assert trainable.summary(name).endswith((".", "."))


def test_names_are_those_of_the_files() -> None:
    files = Path(trainable.__file__).parent.glob("[!_]*.py")

    assert trainable.names() == sorted(file.stem for file in files)


@pytest.mark.parametrize(
    ("name", "stems", "options", "reason"),
    [
        ("bytesep_subbend", STEMS, {}, "did you mean 'bytesep_subband'"),
        ("bytesep_subband", STEMS, {"channel": [1]}, "did you mean 'channels'"),
        ("bytesep_subband", STEMS, {"stems": 2}, "has no option 'stems'"),
        ("bytesep_subband", (), {}, "stems must be at least one name"),
        ("bytesep_subband", "bass", {}, "stems must be at least one name"),
        ("bytesep_subband", ("bass", "bass"), {}, "all different"),
        ("bytesep_subband", STEMS, {"channels": [2, 4]}, "expected 6 channels"),
        ("bytesep_subband", STEMS, {"blocks": 0}, "at least one block"),
        ("bytesep_mobilenet", STEMS, {"channels": [2, 4]}, "expected 6 channels"),
        ("band_split", STEMS, {"time": "recurrent"}, "time must be one of convolution"),
        ("band_split", STEMS, {"features": 5}, "an even number of features"),
        ("band_split", STEMS, {"layers": 0}, "at least one layer"),
        ("bytesep_mobilenet", STEMS, {"chunk_s": 2.0}, "have nothing left without 1.0 s"),
    ],
)
def test_mistakes_are_refused_with_a_hint(
    name: str, stems: Any, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        trainable.build(name, stems, options)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("bytesep_subband", lambda: ResUNet143(variant="subband")),
        ("bytesep_resunet", lambda: ResUNet143(variant="ismir2021")),
        ("bytesep_mobilenet", MobileNet),
    ],
)
def test_a_published_file_fills_a_network_of_several_stems(name: str, published: Any) -> None:
    with torch.device("meta"):
        state = published().state_dict()
        network = trainable.build(name, STEMS)

    initial = trainable.warm_start(name, state, STEMS, {})

    shapes = {key: value.shape for key, value in initial.items()}
    assert shapes == {key: value.shape for key, value in network.state_dict().items()}
    assert trainable.warm_start(name, initial, STEMS, {}).keys() == initial.keys()
    assert trainable.warm_start(name, {}, STEMS, {}) == {}


def test_a_network_that_starts_from_one_stem_returns_it_for_each() -> None:
    one = trainable.build("bytesep_mobilenet", ("vocals",), SMALL["bytesep_mobilenet"]).eval()
    three = built("bytesep_mobilenet").eval()

    three.load_state_dict(trainable.warm_start("bytesep_mobilenet", one.state_dict(), STEMS, {}))

    with torch.inference_mode():
        stems = three(noise(1, 2, 12_000))
        expected = one(noise(1, 2, 12_000))
    torch.testing.assert_close(stems, expected.expand(-1, 3, -1, -1), rtol=0, atol=1e-6)
