"""Label search: extend partial chains slot by slot, dropping those the bounds rule out.

A label is a prefix of the chain. Each of several price vectors bounds its completions; the least
of these bounds counts, so resources taken early are charged at whichever price hurts most. Terms
that ended inside the prefix count exactly. Run to the end without dropping a label for lack of
room, the search enumerates everything that beats the target; as a beam it finds good solutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archsearch.solver.chain import BoolArray, FloatArray, IntArray
from archsearch.solver.dominance import dominated
from archsearch.solver.dynamic import Linear, backward, forward
from archsearch.solver.lagrangian import Prices, Ranges, Relaxation
from archsearch.solver.tables import Table

CHUNK = 1 << 20
"""Most (label, item) pairs examined at once."""

Pairs = tuple[IntArray, IntArray]
"""Rows of a table and depths, (I,) each: the items of one slot."""


@dataclass(frozen=True, eq=False)
class Bound:
    """One price vector with its additive weights and the completion value of every out-state."""

    prices: Prices
    linear: Linear
    constant: float
    departure: list[FloatArray]


def bound_for(
    relaxation: Relaxation, tables: Sequence[Table], prices: Prices, ranges: Ranges
) -> Bound:
    """Price the tables once and walk backward."""
    linear, constant = relaxation.linear(prices, ranges)
    cells = forward(tables, linear).cells
    return Bound(prices, linear, constant, backward(tables, linear, cells))


@dataclass(frozen=True, eq=False)
class Found:
    """Complete chains as (choice, depth) arrays (N, n) with values (N,), best first, and whether
    nothing that beats the target was dropped."""

    choices: IntArray
    depths: IntArray
    values: FloatArray
    complete: bool


@dataclass(eq=False)
class _Labels:
    """N prefixes: additive value under each of K prices (N, K), out-state (N,), features (N, F),
    group depths (N, G), exact products (N,), and the choices and depths taken (N, slots)."""

    value: FloatArray
    state: IntArray
    features: FloatArray
    groups: FloatArray
    exact: FloatArray
    choices: IntArray
    depths: IntArray

    def pick(self, keep: BoolArray | IntArray | slice) -> _Labels:
        return _Labels(*(getattr(self, name)[keep] for name in _LABEL_FIELDS))


_LABEL_FIELDS = ("value", "state", "features", "groups", "exact", "choices", "depths")


class LabelSearch:
    """Searches the chains of `tables` with one or more price vectors (the first leads)."""

    def __init__(
        self,
        relaxation: Relaxation,
        tables: Sequence[Table],
        bounds: Sequence[Bound],
        ranges: Ranges,
    ) -> None:
        self.relaxation = relaxation
        self.tables = tables
        self.bounds = bounds
        self.ranges = ranges
        self.constant = np.array([bound.constant for bound in bounds])
        self.least = self._least_remaining()
        self.entropy_helps = self._entropy_helps()

    def _least_remaining(self) -> list[list[FloatArray]]:
        """Per budget and slot: least total of the budgeted feature after each out-state."""
        n, features = len(self.tables), len(self.relaxation.program.features)
        result = []
        for column in self.relaxation.budgeted:
            weights = np.zeros((n, features))
            weights[:, column] = -1.0
            linear = Linear(weights, np.zeros(n), (None,) * n)
            cells = forward(self.tables, linear).cells
            result.append([-after for after in backward(self.tables, linear, cells)])
        return result

    def run(self, pairs: Sequence[Pairs], target: float, width: int, beam: bool) -> Found:
        """Search the given items per slot for chains worth more than `target`.

        With `beam`, only the `width` most promising labels go on; otherwise the search gives up,
        incomplete, when more than `width` labels are alive.
        """
        labels = self._root()
        complete = True
        for slot in range(len(self.tables)):
            extended = self._extend(labels, slot, pairs[slot], target, width, beam)
            if extended is None:
                return self._found(self._root().pick(slice(0, 0)), False)
            labels, dropped = extended
            complete = complete and not dropped
        return self._found(self._finish(labels, target), complete)

    def _found(self, labels: _Labels, complete: bool) -> Found:
        order = np.argsort(-labels.exact, kind="stable")
        return Found(labels.choices[order], labels.depths[order], labels.exact[order], complete)

    def _root(self) -> _Labels:
        return _Labels(
            np.zeros((1, len(self.bounds))),
            np.zeros(1, dtype=np.int64),
            np.zeros((1, len(self.relaxation.program.features))),
            np.zeros((1, len(self.relaxation.group_mask))),
            np.zeros(1),
            np.zeros((1, 0), dtype=np.int64),
            np.zeros((1, 0), dtype=np.int64),
        )

    def _extend(
        self, labels: _Labels, slot: int, pairs: Pairs, target: float, width: int, beam: bool
    ) -> tuple[_Labels, bool] | None:
        """All extensions worth keeping and whether any were dropped; None when giving up."""
        table = self.tables[slot]
        column = np.full(self._states_before(slot), -1)
        column[table.states] = np.arange(len(table.states))
        labels = labels.pick(column[labels.state] >= 0)
        position = column[labels.state]
        # A beam ranks by the least of all bounds; enumeration filters by the leading one first.
        leads = [self._lead(k, slot, pairs) for k in range(len(self.bounds) if beam else 1)]
        need = target
        most = 30 * width if beam else 8 * width
        parts: list[_Labels] = []
        alive, dropped = 0, False
        rows = max(1, CHUNK // max(1, len(pairs[0])))
        share = max(1, most * rows // max(len(position), rows))
        for begin in range(0, len(position), rows):
            part = labels.pick(slice(begin, begin + rows))
            where = position[begin : begin + rows]
            bound = leads[0][where] + part.value[:, :1]
            for k, lead in enumerate(leads[1:], start=1):
                np.minimum(bound, lead[where] + part.value[:, k : k + 1], out=bound)
            threshold = need
            if beam and bound.size > share:
                kth = float(np.partition(bound, bound.size - share, axis=None)[-share])
                threshold = max(need, kth)
                dropped = dropped or threshold > need
            which, item = np.nonzero(bound > threshold)
            if not beam and alive + len(which) > most:
                return None
            grown = self._grow(part, slot, pairs, which, item, target)
            alive += len(grown.state)
            parts.append(grown)
        merged = _concatenate(parts) if parts else labels.pick(slice(0, 0))
        if slot + 1 < len(self.tables) and len(merged.state) > 64:
            merged = self._undominated(merged, slot)
        if not beam and len(merged.state) > width:
            return None
        if beam and len(merged.state) > width:
            score = self._completed(merged, slot).min(axis=1)
            merged = merged.pick(np.argpartition(-score, width)[:width])
            dropped = True
        return merged, dropped

    def _undominated(self, labels: _Labels, slot: int) -> _Labels:
        """The labels not dominated by a more promising one with the same future."""
        relaxation, program = self.relaxation, self.relaxation.program
        features = labels.features
        keys = [labels.state[:, None], features[:, [relaxation.layers]], labels.groups]
        merits = [-features[:, relaxation.budgeted], labels.exact[:, None]]
        if relaxation.score is not None:
            merits[1] = merits[1] + program.score_weight * features[:, [relaxation.score]]
        entropy = features[:, [relaxation.entropy]]
        helps = self.entropy_helps[slot]
        (merits if helps else keys).append(entropy)
        lost = dominated(
            np.concatenate(keys, axis=1, dtype=np.float64),
            np.concatenate(merits, axis=1),
            self._completed(labels, slot).min(axis=1),
        )
        return labels.pick(~lost)

    def _entropy_helps(self) -> list[bool]:
        """Per slot: whether more cumulative entropy after it can only help later terms."""
        program = self.relaxation.program
        result = []
        for slot in range(len(self.tables)):
            least = 0.0
            for product in program.products:
                if product.end > slot:
                    least += float(product.level[self.tables[product.end].cell_out].min())
            result.append(least >= 0.0)
        return result

    def _states_before(self, slot: int) -> int:
        return 1 if slot == 0 else self.tables[slot - 1].out_states

    def _lead(self, k: int, slot: int, pairs: Pairs) -> FloatArray:
        """Best completion through every item from every in-state of the table (S, I), price k."""
        table, (row, depth) = self.tables[slot], pairs
        linear = self.bounds[k].linear
        weights, depth_weight = linear.weights[slot], float(linear.depth[slot])
        base = table.coefficients(weights, depth_weight, None)[row]
        base[:, table.one] += (depth - table.base[row]) * table.slope(weights, depth_weight)[row]
        value: FloatArray = table.basis @ base.T
        value += table.barrier.T[:, table.cell_of_row()[row]]
        value += self.bounds[k].departure[slot][table.out[row]] + self.constant[k]
        return value

    def _grow(
        self,
        labels: _Labels,
        slot: int,
        pairs: Pairs,
        which: IntArray,
        item: IntArray,
        target: float,
    ) -> _Labels:
        """Labels `which` extended by items `item`; those over a budget or a bound removed."""
        table, relaxation = self.tables[slot], self.relaxation
        row, depth = pairs[0][item], pairs[1][item]
        column = np.searchsorted(table.states, labels.state)[which]
        repeats = (depth - table.base[row]).astype(np.float64)
        gained = np.matmul(table.basis[column][:, None, :], table.first[row])[:, 0, :]
        gained += repeats[:, None] * table.rest[row]
        features = labels.features[which] + gained
        out = table.out[row]
        keep = np.ones(len(which), dtype=np.bool_)
        for position, feature in enumerate(relaxation.budgeted):
            allowed = relaxation.allowance[position]
            allowed += 1e-9 * max(1.0, abs(allowed))
            keep &= features[:, feature] + self.least[position][slot][out] <= allowed
        which, row, depth, out = which[keep], row[keep], depth[keep], out[keep]
        weights = np.stack([bound.linear.weights[slot] for bound in self.bounds], axis=1)
        depth_weight = np.array([bound.linear.depth[slot] for bound in self.bounds])
        value = labels.value[which] + gained[keep] @ weights + depth[:, None] * depth_weight
        for k, bound in enumerate(self.bounds):
            bonus = bound.linear.bonus[slot]
            if bonus is not None:
                value[:, k] += bonus[out]
        grown = _Labels(
            value,
            out,
            features[keep],
            labels.groups[which] + depth[:, None] * relaxation.group_mask[:, slot],
            labels.exact[which],
            np.concatenate([labels.choices[which], table.choice[row][:, None]], axis=1),
            np.concatenate([labels.depths[which], depth[:, None]], axis=1),
        )
        return self._settle(grown, slot, target)

    def _completed(self, labels: _Labels, slot: int) -> FloatArray:
        """Bound on the completions of each label under each price, (N, K)."""
        after = np.empty_like(labels.value)
        for k, bound in enumerate(self.bounds):
            departure = bound.departure[slot]
            bonus = bound.linear.bonus[slot]
            if bonus is not None:
                departure = departure - bonus
            after[:, k] = departure[labels.state]
        after += labels.value + self.constant
        return after

    def _settle(self, labels: _Labels, slot: int, target: float) -> _Labels:
        """Replace what ends at `slot` by its exact value; drop the labels this rules out."""
        relaxation, program = self.relaxation, self.relaxation.program
        entropy = labels.features[:, relaxation.entropy] + program.entropy_offset
        layers = labels.features[:, relaxation.layers]
        keep = np.ones(len(labels.state), dtype=np.bool_)
        for r, term in enumerate(program.effectiveness):
            if term.end != slot:
                continue
            needed = term.needed(layers)
            keep &= entropy >= needed - 1e-9 * (1.0 + np.abs(needed))
            for k, bound in enumerate(self.bounds):
                prices = bound.prices
                tangent = relaxation.tangent(prices)[r]
                spare = entropy - tangent * layers + prices.anchor[r] / term.kappa
                labels.value[:, k] -= prices.mu[r] * np.maximum(spare, 0.0)
        for m, product in enumerate(program.products):
            if product.end != slot:
                continue
            low, high = (limit[labels.state] for limit in self.ranges[m])
            level = product.level[labels.state]
            labels.exact = labels.exact + entropy * level
            for k, bound in enumerate(self.bounds):
                excess = level - bound.prices.level[m]
                labels.value[:, k] += relaxation.theta * (
                    entropy * excess - np.maximum(excess * low, excess * high)
                )
        completed = self._completed(labels, slot).min(axis=1)
        keep &= completed + 1e-9 * (1.0 + np.abs(completed)) > target
        return labels.pick(keep)

    def _finish(self, labels: _Labels, target: float) -> _Labels:
        """Exact values of complete chains."""
        relaxation, program = self.relaxation, self.relaxation.program
        if relaxation.score is not None:
            total = labels.features[:, relaxation.score]
            labels.exact = labels.exact + program.score_weight * total
        if program.evenness is not None and program.evenness.weight > 0:
            labels.exact = labels.exact - program.evenness.penalty(labels.groups)
        return labels if relaxation.theta == 0.0 else labels.pick(labels.exact > target)


def _concatenate(parts: list[_Labels]) -> _Labels:
    return _Labels(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in _LABEL_FIELDS)
    )
