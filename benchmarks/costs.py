"""Exact costs of candidates: batched in numpy, one by one, and by PyTorch's FlopCounterMode.

    python benchmarks/costs.py [--space mobile-widths] [--batch 1000000] [--count N] [--torch 10]

Every network counted one by one is also counted in the batch, and the first ones by PyTorch on the
meta device; the integers must agree.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from measure import print_table

from archsearch.architecture import Architecture
from archsearch.candidates import CandidateCosts, Candidates, draw
from archsearch.cost import cost
from archsearch.loading import find_space
from archsearch.tables import tabulate

NAMES = ("params", "macs", "activations")


class Times(NamedTuple):
    """The result of a call, and its best wall and CPU seconds."""

    result: Any
    wall: float
    cpu: float


def timed(function: Callable[[], Any], repeats: int = 1) -> Times:
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        result = function()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return Times(result, *min(times))


def torch_costs(network: Architecture) -> tuple[int, int]:
    """Parameters and MACs as PyTorch counts them, from the module built on the meta device."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from archsearch.nets.build import build

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = build(network).eval()
        module(torch.empty(1, *network.input))
    return sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2


def row(name: str, count: int, times: Times, equal: str = "") -> Sequence[str]:
    speed = f"{count / times.wall:,.0f}"
    return name, f"{count:,}", f"{times.wall:.3f}", f"{times.cpu:.3f}", speed, equal


def measured(name: str, batch: int, count: int, by_torch: int) -> list[Sequence[str]]:
    """Rows of the table for a space: how long each way takes, and how many numbers agree."""
    space = find_space(name)
    tabulated = timed(lambda: tabulate(space))
    tables = tabulated.result
    costs = CandidateCosts(tables, NAMES)
    drawing = timed(lambda: draw(tables, batch))
    drawn = drawing.result
    batched = timed(lambda: costs(drawn), 3)
    some = Candidates(drawn.rows[:count], drawn.depths[:count])
    building = timed(lambda: [space.build(some.point(tables, i)) for i in range(len(some))])
    networks = building.result
    single = timed(lambda: [cost(network) for network in networks])
    exact = costs(some)
    agree = sum(
        all(exact[cost_name][i] == getattr(own, cost_name) for cost_name in NAMES)
        for i, own in enumerate(single.result)
    )
    torch_costs(networks[0])  # loads PyTorch
    meta = timed(lambda: [torch_costs(network) for network in networks[:by_torch]])
    same = sum(
        (own.params, own.macs) == counted
        for own, counted in zip(single.result, meta.result, strict=False)
    )
    return [
        row("tables of the space", 1, tabulated),
        row("draw", batch, drawing),
        row("batched", batch, batched),
        row("build the description", count, building),
        row("one by one", count, single, f"{agree:,} of {count:,}"),
        row("FlopCounterMode, meta device", by_torch, meta, f"{same} of {by_torch}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mobile-widths")
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--torch", type=int, default=10)
    args = parser.parse_args()
    rows = measured(args.space, args.batch, args.count, args.torch)
    header = ("what", "networks", "wall s", "CPU s", "networks/s", "equal")
    print_table(f"Costs ({', '.join(NAMES)}) of networks of space {args.space}", header, rows)


if __name__ == "__main__":
    main()
