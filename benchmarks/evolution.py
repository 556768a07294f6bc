"""The evolutionary search DeepMAD was released with, beside the solver, on the R18 configuration.

    python benchmarks/evolution.py [--evaluations 20000] [--seeds 3] [--full]

Three ways to the same objective in one language: the port of the search with a cached closed form
(released_search.py), the same search with archsearch's objective computed from each candidate's
layers, and the program. ``--full`` runs all 500,000 evaluations; otherwise CPU time is
extrapolated per evaluation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from certificate import CASES, Case
from measure import alone, print_table
from released_search import Evaluator, Net, Search, architecture, trace

from archsearch.explorers.program import space_program
from archsearch.loading import find_objective, find_space
from archsearch.objectives import Entropy
from archsearch.solver import solve

ALL = 500_000
TARGET = 35_338.0
"""Mean objective of the original search, last block repaired, after 500,000 evaluations."""

CHECKPOINTS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, ALL)
MEANS = {
    False: (11_469, 14_340, 21_895, 26_720, 28_520, 29_179, 29_300, 29_314, 29_316),
    True: (10_921, 13_737, 21_718, 28_631, 32_688, 34_358, 35_152, 35_242, 35_338),
}
"""What 15 seeds of the original search reach on average, as released and repaired."""


@dataclass(frozen=True)
class Run:
    """Best objective at checkpoints, and CPU seconds at the end and where TARGET was passed."""

    best: dict[int, float]
    cpu: float
    passed: float | None


def evolved(seed: int, repaired: bool, evaluations: int) -> Run:
    """One run of the port."""
    search, start = Search(Evaluator(), seed, repaired), time.process_time()
    best, passed = {}, None
    checkpoints = [*(n for n in CHECKPOINTS if n < evaluations), evaluations]
    for checkpoint in checkpoints:
        while search.evaluations < checkpoint:
            step = min(1_000, checkpoint - search.evaluations)
            search.run(step)
            if passed is None and search.best[0] >= TARGET:
                passed = time.process_time() - start
        best[checkpoint] = search.best[0]
    return Run(best, time.process_time() - start, passed)


class FromLayers(Evaluator):
    """The same search where every candidate is traced and its layers are summed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        objective = find_objective("deepmad-released")
        assert isinstance(objective, Entropy)
        self._objective = objective

    def feasible(self, net: Net) -> float | None:
        network, own = architecture(net), self._objective
        assert own.costs is not None
        nodes = list(network.trace().nodes())
        params, macs = (sum(map(own.costs[name], nodes)) for name in ("params", "macs"))
        within = params <= self.params and macs <= self.macs
        return own.value(network) if within and own.effectiveness(network) <= self.rho else None


def evolved_from_layers(evaluations: int) -> float:
    """CPU seconds of the search whose candidates are traced, early in its way."""
    search, start = Search(FromLayers(), repaired=True), time.process_time()
    trace(search, (evaluations,))
    return time.process_time() - start


def programmed(case: Case) -> dict[str, float]:
    """CPU seconds: tables, then solving until TARGET is first passed, and until the gap is 1 %."""
    start = time.process_time()
    budgets = {"params": case.params, "macs": case.macs}
    problem = space_program(find_space(case.space), case.objective(), budgets)
    tables = time.process_time() - start
    passed: list[float] = []

    def watch(seconds: float, value: float | None, bound: float, nodes: int) -> None:
        if value is not None and value >= TARGET and not passed:
            passed.append(time.process_time() - start - tables)

    found = solve(problem.program, gap=0.01, time_limit=120, on_progress=watch)
    end = time.process_time() - start - tables
    return {"tables": tables, "passed": passed[0] if passed else end, "end": end} | {
        "value": found.value, "gap": found.gap,
    }  # fmt: skip


def quality(runs: Sequence[Run], repaired: bool) -> None:
    """The port's best objectives beside the original's."""
    rows = []
    for checkpoint in runs[0].best:
        values = [run.best[checkpoint] for run in runs]
        known = dict(zip(CHECKPOINTS, MEANS[repaired], strict=True)).get(checkpoint)
        rows.append(
            (
                f"{checkpoint:,}", f"{mean(values):,.0f}", f"{min(values):,.0f}",
                f"{max(values):,.0f}", f"{known:,}" if known else "-",
            )
        )  # fmt: skip
    title = "last block repaired" if repaired else "as released (last block never changes)"
    header = ("evaluations", f"port, mean of {len(runs)}", "least", "most", "original, mean of 15")
    print_table(f"Evolutionary search on R18, {title}", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help=f"{ALL:,} evaluations")
    args = parser.parse_args()
    evaluations = ALL if args.full else args.evaluations
    runs = {
        repaired: [alone(evolved, seed, repaired, evaluations).result for seed in range(args.seeds)]
        for repaired in (False, True)
    }
    for repaired, own in runs.items():
        quality(own, repaired)
    solver = alone(programmed, CASES[0]).result
    port = mean(run.cpu for run in runs[True]) * ALL / evaluations
    layers = alone(evolved_from_layers, 300).result * ALL / 300
    comparison(solver, port, layers, [run.passed for run in runs[True]], evaluations)


def comparison(
    solver: dict[str, float],
    port: float,
    layers: float,
    passed: Sequence[float | None],
    evaluations: int,
) -> None:
    found = solver["passed"]
    rows = [
        (
            name, f"{seconds:,.2f}", f"{seconds / found:,.1f}x",
            f"{seconds / (found + solver['tables']):,.1f}x",
        )
        for name, seconds in (
            (f"search, cached closed form, {ALL:,} evaluations", port),
            (f"search, each candidate's layers, {ALL:,} evaluations (extrapolated)", layers),
            (f"solver, tables given, to {TARGET:,.0f}", found),
            (f"solver with building the tables, to {TARGET:,.0f}", found + solver["tables"]),
            (f"solver to a proven gap of {solver['gap']:.2%}", solver["end"]),
        )
    ]  # fmt: skip
    header = ("way", "CPU s", "over solver", "over solver with tables")
    print_table("CPU seconds in Python, R18", header, rows)
    reached = [f"{seconds:.1f} s" for seconds in passed if seconds is not None]
    print(
        f"\n{len(reached)} of {len(passed)} runs of the port passed {TARGET:,.0f} within "
        f"{evaluations:,} evaluations{': ' if reached else ''}{', '.join(reached)}"
        f"\nthe solver's network: {solver['value']:,.1f}"
    )


if __name__ == "__main__":
    main()
