"""``archsearch search``: try candidates of a space, side by side, and keep what came of each."""

from __future__ import annotations

from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .commands import Parser
from .options import (
    add_network_options,
    add_option,
    duration,
    kernel_sizes,
    memory,
    number,
    resolutions,
    whole,
)

if TYPE_CHECKING:
    from ..search import Machines, Searched

INTERRUPTED = 130


def arguments(parser: Parser) -> None:
    parser.add_argument("--space", metavar="NAME|FILE", help="search space (default: mobile)")
    parser.add_argument(
        "--supernet", metavar="RUN",
        help="a trained supernet: its members are judged with its weights, and not trained",
    )  # fmt: skip
    parser.add_argument(
        "--objective", action="append", metavar="NAME|FILE",
        help="what makes a network better; several: a Pareto front (default: accuracy)",
    )  # fmt: skip
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="5M-params",
        help="as for archsearch design",
    )
    parser.add_argument(
        "--data", metavar="SOURCE", help="as for archsearch train (default for accuracy: digits)"
    )
    add_option(
        parser, "--epochs", whole, metavar="N", help="of each training (default: the objective's)"
    )
    parser.add_argument(
        "--grow", action="store_true",
        help="candidates begin with the weights of the best one so far that they can grow from",
    )  # fmt: skip
    add_option(
        parser, "--grown-epochs", whole, metavar="N",
        help="of the training of a candidate that grew (default: as of the others)",
    )  # fmt: skip
    add_option(parser, "--limit-train", whole, metavar="N", help="train on so many pictures only")
    add_network_options(parser)
    add_option(
        parser, "--kernel-sizes", kernel_sizes, metavar="3,5", help="kernel sizes to choose from"
    )
    add_option(
        parser, "--resolutions", resolutions, metavar="20,24,28",
        help="resolutions that networks look at pictures at, to choose from",
    )  # fmt: skip
    add_option(parser, "--trials", whole, 100, metavar="N", help="candidates to try (default: 100)")
    parser.add_argument(
        "--strategy", default="auto", metavar="NAME",
        help="surrogate, evolution, nsga2, local, eas, random, or a sampler of Optuna: tpe, gp, "
        "nsga3, cmaes, qmc (default: by what an evaluation costs)",
    )  # fmt: skip
    parser.add_argument(
        "--start", default="design", metavar="RUN",
        help="what to begin with: design, none, or an earlier search to learn from "
        "(default: design)",
    )  # fmt: skip
    parser.add_argument(
        "--compare", action="append", metavar="ARCH",
        help="evaluate a network beside the search's own: resnet, mobilenet, plain or lenet, as "
        "large as the budgets allow, an architecture, or none (default: resnet)",
    )  # fmt: skip
    table = parser.add_argument_group("benchmark tables")
    table.add_argument(
        "--table", metavar="FILE", help="search the rows of a table (CSV) instead of a space"
    )
    table.add_argument(
        "--encoding", metavar="COLUMNS", help="its columns that say which network a row is"
    )
    machine_arguments(parser)
    add_option(
        parser, "--time-limit", duration, metavar="10m", help="of one candidate (default: none)"
    )
    add_option(
        parser, "--memory-limit", memory, metavar="4G", help="of one candidate (a share of all)"
    )
    parser.add_argument(
        "--scheduler", metavar="NAME",
        help="asha: stop weak trainings early; none: train all to their end (default: asha, or "
        "none with --grow)",
    )  # fmt: skip
    parser.add_argument("--device", metavar="NAME", help="cpu or cuda (a GPU if workers have one)")
    add_option(parser, "--seed", partial(whole, least=0), 0, metavar="N", help="(default: 0)")
    parser.add_argument("--name", metavar="RUN", help="the run's name (default: from the search)")
    parser.add_argument("--output", default="runs", metavar="DIR", help="(default: runs)")
    parser.add_argument("--quiet", action="store_true", help="print only where the run is")


def machine_arguments(parser: Parser) -> None:
    """What a search runs on, which may be another when it is resumed."""
    group = parser.add_argument_group("machines")
    add_option(
        group, "--workers", partial(whole, most=100_000), metavar="N",
        help="candidates side by side (default: as many as there are processors)",
    )  # fmt: skip
    group.add_argument(
        "--address", metavar="HOST:PORT",
        help="a Ray cluster, also ray://HOST:10001 (default: RAY_ADDRESS, or this machine)",
    )  # fmt: skip
    add_option(group, "--cpus-per-trial", number, 1.0, metavar="X", help="(default: 1)")
    add_option(group, "--gpus-per-trial", number, 0.0, metavar="X", help="(default: 0)")


def machines(args: Namespace) -> Machines:
    from ..search import Machines

    return Machines(args.workers, args.address, args.cpus_per_trial, args.gpus_per_trial)


def run(args: Namespace) -> int:
    from ..runs import check_output
    from ..search import search

    check_output(args.output, args.name)
    found = search(
        args.space,
        _objectives(args),
        budgets=args.budget,
        data=_source(args),
        supernet=args.supernet,
        trials=args.trials,
        strategy=args.strategy,
        machines=machines(args),
        seed=args.seed,
        epochs=args.epochs,
        input=args.input,
        classes=args.classes,
        kernel_sizes=args.kernel_sizes,
        resolutions=args.resolutions,
        device=args.device,
        seconds_per_trial=args.time_limit,
        memory_per_trial=args.memory_limit,
        scheduler=args.scheduler,
        grow=args.grow,
        grown_epochs=args.grown_epochs,
        start=None if args.start == "none" else args.start,
        compare=() if args.compare == ["none"] else args.compare,
        table=args.table,
        encoding=[] if args.encoding is None else args.encoding.split(","),
        output=args.output,
        name=args.name,
        command=["archsearch", *args.argv],
        note=(lambda line: None) if args.quiet else _note,
        **talk(args.quiet),
    )
    return end(found, args.quiet)


def _objectives(args: Namespace) -> list[str]:
    if args.objective is None and args.table is not None:
        raise UserError("--objective is missing: say which column of the table is to be improved")
    return args.objective or ["accuracy"]


def _source(args: Namespace) -> Any:
    """The data, as ``search`` takes it."""
    if args.data is None and args.limit_train is None:
        return None
    from ..training.job import Source

    return Source(args.data or "digits", limit=args.limit_train)


def talk(quiet: bool) -> dict[str, Any]:
    """What a search says while it runs."""
    if quiet:
        return {}
    from .search_view import SearchView

    return {"on_start": _say_where, "watch": SearchView()}


def _note(line: str) -> None:
    print(f"note: {line}", flush=True)


def _say_where(folder: Path) -> None:
    print(f"{folder}: searching; archsearch resume {folder} goes on if it is cut off", flush=True)


def end(found: Searched, quiet: bool) -> int:
    """Say what came of it, and return the exit status."""
    from ..report.search_tally import Tally
    from ..report.search_text import summary_lines

    if quiet:
        print(found.folder)
    else:
        tally = Tally(found.goals, found.trials)
        print(
            "", *summary_lines(found.folder, tally, found.members, inherit=found.inherit), sep="\n"
        )
    if found.state == "stopped":
        print(f"stopped; go on with: archsearch resume {found.folder}")
        return INTERRUPTED
    return 0 if found.best is not None else 1
