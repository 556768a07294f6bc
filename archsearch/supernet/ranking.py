"""How well scores rank networks that were trained by themselves, and how sure that is.

A supernet is worth what its ranking is worth, and most of all among the better networks, where a
search ends: tau over all may be high and that over the better half nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from ..fit.evidence import rank_of
from ..fitted import FloatArray
from ..tables import BoolArray

INHERITED, INHERITED_LOSS = "inherited accuracy", "inherited loss"
"""The scores of a supernet; of the loss, the lower the better."""

LIVE_MACS = "macs"
"""What a supernet has to beat: nothing is in a network's graph that does not run."""

FEWEST = 4
"""Networks of which the better half still has an order."""

RESAMPLES = 2000

LEVEL = (2.5, 97.5)
"""Percentiles between which 95 % of the resamples lie."""


class Correlation(NamedTuple):
    """How a score ranks so many networks: Kendall's tau-b and Spearman's rho, 0 where all scores or
    all accuracies are equal. Tau is between ``low`` and ``high`` in 95 % of the resamples
    (percentile bootstrap over networks, Efron 1979)."""

    networks: int
    kendall: float
    low: float
    high: float
    spearman: float


class Pick(NamedTuple):
    """The network that a score puts first: its place among all by accuracy, 1 being the best, and
    what it lacks to the best in accuracy. Means over all that share the first place."""

    rank: float
    regret: float


class Lead(NamedTuple):
    """By how much tau of one score is above that of another, on the same resamples."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Ranked:
    """What a score makes of all networks, and of the better half of them by accuracy."""

    everything: Correlation
    better: Correlation
    pick: Pick


@dataclass(frozen=True)
class Ceiling:
    """How two trainings of the same networks with different ``seeds`` rank each other."""

    seeds: tuple[str, str]
    correlation: Correlation


class Member(NamedTuple):
    """A network that was trained by itself: its key, its choices as texts by their full names
    ("stages.0.width"), and its accuracies, of 1, by the seed of the training."""

    key: str
    choices: Mapping[str, str]
    accuracies: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Ranking:
    """``accuracies`` (members,) are means over seeds; ``scores`` are of the same members by name,
    each (members,) and the higher the better."""

    members: tuple[Member, ...]
    accuracies: FloatArray
    scores: Mapping[str, FloatArray]
    ranked: Mapping[str, Ranked]
    ceiling: Ceiling | None

    @property
    def better(self) -> BoolArray:
        """Which networks are of the better half."""
        return better_half(self.accuracies)

    def lead(self, name: str, rival: str, better: bool = False) -> Lead:
        """How far a score is ahead of another, over all networks or over the better half."""
        own = self.better if better else np.ones(len(self.members), dtype=bool)
        return lead(self.scores[name][own], self.scores[rival][own], self.accuracies[own])

    def ahead_of(self, name: str) -> list[str]:
        """Scores that rank all networks better than this one, the best first."""
        own = self.ranked[name].everything.kendall
        above = {k: r.everything.kendall for k, r in self.ranked.items()}
        return sorted((k for k, tau in above.items() if tau > own), key=lambda k: -above[k])


def rank(members: Sequence[Member], scores: Mapping[str, FloatArray]) -> Ranking:
    """How ``scores`` (members,), the higher the better, rank members.

    Raises ``UserError`` for fewer than ``FEWEST`` members.
    """
    check_enough(len(members))
    measured = np.array([np.mean(list(own.accuracies.values())) for own in members])
    half = better_half(measured)
    ranked = {
        name: Ranked(
            correlation(values, measured),
            correlation(values[half], measured[half]),
            first_pick(values, measured),
        )
        for name, values in scores.items()
    }
    seeds = ceiling([own.accuracies for own in members])
    return Ranking(tuple(members), measured, dict(scores), ranked, seeds)


def check_enough(members: int) -> None:
    """Raise ``UserError`` for too few members to say anything of."""
    if members < FEWEST:
        raise UserError(
            f"{members} members: too few to tell how well anything ranks them; train at least"
            f" {FEWEST}, better 40"
        )


def better_half(accuracies: FloatArray) -> BoolArray:
    """Those that are not below the median."""
    half: BoolArray = accuracies >= np.median(accuracies)
    return half


def correlation(scores: FloatArray, accuracies: FloatArray) -> Correlation:
    """How a score ranks networks; one that is not a number (NaN) is the worst."""
    places, measured = _places(scores), _places(accuracies)
    own = rank_of(places, measured)
    low, high = np.percentile(taus(places, measured, resamples(len(places))), LEVEL)
    return Correlation(len(places), own.kendall, float(low), float(high), own.spearman)


def lead(scores: FloatArray, rival: FloatArray, accuracies: FloatArray) -> Lead:
    """How far one score is ahead of another."""
    measured = _places(accuracies)
    drawn = resamples(len(measured))
    found = taus(_places(scores), measured, drawn) - taus(_places(rival), measured, drawn)
    low, high = np.percentile(found, LEVEL)
    taken = rank_of(_places(scores), measured).kendall - rank_of(_places(rival), measured).kendall
    return Lead(taken, float(low), float(high))


def taus(scores: FloatArray, accuracies: FloatArray, counts: FloatArray) -> FloatArray:
    """Kendall's tau-b (Kendall 1945) of networks that are drawn so often each: ``counts`` has the
    shape (draws, networks), the result (draws,). 0 where all scores or all accuracies are equal."""

    def pairs(each: FloatArray) -> FloatArray:
        """What pairs come to in each draw; ``each`` (networks, networks) is that of one pair."""
        total: FloatArray = ((counts @ each) * counts).sum(axis=1)
        return total

    by_score, by_accuracy = _signs(scores), _signs(accuracies)
    untied = np.sqrt(pairs(by_score**2) * pairs(by_accuracy**2))
    agreeing = pairs(by_score * by_accuracy)
    return np.divide(agreeing, untied, out=np.zeros(len(counts)), where=untied > 0)


def resamples(networks: int) -> FloatArray:
    """How often each network is drawn, (draws, networks), as many in a draw as there are."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(networks, np.full(networks, 1 / networks), RESAMPLES)
    return drawn.astype(np.float64)


def first_pick(scores: FloatArray, accuracies: FloatArray) -> Pick:
    """The network that a score puts first."""
    places = _places(scores)
    chosen = accuracies[places == places.max()]
    above = (accuracies > chosen[:, None]).sum(axis=1)
    return Pick(float(1 + above.mean()), float(accuracies.max() - chosen.mean()))


def ceiling(accuracies: Sequence[Mapping[str, float]]) -> Ceiling | None:
    """How the two seeds that most networks were trained with rank each other; None where fewer than
    ``FEWEST`` were trained with the same two."""
    seeds = sorted({seed for own in accuracies for seed in own})
    both = {
        pair: [own for own in accuracies if all(seed in own for seed in pair)]
        for pair in combinations(seeds, 2)
    }
    if not both:
        return None
    (one, other), networks = max(both.items(), key=lambda item: len(item[1]))
    if len(networks) < FEWEST:
        return None
    first = np.array([own[one] for own in networks])
    second = np.array([own[other] for own in networks])
    return Ceiling((one, other), correlation(first, second))


def _places(values: FloatArray) -> FloatArray:
    """The same order and ties as finite numbers."""
    known = np.where(np.isnan(values), -np.inf, values)
    return np.unique(known, return_inverse=True)[1].astype(np.float64)


def _signs(values: FloatArray) -> FloatArray:
    return np.sign(values[:, None] - values[None, :])
