"""Budgets of a space as numbers: what every entry of every part spends of each, and what is left.

For every width between parts it knows the least that the parts behind it spend of each budget (a
dynamic program over widths), and mean and variance of what random parts spend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from ..objectives import Terms
from ..tables import BoolArray, FloatArray, IntArray, Power, powers_of
from .part import Part

Spent = tuple[float, ...]
"""What is spent of each budget, in their order."""


class Limits:
    """Budgets that are sums over parts: ``limits`` by the name of a cost that tables count, or of
    one of ``sums``. Of a sum that has no score for a pick, no member has that pick.

    ``feasible`` tells whether each budget can be met by itself; ``least`` what each needs at least.
    """

    def __init__(
        self, parts: Sequence[Part], limits: Mapping[str, float], sums: Mapping[str, Terms]
    ) -> None:
        self.parts, self.names = tuple(parts), tuple(limits)
        self.most: FloatArray = np.array([limits[name] for name in limits], dtype=np.float64)
        self._given = self.most.tolist()
        self._parts = [
            Spending(i, parts[i - 1] if i else None, part, self.names, sums)
            for i, part in enumerate(parts)
        ]
        self._memo: list[dict[tuple[int, int], Spent | None]] = [{} for _ in parts]
        behind = [np.repeat(part.state, len(part.depths)).tolist() for part in parts[:-1]]
        self._states: list[list[int]] = [[0], *behind]
        self.open: list[BoolArray] = []
        self._look_ahead()

    # -- one network ---------------------------------------------------------------------------
    def spent(self, part: int, before: int, entry: int) -> Spent | None:
        """What an entry spends behind an entry of the part before; None where it may not stand."""
        state = self._states[part][before]
        paired = self._parts[part].pairs is not None
        key = before if paired else state, entry
        memo = self._memo[part]
        if key in memo:
            return memo[key]
        found = memo[key] = self._spent(part, state, before, entry)
        return found

    def _spent(self, part: int, state: int, before: int, entry: int) -> Spent | None:
        own, spending = self.parts[part], self._parts[part]
        row, depth = divmod(entry, len(own.depths))
        if not (own.legal[state, row] and own.takes[row, depth]):
            return None
        values = spending.opening(state, np.array([row]))[0] + spending.more(row)[depth]
        if spending.pairs is not None:
            values = values + spending.pairs[entry, before]
        return tuple(values.tolist())

    def total(self, entries: Sequence[int]) -> Spent | None:
        """What a network spends; None where its parts may not stand behind each other."""
        each, before = [], 0
        for part, entry in enumerate(entries):
            own = self.spent(part, before, entry)
            if own is None:
                return None
            each.append(own)
            before = entry
        return tuple(map(sum, zip(*each, strict=True)))

    def member(self, entries: Sequence[int]) -> bool:
        """Whether a network is a member."""
        total = self.total(entries)
        return total is not None and self._allow(total)

    def changes(self, entries: Sequence[int], total: Spent, part: int, entry: int) -> bool:
        """Whether a legal network is a member once one of its entries is another."""
        before = entries[part - 1] if part else 0
        pairs = [(part, before, entries[part], before, entry)]
        if part + 1 < len(entries):
            after = entries[part + 1]
            pairs.append((part + 1, entries[part], after, entry, after))
        for place, old_before, old, new_before, new in pairs:
            now = self.spent(place, new_before, new)
            was = self.spent(place, old_before, old)
            if now is None or was is None:
                return False
            total = tuple([t + a - b for t, a, b in zip(total, now, was, strict=True)])
        return self._allow(total)

    def _allow(self, total: Spent) -> bool:
        return all(a <= b for a, b in zip(total, self._given, strict=True))

    # -- many networks -------------------------------------------------------------------------
    def totals(self, entries: IntArray) -> tuple[FloatArray, BoolArray]:
        """What networks, of shape (networks, parts), spend, (networks, budgets), and whether their
        parts may stand behind each other."""
        total = np.zeros((len(entries), len(self.names)))
        legal = np.ones(len(entries), np.bool_)
        state = np.zeros(len(entries), np.int64)
        for i, (part, spending) in enumerate(zip(self.parts, self._parts, strict=True)):
            row, depth = np.divmod(entries[:, i], len(part.depths))
            total += spending.at(state, row) + spending.further(row, depth)
            if spending.pairs is not None:
                total += spending.pairs[entries[:, i], entries[:, i - 1]]
            legal &= part.legal[state, row] & part.takes[row, depth]
            state = part.state[row]
        return total, legal

    def members(self, entries: IntArray) -> BoolArray:
        """Which of these networks, of shape (networks, parts), are members."""
        total, legal = self.totals(entries)
        result: BoolArray = legal & (total <= self.most).all(axis=1)
        return result

    # -- what may still come -------------------------------------------------------------------
    @property
    def feasible(self) -> bool:
        """Whether some network meets each budget by itself."""
        return bool(self.open[0].any())

    def _look_ahead(self) -> None:
        """From the last part on: least, mean and variance of what is spent behind every width."""
        budgets = len(self.names)
        last = self.parts[-1].states
        least, mean, variance = (np.zeros((last, budgets)) for _ in range(3))
        alive = np.ones(last, np.bool_)
        self.needs: list[FloatArray] = [least]
        self.means, self.variances = [mean], [variance]
        for part, spending in zip(reversed(self.parts), reversed(self._parts), strict=True):
            low, middle, spread = spending.added
            after_least, after_mean = low + least[part.state], middle + mean[part.state]
            after_spread = spread + variance[part.state]
            states = len(part.legal)
            least = np.full((states, budgets), np.inf)
            mean, variance = np.zeros((states, budgets)), np.zeros((states, budgets))
            opened = part.legal & alive[part.state]
            for state in range(states):
                rows = np.flatnonzero(opened[state])
                opening = spending.opening(state, rows)
                need = opening + after_least[rows]
                fits = (need <= self.most).all(axis=1)
                opened[state, rows[~fits]] = False
                if fits.any():
                    rows, opening = rows[fits], opening[fits]
                    least[state] = need[fits].min(axis=0)
                    middles = opening + after_mean[rows]
                    mean[state] = middles.mean(axis=0)
                    variance[state] = after_spread[rows].mean(axis=0) + middles.var(axis=0)
            alive = np.asarray(opened.any(axis=1), dtype=np.bool_)
            self.open.insert(0, opened)
            self.needs.insert(0, least)
            self.means.insert(0, mean)
            self.variances.insert(0, variance)

    def spending(self, part: int) -> Spending:
        """What the entries of a part spend."""
        return self._parts[part]


class Spending:
    """What the entries of one part spend: for the width before a polynomial of every row, for
    further blocks a rate, for sums over picks a score of every entry."""

    def __init__(
        self,
        index: int,
        last: Part | None,
        part: Part,
        names: Sequence[str],
        sums: Mapping[str, Terms],
    ) -> None:
        self.part = part
        table = part.table
        terms = [{} if name in sums else table.opening[name].terms for name in names]
        powers: list[Power] = sorted({power for own in terms for power in own}, key=str)
        before = np.array(table.before, dtype=np.float64)
        self.basis = powers_of(before, powers) if powers else np.zeros((len(before), 0))
        self.coefficients = np.zeros((len(powers), part.rows, len(names)))
        self.rate = np.zeros((part.rows, len(names)))
        self.scores: FloatArray | None = None
        self.pairs: FloatArray | None = None
        for column, (name, own) in enumerate(zip(names, terms, strict=True)):
            for power, values in own.items():
                self.coefficients[powers.index(power), :, column] = values
            if name in sums:
                self._add(index, last, column, sums[name], len(names))
            else:
                self.rate[:, column] = table.repeated[name]

    def _add(self, index: int, last: Part | None, column: int, sum: Terms, count: int) -> None:
        """Take in a sum over picks; what it has no score for is no choice any more."""
        part = self.part
        entries = part.rows * len(part.depths)
        picks = [part.pick(entry) for entry in range(entries)]
        scores = sum.stage_scores(index, picks) + (sum.intercept if last is None else 0.0)
        scores = scores.reshape(part.rows, -1)
        part.keep(np.isfinite(scores))
        if self.scores is None:
            self.scores = np.zeros((part.rows, len(part.depths), count))
        self.scores[:, :, column] = np.where(np.isfinite(scores), scores, 0.0)
        if last is not None and sum.has_pairs:
            before = [last.pick(entry) for entry in range(last.rows * len(last.depths))]
            if self.pairs is None:
                self.pairs = np.zeros((entries, len(before), count))
            self.pairs[:, :, column] = sum.pair_scores(index, before, picks)

    def opening(self, state: int, rows: IntArray) -> FloatArray:
        """What the opening of rows spends behind one width: shape (rows, budgets)."""
        result: FloatArray = np.tensordot(self.basis[state], self.coefficients[:, rows], axes=1)
        return result

    def at(self, state: IntArray, row: IntArray) -> FloatArray:
        """The same for pairs of widths before and rows, shape (pairs, budgets)."""
        result: FloatArray = np.einsum("np,pnb->nb", self.basis[state], self.coefficients[:, row])
        return result

    def more(self, row: int) -> FloatArray:
        """What each depth of a row adds to its opening: shape (depths, budgets)."""
        own: FloatArray = (self.part.depths - 1.0)[:, None] * self.rate[row]
        return own if self.scores is None else own + self.scores[row]

    def further(self, row: IntArray, depth: IntArray) -> FloatArray:
        """What these depths (by place) of rows add to their openings: shape (rows, budgets)."""
        own: FloatArray = (self.part.depths[depth] - 1.0)[:, None] * self.rate[row]
        return own if self.scores is None else own + self.scores[row, depth]

    def weighted(self, rows: IntArray, prices: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What rows spend at these prices: their openings, shape (widths before, rows), and what
        depths add, (rows, depths)."""
        opening = self.basis @ (self.coefficients[:, rows] @ prices)
        more = (self.part.depths - 1.0)[None, :] * (self.rate[rows] @ prices)[:, None]
        return opening, more if self.scores is None else more + self.scores[rows] @ prices

    @cached_property
    def added(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Least, mean and variance of what depths (and the picks before, where these count) add to
        the openings of rows, each of shape (rows, budgets)."""
        part = self.part
        shape = part.rows, self.rate.shape[1]
        least, total, square, count = (np.zeros(shape) for _ in range(4))
        least += np.inf
        for place in range(len(part.depths)):
            takes = part.takes[:, place, None]
            own = self.further(np.arange(part.rows), np.full(part.rows, place))
            if self.pairs is not None:
                own = (
                    own + self.pairs.min(axis=1).reshape(part.rows, len(part.depths), -1)[:, place]
                )
            least = np.where(takes, np.minimum(least, own), least)
            kept = np.where(takes, own, 0.0)
            total, square, count = total + kept, square + kept**2, count + takes
        count = np.maximum(count, 1)
        mean = total / count
        return least, mean, np.maximum(square / count - mean**2, 0.0)
