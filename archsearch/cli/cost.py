"""``archsearch cost ARCH``: what a network costs, by stage, block or layer."""

from __future__ import annotations

from argparse import Namespace

from .commands import Parser
from .options import ARCH_HELP, add_json, add_network_options, architecture, print_json

LEVELS = ("stage", "block", "layer")
COLUMNS = ("params", "macs", "activations", "traffic", "peak_memory", "weight_bytes")


def arguments(parser: Parser) -> None:
    parser.add_argument("architecture", metavar="ARCH", help=ARCH_HELP)
    parser.add_argument(
        "--level", choices=LEVELS, default="stage", help="how fine the table is (default: stage)"
    )
    add_network_options(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    from ..cost import cost, cost_rows, scope_cost
    from ..merge import deployed
    from ..report.numbers import cost_label, exact
    from ..report.table import cost_lines, table

    network = architecture(args.architecture, args)
    rows, total = cost_rows(network, args.level), cost(network)
    merged = scope_cost(deployed(network.trace()).scope)
    if args.json:
        parts = [
            {"name": r.name, "kind": r.kind, "depth": r.depth,
             "output": [r.output.channels, *r.output.size], **r.cost.as_dict()}
            for r in rows
        ]  # fmt: skip
        costs = {"costs": total.as_dict(), "deployed": merged.as_dict()}
        print_json({"name": args.architecture, **costs, f"{args.level}s": parts})
        return 0
    lines = [
        (r.name, r.kind, str(r.output), *(exact(getattr(r.cost, name)) for name in COLUMNS))
        for r in rows
    ]
    print(table((args.level, "kind", "output", *map(cost_label, COLUMNS)), lines, "<<"))
    print(f"\n{cost_lines(total, merged)}")
    return 0
