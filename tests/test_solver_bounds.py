"""Each step of the solver against brute force: bounds, elimination, enumeration, splitting.

A search that meets the optimum early hides a bound that is too low, so these tests hand each step
a target just below the optimum and see that it survives.
"""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_solver import brute_force, chains, programs

from archsearch.solver import Assignment, Program, Settings, evaluate
from archsearch.solver.branch import Node, Split, all_pairs, compact, key_values, process
from archsearch.solver.branch import expand as halve
from archsearch.solver.dominance import dominated
from archsearch.solver.dynamic import forward
from archsearch.solver.expand import VARIANCE, expand
from archsearch.solver.labels import LabelSearch, bound_for
from archsearch.solver.lagrangian import Prices, Ranges, Relaxation
from archsearch.solver.reduce import (
    eliminate,
    node_marginals,
    prefix_ranges,
    tighten_range,
    within_budgets,
)
from archsearch.solver.root import entropy_ceilings
from archsearch.solver.tables import Table, build

quick = hypothesis_settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def prepared(program: Program) -> tuple[Relaxation, list[Table], Ranges, float, Assignment]:
    """Relaxation, tables, ranges, and the brute-force optimum; expanded where solve would."""
    best, winner = brute_force(program)
    assume(winner is not None)
    expanded = expand(program)
    if expanded is not None:
        program = expanded.program
        best, winner = brute_force(program)
    assert winner is not None
    relaxation = Relaxation(program)
    tables = within_budgets(relaxation, [build(slot) for slot in program.slots])
    assert tables is not None
    ranges = entropy_ceilings(relaxation, tables, prefix_ranges(relaxation, tables), 10)
    return relaxation, tables, ranges, best, winner


def random_prices(relaxation: Relaxation, rng: np.random.Generator) -> Prices:
    """Any valid prices."""
    start = relaxation.zero()
    slope = start.slope + rng.normal(size=len(start.slope)) * rng.uniform(0, 4)
    return Prices(
        budget=rng.exponential(0.5, len(start.budget)) * (rng.random(len(start.budget)) < 0.8),
        mu=rng.exponential(1.0, len(start.mu)) * (rng.random(len(start.mu)) < 0.7),
        anchor=rng.uniform(0.5, 20.0, len(start.anchor)),
        level=start.level + rng.normal(size=len(start.level)),
        slope=relaxation.unevenness.project(slope),
    )


def has(tables: list[Table], winner: Assignment) -> bool:
    """Whether every (choice, depth) of the winner is alive."""
    return all(
        bool(((t.choice == choice) & (t.lo <= depth) & (depth <= t.hi)).any())
        for t, (choice, depth) in zip(tables, winner, strict=True)
    )


@quick
@given(program=programs, seed=st.integers(0, 99))
def test_any_prices_bound_the_optimum_and_keep_it(program: Program, seed: int) -> None:
    relaxation, tables, ranges, best, winner = prepared(program)
    assert has(tables, winner)
    target = best - 1e-6 * (1 + abs(best))
    entropies = np.cumsum(
        [
            slot.basis[state] @ slot.first[choice] + (depth - slot.lo[choice]) * slot.rest[choice]
            for slot, state, (choice, depth) in zip(
                relaxation.program.slots, states(relaxation.program, winner), winner, strict=True
            )
        ],
        axis=0,
    )[:, relaxation.entropy]
    rng = np.random.default_rng(seed)
    for _ in range(8):
        prices = random_prices(relaxation, rng)
        linear, constant = relaxation.linear(prices, ranges)
        result = forward(tables, linear)
        assert relaxation.inflate(result.value + constant, prices) >= best
        levels, _ = node_marginals(tables, linear, result)
        kept = eliminate(tables, levels, constant, target)
        assert kept is not None
        assert has(kept, winner)
        for m, product in enumerate(relaxation.program.products):
            out = int(relaxation.program.slots[product.end].out_state[winner[product.end][0]])
            actual = entropies[product.end] + relaxation.program.entropy_offset
            for amount in (0.7, -0.7):
                low, high = tighten_range(
                    relaxation, tables, prices, ranges, m, amount, 1.0, target
                )[m]
                assert low[out] - 1e-9 <= actual <= high[out] + 1e-9


def states(program: Program, assignment: Assignment) -> list[int]:
    """The in-state of every slot."""
    outs = [int(s.out_state[c]) for s, (c, _) in zip(program.slots, assignment, strict=True)]
    return [0, *outs[:-1]]


@quick
@given(program=programs, seed=st.integers(0, 99))
def test_label_search_finds_the_optimum(program: Program, seed: int) -> None:
    relaxation, tables, ranges, best, _ = prepared(program)
    rng = np.random.default_rng(seed)
    bounds = [
        bound_for(relaxation, tables, random_prices(relaxation, rng), ranges) for _ in range(2)
    ]
    search = LabelSearch(relaxation, tables, bounds, ranges)
    target = best - 1e-6 * (1 + abs(best))
    found = search.run([all_pairs(table) for table in tables], target, 10**9, beam=False)
    assert found.complete
    chain = tuple(zip(found.choices[0].tolist(), found.depths[0].tolist(), strict=True))
    judged = evaluate(relaxation.program, chain)
    assert judged.feasible
    assert abs(judged.value - best) <= 1e-9 * (1 + abs(best))


@quick
@given(program=programs)
def test_splitting_loses_nothing(program: Program) -> None:
    relaxation, tables, ranges, best, _ = prepared(program)
    target = best - 1e-6 * (1 + abs(best))
    settings = Settings(steps=3, enumerate_pairs=0)
    nodes = [Node(np.inf, compact(tables, tables), None, relaxation.zero(), ranges)]
    values = []
    while nodes:
        outcome = process(nodes.pop(), tables, relaxation, target, settings)
        nodes += outcome.children
        if outcome.found is not None:
            values += outcome.found.values.tolist()
    assert abs(max(values) - best) <= 1e-9 * (1 + abs(best))


@quick
@given(seed=st.integers(0, 10**6))
def test_what_is_dropped_is_dominated_by_what_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 3, (60, 2)).astype(float)
    merits = rng.integers(0, 5, (60, 3)).astype(float)
    lost = dominated(keys, merits, rng.random(60))
    for row in np.flatnonzero(lost):
        rivals = ~lost & (keys == keys[row]).all(axis=1)
        assert (merits[rivals] >= merits[row]).all(axis=1).any()
    assert lost.any()


@quick
@given(program=programs, at=st.floats(0, 1))
def test_the_two_sides_of_a_split_make_up_the_node(program: Program, at: float) -> None:
    _, tables, ranges, _, _ = prepared(program)
    relaxation = Relaxation(program)
    for slot, table in enumerate(tables):
        for key in ("out", 0):
            values = np.sort(key_values(table, key))
            threshold = float(values[int(at * (len(values) - 1))])
            sides = [
                Node(
                    0.0,
                    compact(tables, tables),
                    Split(slot, key, threshold, upper),
                    relaxation.zero(),
                    ranges,
                )
                for upper in (False, True)
            ]
            parts = [part for part in (halve(side, tables) for side in sides) if part is not None]
            kept = np.concatenate([part[slot].choice for part in parts])
            assert sorted(kept.tolist()) == sorted(table.choice.tolist())


@quick
@given(program=programs)
def test_expanded_programs_hold_the_same_chains_and_their_variance(program: Program) -> None:
    """Chain by chain: the same feasible values, and the variance feature is the variance."""
    expanded = expand(program)
    assume(expanded is not None)
    assert expanded is not None
    assert program.evenness is not None
    found = {}
    for chain in chains(expanded.program):
        judged = evaluate(expanded.program, chain)
        if any("does not accept" in violation for violation in judged.violations):
            continue
        depths = [chain[slot][1] for (slot,) in program.evenness.groups]
        assert np.isclose(judged.totals[VARIANCE], np.var(depths), atol=1e-9)
        found[expanded.original(chain)] = (judged.value, judged.feasible)
    for chain in chains(program):
        judged = evaluate(program, chain)
        if any("does not accept" in violation for violation in judged.violations):
            continue
        value, feasible = found.pop(chain)
        assert np.isclose(value, judged.value, rtol=1e-9)
        assert feasible == judged.feasible
    assert not found
