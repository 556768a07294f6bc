"""``archsearch compare ARCH ARCH...``: networks side by side, each against the first."""

from __future__ import annotations

from argparse import Namespace

from .commands import Parser
from .options import ARCH_HELP, add_json, add_network_options, architecture, print_json


def arguments(parser: Parser) -> None:
    parser.add_argument("architectures", metavar="ARCH", nargs="+", help=ARCH_HELP)
    add_network_options(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    from ..report.compare import comparison, comparison_tables

    networks = [(name, architecture(name, args)) for name in args.architectures]
    if args.json:
        print_json(comparison(networks))
    else:
        print(comparison_tables(networks))
    return 0
