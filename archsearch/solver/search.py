"""The face of the solver: `solve`.

Best-first branch and bound over the relaxation of lagrangian.py. The bound reported is the
largest over the open parts of the space and the target against which the rest was discarded.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from archsearch.solver.branch import Node, Outcome, Settings, compact, process
from archsearch.solver.chain import Program
from archsearch.solver.diverse import diverse
from archsearch.solver.evaluate import evaluate
from archsearch.solver.expand import Expanded, expand
from archsearch.solver.feasible import Infeasibility, find_feasible, single_budget
from archsearch.solver.lagrangian import Relaxation
from archsearch.solver.primal import Archive, Candidate, beam, neighbourhoods, windows, without
from archsearch.solver.reduce import prefix_ranges, within_budgets
from archsearch.solver.root import (
    Root,
    entropy_ceilings,
    entropy_limits,
    thin,
    tune_full,
    tune_thin,
)
from archsearch.solver.solution import Progress, Solution
from archsearch.solver.tables import Table, build


def solve(
    program: Program,
    *,
    gap: float = 0.01,
    time_limit: float = 60.0,
    count: int = 1,
    on_progress: Progress | None = None,
    settings: Settings | None = None,
    slack: Callable[[float], float] | None = None,
) -> Solution:
    """Maximise `program`, proving a bound until it is within `gap` (relative) of the incumbent; or,
    with ``slack``, until it is no more than ``slack(value)`` above an incumbent of that value.

    ``count`` asks for that many diverse solutions. Nothing in the search is random: two runs that
    stop by gap agree.

    Raises:
        KeyboardInterrupt: if interrupted before any feasible solution is known; afterwards the
            interrupt ends the search and the best so far is returned with its bound.
    """
    expanded = expand(program)
    searched = program if expanded is None else expanded.program
    search = _Search(searched, gap, time_limit, on_progress, settings or Settings(), slack)
    try:
        status = search.run()
    except KeyboardInterrupt:
        if search.archive.best is None:
            raise
        status = "interrupted"
    if count > 1 and status != "interrupted" and search.whole is not None:
        with suppress(KeyboardInterrupt):  # what is proved and found stands without them
            search.alternatives(search.whole)
    solution = search.solution(status, count)
    return solution if expanded is None else _original(program, solution, expanded)


def _original(program: Program, solution: Solution, expanded: Expanded) -> Solution:
    """The solution in the choices of the program that was expanded, judged there once more."""
    if solution.assignment is None:
        return solution
    assignments = [expanded.original(candidate.assignment) for candidate in solution.solutions]
    candidates = [Candidate(a, evaluate(program, a).value) for a in assignments]
    return replace(
        solution,
        assignment=candidates[0].assignment,
        value=candidates[0].value,
        solutions=tuple(candidates),
    )


class _OutOfTime(Exception):
    """The time limit passed."""


class _Search:
    """One run: the open nodes, the archive and the clock."""

    def __init__(
        self,
        program: Program,
        gap: float,
        time_limit: float,
        on_progress: Progress | None,
        settings: Settings,
        slack: Callable[[float], float] | None,
    ) -> None:
        self.program = program
        self.slack = slack or (lambda value: gap * abs(value))
        self.deadline = time.perf_counter() + time_limit
        self.started = time.perf_counter()
        self.on_progress = on_progress
        self.settings = settings
        self.relaxation = Relaxation(program)
        self.archive = Archive(program)
        self.heap: list[tuple[float, int, Node]] = []
        self.tickets = itertools.count()
        self.ceiling = np.inf
        self.discarded = -np.inf
        self.in_hand = -np.inf
        self.nodes = 0
        self.polished: Candidate | None = None
        self.exchanges: Iterator[list[Table]] = iter(())
        self.trace: list[tuple[float, float | None, float]] = []
        self.multipliers = dict.fromkeys(program.budgets, 0.0)
        self.infeasibility: Infeasibility | None = None
        self.core: Root | None = None
        self.whole: Root | None = None

    # -- what is known ------------------------------------------------------------------------

    def target(self) -> float:
        """What a solution must beat to matter; -inf without an incumbent."""
        value = self.archive.value
        if not np.isfinite(value):
            return -np.inf
        return value + max(self.slack(value), 2e-9 * (1.0 + abs(value)))

    def bound(self) -> float:
        """A valid upper bound over the whole space."""
        opened = -self.heap[0][0] if self.heap else -np.inf
        best = max(opened, self.in_hand, self.discarded, self.archive.value)
        return min(best, self.ceiling)

    def report(self) -> None:
        """Record progress and tell the caller."""
        elapsed = time.perf_counter() - self.started
        incumbent = self.archive.best.value if self.archive.best else None
        bound = self.bound()
        if not self.trace or self.trace[-1][1:] != (incumbent, bound):
            self.trace.append((elapsed, incumbent, bound))
        if self.on_progress is not None:
            self.on_progress(elapsed, incumbent, bound, self.nodes)

    def check_time(self) -> None:
        if time.perf_counter() > self.deadline:
            raise _OutOfTime

    # -- the search ---------------------------------------------------------------------------

    def run(self) -> str:
        """Search until proved, out of time or infeasible; the status."""
        try:
            core = self.prepare()
            if core is not None:
                self.grow(core)
        except _OutOfTime:
            self.report()
            return "time limit"
        self.report()
        if self.archive.best is None:
            if self.infeasibility is None:
                self.infeasibility = Infeasibility(
                    "nothing meets all budgets and constraints together"
                )
            return "infeasible"
        return "optimal within gap"

    def prepare(self) -> Root | None:
        """The root: tables, ranges, first incumbents; None when nothing is left to search."""
        self.in_hand = np.inf
        tables: list[Table] | None = [build(slot) for slot in self.program.slots]
        assert tables is not None
        self.infeasibility = single_budget(self.program, tables)
        if self.infeasibility is not None:
            return None
        tables = within_budgets(self.relaxation, tables)
        if tables is None:
            return None
        limits = prefix_ranges(self.relaxation, tables)
        limits = entropy_ceilings(self.relaxation, tables, limits)
        self.check_time()
        root = self.whole = Root(tables, np.inf, self.relaxation.zero(), limits)
        for round_number in range(4):
            before = sum(table.size for table in root.tables)
            small, root = tune_thin(self.relaxation, root, 80 if round_number == 0 else 30)
            self.check_time()
            self.seek(small, root)
            tuned = tune_full(self.relaxation, root, self.target(), 8)
            self.discarded = max(self.discarded, self.target())
            if tuned is None:
                self.in_hand = -np.inf
                return None
            root = tuned
            self.whole = replace(self.whole, prices=root.prices)
            self.ceiling = min(self.ceiling, max(root.bound, self.discarded))
            self.multipliers = dict(
                zip(self.program.budgets, root.prices.budget.tolist(), strict=True)
            )
            self.report()
            self.check_time()
            if self.archive.best is None:
                self.first_solution(root)
            if self.archive.best is not None:
                root.ranges = entropy_limits(self.relaxation, root, self.target())
            self.check_time()
            after = sum(table.size for table in root.tables)
            if round_number and after > 0.8 * before:
                break
        return root

    def seek(self, tables: Sequence[Table], root: Root) -> None:
        """Beams for better incumbents on thinned tables, in windows of the depths that count."""
        if self.program.evenness is None:
            self.beam(tables, root, 12)
            return
        centres = [] if root.depths is None else [root.depths.tolist()]
        if self.archive.best is not None:
            centres.append([float(depth) for _, depth in self.archive.best.assignment])
        for centre in centres:
            for reach in (4, 2, 1):
                self.beam(windows(self.relaxation, tables, centre, reach), root, 12)

    def first_solution(self, root: Root) -> None:
        """Any feasible solution, when the objective did not lead to one."""
        found = find_feasible(self.program, root.tables, root.ranges, self.deadline)
        if found is not None:
            self.archive.take(found)

    def beam(self, tables: Sequence[Table], root: Root, steps: int) -> None:
        self.check_time()
        beam(
            self.relaxation,
            tables,
            root.prices,
            root.ranges,
            self.archive,
            steps=steps,
            width=self.settings.beam_width,
            most=self.settings.beam_pairs,
            target=self.archive.value,
        )

    def alternatives(self, root: Root) -> None:
        """Near-best solutions that do without one choice of the incumbent each."""
        if self.archive.best is None:
            return
        for slot in range(len(root.tables)):
            tables = without(root.tables, self.archive.best.assignment, slot)
            if tables is not None:
                beam(
                    self.relaxation,
                    thin(tables),
                    root.prices,
                    root.ranges,
                    self.archive,
                    steps=10,
                    width=self.settings.beam_width,
                    most=self.settings.beam_pairs,
                    target=-np.inf,
                )

    def polish(self, root: Root) -> None:
        """Try one more exchange of up to three slots of the incumbent."""
        if self.archive.best is None:
            return
        if self.polished is not self.archive.best:
            self.polished = self.archive.best
            self.exchanges = neighbourhoods(root.tables, self.polished.assignment, 3)
        tables = next(self.exchanges, None)
        if tables is not None:
            self.beam(tables, root, 6)

    def grow(self, core: Root) -> None:
        """Branch and bound from the core."""
        self.core = core
        self.in_hand = -np.inf
        first = Node(
            core.bound,
            compact(core.tables, core.tables),
            None,
            core.prices,
            core.ranges,
        )
        self.push(first)
        while self.heap and self.bound() > self.target():
            self.check_time()
            _, _, node = heapq.heappop(self.heap)
            self.in_hand = node.bound
            outcome = process(node, core.tables, self.relaxation, self.target(), self.settings)
            self.nodes += 1
            self.close(node, outcome)
            self.in_hand = -np.inf
            self.report()

    def push(self, node: Node) -> None:
        heapq.heappush(self.heap, (-node.bound, next(self.tickets), node))

    def close(self, node: Node, outcome: Outcome) -> None:
        """Take in what a node gave."""
        self.discarded = max(self.discarded, min(self.target(), node.bound))
        if not outcome.children:
            self.discarded = max(self.discarded, outcome.bound)
        for child in outcome.children:
            self.push(child)
        if outcome.tuned is not None and outcome.before is not None:
            for path, cut in zip(outcome.tuned.paths, outcome.tuned.cuts, strict=True):
                if (cut.totals <= self.relaxation.allowance).all():
                    self.archive.take_path(outcome.before, path)
        if outcome.found is not None:
            self.archive.take(outcome.found)
        self.improve(node, outcome)

    def improve(self, node: Node, outcome: Outcome) -> None:
        """Every few nodes, seldom enough to cost a fraction of the time, look for incumbents."""
        every = self.settings.beam_every
        if outcome.after is not None and self.nodes % min(every, 1 + self.nodes // 10) == 0:
            assert outcome.tuned is not None
            part = Root(outcome.after, node.bound, outcome.tuned.prices, node.ranges)
            self.beam(outcome.after, part, 1)
        if self.core is not None and self.nodes % every == every // 2:
            self.polish(self.core)

    def solution(self, status: str, count: int) -> Solution:
        best = self.archive.best
        bound = self.bound()
        if best is None:
            bound = -np.inf if status == "infeasible" else bound
            return Solution(
                None,
                -np.inf,
                bound,
                np.inf,
                status,
                self.nodes,
                tuple(self.trace),
                self.multipliers,
                (),
                self.infeasibility,
            )
        relative = max(0.0, bound - best.value) / max(abs(best.value), 1e-12)
        return Solution(
            best.assignment,
            best.value,
            bound,
            relative,
            status,
            self.nodes,
            tuple(self.trace),
            self.multipliers,
            diverse(self.archive.known, best, count),
        )
