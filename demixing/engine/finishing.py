"""What is done to the stems when the members have answered: shares in the rest, and leaks.

What the stems leave of the mixture is shared as the recipe says, and what loud stems have leaked
into faint ones is taken back. Members that may be doubted come after that: they are compared with
stems that are as good as the others can make them, and a strong member needs neither.
"""

import torch
from torch import Tensor

from demixing.engine.leakage_filter import Sealing
from demixing.recipes.recipe import Recipe


class Finishing:
    """A stage of the pipeline like a member's, for one song.

    Args:
        recipe: says what is shared, and what leaks.
        names: of the stems that come in, in the order of the lanes.
        asked: number of members before.
        sample_rate_hz: of the song.
        groups: stereo pairs of the song.

    Shape:
        lanes in ``(groups, 1 + names, 2, samples)``, the mixture first; out the same with all stems
        of the track. Who has answered ``(groups, members, samples)``, in and out.
    """

    def __init__(
        self, recipe: Recipe, names: list[str], asked: int, sample_rate_hz: int, groups: int
    ) -> None:
        self._recipe = recipe
        self._names = names
        self._sealing: Sealing | None = None
        if recipe.leaks or recipe.consistency_above_hz:
            above_hz = recipe.consistency_above_hz
            self._sealing = Sealing(
                recipe.leaks,
                recipe.track.stems,
                sample_rate_hz,
                groups,
                shares=recipe.consistency if above_hz else {},
                above_hz=above_hz,
            )
        self._mixture = torch.zeros(groups, 1, 2, 0)
        self._answered = torch.zeros(groups, asked, 0)

    def push(self, lanes: Tensor, answered: Tensor) -> tuple[Tensor, Tensor]:
        """Take lanes and return those that are finished."""
        mixture, stems = lanes[:, :1], self._stems(lanes)
        if self._sealing is None:
            return torch.cat([mixture, stems], dim=1), answered
        self._mixture = torch.cat([self._mixture, mixture], dim=-1)
        self._answered = torch.cat([self._answered, answered], dim=-1)
        return self._join(self._sealing.push(stems, mixture))

    def finish(self) -> tuple[Tensor, Tensor]:
        """Return all lanes that are still owed."""
        if self._sealing is None:
            stems = self._mixture.expand(-1, len(self._recipe.track.stems), -1, -1)
            return torch.cat([self._mixture, stems], dim=1), self._answered
        return self._join(self._sealing.finish())

    def _join(self, stems: Tensor) -> tuple[Tensor, Tensor]:
        """Bring finished stems and what waited for them together."""
        samples = stems.shape[-1]
        mixture, self._mixture = self._mixture[..., :samples], self._mixture[..., samples:]
        answered, self._answered = self._answered[..., :samples], self._answered[..., samples:]
        return torch.cat([mixture, stems], dim=1), answered

    def _stems(self, lanes: Tensor) -> Tensor:
        """All stems of the track, ``(groups, stems, 2, samples)``, with what is left shared."""
        recipe = self._recipe
        found = dict(zip(self._names, lanes[:, 1:].unbind(1), strict=True))
        left = lanes[:, 0] - lanes[:, 1:].sum(dim=1)
        if recipe.residual:
            found[recipe.residual] = left
        if not recipe.consistency_above_hz:
            for stem, share in recipe.consistency.items():
                found[stem] = found[stem] + share * left
        return torch.stack([found[stem] for stem in recipe.track.stems], dim=1)
