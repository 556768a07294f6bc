"""Exact costs of candidates: batched in numpy, one by one, and by PyTorch's FlopCounterMode.

    python benchmarks/costs.py [--space mobile] [--batch 1000000] [--count 10000] [--torch 10]

Every network counted one by one is also counted in the batch, and the first ones by PyTorch on the
meta device; the integers must agree.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

from measure import print_table

from archsearch.architecture import Architecture
from archsearch.candidates import CandidateCosts, Candidates, draw
from archsearch.cost import cost
from archsearch.loading import find_space
from archsearch.tables import tabulate

NAMES = ("params", "macs", "activations")


def timed(function: Callable[[], Any], repeats: int = 1) -> tuple[Any, float, float]:
    """The result, and the best wall and CPU seconds of a few calls."""
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        result = function()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return result, *min(times)


def torch_costs(network: Architecture) -> tuple[int, int]:
    """Parameters and MACs as PyTorch counts them, from the module built on the meta device."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from archsearch.nets.build import build

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = build(network).eval()
        module(torch.empty(1, *network.input))
    return sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2


def row(name: str, count: int, wall: float, cpu: float, equal: str) -> Sequence[str]:
    return name, f"{count:,}", f"{wall:.3f}", f"{cpu:.3f}", f"{count / wall:,.0f}", equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--torch", type=int, default=10)
    args = parser.parse_args()
    space = find_space(args.space)
    tables, *tabulated = timed(lambda: tabulate(space))
    costs = CandidateCosts(tables, NAMES)
    drawn, *drawing = timed(lambda: draw(tables, args.batch))
    _, *batched = timed(lambda: costs(drawn), 3)
    some = Candidates(drawn.rows[: args.count], drawn.depths[: args.count])
    networks, *building = timed(
        lambda: [space.build(some.point(tables, i)) for i in range(len(some))]
    )
    singles, *single = timed(lambda: [cost(network) for network in networks])
    batch = costs(some)
    wrong = sum(
        any(batch[name][i] != getattr(own, name) for name in NAMES) for i, own in enumerate(singles)
    )
    torch_costs(networks[0])  # loads PyTorch
    counted, *meta = timed(lambda: [torch_costs(n) for n in networks[: args.torch]])
    off = sum((o.params, o.macs) != c for o, c in zip(singles, counted, strict=False))
    rows = [
        row("tables of the space", 1, *tabulated, ""),
        row("draw", args.batch, *drawing, ""),
        row("batched", args.batch, *batched, ""),
        row("build the description", args.count, *building, ""),
        row("one by one", args.count, *single, f"{args.count - wrong:,} of {args.count:,}"),
        row(
            "FlopCounterMode, meta device", args.torch, *meta, f"{args.torch - off} of {args.torch}"
        ),
    ]
    header = ("what", "networks", "wall s", "CPU s", "networks/s", "equal")
    print_table(f"Costs ({', '.join(NAMES)}) of networks of space {space.name}", header, rows)


if __name__ == "__main__":
    main()
