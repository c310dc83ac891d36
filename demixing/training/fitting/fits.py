"""Fits ensemble weights for every subset of a recipe's members, because any member may be missing.

Each subset is scored on songs left out of its fit.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from demixing.ensemble.blend import Blend, subsets
from demixing.errors import ConfigError
from demixing.evaluation.gram import Combination
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.training.fitting.blending import Method, fit, mean_of, plain_mean, sdr_db
from demixing.training.fitting.estimates import compared, doubted, mixed, of_blend, trust_of
from demixing.training.fitting.groups import shares_of
from demixing.training.fitting.song_gram import MIXTURE, SongGram, audible, signal_name, unseen

MIN_SONGS = 3
"""Least number of songs with a stem for a fit."""
MAX_UNDOUBTED_MEMBERS = 6
"""Most members of a stem that are never doubted; more would have too many subsets."""
NEGLIGIBLE_WEIGHT = 0.005
"""Weights below this become zero if their sum is below it as well."""

REST = "rest"
"""Name of the signal that is the weighted sum of all members but the doubted one."""


class Fits:
    """Fits the weights of sets of members, each once, on all songs or without one fold.

    Songs on which a member was trained are not used for sets that contain it, neither in fits nor
    in scores.

    Args:
        recipe: recipe with the members.
        songs: all songs.
        methods: methods of the fits, by stem.

    Attributes:
        recipe: as given.
        all_songs: as given.
    """

    def __init__(
        self, recipe: Recipe, songs: Sequence[SongGram], methods: Mapping[str, Method]
    ) -> None:
        self.recipe = recipe
        self.all_songs = songs
        self._methods = methods
        self._songs = {stem: audible(songs, stem) for stem in recipe.track.stems}
        self._blends: dict[tuple[str, frozenset[str], str | None], Blend] = {}
        self._scores: dict[tuple[str, frozenset[str]], dict[str, float]] = {}

    def check(self) -> None:
        """Check that all weights can be fitted.

        Raises:
            ConfigError: a stem has too many members, or is in too few songs.
        """
        for stem in self.recipe.track.stems:
            givers = self.recipe.members_for(stem)
            member = doubted(self.recipe, givers)
            if len(givers) - (member is not None) > MAX_UNDOUBTED_MEMBERS:
                raise ConfigError(
                    f"expected at most {MAX_UNDOUBTED_MEMBERS} members to give {stem!r} without a "
                    f"doubt table, got {len(givers) - (member is not None)}"
                )
            having = len(self.songs(stem, givers))
            if givers and having < MIN_SONGS:
                seen = having < len(self.songs(stem))
                but = " and on which none of its members was trained" if seen else ""
                raise ConfigError(
                    f"expected at least {MIN_SONGS} songs in which {stem!r} is not silent{but}, "
                    f"got {having}; name more --data"
                )

    def songs(self, stem: str, names: Sequence[str] = ()) -> list[SongGram]:
        """Songs that contain the stem and were in no member's training data."""
        return unseen(self._songs[stem], names)

    def blends(self) -> list[Blend]:
        """Fitted weights of all stems and all sets of their members, with scores."""
        self.check()
        return [
            dataclasses.replace(self.blend(stem, names), sdr_db=self.sdr_db(stem, names))
            for stem in self.recipe.track.stems
            for names in subsets(self.recipe.members_for(stem))
        ]

    def blend(self, stem: str, names: Sequence[str], without: str | None = None) -> Blend:
        """Weights of exactly these members, fitted without one fold of songs, or on all."""
        key = stem, frozenset(names), without
        if key not in self._blends:
            member = doubted(self.recipe, names)
            if member:
                self._blends[key] = self._second(stem, member, names, without)
            else:
                self._blends[key] = self._first(stem, names, without)
        return self._blends[key]

    def _first(self, stem: str, names: Sequence[str], without: str | None) -> Blend:
        """Fit the weights of members that are never doubted."""
        songs = [song for song in self.songs(stem, names) if song.fold != without]
        signals = [signal_name(name, stem) for name in names]
        weights = plain_mean(signals)
        if songs:
            weights = fit(songs, stem, signals, self._methods[stem])
        kept = tidy({name: weights[signal_name(name, stem)] for name in names})
        return Blend(stem=stem, weights=kept, mixture=weights.get(MIXTURE, 0.0))

    def _second(
        self, stem: str, member: Member, names: Sequence[str], without: str | None
    ) -> Blend:
        """Fit the weights of a doubted member and of the weighted sum of all others.

        The pipeline adds the member's estimate to that of the others, so only these two weights
        are free, and the weights of the others keep their proportions. The prior is the member
        alone. Where it is not fully trusted, the others replace the missing part: that part of the
        estimate is fixed, and the song is weighted by the trust.
        """
        others = [name for name in names if name != member.name]
        own = signal_name(member.name, stem)
        rest = self.blend(stem, others, without) if others else None
        songs = []
        for song in self.songs(stem, names):
            trust = self._trust(member, song, without) if rest else 1.0
            if song.fold == without or trust <= 0:
                continue
            parts: dict[str, Combination] = {own: {own: trust}, stem: {stem: 1.0}}
            if rest:
                blend = of_blend(rest)
                parts[REST] = {name: trust * weight for name, weight in blend.items()}
                given = {name: (trust - 1) * weight for name, weight in blend.items()}
                parts[stem] = {stem: 1.0, **given}
            songs.append(dataclasses.replace(song.combined(parts), weight=trust))
        prior = {own: 1.0, **({REST: 0.0} if rest else {})}
        weights = prior
        if songs:
            # The weights of the others include that of the mixture already.
            method = dataclasses.replace(self._methods[stem], mixture=False)
            weights = fit(songs, stem, list(prior), method, prior)
        kept = {member.name: weights[own]}
        if rest is None:
            return Blend(stem=stem, weights=kept)
        scale = weights[REST]
        kept |= {name: scale * weight for name, weight in rest.weights.items()}
        return Blend(
            stem=stem, weights={name: kept[name] for name in names}, mixture=scale * rest.mixture
        )

    def _trust(self, member: Member, song: SongGram, without: str | None) -> float:
        """Trust in a doubted member in a song, 0 to 1, with weights fitted without a fold."""
        names = compared(self.recipe, member)
        assert member.doubt is not None
        if not names:
            return 1.0
        blend = self.blend(member.doubt.stem, names, without)
        return trust_of(self.recipe, member, song, of_blend(blend))

    def _estimate(
        self, stem: str, names: Sequence[str], song: SongGram, without: str | None
    ) -> Combination:
        """Estimate of a stem; the other members replace a doubted one where it is not trusted."""
        whole = of_blend(self.blend(stem, names, without))
        member = doubted(self.recipe, names)
        others = [name for name in names if member and name != member.name]
        if member is None or not others:
            return whole
        trust = self._trust(member, song, without)
        return mixed(whole, of_blend(self.blend(stem, others, without)), trust)

    def scores_db(self, stem: str, names: Sequence[str]) -> dict[str, float]:
        """SDR in dB of each song, with the weights fitted to the songs of all other folds.

        Returns:
            By path of the song, without songs on which a member was trained.
        """
        key = stem, frozenset(names)
        if key not in self._scores:
            self._scores[key] = {
                song.path: sdr_db(song, stem, self._estimate(stem, names, song, song.fold))
                for song in self.songs(stem, names)
            }
        return self._scores[key]

    def sdr_db(self, stem: str, names: Sequence[str]) -> float:
        """Score a set of members on songs left out, in dB.

        The score is computed so that the scores of all subsets are comparable.

        If no member of the set was trained on any of the songs, it is the mean score of all songs.
        A member that was trained on some songs cannot be judged on these, and the other songs may
        be harder or easier. So the score is that of the set without the member, plus the mean gain
        over that set on the songs where both can be judged. Each song has the same weight there as
        among all songs: an artist with one song left does not count in full.

        If the member is the whole set, it is compared with all other members of the stem that were
        trained on none of the songs: with other members, too few songs might be left. If there are
        none, its score is the mean of its own songs. Of several such members in a set, the first
        of the recipe is removed first: a doubted one comes last and counts most, so it is judged
        on all of its own songs.

        Raises:
            ConfigError: no song is left for the comparison.
        """
        scores = self.scores_db(stem, names)
        trained = [name for name in names if self._was_trained(stem, name)]
        if not trained:
            return mean_of(self.songs(stem), list(scores.values()))
        rest = [name for name in names if name != trained[0]]
        if not rest:
            givers = self.recipe.members_for(stem)
            rest = [name for name in givers if not self._was_trained(stem, name)]
            if not rest:
                return mean_of(self.songs(stem, names), list(scores.values()))
        before = self.scores_db(stem, rest)
        both = [song for song in self.songs(stem, names) if song.path in before]
        if not both:
            raise ConfigError(
                f"expected a song with {stem!r} on which none of {', '.join([*names, *rest])} was "
                "trained, got none; name more --data"
            )
        gains_db = np.array([scores[song.path] - before[song.path] for song in both])
        all_songs = self.songs(stem)
        shares = dict(zip([song.path for song in all_songs], shares_of(all_songs), strict=True))
        counts = np.array([shares[song.path] for song in both])
        return self.sdr_db(stem, rest) + float(counts @ gains_db / counts.sum())

    def _was_trained(self, stem: str, name: str) -> bool:
        """Whether a member was trained on a song that has the stem."""
        return any(name in song.seen_by for song in self._songs[stem])

    def whole(self, without: str | None) -> list[Blend]:
        """Weights for all members of each stem, and for all but the doubted member."""
        result = []
        for stem in self.recipe.track.stems:
            givers = self.recipe.members_for(stem)
            if not givers:
                continue
            result.append(self.blend(stem, givers, without))
            member = doubted(self.recipe, givers)
            others = [name for name in givers if member and name != member.name]
            if others:
                result.append(self.blend(stem, others, without))
        return result


def tidy(weights: Mapping[str, float]) -> dict[str, float]:
    """Set small weights to zero, unless their sum is not small.

    >>> tidy({"a": 0.9, "b": 0.003, "c": -0.004})
    {'a': 0.9, 'b': 0.0, 'c': 0.0}
    >>> tidy({"a": 0.9, "b": 0.003, "c": 0.004})
    {'a': 0.9, 'b': 0.003, 'c': 0.004}
    """
    small = {name for name, weight in weights.items() if abs(weight) < NEGLIGIBLE_WEIGHT}
    if abs(sum(weights[name] for name in small)) >= NEGLIGIBLE_WEIGHT:
        return dict(weights)
    return {name: 0.0 if name in small else weight for name, weight in weights.items()}
