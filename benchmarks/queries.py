"""How many evaluations do strategies need? On tables of measured networks, without training.

    python benchmarks/queries.py TABLE.csv[.gz] --column mean_acc [--cost flops] [--runs 200]
    python benchmarks/queries.py --mobile [--runs 3]

The table is the truth: asking for a network looks it up. Queries are counted until the best one of
the table is met, for seeds 0 to runs - 1, no network twice; a run that has not met it by ``--most``
counts as that many. With a cost, the hypervolume of value and cost, from the worst of the table on,
over that of all its networks. ``--mobile`` asks for networks of the space mobile, the truth being
the shipped objective imagenet-mobile, whose best within the budget the program knows: queries until
a network is within 0.05 points of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from typing import Any

import numpy as np
import numpy.typing as npt
from measure import print_table

from archsearch import design
from archsearch.blocks.plain import ConvNormAct
from archsearch.budget import parse_budgets
from archsearch.fitted import Fitted
from archsearch.loading import find_objective, find_space
from archsearch.members import Members
from archsearch.members.within import SpaceMembers
from archsearch.operators.activation import SiLU
from archsearch.operators.convolution import Convolution
from archsearch.proposals import hypervolume
from archsearch.search.strategies import STRATEGIES
from archsearch.space import Choice, Point, StageSpace
from archsearch.strategies import Strategy
from archsearch.tabular import read_benchmark
from archsearch.trials import Goal, History, Trial

Array = npt.NDArray[np.float64]

SLOW = dict.fromkeys(("tpe", "gp", "nsga3", "cmaes", "qmc"), 20)
"""Strategies that take seconds for hundreds of candidates, and how many runs they get at most."""

SINGLE = ("cmaes", "eas")
"""Strategies that take a single goal."""

POINTS = (50, 100, 200)
"""After how many queries the hypervolume is told."""

BUDGET = "5M-params, 400M-macs"
CLOSE = 0.05


@dataclass(frozen=True)
class Truth:
    """Which table is searched, and by which columns; ``encoding`` are those that say which network
    a row is, where there are several."""

    table: str
    column: str
    cost: str | None
    encoding: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def looked_up(truth: Truth) -> tuple[Members, dict[str, tuple[float, ...]], Array]:
    """The members, the values of each by its key, and the values of all, (members, goals)."""
    costs = None if truth.cost is None else [truth.cost]
    table = read_benchmark(truth.table, truth.encoding or None, costs)
    members = table.members()
    points = members.listed()
    columns = [table.values(truth.column, points)]
    columns += [table.values(truth.cost, points)] if truth.cost else []
    values = np.stack(columns, axis=1)
    keys = [members.key(point) for point in points]
    return members, {k: tuple(row) for k, row in zip(keys, values.tolist(), strict=True)}, values


def run(
    strategy: Strategy,
    members: Members,
    value: Callable[[Point], tuple[float, ...]],
    goals: Sequence[Goal],
    most: int,
    enough: float = np.inf,
) -> History:
    """One search, candidate by candidate, until ``most`` or a first value that is ``enough``."""
    history = History(goals)
    while len(history.trials) < most:
        for point in strategy.ask(members, history, 1):
            number, own = history.ask(point, members.key(point)), value(point)
            history.tell(Trial(number, point, members.key(point), "finished", own))
        if history.trials[-1].values[0] >= enough or not history.asked:
            break
    return history


def queries(truth: Truth, name: str, seed: int, most: int) -> int:
    """Queries until the best network of a table is met."""
    members, known, values = looked_up(truth)
    best = float(values[:, 0].max())
    one = (Goal(truth.column),)
    strategy = STRATEGIES[name](seed)
    found = run(strategy, members, lambda p: known[members.key(p)][:1], one, most, best)
    return len(found.trials)


def volumes(truth: Truth, name: str, seed: int) -> list[float]:
    """Hypervolume over that of all networks, after each of ``POINTS``."""
    members, known, values = looked_up(truth)
    assert truth.cost is not None
    cost = {"flops": "macs"}.get(truth.cost.lower(), truth.cost)
    goals = (Goal(truth.column), Goal(cost, higher_is_better=False, known=True))
    strategy = STRATEGIES[name](seed)
    losses = run(strategy, members, lambda p: known[members.key(p)], goals, POINTS[-1]).losses()
    every = values * np.array([-1.0, 1.0])
    worst = every.max(axis=0)
    whole = hypervolume(every, worst)
    return [hypervolume(losses[:n], worst) / whole for n in POINTS]


def mobile(name: str, seed: int, most: int) -> int:
    """Queries until within ``CLOSE`` of the best network of the space mobile within ``BUDGET``."""
    objective, best = mobile_truth()
    members = mobile_members()
    found = run(
        STRATEGIES[name](seed),
        members,
        lambda point: (objective.predict(point),),
        (Goal("accuracy"),),
        most,
        best - CLOSE,
    )
    return len(found.trials)


@lru_cache(maxsize=1)
def mobile_truth() -> tuple[Fitted, float]:
    """The hidden objective, and its largest value within the budget."""
    objective = find_objective("imagenet-mobile")
    assert isinstance(objective, Fitted)
    return objective, design(BUDGET, "mobile", objective).networks[0].value


@lru_cache(maxsize=1)
def mobile_members() -> Members:
    space = find_space("mobile")
    width: Any = Choice((1280,))
    block = ConvNormAct(width, conv=Convolution(), activation=SiLU())
    known = replace(
        space, stages=(*space.stages[:-1], StageSpace(block))
    )  # the objective knows no other
    return SpaceMembers(known, parse_budgets(BUDGET))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", nargs="?", help="CSV of encodings and what was measured")
    parser.add_argument("--mobile", action="store_true", help="search the space mobile instead")
    parser.add_argument("--column", default="mean_acc", help="what is to be made large")
    parser.add_argument("--cost", help="a second goal, to be made small")
    parser.add_argument("--encoding", help="columns that say which network a row is, with commas")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--most", type=int, default=1000, help="queries after which a run ends")
    parser.add_argument("--strategies", nargs="*", default=list(STRATEGIES), choices=STRATEGIES)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.mobile == (options.table is not None):
        parser.error("give a table, or --mobile")
    encoding = tuple((options.encoding or "").split(",")) if options.encoding else ()
    truth = Truth(options.table or "", options.column, options.cost, encoding)
    context = get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        rows, fronts = [], []
        for name in options.strategies:
            runs = min(options.runs, SLOW.get(name, options.runs))
            start, seeds = time.perf_counter(), range(runs)
            if options.mobile:
                counts = list(pool.map(mobile, [name] * runs, seeds, [options.most] * runs))
            else:
                each = [truth] * runs, [name] * runs, seeds
                counts = list(pool.map(queries, *each, [options.most] * runs))
            seconds = (time.perf_counter() - start) * options.workers / sum(counts)
            rows.append(_row(name, counts, options.most, seconds))
            print("|", " | ".join(rows[-1]), "|", file=sys.stderr, flush=True)
            if truth.cost and not options.mobile and name not in SINGLE:
                shares = np.array(list(pool.map(volumes, *each))).mean(axis=0)
                fronts.append([name, str(runs), *(f"{share:.3f}" for share in shares)])
                print("|", " | ".join(fronts[-1]), "|", file=sys.stderr, flush=True)
    what = f"within {CLOSE} points of the best" if options.mobile else "to the best"
    title = "space mobile, " + BUDGET if options.mobile else f"{options.table}, {truth.column}"
    header = ("strategy", "runs", "mean", "median", "sd", "worst", "not met", "ms a query")
    print_table(f"Queries {what}, {title}", header, rows)
    if fronts:
        header = ("strategy", "runs", *(f"after {n}" for n in POINTS))
        print_table(f"Hypervolume / true, {truth.column} and {truth.cost}", header, fronts)


def _row(name: str, counts: Sequence[int], most: int, seconds: float) -> list[str]:
    found = np.array(counts)
    return [
        name,
        str(len(found)),
        f"{found.mean():.1f}",
        f"{np.median(found):.0f}",
        f"{found.std():.1f}",
        str(found.max()),
        str(int((found >= most).sum())),
        f"{1000 * seconds:.0f}",
    ]


if __name__ == "__main__":
    main()
