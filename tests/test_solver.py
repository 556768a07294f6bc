"""The solver against brute force on small chain programs, and its promises about bounds.

Every optimum is recomputed by enumerating all chains through `evaluate`, which shares no code
with the solver.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import cache
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from archsearch.solver import (
    Assignment,
    Candidate,
    Effectiveness,
    Evenness,
    Product,
    Program,
    Settings,
    Slot,
    Solution,
    evaluate,
    ranges,
    solve,
)
from archsearch.solver.diverse import diverse

FEATURES = ("params", "macs", "entropy", "layers", "score")
BRANCHING = Settings(enumerate_pairs=0, enumerate_width=0, beam_width=20, beam_pairs=20)
"""Settings under which nothing is enumerated until a node is a single chain."""

quick = hypothesis_settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def chains(program: Program) -> list[Assignment]:
    """Every assignment of the program, fitting or not."""
    options = [
        [(j, depth) for j in range(slot.choices) for depth in range(slot.lo[j], slot.hi[j] + 1)]
        for slot in program.slots
    ]
    return [tuple((int(j), int(d)) for j, d in chain) for chain in itertools.product(*options)]


def brute_force(program: Program) -> tuple[float, Assignment | None]:
    """The best feasible value over all assignments."""
    best, winner = -math.inf, None
    for chain in chains(program):
        judged = evaluate(program, chain)
        if judged.feasible and judged.value > best:
            best, winner = judged.value, chain
    return best, winner


def random_slot(rng: np.random.Generator, in_states: int, largest: int) -> Slot:
    """A slot with random non-negative features, as the solver may meet it."""
    states = int(rng.integers(2, 5))
    choices = int(rng.integers(2, largest))
    rank = int(rng.integers(1, 4))
    basis = rng.uniform(0, 2, (in_states, rank))
    if rng.random() < 0.5:
        basis[:, 0] = 1.0
    lo = rng.integers(0 if rng.random() < 0.2 else 1, 3, choices)
    first = rng.uniform(0, 3, (choices, rank, len(FEATURES)))
    rest = rng.uniform(0, 3, (choices, len(FEATURES)))
    whole = FEATURES.index("layers")
    first[:, :, whole], rest[:, whole] = 0.0, rng.integers(1, 4, choices)
    ones = np.flatnonzero((basis == 1.0).all(axis=0))
    if len(ones):
        first[:, ones[0], whole] = rest[:, whole]
    low = high = allowed = None
    if rng.random() < 0.5:
        low = rng.integers(0, in_states, choices)
        high = np.minimum(low + rng.integers(0, in_states, choices), in_states - 1)
    elif rng.random() < 0.5:
        allowed = rng.random((in_states, choices)) < 0.7
    return Slot(
        states,
        rng.integers(0, states, choices),
        lo,
        lo + rng.integers(0, 3 if largest > 3 else 2, choices),
        basis,
        first,
        rest,
        low,
        high,
        allowed,
    )


def random_program(seed: int, objective: str, rho: str, tightness: float) -> Program:
    """A chain of 2 to 4 slots with budgets at `tightness` between their extremes."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 5))
    largest = {2: 8, 3: 5, 4: 3}[count]
    slots = [random_slot(rng, 1, largest)]
    for _ in range(count - 1):
        slots.append(random_slot(rng, slots[-1].out_states, largest))
    ends = {"one": [count - 1], "several": list(range(count))}.get(objective, [])
    products = tuple(
        Product(end, rng.uniform(-0.5, 2.0) * np.sort(rng.uniform(0.5, 4, slots[end].out_states)))
        for end in ends
    )
    evenness = None
    if rng.random() < 0.6:
        groups = tuple((i,) for i in range(count)) if count < 4 else ((0, 1), (2,), (3,))
        evenness = Evenness(float(rng.uniform(0.1, 3)), groups, rng.choice(["std", "var"]))
    effectiveness = {"none": (), "final": (count - 1,), "all": tuple(range(count))}[rho]
    program = Program(
        tuple(slots),
        FEATURES,
        {},
        products,
        evenness,
        tuple(Effectiveness(end, float(rng.uniform(0.3, 3)), 2.0) for end in effectiveness),
        "entropy",
        "layers",
        "score" if objective == "additive" or rng.random() < 0.4 else None,
        entropy_offset=float(rng.choice([0.0, 0.7])),
    )
    extremes = ranges(program)
    if not all(map(math.isfinite, itertools.chain(*extremes.values()))):
        return program
    budgets = {
        name: extremes[name][0] + tightness * (extremes[name][1] - extremes[name][0])
        for name in ("params", "macs")
    }
    return Program(
        program.slots,
        FEATURES,
        budgets,
        products,
        evenness,
        program.effectiveness,
        "entropy",
        "layers",
        program.score,
        entropy_offset=program.entropy_offset,
    )


def with_pairs(rng: np.random.Generator, score: float) -> Program:
    """A purely additive program with scores on neighbouring choices: states are the choices."""
    slots = []
    before = 1
    for _ in range(3):
        choices = int(rng.integers(2, 5))
        first = np.zeros((choices, before, 2))
        first[:, :, 0] = rng.uniform(0, 1, (choices, 1))
        first[:, :, 1] = score * rng.normal(size=(choices, before))
        ones = np.ones(choices, dtype=np.int64)
        slots.append(
            Slot(
                choices,
                np.arange(choices),
                ones,
                ones,
                np.eye(before),
                first,
                np.zeros((choices, 2)),
            )
        )
        before = choices
    return Program(tuple(slots), ("cost", "score"), {"cost": 1.6}, score="score")


programs = st.builds(
    random_program,
    seed=st.integers(0, 10**6),
    objective=st.sampled_from(["additive", "one", "several"]),
    rho=st.sampled_from(["none", "final", "all"]),
    tightness=st.sampled_from([0.03, 0.2, 0.5, 1.0]),
)


@quick
@given(program=programs, effort=st.sampled_from([Settings(), BRANCHING]))
def test_optimum_equals_brute_force(program: Program, effort: Settings) -> None:
    best, winner = brute_force(program)
    solution = solve(program, gap=0.0, time_limit=600.0, settings=effort)
    if winner is None:
        assert solution.status == "infeasible"
        assert solution.assignment is None
        assert solution.infeasibility is not None
        return
    assert solution.status == "optimal within gap"
    assert solution.value == pytest.approx(best, rel=1e-8, abs=1e-8)
    assert solution.bound >= best - 1e-12
    assert solution.bound <= best + 1e-7 * (1 + abs(best))
    assert solution.assignment is not None
    judged = evaluate(program, solution.assignment)
    assert judged.feasible
    assert judged.value == solution.value


@quick
@given(program=programs, effort=st.sampled_from([Settings(), BRANCHING]))
def test_bound_holds_at_every_step(program: Program, effort: Settings) -> None:
    best, winner = brute_force(program)
    assume(winner is not None)
    bounds: list[float] = []
    incumbents: list[float] = []

    def watch(elapsed: float, incumbent: float | None, bound: float, nodes: int) -> None:
        bounds.append(bound)
        if incumbent is not None:
            incumbents.append(incumbent)
        if nodes >= 3:
            raise KeyboardInterrupt

    try:
        solution = solve(program, gap=0.0, time_limit=600.0, on_progress=watch, settings=effort)
    except KeyboardInterrupt:
        solution = None
    assert min(bounds) >= best - 1e-9 * (1 + abs(best))
    assert all(value <= best + 1e-9 * (1 + abs(best)) for value in incumbents)
    if solution is not None:
        assert solution.bound >= best - 1e-9 * (1 + abs(best))


@quick
@given(program=programs, gap=st.sampled_from([0.01, 0.3]))
def test_promised_gap_is_kept(program: Program, gap: float) -> None:
    best, winner = brute_force(program)
    assume(winner is not None)
    solution = solve(program, gap=gap, time_limit=600.0)
    assert solution.value <= best + 1e-9 * (1 + abs(best))
    assert solution.bound >= best - 1e-9 * (1 + abs(best))
    assert solution.gap <= gap + 1e-7


@pytest.mark.parametrize("seed", range(15))
def test_pairs_through_states(seed: int) -> None:
    program = with_pairs(np.random.default_rng(seed), 1.0)
    best, _ = brute_force(program)
    solution = solve(program, gap=0.0, settings=BRANCHING)
    assert solution.value == pytest.approx(best, abs=1e-9)


@quick
@given(program=programs)
def test_ranges_equal_brute_force(program: Program) -> None:
    fitting = [
        judged
        for judged in (evaluate(program, chain) for chain in chains(program))
        if not any("accept" in text or "range" in text for text in judged.violations)
    ]
    assume(fitting)
    for name, (low, high) in ranges(program).items():
        totals = [judged.totals[name] for judged in fitting]
        assert low == pytest.approx(min(totals), abs=1e-9)
        assert high == pytest.approx(max(totals), abs=1e-9)


def two_budgets(params: float, macs: float) -> Program:
    """Two slots whose choices trade params against macs: their sum is 10 per slot."""
    cost = np.arange(0.0, 11.0)
    features = np.stack([cost, 10.0 - cost, np.ones(11)], axis=1)
    ones = np.ones(11, dtype=np.int64)
    slots = tuple(
        Slot(1, np.zeros(11), ones, ones, np.ones((1, 1)), features[:, None, :], 0 * features)
        for _ in range(2)
    )
    budgets = {"params": params, "macs": macs}
    return Program(slots, ("params", "macs", "score"), budgets, score="score")


def test_unreachable_budget_reports_the_smallest_total() -> None:
    program = random_program(7, "one", "none", 0.5)
    smallest = ranges(program)["params"][0]
    impossible = Program(
        program.slots,
        FEATURES,
        {"params": 0.5 * smallest, "macs": 1e9},
        program.products,
        entropy="entropy",
    )
    solution = solve(impossible)
    assert solution.status == "infeasible"
    assert solution.infeasibility is not None
    assert solution.infeasibility.feature == "params"
    assert solution.infeasibility.smallest == pytest.approx(smallest)


def test_conflicting_budgets_are_named() -> None:
    solution = solve(two_budgets(8.0, 8.0))
    assert solution.status == "infeasible"
    assert solution.infeasibility is not None
    assert solution.infeasibility.feature is None
    assert solve(two_budgets(10.0, 10.0)).status == "optimal within gap"


def test_several_solutions_are_feasible_and_distinct() -> None:
    program = random_program(11, "several", "final", 0.5)
    solution = solve(program, gap=0.0, count=4)
    assignments = [candidate.assignment for candidate in solution.solutions]
    assert len(set(assignments)) == len(assignments) > 1
    assert assignments[0] == solution.assignment
    for candidate in solution.solutions:
        judged = evaluate(program, candidate.assignment)
        assert judged.feasible
        assert judged.value == candidate.value <= solution.value


def test_an_alternative_is_good_before_it_is_different() -> None:
    def solution(*choices: int) -> Assignment:
        return tuple((choice, 1) for choice in choices)

    near = {solution(0, 0, 0, i): 10.0 - i for i in range(8)}
    known = near | {solution(1, 1, 0, 0): 7.5, solution(2, 2, 2, 2): -5.0}
    found = diverse(known, Candidate(solution(0, 0, 0, 0), 10.0), 3)
    assert [candidate.value for candidate in found] == [10.0, 9.0, 7.5]


def wide_program() -> Program:
    """A program too large to close at once."""
    rng = np.random.default_rng(3)
    states, choices = 12, 60
    slots = []
    before = 1
    for _ in range(5):
        first = rng.uniform(0, 1, (choices, 2, 3))
        basis = np.stack([np.ones(before), np.linspace(0, 1, before)], axis=1)
        slots.append(
            Slot(
                states,
                np.sort(rng.integers(0, states, choices)),
                np.ones(choices),
                np.full(choices, 6),
                basis,
                first,
                rng.uniform(0, 1, (choices, 3)),
            )
        )
        before = states
    return Program(
        tuple(slots),
        ("params", "macs", "entropy"),
        {"params": 6.0, "macs": 5.0},
        tuple(Product(end, np.linspace(1, 3, states)) for end in range(5)),
        Evenness(0.2, tuple((i,) for i in range(5)), "var"),
        entropy="entropy",
    )


@cache
def wide_answer(gap: float) -> Solution:
    return solve(wide_program(), gap=gap, time_limit=600.0)


def test_interrupt_returns_an_honest_result() -> None:
    reference = wide_answer(1e-3)

    def interrupt(elapsed: float, incumbent: float | None, bound: float, nodes: int) -> None:
        if incumbent is not None:
            raise KeyboardInterrupt

    solution = solve(wide_program(), gap=1e-6, on_progress=interrupt)
    assert solution.status == "interrupted"
    assert solution.assignment is not None
    assert evaluate(wide_program(), solution.assignment).feasible
    assert solution.value <= reference.bound
    assert solution.bound >= reference.value


def test_interrupt_without_a_solution_is_raised() -> None:
    def interrupt(elapsed: float, incumbent: float | None, bound: float, nodes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(two_budgets(8.0, 8.0), on_progress=interrupt)


def test_time_limit_returns_an_honest_result() -> None:
    reference = wide_answer(1e-3)
    solution = solve(wide_program(), gap=0.0, time_limit=0.05)
    assert solution.status == "time limit"
    assert solution.bound >= reference.value


def test_the_same_program_has_the_same_answer() -> None:
    first = wide_answer(5e-3)
    second = solve(wide_program(), gap=5e-3, time_limit=600.0)
    assert first.assignment == second.assignment
    assert (first.value, first.bound, first.nodes) == (second.value, second.bound, second.nodes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budgets": {"weight": 1.0}}, "unknown feature"),
        ({"products": (Product(9, np.ones(1)),)}, "ends at slot 9"),
        ({"products": (Product(0, np.ones(3)),)}, "level has shape"),
    ],
)
def test_bad_programs_are_refused(change: dict[str, object], message: str) -> None:
    good = two_budgets(10.0, 10.0)
    fields: dict[str, object] = {
        "slots": good.slots,
        "features": good.features,
        "entropy": "score",
    }
    with pytest.raises(ValueError, match=message):
        Program(**{**fields, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("weight", "kind"), [(0.0, "std"), (0.5, "std"), (0.5, "var"), (8.0, "std"), (8.0, "var")]
)
@pytest.mark.parametrize("groups", [((0,), (1,), (2,)), ((2,), (0,)), ((0, 1), (2,)), ((1,),)])
def test_evenness_of_every_form(
    weight: float, kind: Literal["std", "var"], groups: tuple[tuple[int, ...], ...]
) -> None:
    """No weight, one group, groups of several slots, groups out of order: brute force agrees."""
    for seed in range(2):
        drawn = random_program(1000 + seed, "several", "final", 0.5)
        known = tuple(g for g in groups if max(g) < len(drawn.slots))
        program = dataclasses.replace(drawn, evenness=Evenness(weight, known or ((0,),), kind))
        best, winner = brute_force(program)
        solution = solve(program, gap=0.0, time_limit=600.0)
        assert (solution.assignment is None) == (winner is None)
        if winner is not None:
            assert solution.value == pytest.approx(best, rel=1e-8, abs=1e-8)
            assert solution.bound >= best - 1e-12


def test_an_interrupt_while_looking_for_alternatives_keeps_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("archsearch.solver.search._Search.alternatives", interrupted)
    solution = solve(wide_program(), gap=5e-3, count=3, time_limit=600.0)
    assert solution.assignment == wide_answer(5e-3).assignment
