"""``archsearch supernet report RUN``: how a supernet ranks members, beside all that is cheaper."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from typing import Any

from ..errors import UserError
from .commands import Parser
from .options import add_option, whole
from .search import INTERRUPTED, machine_arguments, machines


def add_report_options(parser: Parser) -> None:
    """The run, the trained members to hold it against, or how to train them."""
    parser.add_argument("run", metavar="RUN", help="a supernet's run, or its name under runs")
    parser.add_argument(
        "--ledger", action="append", default=[], metavar="FILE|RUN",
        help="members trained already: a table (CSV) with their accuracy, or a search's run; may be"
        " given several times (default: train some)",
    )  # fmt: skip
    training = parser.add_argument_group("members trained from scratch")
    add_option(
        training, "--members", whole, metavar="N", help="so many, drawn at random (default: 40)"
    )
    add_option(training, "--epochs", whole, metavar="N", help="of each training (the objective's)")
    training.add_argument(
        "--objective", metavar="NAME|FILE",
        help="whose recipe they are trained with (default: accuracy)",
    )  # fmt: skip
    add_option(
        training, "--seeds", partial(whole, most=1000), metavar="N",
        help="train each so often, which tells what chance does (default: 1)",
    )  # fmt: skip
    add_option(
        parser, "--seed", partial(whole, least=0), 0, metavar="N",
        help="of the draw and the first training (default: 0)",
    )  # fmt: skip
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:N (a GPU if any)")
    machine_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print only where the run is")


def run_report(args: Namespace) -> int:
    """Do it, say what came of it, and return the exit status."""
    from ..search.ranking import rank_supernet

    settings = {
        name: value
        for name in ("members", "epochs", "objective", "seeds")
        if (value := getattr(args, name)) is not None
    }
    if args.ledger and settings:
        name = next(iter(settings))
        raise UserError(
            f"--{name}: nothing is trained where there is a --ledger; leave one of them out"
        )
    found = rank_supernet(
        args.run,
        ledgers=args.ledger,
        **settings,
        seed=args.seed,
        device=args.device,
        machines=machines(args),
        command=["archsearch", *args.argv],
        **({} if args.quiet else _talk()),
    )
    if found.ranking is None:
        print(f"stopped; the same command goes on where {found.folder} is now")
        return INTERRUPTED
    if args.quiet:
        print(found.folder)
        return 0
    from ..report.supernet_text import summary_lines

    print("", *summary_lines(found.ranking), sep="\n")
    if found.outside:
        print(f"{found.outside} networks of the ledger are beyond the supernet's budgets: left out")
    if found.failed:
        print(f"{found.failed} members could not be trained: left out")
    print(f"\n{found.folder}: ranking.html, ranking.csv, ranking.json")
    return 0


def _talk() -> dict[str, Any]:
    """What is said meanwhile."""
    from .search_view import SearchView

    return {
        "watch": SearchView(),
        "tell": lambda text: print(text, file=sys.stderr, flush=True),
    }
