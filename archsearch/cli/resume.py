"""``archsearch resume RUN``: go on with a training that was cut off, to the same result."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from .commands import Parser
from .train import end, talk


def arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name under runs")
    parser.add_argument("--device", metavar="NAME", help="another than it began on: cpu, cuda:1")
    parser.add_argument("--quiet", action="store_true", help="print only where the run is")


def run(args: Namespace) -> int:
    from ..train import resume

    given = Path(args.run)
    folder = given if given.is_dir() else Path("runs") / given
    return end(resume(folder, device=args.device, **talk(args.quiet)), args.quiet)
