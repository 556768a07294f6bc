"""``archsearch evaluate RUN``: how good a trained network is on some data."""

from __future__ import annotations

from argparse import Namespace

from .commands import Parser
from .options import add_json, print_json


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "network", metavar="RUN", help="a run, or a weights file (.safetensors) that a run wrote"
    )
    parser.add_argument(
        "--data", metavar="SOURCE", help="as for train (default: the run's own data)"
    )
    parser.add_argument(
        "--split", default="test", metavar="NAME", help="test, validation or train (default: test)"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:N (default: a GPU if any)"
    )
    add_json(parser)


def run(args: Namespace) -> int:
    from ..evaluate import evaluate
    from ..report.training import summary_lines

    judgement = evaluate(args.network, args.data, split=args.split, device=args.device)
    if args.json:
        print_json(judgement.as_dict())
    else:
        print(*summary_lines(judgement, args.split), sep="\n")
    return 0
