"""The quantile loss leaves out the worst values, as KUIELab did for leaderboards A and B."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from demixing.training import losses
from demixing.training.losses import quantile


def built(inner: str = "wave_l2", **options: Any) -> losses.Loss:
    return losses.build("quantile", {"loss": {"name": inner}, **options})


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def worse_and_worse(examples: int = 6) -> tuple[Tensor, Tensor]:
    """Stems and estimates whose errors grow with the number of the example."""
    stems = noise(examples, 2, 2, 900)
    growing = torch.arange(1.0, examples + 1, dtype=torch.float64)[:, None, None, None]
    return stems + 0.1 * growing * noise(examples, 2, 2, 900, seed=1), stems


def test_whole_examples_are_left_out_for_each_stem() -> None:
    estimate, stems = worse_and_worse()
    estimate[0, 1] += 10  # the best example of the first stem is the worst of the second
    plain = losses.build("wave_l2")(estimate, stems)

    values = built(quantile=0.4)(estimate, stems)

    # Two of six are below the quantile, which is at the third: each counts threefold.
    expected = torch.zeros_like(plain)
    expected[:2, 0] = 3 * plain[:2, 0]
    expected[1:3, 1] = 3 * plain[1:3, 1]
    torch.testing.assert_close(values, expected)


def test_the_mean_is_as_defined_for_leaderboard_a_by_hand() -> None:
    estimate, stems = worse_and_worse()

    value = float(built(quantile=0.4)(estimate, stems).mean())

    errors = ((estimate - stems) ** 2).mean(dim=(2, 3)).numpy()
    thresholds = np.quantile(errors, 0.4, axis=0)
    kept = [errors[errors[:, stem] < thresholds[stem], stem].mean() for stem in range(2)]
    assert value == pytest.approx(np.mean(kept), rel=1e-9)


def test_the_mean_is_as_defined_for_leaderboard_b_by_hand() -> None:
    estimate, stems = worse_and_worse()

    value = float(built(quantile=0.93, blocks=900)(estimate, stems).mean())

    errors = ((estimate - stems) ** 2).mean(dim=2).numpy()  # of samples, both channels together
    kept = []
    for stem in range(2):
        of_stem = errors[:, stem].ravel()
        kept.append(of_stem[of_stem < np.quantile(of_stem, 0.93)].mean())
    assert value == pytest.approx(np.mean(kept), rel=1e-9)


def test_only_kept_values_have_a_gradient() -> None:
    estimate, stems = worse_and_worse()
    estimate.requires_grad_()

    built(quantile=0.5)(estimate, stems).mean().backward()  # type: ignore[no-untyped-call]

    assert estimate.grad is not None
    assert [bool(part.any()) for part in estimate.grad] == [True] * 3 + [False] * 3


def test_bleeding_in_a_part_of_an_example_leaves_the_other_parts() -> None:
    stems = noise(2, 1, 2, 1_000)
    estimate = stems + 0.01 * noise(2, 1, 2, 1_000, seed=1)
    wrong = stems.clone()
    wrong[0, 0, :, 700:800] += noise(2, 100, seed=2)
    estimate.requires_grad_()

    built(quantile=0.96, blocks=10)(estimate, wrong).mean().backward()  # type: ignore[no-untyped-call]

    assert estimate.grad is not None
    learnt = estimate.grad.abs().reshape(2, 2, 10, 100).amax(dim=(1, 3)) > 0
    expected = torch.ones(2, 10, dtype=torch.bool)
    expected[0, 7] = False
    assert torch.equal(learnt, expected)


def test_within_an_example_the_worst_blocks_of_each_are_left_out() -> None:
    estimate, stems = worse_and_worse()
    estimate.requires_grad_()

    loss = built(quantile=0.75, blocks=9, within="example")
    loss(estimate, stems).mean().backward()  # type: ignore[no-untyped-call]

    assert estimate.grad is not None
    learnt = (estimate.grad.abs().reshape(6, 2, 2, 9, 100).amax(dim=(2, 4)) > 0).sum(dim=2)
    assert torch.equal(learnt, torch.full((6, 2), 6))


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_equal_values_are_all_kept(level: float) -> None:
    stems = torch.zeros(4, 2, 2, 100)

    values = built(quantile=0.4)(stems + level, stems)

    assert torch.equal(values, torch.full((4, 2), level))


def test_many_perfect_examples_do_not_let_the_worst_through() -> None:
    stems = torch.zeros(6, 1, 2, 100)
    estimate = stems.clone()
    estimate[5] = 1.0

    assert not built(quantile=0.4)(estimate, stems).any()


def test_a_single_example_counts_fully() -> None:
    estimate, stems = worse_and_worse(1)

    torch.testing.assert_close(
        built(quantile=0.4)(estimate, stems), losses.build("wave_l2")(estimate, stems)
    )


def test_nothing_is_left_out_before_its_step() -> None:
    estimate, stems = worse_and_worse()
    loss = built(quantile=0.4, after_steps=100)
    plain = losses.build("wave_l2")(estimate, stems)

    early, late = losses.at(loss, 99), losses.at(loss, 100)

    assert torch.equal(early(estimate, stems), plain)
    assert torch.equal(late(estimate, stems), loss(estimate, stems))
    assert not torch.equal(late(estimate, stems), plain)


def test_schedules_reach_the_terms_of_a_sum() -> None:
    estimate, stems = worse_and_worse()
    masked = {"loss": {"name": "wave_l2"}, "after_steps": 5}
    terms = [{"name": "quantile", "weight": 2, "options": masked}, {"name": "wave_l1"}]
    loss = losses.build("sum", {"terms": terms})

    early = losses.at(loss, 0)(estimate, stems)

    plain = [losses.build(name)(estimate, stems) for name in ("wave_l2", "wave_l1")]
    torch.testing.assert_close(early, 2 * plain[0] + plain[1])
    assert losses.at(losses.build("wave_l1"), 0) == losses.build("wave_l1")


def test_values_that_are_not_finite_are_still_detected() -> None:
    estimate, stems = worse_and_worse()
    estimate[5, 0, 0, 0] = torch.nan

    values = built(quantile=0.4)(estimate, stems)

    assert values.isnan().any()


@pytest.mark.parametrize("options", [{"quantile": 0.4}, {"quantile": 0.9, "blocks": 9}])
def test_processes_together_leave_out_the_same_as_one(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    estimate, stems = worse_and_worse()
    estimate, stems = estimate[[0, 5, 2, 3, 4, 1]], stems[[0, 5, 2, 3, 4, 1]]
    loss = built(**options)
    alone = loss(estimate, stems)
    plain = losses.build("wave_l2").blocks(estimate, stems, options.get("blocks", 1))

    parts = []
    for rank in range(2):
        monkeypatch.setattr(quantile, "gathered", lambda values, rank=rank: (plain, 3 * rank))
        own = slice(3 * rank, 3 * rank + 3)
        parts.append(loss(estimate[own], stems[own]))

    torch.testing.assert_close(torch.cat(parts), alone)


def test_it_cannot_be_masked_again() -> None:
    inner = {"name": "quantile", "options": {"loss": {"name": "wave_l1"}}}
    twice = losses.build("quantile", {"loss": inner, "blocks": 4})

    with pytest.raises(ValueError, match="put the other loss inside it"):
        twice(*worse_and_worse())
