"""EAS: growing the best network, by a controller that learns which transformations pay.

Cai et al., "Efficient Architecture Search by Network Transformation", 2018: a bidirectional LSTM
reads the network, a wider actor says of every part whether it is widened, a deeper actor where the
network is deepened and with which kernel; both learn by REINFORCE (Williams 1992).
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, product
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import UserError
from ..members import Members
from ..proposals import Kept, fresh, generator
from ..space import InnerWidths, Pick, Point, SearchSpace, StageSpace, variants
from ..trials import History, Trial

if TYPE_CHECKING:
    from torch import Tensor

WIDTH, EXPANSION, KERNEL = "width", "expansion", "kernel_size"

WIDER = (WIDTH, EXPANSION, "absent")
"""What the wider actor decides of every part: its width, inner widths, and whether a module that it
may have (squeeze-and-excitation) is added."""

DEEPER = ("deeper", "kernel", "both")
"""What the deeper actor decides of the part that it chose: one block more, the next larger kernel,
or both."""

TOKEN, HIDDEN = 16, 50
"""Sizes of the published controller: of what stands for a part, and of its LSTM per direction."""

BATCH, RATE, ENTROPY, MOMENTUM = 10, 2e-3, 1e-5, 0.95
"""Networks of one step of the controller, Adam's learning rate, the weight of the entropy, and the
share by which the baseline moves to the mean reward of a batch; all as published."""

WIDER_STEPS, DEEPER_STEPS = 4, 5
"""How often either actor acts on the way from a start to a candidate, as published."""

TRIES = 10
"""Candidates that are drawn from one start before the next best is tried."""

NEVER = -1e9
"""The logit of what cannot be done."""

STARTS = 5
"""The best so many networks are starts."""

SMALLEST_OF = 32
"""The search begins at what is reached by making the smallest of so many members smaller."""


@dataclass(frozen=True)
class EAS:
    """Every candidate is a start after some steps of the wider actor and then of the deeper one.
    The start is a small member and, after every ``stage`` candidates, the best network of all
    before; where that leads to nothing new, the next best.

    In the words of a space: a part becomes wider by the next larger of its widths, expansions or by
    a module where it has none; deeper by the next depth and the next larger kernel. The reward of a
    share of 1 is tan(value pi/2) as published, of other values how many deviations it is above the
    mean so far. Without a ``controller`` all transformations are as likely at any time.

    Best in a search whose children inherit weights, and without a designed start, which leaves no
    room to grow. Raises ``UserError`` for several goals.
    """

    seed: int = 0
    stage: int = 100
    controller: bool = True
    _kept: Kept[_Learnt] = field(default_factory=Kept, init=False, repr=False, compare=False)

    def ask(self, members: Members, history: History, count: int) -> list[Point]:
        if len(history.goals) > 1:
            raise UserError("eas takes one goal: choose another strategy for several")
        rng = generator(self.seed, history)
        learnt = self._kept.of(members, history, lambda: _Learnt(members, self))
        learnt.follow(history)

        def candidates() -> Iterator[Point]:
            yield learnt.smallest
            for start in learnt.starts(history.asked):
                for _ in range(TRIES):
                    yield (grown := learnt.grown(start, rng))
                    if grown == start:  # nothing to grow, or hardly anything
                        break

        return fresh(members, history, candidates(), rng, count)


def _small(members: Members, seed: int) -> Point:
    """A member that no single change makes smaller."""
    rng = Random(f"{seed}/small")
    point, size = _least(members, members.draw(rng, SMALLEST_OF))
    while near := members.neighbours(point):
        other, smaller = _least(members, near)
        if not smaller < size:
            break
        point, size = other, smaller
    return point


def _least(members: Members, points: Sequence[Point]) -> tuple[Point, float]:
    """The smallest of some members, by parameters, or by what else is known of them."""
    costs = members.costs(points)
    sizes = costs.get("params", next(iter(costs.values()), np.zeros(len(points))))
    place = int(np.argmin(sizes))
    return points[place], float(sizes[place])


# -- transformations ---------------------------------------------------------------------------
class Action(NamedTuple):
    """What is done to one part: which of ``WIDER``, or the number in ``DEEPER``."""

    wider: tuple[bool, ...] = (False,) * len(WIDER)
    deeper: int | None = None


SINGLE_WIDER = [Action(tuple(i == j for j in range(len(WIDER)))) for i in range(len(WIDER))]
SINGLE_DEEPER = [Action(deeper=what) for what in range(len(DEEPER))]


class Decision(NamedTuple):
    """What an actor said of the network ``point``: the wider one, which of ``WIDER`` are done to
    every part; the deeper one (``wider`` is None), ``what`` of ``DEEPER`` it does, and in which
    ``place``: a part, or behind the last nothing."""

    point: Point
    wider: Sequence[tuple[bool, ...]] | None = None
    place: int = 0
    what: int | None = None


class Moves:
    """What every part of a space can become, in its order of sizes."""

    def __init__(self, space: SearchSpace) -> None:
        self._parts = space.parts
        self._known: dict[tuple[int, Pick], Mapping[Action, Pick]] = {}
        self._ways_of: dict[tuple[int, Pick], Mapping[Pick, Sequence[Action]]] = {}

    def of(self, part: int, pick: Pick) -> Mapping[Action, Pick]:
        """The picks that single steps of an actor lead to, by what they do."""
        found = self._known.get((part, pick))
        if found is None:
            wider = [Action(each) for each in product((False, True), repeat=len(WIDER))]
            every = {each: _grown(self._parts[part], pick, each) for each in wider + SINGLE_DEEPER}
            found = {action: grown for action, grown in every.items() if grown is not None}
            self._known[part, pick] = found
        return found

    def wider(self, part: int, pick: Pick) -> list[bool]:
        """Which of ``WIDER`` can be done."""
        return [action in self.of(part, pick) for action in SINGLE_WIDER]

    def deeper(self, part: int, pick: Pick) -> list[bool]:
        """Which of ``DEEPER`` can be done."""
        return [action in self.of(part, pick) for action in SINGLE_DEEPER]

    def way(self, start: Point, end: Point) -> list[Decision] | None:
        """How the actors may have come from one network to another: of all ways the one that
        widens as early as it can, and then deepens part by part. None where there is none."""
        ways = []
        for part, (pick, last) in enumerate(zip(start, end, strict=True)):
            way = self._ways(part, pick).get(last)
            if way is None:
                return None
            ways.append(way)
        deeper = [(part, action) for part, way in enumerate(ways) for action in way[WIDER_STEPS:]]
        if len(deeper) > DEEPER_STEPS:
            return None
        decisions, here = [], start
        for actions in zip(*(way[:WIDER_STEPS] for way in ways), strict=True):
            decisions.append(Decision(here, [action.wider for action in actions]))
            here = tuple(self.of(i, here[i])[action] for i, action in enumerate(actions))
        for part, action in deeper:
            decisions.append(Decision(here, None, part, action.deeper))
            here = (*here[:part], self.of(part, here[part])[action], *here[part + 1 :])
        nothing = Decision(here, None, len(start))
        return [*decisions, *[nothing] * (DEEPER_STEPS - len(deeper))]

    def _ways(self, part: int, pick: Pick) -> Mapping[Pick, Sequence[Action]]:
        """Where the actors can bring a part, and one of the shortest ways there: all steps of the
        wider actor, and then those of the deeper one that do something."""
        known = self._ways_of.get((part, pick))
        if known is None:
            known = {}
            for often in sorted(product(range(WIDER_STEPS + 1), repeat=len(WIDER)), key=sum):
                actions = [Action(tuple(s < n for n in often)) for s in range(WIDER_STEPS)]
                end = self._after(part, pick, actions)
                if end is not None:
                    known.setdefault(end, tuple(actions))
            ends = dict(known)
            for _ in range(DEEPER_STEPS):
                ends = {
                    grown: (*way, action)
                    for before, way in ends.items()
                    for action in SINGLE_DEEPER
                    if (grown := self.of(part, before).get(action)) and grown not in known
                }
                known |= ends
            self._ways_of[part, pick] = known
        return known

    def _after(self, part: int, pick: Pick, actions: Sequence[Action]) -> Pick | None:
        """A pick after some actions; None where one of them cannot be done."""
        for action in actions:
            after = self.of(part, pick).get(action)
            if after is None:
                return None
            pick = after
        return pick


def _grown(part: StageSpace, pick: Pick, action: Action) -> Pick | None:
    """A pick after an action; None where something of it cannot be done."""
    values, depth = pick.mapping, pick.depth
    leaves = _leaves(part, values)
    width, inner, absent = action.wider
    kernel, deeper = action.deeper in (1, 2), action.deeper in (0, 2)
    before = values.get(WIDTH)
    if width and not _enlarge(values, leaves, lambda path: path == WIDTH):
        return None
    if width:
        _keep_inner(values, leaves, before)
    if inner and not _enlarge(values, leaves, lambda path: _last(path) == EXPANSION):
        return None
    if absent and not _enlarge(values, leaves, lambda path: values[path] is None):
        return None
    if kernel and not _enlarge(values, leaves, lambda path: _last(path) == KERNEL):
        return None
    if deeper:
        more = min((d for d in part.depth if d > depth), default=None)
        if more is None:
            return None
        depth = more
    return Pick(tuple(values.items()), depth)


def _leaves(part: StageSpace, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The choices of a part that are open, with its forks as they are."""
    for variant in variants(part.block):
        if all(values.get(path) == value for path, value in variant.forks):
            return dict(variant.leaves)
    return {}


def _enlarge(values: dict[str, Any], leaves: Mapping[str, Any], which: Any) -> bool:
    """Let some choices take the next larger value; whether any did."""
    larger = {
        path: value
        for path, leaf in leaves.items()
        if which(path) and (value := _larger(leaf.options(values.get(WIDTH)), values[path]))
    }
    values.update(larger)
    return bool(larger)


def _larger(options: Sequence[Any], value: Any) -> Any:
    """The next larger of some numbers, or the first module instead of none; None without one."""
    if value is None:
        return next((option for option in options if option is not None), None)
    if not _is_number(value):
        return None
    return min((o for o in options if _is_number(o) and o > value), default=None)


def _keep_inner(values: dict[str, Any], leaves: Mapping[str, Any], before: int | None) -> None:
    """Inner widths that are given as ratios of the width stay at least as large as they were."""
    for path, leaf in leaves.items():
        if isinstance(leaf, InnerWidths) and before:
            inner, options = before * values[path], leaf.options(values[WIDTH])
            enough = [option for option in options if option * values[WIDTH] >= inner]
            values[path] = min(enough, default=options[-1])


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Fraction) and not isinstance(value, bool)


# -- what was learnt ---------------------------------------------------------------------------
class _Learnt:
    """What follows from the trials so far: which networks are starts, and the controller after the
    steps that they make up.

    What the actors did is read from the networks themselves, so that it does not matter who asked
    for them, and in which order they came back.
    """

    def __init__(self, members: Members, strategy: EAS) -> None:
        self.smallest = _small(members, strategy.seed)
        self._members, self._stage = members, strategy.stage
        self._moves, self._rewards = Moves(members.space), _Rewards()
        self._controller = (
            _Controller(members.space, strategy.seed) if strategy.controller else None
        )
        self._best: list[tuple[float, int, Point]] = []
        self._batch: list[tuple[Sequence[Decision], float]] = []
        self._told = 0

    def follow(self, history: History) -> None:
        """Read the trials that came since the last time."""
        start, self._told = self._told, len(history.trials)
        for trial, loss in zip(history.trials[start:], history.losses(start)[:, 0], strict=True):
            if np.isfinite(loss):
                reward = self._rewards.of(-float(loss))
                if self._controller is not None:
                    self._learn(self._controller, trial, reward)
                insort(self._best, (float(loss), trial.number, trial.point), key=lambda b: b[:2])

    def starts(self, number: int) -> Iterator[Point]:
        """What the candidate of this number, counted from 0, begins at, and if that leads to
        nothing new."""
        stage = number // self._stage
        if stage == 0:
            yield self.smallest
        known = (point for _, n, point in self._best if n < stage * self._stage or stage == 0)
        yield from islice(known, STARTS)

    def _learn(self, controller: _Controller, trial: Trial, reward: float) -> None:
        for start in self.starts(trial.number):
            way = self._moves.way(start, trial.point)
            if way is not None and trial.point != start:  # a start was not chosen by the actors
                self._batch.append((way, reward))
                break
        if len(self._batch) == BATCH:
            controller.learn(self._batch, self._moves)
            self._batch = []

    def grown(self, start: Point, rng: Random) -> Point:
        """A member that the actors lead to: of what they say all that budgets allow."""
        point = start
        for _ in range(WIDER_STEPS):
            point = self._widened(point, rng)
        for _ in range(DEEPER_STEPS):
            point = self._deepened(point, rng)
        return point

    def _widened(self, point: Point, rng: Random) -> Point:
        chances = self._read(point).wider
        wanted = []
        for part, pick in enumerate(point):
            able = self._moves.wider(part, pick)
            said = tuple(
                can and rng.random() < chance
                for can, chance in zip(able, chances[part], strict=True)
            )
            if any(said):
                wanted.append((part, self._moves.of(part, pick)[Action(said)]))
        rng.shuffle(wanted)
        for part, pick in (*wanted, *wanted):  # one may make room for another
            point = self._with(point, part, pick)
        return point

    def _deepened(self, point: Point, rng: Random) -> Point:
        actors, able = self._read(point), [self._moves.deeper(*own) for own in enumerate(point)]
        places = [*(part for part, own in enumerate(able) if any(own)), len(point)]
        (place,) = rng.choices(places, [actors.where[part] for part in places])
        if place == len(point):
            return point
        whats = [what for what, can in enumerate(able[place]) if can]
        chances = actors.what(place)
        (what,) = rng.choices(whats, [chances[what] for what in whats])
        return self._with(point, place, self._moves.of(place, point[place])[SINGLE_DEEPER[what]])

    def _with(self, point: Point, part: int, pick: Pick) -> Point:
        """With another pick where that is a member, or as it was."""
        changed = (*point[:part], pick, *point[part + 1 :])
        return changed if changed in self._members else point

    def _read(self, point: Point) -> Actors:
        return _uniform(len(point)) if self._controller is None else self._controller.read(point)


class _Rewards:
    """Rewards of values (large is good), of which each tells the scale of those after it."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def of(self, value: float) -> float:
        self._values.append(value)
        if 0 <= value <= 1:
            return math.tan(min(value, 0.999) * math.pi / 2)
        return (value - float(np.mean(self._values))) / (float(np.std(self._values)) or 1.0)


# -- the controller ----------------------------------------------------------------------------
@dataclass(frozen=True)
class Actors:
    """What the actors say of one network, as weights that need not sum to one: how likely each of
    ``WIDER`` is for every part; ``where`` to deepen, the last being nowhere; ``what`` of ``DEEPER``
    to do in a part."""

    wider: Sequence[Sequence[float]]
    where: Sequence[float]
    what: Callable[[int], Sequence[float]]


def _uniform(parts: int) -> Actors:
    """Actors to which everything is as likely."""
    wider = [(0.5,) * len(WIDER)] * parts
    return Actors(wider, (1.0,) * (parts + 1), lambda part: (1.0,) * len(DEEPER))


class _Controller:
    """The encoder and the actors, and how they learn."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        import torch
        from torch import nn

        self._space = space
        self._baseline: float | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._net: Any = nn.ModuleDict(
                {
                    "value": nn.Linear(len(WIDER) + len(DEEPER) - 1, TOKEN),
                    "place": nn.Embedding(len(space.parts), TOKEN),
                    "encoder": nn.LSTM(TOKEN, HIDDEN, bidirectional=True, batch_first=True),
                    "wider": nn.Linear(2 * HIDDEN, len(WIDER)),
                    "begin": nn.Embedding(1, TOKEN),
                    "decoder": nn.LSTMCell(TOKEN, 2 * HIDDEN),
                    "where": nn.Linear(2 * HIDDEN, len(space.parts) + 1),
                    "what": nn.Linear(2 * HIDDEN, len(DEEPER)),
                }
            )
        self._optimiser = torch.optim.Adam(self._net.parameters(), RATE)
        self._read: dict[Point, Actors] = {}
        self._rows: dict[tuple[int, Pick], list[float]] = {}

    def read(self, point: Point) -> Actors:
        """What the actors say of a network."""
        import torch

        if point in self._read:
            return self._read[point]
        with torch.no_grad():
            wider, where, what = self._said([point])

        def chances(part: int) -> list[float]:
            with torch.no_grad():
                found: list[float] = what(torch.tensor([part]))[0].softmax(0).tolist()
            return found

        own = Actors(wider[0].sigmoid().tolist(), where[0].softmax(0).tolist(), chances)
        self._read[point] = own
        return own

    def learn(self, batch: Sequence[tuple[Sequence[Decision], float]], moves: Moves) -> None:
        """One step of REINFORCE, with a moving average as the baseline, on decisions and what each
        of them together brought."""
        import torch

        mean = float(np.mean([reward for _, reward in batch]))
        before = mean if self._baseline is None else self._baseline
        self._baseline = before + MOMENTUM * (mean - before)
        gains = [reward - before for decisions, reward in batch for _ in decisions]
        likelihood, entropy = self._likelihood([d for own, _ in batch for d in own], moves)
        gain = (torch.tensor(gains) * likelihood).sum() + ENTROPY * entropy.sum()
        self._optimiser.zero_grad()
        (-gain / len(batch)).backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._read.clear()

    def _said(self, points: Sequence[Point]) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Logits of both actors for some networks: of shape (networks, parts, ``WIDER``),
        (networks, parts + 1), and, called with a part of each, (networks, ``DEEPER``)."""
        import torch

        net = self._net
        rows = [[self._row(*own) for own in enumerate(point)] for point in points]
        tokens = net["value"](torch.tensor(rows)) + net["place"].weight
        read, (hidden, cell) = net["encoder"](tokens)
        state = torch.cat([*hidden], 1), torch.cat([*cell], 1)
        state = net["decoder"](net["begin"].weight.expand(len(points), TOKEN), state)

        def what(place: Tensor) -> Tensor:
            chosen = tokens[torch.arange(len(points)), place]
            logits: Tensor = net["what"](net["decoder"](chosen, state)[0])
            return logits

        return net["wider"](read), net["where"](state[0]), what

    def _row(self, part: int, pick: Pick) -> list[float]:
        row = self._rows.get((part, pick))
        if row is None:
            row = self._rows[part, pick] = _numbers(self._space.parts[part], pick)
        return row

    def _likelihood(self, decisions: Sequence[Decision], moves: Moves) -> tuple[Tensor, Tensor]:
        """Of every decision its log-likelihood among those that were open, and their entropy."""
        import torch
        from torch.distributions import Bernoulli, Categorical

        nowhere = len(self._space.parts)
        widening = torch.tensor([own.wider is not None for own in decisions])
        none = [SINGLE_WIDER[0].wider] * nowhere
        done = torch.tensor([own.wider or none for own in decisions], dtype=torch.float32)
        able = [[moves.wider(*each) for each in enumerate(own.point)] for own in decisions]
        deeper = [[moves.deeper(*each) for each in enumerate(own.point)] for own in decisions]
        places = torch.tensor([own.place for own in decisions])
        whats = torch.tensor([own.what or 0 for own in decisions])
        acts = torch.tensor([own.what is not None for own in decisions])
        open_ = [[*map(any, own), True] for own in deeper]
        there = [
            own[decision.place] if decision.what is not None else [True] * len(DEEPER)
            for own, decision in zip(deeper, decisions, strict=True)
        ]
        wide, where_, what_ = self._said([own.point for own in decisions])
        wider: Any = Bernoulli(logits=wide)
        where: Any = Categorical(logits=where_.masked_fill(~torch.tensor(open_), NEVER))
        inside = places.clamp(max=nowhere - 1)
        what: Any = Categorical(logits=what_(inside).masked_fill(~torch.tensor(there), NEVER))

        def total(widens: Tensor, wheres: Tensor, whats_: Tensor) -> Tensor:
            own = (widens * torch.tensor(able)).sum((1, 2))
            return torch.where(widening, own, wheres + acts * whats_)

        return (
            total(wider.log_prob(done), where.log_prob(places), what.log_prob(whats)),
            total(wider.entropy(), where.entropy(), what.entropy()),
        )


def _numbers(part: StageSpace, pick: Pick) -> list[float]:
    """A pick as the controller reads it: for width, expansion, modules, kernel and depth how far up
    among the values there are, from 0 to 1."""
    values = pick.mapping
    leaves = _leaves(part, values)
    kinds: tuple[Any, ...] = (
        lambda path: path == WIDTH,
        lambda path: _last(path) == EXPANSION,
        lambda path: None in leaves[path].options(values.get(WIDTH)),
        lambda path: _last(path) == KERNEL,
    )
    found = []
    for kind in kinds:
        paths = [path for path in leaves if kind(path)]
        ranks = [_rank(leaves[path].options(values.get(WIDTH)), values[path]) for path in paths]
        found.append(sum(ranks) / len(ranks) if ranks else 0.0)
    return [*found, _rank(part.depth, pick.depth)]


def _rank(options: Sequence[Any], value: Any) -> float:
    return list(options).index(value) / max(len(options) - 1, 1)
