"""The members of a search space within budgets: ``SpaceMembers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from json import dumps
from math import floor, inf
from random import Random

import numpy as np

from ..budget import ROUNDING, Budget
from ..candidates import CandidateCosts, Candidates
from ..design import design
from ..devices import Timed, timed
from ..errors import UserError, suggestion
from ..explorers.program import PEAK
from ..fit.table import pick_of
from ..fitted import Fitted
from ..loading import find_objective
from ..objectives import Additive, Objective, Terms
from ..points import part_names, texts_of
from ..serialization import FORMAT, key
from ..space import Pick, Point, SearchSpace
from ..tables import ADDITIVE, BoolArray, FloatArray, IntArray, tabulate, within_peak
from .draws import draw
from .known import ANY, Known
from .limits import Limits
from .listing import every
from .moves import Moves
from .optimum import SECONDS, Optimum, values_of
from .part import Part
from .repair import repaired

SOME = 64
"""Networks drawn at a time to find one."""

KEPT = 1 << 18
"""Keys that are remembered."""

LISTED = 50_000
"""Spaces with more networks are not looked at one by one."""

TRIES = 12
"""Random steps, crossings or draws that are tried before all are looked at, or one repaired."""

HALF = 0.5
"""Costs are whole numbers: less than this is rounding."""


class SpaceMembers:
    """The networks of a space within budgets.

    ``costs`` are those of ``tables.ADDITIVE``, what budgets limit and, with ``peaks``, the peak
    memory. ``sources`` are objectives that may know the devices of budgets, besides the space's
    own; what one of the sums ``known`` has no score for is no member. Raises ``InfeasibleBudget``
    where there is no member, ``UserError`` for a budget that means nothing in this space.
    """

    def __init__(
        self,
        space: SearchSpace,
        budgets: Sequence[Budget] = (),
        *,
        peaks: bool = False,
        sources: Sequence[Objective] = (),
        known: Sequence[Terms] = (),
    ) -> None:
        self._space, self.budgets = space, tuple(budgets)
        self._devices = _timed(space, sources, self.budgets)
        most = {b.cost: self._most(b.cost, b.limit) for b in self.budgets}
        self._peaks, peak = peaks or PEAK in most, most.pop(PEAK, inf)
        tables = tabulate(space, peaks=self._peaks)
        self._counts = CandidateCosts(tables, tuple(ADDITIVE))
        if self._peaks:
            tables = [within_peak(table, peak) for table in tables]
        self._parts = [
            Part(name, table, name.partition(".")[0], peak)
            for name, table in zip(part_names(space), tables, strict=True)
        ]
        sums: dict[str, Terms] = {name: device.sum for name, device in self._devices.items()}
        for i, total in enumerate(known):
            sums[f"known {i}"], most[f"known {i}"] = Known(total), ANY
        self._optimum = Optimum(space, tables, most, sums, peak)
        self._limits = Limits(self._parts, most, sums)
        self._moves = [Moves(part) for part in self._parts]
        self._picked: dict[tuple[str, tuple[tuple[str, str], ...]], Pick] = {}
        self._keys: dict[tuple[int, ...], str] = {}
        self._entries_listed: IntArray | None = None
        self._listed: list[Point] | None = None
        self._looked = False
        self._some = self._first()

    def _most(self, cost: str, limit: float) -> float:
        """A limit in the unit of what is summed up, with room for rounding."""
        if cost in self._devices:
            return self._devices[cost].microseconds(limit) * (1 + ROUNDING / 2)
        return floor(limit) + HALF if limit < inf else limit

    def _first(self) -> Point:
        """Some member; raises ``InfeasibleBudget`` where there is none."""
        if self._limits.feasible:
            generator = np.random.default_rng(0)
            for _ in range(TRIES):
                entries, found = draw(self._limits, generator, SOME)
                if found.any():
                    return self._points(entries[found])[0]
        # the design looks further, and says what is in the way; no budget of its own is added
        anything = Additive("anything", lambda part, pick: 0.0)
        plain = replace(self._space, macs_per_param=None)
        return design(self.budgets, plain, anything, time_limit=SECONDS).networks[0].point

    @property
    def space(self) -> SearchSpace:
        return self._space

    # -- membership ----------------------------------------------------------------------------
    def __contains__(self, point: Point) -> bool:
        entries = self._find(point)
        return entries is not None and self._limits.member(entries)

    def key(self, point: Point) -> str:
        """``serialization.key`` of the network."""
        entries = self._find(point)
        if entries is None:
            return key(self._space.build(point))
        known = self._keys.get(tuple(entries))
        if known is None:
            if len(self._keys) > KEPT:
                self._keys.clear()
            known = self._keys[tuple(entries)] = self._key(entries)
        return known

    def _key(self, entries: Sequence[int]) -> str:
        """The same, put together from the canonical texts of the parts."""
        texts = [part.text(e) for part, e in zip(self._parts, entries, strict=True)]
        first = 0 if self._space.stem is None else 1
        stem = texts[0] if first else "null"
        return sha256(
            f'{{"format":{FORMAT},"head":{texts[-1]},"input":{self._input},'
            f'"stages":[{",".join(texts[first:-1])}],"stem":{stem}}}'.encode()
        ).hexdigest()[:16]

    @property
    def _input(self) -> str:
        return dumps(list(self._space.input), separators=(",", ":"))

    def texts(self, point: Point) -> dict[str, str]:
        return {
            f"{part.name}.{path}": text
            for part, pick in zip(self._parts, point, strict=True)
            for path, text in texts_of(pick).items()
        }

    def point(self, texts: Mapping[str, str]) -> Point:
        own: dict[str, dict[str, str]] = {part.name: {} for part in self._parts}
        for name, text in texts.items():
            part, path = _split(name)
            if part not in own:
                known = suggestion(part, own)
                raise UserError(f"space {self._space.name} has no part {part[:60]!r}; {known}")
            own[part][path] = text
        where = f"a network of space {self._space.name}"
        picks = []
        for place in self._parts:
            mine = tuple(own[place.name].items())
            if (place.name, mine) not in self._picked:
                pick = pick_of(place.table.part, own[place.name], f"{where}, {place.name}")
                self._picked[place.name, mine] = pick
            picks.append(self._picked[place.name, mine])
        entries = self._find(tuple(picks))
        if entries is not None and self._limits.total(entries) is not None:
            return self._point(entries)
        if not self._space.contains(tuple(picks)):
            raise UserError(f"{where}: its parts may not stand behind each other")
        return tuple(picks)

    # -- drawing and changing ------------------------------------------------------------------
    def draw(self, rng: Random, count: int) -> list[Point]:
        generator = np.random.default_rng(rng.getrandbits(64))
        points: list[Point] = []
        for _ in range(TRIES):
            entries, found = draw(self._limits, generator, count - len(points))
            points += self._points(entries[found])
            if len(points) == count:
                return points
        while len(points) < count:
            start = points[rng.randrange(len(points))] if points else self._some
            for _ in range(4 * len(self._parts)):
                start = self._mutant(self._entries(start), rng) or start
            points.append(start)
        return points

    def neighbours(self, point: Point) -> list[Point]:
        entries = self._entries(point)
        total = self._limits.total(entries)
        if total is None:
            return []
        return [
            self._point([*entries[:part], entry, *entries[part + 1 :]])
            for part, moves in enumerate(self._moves)
            for move in moves.of(entries[part])
            for some in move.values
            for entry in some
            if self._limits.changes(entries, total, part, entry)
        ]

    def mutated(self, point: Point, rng: Random) -> Point:
        entries = self._entries(point)
        changed = self._mutant(entries, rng)
        if changed is not None:
            return changed
        every = self.neighbours(point)
        return rng.choice(every) if every else self.draw(rng, 1)[0]

    def _mutant(self, entries: list[int], rng: Random) -> Point | None:
        """A random step, the choice uniform, then its value; None where none of some is legal."""
        choices = [
            (part, column)
            for part, (moves, entry) in enumerate(zip(self._moves, entries, strict=True))
            for column in moves.columns(entry)
        ]
        total = self._limits.total(entries)
        if not choices or total is None:
            return None
        for _ in range(TRIES):
            part, column = choices[rng.randrange(len(choices))]
            values = self._moves[part].move(entries[part], column).values
            if values:
                some = values[rng.randrange(len(values))]
                entry = some[rng.randrange(len(some))]
                if self._limits.changes(entries, total, part, entry):
                    return self._point([*entries[:part], entry, *entries[part + 1 :]])
        return None

    def crossed(self, a: Point, b: Point, rng: Random) -> Point:
        parents = self._entries(a), self._entries(b)
        for _ in range(TRIES):
            picks = [
                self._child(part, one, other, rng)
                for part, (one, other) in enumerate(zip(*parents, strict=True))
            ]
            if self._limits.member(picks):
                return self._point(picks)
        return self.repaired(self._point(picks), rng)

    def _child(self, part: int, one: int, other: int, rng: Random) -> int:
        """Each choice from one of two entries, or all from one, where there is no such entry."""
        if one == other:
            return one
        whole = (one, other)[rng.randrange(2)]
        return whole if rng.randrange(2) else self._moves[part].mixed(one, other, rng) or whole

    def repaired(self, point: Point, rng: Random) -> Point:
        entries = self._find(point)
        if entries is not None and self._limits.member(entries):
            return point
        generator = np.random.default_rng(rng.getrandbits(64))
        found = repaired(self._limits, self._moves, point, generator)
        return self.draw(rng, 1)[0] if found is None else self._point(found)

    # -- all of them ---------------------------------------------------------------------------
    def costs(self, points: Sequence[Point]) -> dict[str, FloatArray]:
        entries = np.array([self._entries(point) for point in points], dtype=np.int64)
        return self._costs(entries.reshape(-1, len(self._parts)))

    def _costs(self, entries: IntArray) -> dict[str, FloatArray]:
        counts = [len(part.depths) for part in self._parts]
        rows, places = entries // counts, entries % counts
        depths = np.stack([part.depths[places[:, i]] for i, part in enumerate(self._parts)], axis=1)
        found = self._counts(Candidates(rows, depths))
        costs = {name: values.astype(np.float64) for name, values in found.items()}
        if self._peaks:
            costs[PEAK] = self._peak(entries)
        for name, device in self._devices.items():
            sums = values_of(device.sum, self._parts, entries)
            costs[name] = np.array([device.told(each) for each in sums.tolist()])
        return costs

    def _peak(self, entries: IntArray) -> FloatArray:
        peak = np.zeros(len(entries))
        state = np.zeros(len(entries), np.int64)
        own = [part.table for part in self._parts] if self._peaks else self._optimum.peaked
        for i, (part, table) in enumerate(zip(self._parts, own, strict=True)):
            opening, repeated = table.opening_peak, table.repeated_peak
            assert opening is not None and repeated is not None
            row, place = np.divmod(entries[:, i], len(part.depths))
            further = np.where(part.depths[place] > 1, repeated[row], 0)
            peak = np.maximum(peak, np.maximum(opening[state, row], further))
            state = part.state[row]
        return peak

    def listed(self) -> Sequence[Point] | None:
        if not self._looked:
            self._looked = True
            entries = every(self._limits, LISTED)
            if entries is not None:
                self._entries_listed = self._different(entries)
                self._listed = self._points(self._entries_listed)
        return self._listed

    def _different(self, entries: IntArray) -> IntArray:
        """The first of all networks that are the same."""
        if not len(entries):
            return entries
        columns = []
        for i, part in enumerate(self._parts):
            own, place = np.unique(entries[:, i], return_inverse=True)
            columns.append(np.array([part.network(e) for e in own.tolist()])[place.reshape(-1)])
        _, first = np.unique(np.stack(columns, axis=1), axis=0, return_index=True)
        return entries[np.sort(first)]

    def best(
        self, total: Terms, count: int = 1, limits: Mapping[str, float] | None = None
    ) -> list[Point]:
        """The members with the largest sum. Of a space that is ``listed`` these are exactly the
        best; of a larger one the first is, unless that takes more than ``optimum.SECONDS``, and the
        others are the best of those met on the way to it and of its neighbours. Raises
        ``UserError`` for a limit on a cost that is not known here."""
        limits = dict(limits or {})
        for name in limits:
            if name not in (*ADDITIVE, PEAK, *self._devices):
                known = suggestion(name, (*ADDITIVE, PEAK, *self._devices))
                raise UserError(
                    f"no cost of space {self._space.name} is named {name[:60]}; {known}"
                )
        points = self.listed()
        if points is not None and self._entries_listed is not None:
            entries = self._entries_listed
        else:
            most = {name: self._most(name, limit) for name, limit in limits.items()}
            found = [self._entries(p) for p in self._optimum.found(total, count, most)]
            if count == 1 or not found:
                return [self._point(own) for own in found]
            near = self.neighbours(self._point(found[0]))
            entries = self._different(np.array([*found, *map(self._entries, near)]))
            points = self._points(entries)
        values = values_of(total, self._parts, entries)
        values[~self._within(entries, limits)] = np.nan
        order = np.argsort(-values, kind="stable")[: min(count, int(np.isfinite(values).sum()))]
        return [points[i] for i in order.tolist()]

    def _within(self, entries: IntArray, limits: Mapping[str, float]) -> BoolArray:
        """Which networks keep further limits."""
        keep = np.ones(len(entries), np.bool_)
        if not limits:
            return keep
        costs = self._costs(entries)
        if PEAK in limits and not self._peaks:
            costs[PEAK] = self._peak(entries)
        for name, limit in limits.items():
            least = name in self._devices and Budget(name, 1).is_floor
            keep &= costs[name] >= limit if least else costs[name] <= limit
        return keep

    # -- points and entries --------------------------------------------------------------------
    def _find(self, point: Point) -> list[int] | None:
        """The entries of a point's picks; None where some part has no such."""
        if len(point) != len(self._parts):
            return None
        entries = []
        for part, pick in zip(self._parts, point, strict=True):
            entry = part.find(pick)
            if entry is None:
                return None
            entries.append(entry)
        return entries

    def _entries(self, point: Point) -> list[int]:
        entries = self._find(point)
        if entries is None:
            raise UserError(f"no network of space {self._space.name} has these choices")
        return entries

    def _point(self, entries: Sequence[int]) -> Point:
        return tuple([part.pick(e) for part, e in zip(self._parts, entries, strict=True)])

    def _points(self, entries: IntArray) -> list[Point]:
        return [self._point(own) for own in entries.tolist()]


def _split(name: str) -> tuple[str, str]:
    """A choice's full name as its part and its path there."""
    first, _, rest = name.partition(".")
    if first != "stages":
        return first, rest
    number, _, path = rest.partition(".")
    return f"{first}.{number}", path


def _timed(
    space: SearchSpace, sources: Sequence[Objective], budgets: Sequence[Budget]
) -> dict[str, Timed]:
    """What budgets on devices limit."""
    if not any(budget.device for budget in budgets):
        return {}
    own = find_objective(space.objective)
    more = (own,) if isinstance(own, Fitted) else ()
    return timed(space, (*sources, *more), budgets)
