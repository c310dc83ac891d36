"""Rewritten networks agree with the plain ones, on small networks with the same layers."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks import fused
from demixing.networks.attention import Attention, TransformerLayer, attend
from demixing.networks.folded import FoldedResidual, is_residual
from demixing.networks.polyphase import Polyphase
from demixing.networks.rewrites import Decoder, Encoder, rewrite
from demixing.networks.spleeter_unet import SpleeterUNet, prepared
from tools.golden.agreement import agreement_db

pytestmark = pytest.mark.engine


@pytest.fixture(params=["fused", "steps"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with the private operations, where there are any, and without them."""
    if request.param == "steps":
        monkeypatch.setattr(fused, "FOUND", False)


class Scale(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(channels) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale[:, None] * x


class Branches(nn.Module):
    def __init__(self, channels: int, few: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(channels, few, 3, dilation=step, padding=step),
                nn.GroupNorm(1, few),
                nn.GELU(),
                nn.Conv1d(few, 2 * channels, 1),
                nn.GroupNorm(1, 2 * channels),
                nn.GLU(1),
                Scale(channels),
            )
            for step in (1, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return x


class Down(nn.Module):
    """A step down with the parts that a hybrid network's encoder has."""

    def __init__(self, inputs: int, outputs: int, *, freq: bool, norm: bool) -> None:
        super().__init__()
        kind: Any = nn.Conv2d if freq else nn.Conv1d
        shape = ((8, 1), (4, 1), (2, 0)) if freq else (8, 4, 2)
        self.freq, self.stride, self.empty, self.norm = freq, 4, False, norm
        self.conv = kind(inputs, outputs, *shape)
        self.norm1 = nn.GroupNorm(2, outputs) if norm else nn.Identity()
        self.rewrite = kind(outputs, 2 * outputs, 1)
        self.norm2 = nn.GroupNorm(2, 2 * outputs) if norm else nn.Identity()
        self.dconv = Branches(outputs)

    def forward(self, x: Tensor) -> Tensor:
        if not self.freq:
            x = F.pad(x, (0, -x.shape[-1] % 4))
        y = F.gelu(self.norm1(self.conv(x)))
        if self.freq:
            bins = y.shape[2]
            y = self.dconv(y.transpose(1, 2).flatten(0, 1))
            y = torch.stack(y.chunk(len(y) // bins), dim=0).transpose(1, 2)
        else:
            y = self.dconv(y)
        return F.glu(self.norm2(self.rewrite(y)), dim=1)


class Up(nn.Module):
    """A step up with the parts that a hybrid network's decoder has."""

    def __init__(
        self, inputs: int, outputs: int, *, freq: bool, last: bool, norm: bool = False
    ) -> None:
        super().__init__()
        wide: Any = nn.ConvTranspose2d if freq else nn.ConvTranspose1d
        kind: Any = nn.Conv2d if freq else nn.Conv1d
        self.freq, self.last, self.empty, self.pad, self.chin = freq, last, False, 2, inputs
        self.conv_tr = wide(inputs, outputs, *(((8, 1), (4, 1)) if freq else (8, 4)))
        self.norm1 = nn.GroupNorm(2, 2 * inputs) if norm else nn.Identity()
        self.norm2 = nn.GroupNorm(2, outputs) if norm else nn.Identity()
        self.rewrite = kind(inputs, 2 * inputs, 3, 1, 1)
        self.dconv = None

    def forward(self, x: Tensor, skip: Tensor, length: int) -> tuple[Tensor, Tensor]:
        y = F.glu(self.norm1(self.rewrite(x + skip)), dim=1)
        z = self.norm2(self.conv_tr(y))
        z = z[..., 2:-2, :] if self.freq else z[..., 2 : 2 + length]
        return z if self.last else F.gelu(z), y


class Block(nn.Module):
    """A transformer's layer: attention and two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.one = nn.Linear(width, 2 * width)
        self.two = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        x = x + self.attention(x, other, other, need_weights=False)[0]
        grown: Tensor = self.two(F.gelu(self.one(x)))
        return x + grown


class Layer(nn.Module):
    """A transformer's layer with the parts that a hybrid network's has."""

    def __init__(self, width: int, *, crosses: bool, scaled: bool, first: bool = True) -> None:
        super().__init__()
        attention = nn.MultiheadAttention(width, 2, batch_first=True)
        setattr(self, "cross_attn" if crosses else "self_attn", attention)
        self.attention = [attention]  # not a second name in the state
        self.linear1, self.linear2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        if crosses:
            self.norm3 = nn.LayerNorm(width)
        self.norm_first, self.activation = first, F.gelu
        self.norm_out = nn.GroupNorm(1, width) if scaled else None
        self.gamma_1 = ScaleLast(width) if scaled else nn.Identity()
        self.gamma_2 = ScaleLast(width) if scaled else nn.Identity()
        for norm in self.children():
            if isinstance(norm, nn.LayerNorm | nn.GroupNorm):
                nn.init.uniform_(norm.weight, 0.5, 2)
                nn.init.uniform_(norm.bias, -1, 1)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        query = key = self.norm1(x)
        if other is not None:
            key = self.norm2(other)
        x = x + self.gamma_1(self.attention[0](query, key, key, need_weights=False)[0])
        grown = self.linear1((self.norm2 if other is None else self.norm3)(x))
        x = x + self.gamma_2(self.linear2(F.gelu(grown)))
        return x if self.norm_out is None else self.norm_out(x.transpose(1, 2)).transpose(1, 2)


class ScaleLast(Scale):
    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class Embedded(nn.Module):
    """The start of a hybrid network: its first layer, and an embedding of the frequencies."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([Down(4, 8, freq=True, norm=False)])
        self.freq_emb: nn.Module | None = nn.Embedding(6, 8)
        self.freq_emb_scale = 0.2

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.encoder[0](x)
        if self.freq_emb is None:
            return y
        rows = self.freq_emb(torch.arange(y.shape[2]))
        return y + self.freq_emb_scale * rows.T[None, :, :, None]  # type: ignore[no-any-return]


class Holder(nn.Module):
    def __init__(self, child: nn.Module) -> None:
        super().__init__()
        self.child = child

    def forward(self, *inputs: Any) -> Any:
        return self.child(*inputs)


@pytest.fixture
def noise() -> Any:
    generator = torch.Generator().manual_seed(1)
    return lambda *shape: torch.randn(*shape, generator=generator)


def same(plain: nn.Module, *inputs: Any) -> nn.Module:
    """Assert that the rewritten module agrees with the plain one, and return it."""
    plain = Holder(plain).eval()
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    faster = rewrite(plain)
    with torch.inference_mode():
        torch.testing.assert_close(faster(*inputs), plain(*inputs), rtol=1e-4, atol=1e-5)
        low = rewrite(plain, torch.bfloat16)(*inputs)
        expected = plain(*inputs)
    for got, want in zip(*map(flat, (low, expected)), strict=True):
        assert (got.float() - want).abs().max() < 0.06 * want.abs().max()
    for name, value in plain.state_dict().items():
        assert torch.equal(value, before[name]), "the original was changed"
    child = faster.child
    assert isinstance(child, nn.Module)
    return child


def flat(answer: Any) -> tuple[Tensor, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_step_down_in_frequency_stays_the_same(noise: Any, batch: int, norm: bool) -> None:
    faster = same(Down(4, 8, freq=True, norm=norm), noise(batch, 4, 16, 21))

    assert isinstance(faster, Encoder)


@pytest.mark.parametrize("samples", [64, 65])
def test_a_step_down_in_time_stays_the_same(noise: Any, samples: int) -> None:
    assert isinstance(same(Down(2, 8, freq=False, norm=True), noise(2, 2, samples)), Encoder)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_a_step_up_in_frequency_stays_the_same(noise: Any, last: bool, norm: bool) -> None:
    inputs = noise(2, 8, 4, 21), noise(2, 8, 4, 21), 21

    assert isinstance(same(Up(8, 4, freq=True, last=last, norm=norm), *inputs), Decoder)


@pytest.mark.parametrize("norm", [False, True])
def test_a_step_up_in_time_is_cut_to_its_length(noise: Any, norm: bool) -> None:
    up = Up(8, 4, freq=False, last=True, norm=norm)

    faster = same(up, noise(2, 8, 17), noise(2, 8, 17), 66)

    assert isinstance(faster, Decoder)


@pytest.mark.parametrize("others", [30, 50])
def test_attention_stays_the_same(noise: Any, others: int) -> None:
    x = noise(2, 30, 8)

    faster = same(Block(8), x, x if others == 30 else noise(2, others, 8))

    assert isinstance(faster.attention, Attention)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("others", [0, 31])
def test_a_layer_of_a_transformer_stays_the_same(noise: Any, others: int, scaled: bool) -> None:
    layer = Layer(8, crosses=bool(others), scaled=scaled)

    faster = same(layer, noise(2, 21, 8), *([noise(2, others, 8)] if others else []))

    assert isinstance(faster, TransformerLayer)


def test_a_layer_that_normalises_last_is_left_alone() -> None:
    holder = rewrite(Holder(Layer(8, crosses=False, scaled=True, first=False)))

    child: Any = holder.child
    assert type(child) is Layer
    assert isinstance(child.self_attn, Attention)


def test_the_embedding_of_frequencies_becomes_part_of_the_first_layer(noise: Any) -> None:
    network = Embedded().eval()
    x = noise(2, 4, 16, 21)

    with torch.inference_mode():
        faster: Any = rewrite(network)
        torch.testing.assert_close(faster(x), network(x), rtol=1e-4, atol=1e-5)

    assert faster.freq_emb is None
    assert network.freq_emb is not None


def test_attention_in_blocks_is_attention_in_one(
    noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demixing.networks.attention.QUERIES", 7)
    q, k, v = (noise(1, 2, 20, 8).bfloat16() for _ in range(3))

    expected = F.scaled_dot_product_attention(q.float(), k.float(), v.float())

    torch.testing.assert_close(attend(q, k, v).float(), expected, rtol=0, atol=0.03)


def test_masks_are_refused(noise: Any) -> None:
    attention = Attention(nn.MultiheadAttention(8, 2, batch_first=True), torch.float32)
    x = noise(1, 5, 8)

    with pytest.raises(ValueError, match="no masks or weights"):
        attention(x, x, x, attn_mask=torch.zeros(5, 5))


def test_folding_works_for_inputs_far_from_zero(noise: Any) -> None:
    branch = Branches(8).layers[0]
    assert isinstance(branch, nn.Sequential)
    x = 100 + noise(2, 8, 40)

    with torch.inference_mode():
        folded = FoldedResidual(branch, torch.float32)(x[:, :, None].clone())[:, :, 0]

    torch.testing.assert_close(folded, x + branch(x), rtol=1e-5, atol=1e-3)


def test_sums_over_as_many_frames_as_a_chunk_has_stay_exact(noise: Any) -> None:
    branch = Branches(8).layers[0]
    assert isinstance(branch, nn.Sequential)
    x = noise(1, 8, 86_000)
    x[..., 20_000:] = 0  # a clip that ends before its chunk

    with torch.inference_mode():
        expected = x.double() + copy.deepcopy(branch).double()(x.double())
        folded = FoldedResidual(branch, torch.float32)(x[:, :, None].clone())[:, :, 0]

    assert agreement_db(expected, folded) > 130  # in float32: 73


def test_other_branches_are_not_mistaken_for_a_residual_one() -> None:
    layers = list(Branches(8).layers[0].children())

    assert is_residual(nn.Sequential(*layers))
    assert not is_residual(nn.Sequential(*layers[:-1]))
    assert not is_residual(nn.Sequential(*layers[:4], nn.GroupNorm(2, 16), *layers[5:]))


@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_the_polyphase_form_is_the_transposed_convolution(
    noise: Any, size: tuple[int, int]
) -> None:
    original = nn.ConvTranspose2d(3, 5, 5, 2)
    x = noise(2, 3, *size)

    with torch.inference_mode():
        expected = original(x)[:, :, 1:-2, 1:-2]
        torch.testing.assert_close(Polyphase(original)(x), expected, rtol=1e-5, atol=1e-6)


def test_the_polyphase_form_refuses_another_kernel() -> None:
    with pytest.raises(ValueError, match="expected kernel 5"):
        Polyphase(nn.ConvTranspose2d(3, 5, 3, 2))


def test_a_prepared_spleeter_agrees_with_the_plain_one_to_90_db(noise: Any) -> None:
    network = SpleeterUNet().eval()
    x = noise(1, 2, 64, 64).abs()

    with torch.inference_mode():
        expected, got = network(x), prepared(network)(x)

    error = (got - expected).double().square().sum()
    assert 10 * torch.log10(expected.double().square().sum() / error) > 90
