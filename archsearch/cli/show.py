"""``archsearch show ARCH``: a network stage by stage."""

from __future__ import annotations

from argparse import Namespace

from .commands import Parser
from .options import ARCH_HELP, add_json, add_network_options, print_json
from .pick import add_pick, chosen


def arguments(parser: Parser) -> None:
    parser.add_argument("architecture", metavar="ARCH", help=ARCH_HELP)
    add_pick(parser)
    add_network_options(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    from ..cost import cost, scope_cost
    from ..merge import deployed
    from ..report.stages import stage_rows
    from ..report.table import cost_lines, stage_table
    from ..serialization import key

    network = chosen(args.architecture, args)
    rows, total = stage_rows(network), cost(network)
    merged = scope_cost(deployed(network.trace()).scope)
    if args.json:
        stages = [row.as_dict() for row in rows]
        plain = {"name": args.architecture, "key": key(network), "input": list(network.input)}
        costs = {"costs": total.as_dict(), "deployed": merged.as_dict()}
        print_json(plain | costs | {"stages": stages})
        return 0
    size = "x".join(map(str, network.input))
    print(f"{args.architecture}, input {size}, key {key(network)}\n")
    print(stage_table(rows))
    print(f"\n{cost_lines(total, merged)}")
    return 0
