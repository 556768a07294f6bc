"""``archsearch resume RUN``: go on with a training or a search that was cut off."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ..errors import UserError
from . import search, train
from .commands import Parser
from .options import add_option, whole


def arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or its name under runs")
    parser.add_argument(
        "--device", metavar="NAME", help="of a training: another than it began on: cpu, cuda:1"
    )
    add_option(
        parser, "--trials", whole, metavar="N", help="of a search: how many candidates altogether"
    )
    search.machine_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print only where the run is")


def run(args: Namespace) -> int:
    given = Path(args.run)
    folder = given if given.is_dir() else Path("runs") / given
    if (folder / SEARCH).is_file():
        return _search(args, folder)
    if (folder / TRAINING).is_file():
        return _training(args, folder)
    raise UserError(f"{folder}: nothing to go on with (it has no {SEARCH} and no {TRAINING})")


SEARCH, TRAINING = "search.json", "train.json"
"""What tells the folder of a search and of a training."""


def _search(args: Namespace, folder: Path) -> int:
    from ..search import resume_search

    if args.device is not None:
        raise UserError(
            f"--device {args.device[:40]}: a search goes on where it began; leave it out"
        )
    machines = search.machines(args)
    found = resume_search(folder, trials=args.trials, machines=machines, **search.talk(args.quiet))
    return search.end(found, args.quiet)


def _training(args: Namespace, folder: Path) -> int:
    from ..train import resume

    if args.trials is not None:
        raise UserError(
            f"--trials {args.trials}: {folder} is a training, not a search; leave it out"
        )
    found = resume(folder, device=args.device, **train.talk(args.quiet))
    return train.end(found, args.quiet)
