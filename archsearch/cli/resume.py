"""``archsearch resume RUN``: go on with what was cut off: a training, a supernet, a growth or a
search."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ..errors import UserError
from . import grow, search, supernet, train
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
    if args.trials is not None and any((folder / name).is_file() for name in TRAININGS):
        raise UserError(
            f"--trials {args.trials}: {folder} is a training, not a search; leave it out"
        )
    if (folder / TRAINING).is_file():
        return _training(args, folder)
    if (folder / SUPERNET).is_file():
        return _supernet(args, folder)
    if (folder / GROWTH).is_file():
        return _growth(args, folder)
    raise UserError(
        f"{folder}: nothing to go on with (it has no {TRAINING}, {SUPERNET}, {GROWTH} or {SEARCH})"
    )


SEARCH, TRAINING, SUPERNET, GROWTH = "search.json", "train.json", "supernet.json", "growth.json"
"""What tells the folder of a search, of a training, of a supernet and of a growth."""

TRAININGS = (TRAINING, SUPERNET, GROWTH)


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

    found = resume(folder, device=args.device, **train.talk(args.quiet))
    return train.end(found, args.quiet)


def _supernet(args: Namespace, folder: Path) -> int:
    from ..train.supernet import resume_supernet

    found = resume_supernet(folder, device=args.device, **train.talk(args.quiet))
    return supernet.end(found, args.quiet)


def _growth(args: Namespace, folder: Path) -> int:
    from ..train.grown import resume_growth

    found = resume_growth(folder, device=args.device, **grow.talk(args.quiet))
    return grow.end(found, args.quiet)
