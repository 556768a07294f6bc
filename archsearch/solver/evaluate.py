"""The independent judge: what one assignment is worth and whether it is feasible.

Written straight from the definition, one slot at a time, sharing no code with the bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from archsearch.solver.chain import TOLERANCE, Assignment, Program


@dataclass(frozen=True)
class Evaluation:
    """Value of an assignment, its feature totals, rho per effectiveness term, and violations."""

    value: float
    totals: dict[str, float]
    rho: tuple[float, ...]
    violations: tuple[str, ...]

    @property
    def feasible(self) -> bool:
        return not self.violations


def evaluate(program: Program, assignment: Assignment) -> Evaluation:
    """Value and feasibility of `assignment`, one (choice, depth) per slot.

    Raises:
        ValueError: if the assignment has the wrong length or an unknown choice.
    """
    if len(assignment) != len(program.slots):
        raise ValueError(f"{len(assignment)} pairs for {len(program.slots)} slots")
    violations: list[str] = []
    totals = dict.fromkeys(program.features, 0.0)
    history: list[dict[str, float]] = []
    outs: list[int] = []
    state = 0
    for index, (slot, (choice, depth)) in enumerate(zip(program.slots, assignment, strict=True)):
        if not 0 <= choice < slot.choices:
            raise ValueError(f"slot {index} has no choice {choice}")
        if not slot.lo[choice] <= depth <= slot.hi[choice]:
            violations.append(f"slot {index}: depth {depth} out of range")
        if not slot.accepts(state, choice):
            violations.append(f"slot {index}: choice {choice} does not accept state {state}")
        for column, name in enumerate(program.features):
            opening = sum(
                float(slot.basis[state, k]) * float(slot.first[choice, k, column])
                for k in range(slot.basis.shape[1])
            )
            repeats = depth - int(slot.lo[choice])
            totals[name] += opening + repeats * float(slot.rest[choice, column])
        state = int(slot.out_state[choice])
        outs.append(state)
        history.append(dict(totals))
    for name, budget in program.budgets.items():
        if totals[name] > program.allowance(name):
            violations.append(f"{name} {totals[name]:g} exceeds {budget:g}")
    rho = _effectiveness(program, history)
    for term, value in zip(program.effectiveness, rho, strict=True):
        if value > term.limit * (1.0 + TOLERANCE):
            violations.append(f"effectiveness {value:g} at slot {term.end} exceeds {term.limit:g}")
    depths = [depth for _, depth in assignment]
    return Evaluation(_value(program, history, outs, depths), totals, rho, tuple(violations))


def _effectiveness(program: Program, history: list[dict[str, float]]) -> tuple[float, ...]:
    """D * exp(-kappa * S / D) for every effectiveness term."""
    result = []
    for term in program.effectiveness:
        assert program.entropy is not None and program.layers is not None
        layers = history[term.end][program.layers]
        entropy = history[term.end][program.entropy] + program.entropy_offset
        exponent = -term.kappa * entropy / layers if layers > 0 else 0.0
        result.append(layers * math.exp(min(exponent, 700.0)))
    return tuple(result)


def _value(
    program: Program, history: list[dict[str, float]], outs: list[int], depths: list[int]
) -> float:
    """The objective from cumulative totals, out-states and depths per slot."""
    value = 0.0
    for product in program.products:
        assert program.entropy is not None
        entropy = history[product.end][program.entropy] + program.entropy_offset
        value += entropy * float(product.level[outs[product.end]])
    if program.score is not None:
        value += program.score_weight * history[-1][program.score]
    if program.evenness is not None and program.evenness.weight > 0:
        groups = [float(sum(depths[i] for i in group)) for group in program.evenness.groups]
        mean = sum(groups) / len(groups)
        variance = sum((depth - mean) ** 2 for depth in groups) / len(groups)
        spread = math.sqrt(variance) if program.evenness.kind == "std" else variance
        value -= program.evenness.weight * (math.exp(spread) if spread < 700 else math.inf)
    return value
