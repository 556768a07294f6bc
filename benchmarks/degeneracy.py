"""What DeepMAD's entropy chooses in depthwise networks when kernel sizes and expansions are open.

    python benchmarks/degeneracy.py [--params 5000000] [--macs 450000000] [--time-limit 60]

The space is ``mobile`` as shipped, then with kernel sizes 3, 5, 7 open in every stage, then with
expansions 3, 4, 6 open, then both; the program is solved with its proof each time.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from measure import alone, print_table

from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.design import design
from archsearch.loading import find_space
from archsearch.operators.convolution import depthwise
from archsearch.report.stages import stage_rows
from archsearch.space import SearchSpace, StageSpace, choice


def opened(kernels: bool, expansions: bool) -> SearchSpace:
    """The mobile space with these choices open in all stages that expand."""
    space = find_space("mobile")
    changes: dict[str, Any] = {}
    if kernels:
        changes["conv"] = depthwise(choice(3, 5, 7))
    if expansions:
        changes["expansion"] = choice(3, 4, 6)

    def stage(part: StageSpace) -> StageSpace:
        block = part.block
        expands = isinstance(block, InvertedResidual) and block.expansion != 1
        return replace(part, block=replace(block, **changes)) if expands else part

    return replace(space, stages=tuple(map(stage, space.stages)))


def answer(kernels: bool, expansions: bool, params: int, macs: int, limit: float) -> list[str]:
    budgets = (f"{params}-params", f"{macs}-macs")
    found = design(budgets, opened(kernels, expansions), time_limit=limit)
    stages = [
        f"{row.width}x{row.depth} k{row.kernel_text} e{row.expansion_text}"
        for row in stage_rows(found.best.architecture)
        if row.block == "InvertedResidual"
    ]
    return [f"{found.value:,.0f}", f"{found.gap:.1%}", ", ".join(stages[1:])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=int, default=5_000_000)
    parser.add_argument("--macs", type=int, default=450_000_000)
    parser.add_argument("--time-limit", type=float, default=60.0)
    args = parser.parse_args()
    rows = []
    for name, kernels, expansions in (
        ("as shipped", False, False),
        ("kernel sizes open", True, False),
        ("expansions open", False, True),
        ("both open", True, True),
    ):
        given = (kernels, expansions, args.params, args.macs, args.time_limit)
        rows.append((name, *alone(answer, *given).result))
    header = ("mobile", "value", "gap", "stages 1 to 5: width x depth, kernel, expansion")
    print_table("What the raw entropy chooses", header, rows)


if __name__ == "__main__":
    main()
