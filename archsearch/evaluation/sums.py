"""Sums over the parts of many networks at once: what each pick scores is asked once and kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..fitted import Fitted
from ..objectives import Additive
from ..space import Pick, Point

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_KNOWN = 1 << 18
"""Picks that are known by their identity before all are looked up anew."""


class Numbered:
    """Numbers the different picks of one part in the order they come. A pick is known by its
    identity, as members have the same ones again and again, and its hash takes long."""

    def __init__(self) -> None:
        self.picks: list[Pick] = []
        self._numbers: dict[Pick, int] = {}
        self._known: dict[int, tuple[Pick, int]] = {}

    def __call__(self, picks: Sequence[Pick]) -> IntArray:
        """The number of every pick, shape (picks,)."""
        known = self._known
        if len(known) > MOST_KNOWN:
            known.clear()
        numbers = np.empty(len(picks), np.int64)
        for i, pick in enumerate(picks):
            entry = known.get(id(pick))
            if entry is None:
                number = self._numbers.setdefault(pick, len(self.picks))
                if number == len(self.picks):
                    self.picks.append(pick)
                entry = known[id(pick)] = pick, number  # keeps the pick, and with it its identity
            numbers[i] = entry[1]
        return numbers


class AdditiveValues:
    """Values of points by an additive objective."""

    def __init__(self, objective: Additive) -> None:
        self.objective = objective
        self._numbered: list[Numbered] = []
        self._scores: list[FloatArray] = []
        self._pairs: list[dict[tuple[int, int], float]] = []

    def __call__(self, points: Sequence[Point]) -> FloatArray:
        total = np.full(len(points), self.objective.intercept)
        before: IntArray | None = None
        for part, picks in enumerate(zip(*points, strict=True)):
            if part == len(self._numbered):
                self._numbered.append(Numbered())
                self._scores.append(np.empty(0))
                self._pairs.append({})
            own = self._numbered[part](picks)
            total += self._stage(part)[own]
            if before is not None and self.objective.has_pairs:
                total += self._pair(part, before, own)
            before = own
        return total

    def _stage(self, part: int) -> FloatArray:
        """Scores of all picks of a part that have a number."""
        scores, picks = self._scores[part], self._numbered[part].picks
        if len(scores) < len(picks):
            new = self.objective.stage_scores(part, picks[len(scores) :])
            self._scores[part] = scores = np.concatenate([scores, new])
        return scores

    def _pair(self, part: int, before: IntArray, own: IntArray) -> FloatArray:
        known, first, second = self._pairs[part], self._numbered[part - 1], self._numbered[part]
        different, inverse = np.unique(np.stack([before, own], 1), axis=0, return_inverse=True)
        scores = np.empty(len(different))
        for i, (a, b) in enumerate(different.tolist()):
            if (a, b) not in known:
                pair = self.objective.pair_scores(part, [first.picks[a]], [second.picks[b]])
                known[a, b] = float(pair[0, 0])
            scores[i] = known[a, b]
        return scores[inverse.reshape(-1)]


class FittedValues:
    """What a fitted objective predicts of points; NaN where it does not know a pick."""

    def __init__(self, objective: Fitted) -> None:
        self.objective = objective
        self._numbered = [Numbered() for _ in objective.parts]
        self._places: list[dict[str, IntArray]] = [{} for _ in objective.parts]
        self._known: list[npt.NDArray[np.bool_]] = [np.empty(0, np.bool_) for _ in objective.parts]

    def __call__(self, points: Sequence[Point]) -> FloatArray:
        known = np.ones(len(points), np.bool_)
        places = []
        for part, picks in enumerate(zip(*points, strict=True)):
            own = self._numbered[part](picks)
            self._learn(part)
            known &= self._known[part][own]
            places.append({path: column[own] for path, column in self._places[part].items()})
        totals = self.objective.score.totals(places)
        link = self.objective.link
        return np.array(
            [link(t) if k else np.nan for t, k in zip(totals.tolist(), known, strict=True)]
        )

    def _learn(self, part: int) -> None:
        """Look up the picks of a part that are new."""
        new = self._numbered[part].picks[len(self._known[part]) :]
        if not new:
            return
        found = self.objective.score.places(part, new)
        self._places[part] = {
            path: np.concatenate([self._places[part].get(path, np.empty(0, np.int64)), column])
            for path, column in found.items()
        }
        own = np.array([self.objective.known(part, pick) for pick in new], np.bool_)
        self._known[part] = np.concatenate([self._known[part], own])
