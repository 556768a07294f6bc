"""``archsearch design``: from budgets to a network, its certificate and its files."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .commands import Parser
from .options import (
    add_json,
    add_network_options,
    add_option,
    duration,
    kernel_sizes,
    print_json,
    ratio,
    whole,
)
from .progress import Progress

if TYPE_CHECKING:
    from ..budget import Budget
    from ..design import Design
    from ..objectives import Objective
    from ..save import Request
    from ..space import SearchSpace

INTERRUPTED = "interrupted"
"""Status of a design that Ctrl-C ended."""


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "--budget", action="append", default=[], metavar="5M-params",
        help="upper limit: a number, k, M or G, and params, macs, activations, memory, traffic or "
        "weight-bytes; on a measured device 8000-images/s@a100 or 5ms-latency@zcu102; may be given "
        "several times, also as params=5M,macs=600M",
    )  # fmt: skip
    parser.add_argument(
        "--space", default="mobile", metavar="NAME|FILE", help="search space (default: mobile)"
    )
    parser.add_argument(
        "--objective", metavar="NAME|FILE",
        help="what makes a network better (default: the space's own; archsearch list spaces)",
    )  # fmt: skip
    add_network_options(parser)
    add_option(
        parser, "--kernel-sizes", kernel_sizes, metavar="3,5", help="kernel sizes to choose from"
    )
    add_option(
        parser, "--gap", ratio, metavar="0.1%",
        help="stop when proved (default: 0.1%%, and 0 where the objective is a sum)",
    )  # fmt: skip
    add_option(
        parser, "--time-limit", duration, 60.0, metavar="60s",
        help="stop after this time (default: 60s)",
    )  # fmt: skip
    add_option(
        parser, "--count", partial(whole, most=1000), 1, metavar="K",
        help="how many different networks (default: 1)",
    )  # fmt: skip
    add_option(
        parser,
        "--seed",
        partial(whole, least=0),
        0,
        metavar="N",
        help="recorded with the run; a design draws nothing at random (default: 0)",
    )
    parser.add_argument("--name", metavar="RUN", help="the run's name (default: from the budgets)")
    parser.add_argument(
        "--output", default="runs", metavar="DIR", help="folder for the run (default: runs)"
    )
    parser.add_argument("--quiet", action="store_true", help="print only where the run is")
    add_json(parser)


def run(args: Namespace) -> int:
    from ..budget import parse_budgets
    from ..loading import find_space
    from ..runs import check_output

    budgets = parse_budgets(args.budget, "--budget")
    if not budgets:
        raise UserError("--budget is missing: say what the network may cost, such as 5M-params")
    space = find_space(args.space)
    from ..design import design, goal_of

    objective = goal_of(space, args.objective)
    check_output(args.output, args.name)
    network = {
        "input": args.input or space.input,
        "classes": args.classes or getattr(space.head, "classes", None),
        "kernel_sizes": args.kernel_sizes,
    }
    talks = not (args.quiet or args.json)
    if talks:
        _tell_reach(space, objective, budgets, network)
    with Progress(args.quiet) as progress:
        found = design(
            budgets, space, objective, **network, gap=args.gap, time_limit=args.time_limit,
            count=args.count, seed=args.seed, on_progress=progress,
        )  # fmt: skip
    return _finish(args, found, talks)


def _tell_reach(
    space: SearchSpace, objective: Objective, budgets: Sequence[Budget], network: dict[str, Any]
) -> None:
    """What the space can reach for every budget, before the search starts."""
    from ..design import notes, prepared, reachable, with_defaults
    from ..report.words import ranges_table

    chosen = prepared(space, **network)
    reach = reachable(chosen, objective, budgets)
    filled, _ = with_defaults(chosen, budgets, reach)
    defaults = {
        budget.cost: budget.limit
        for cost in reach
        for budget in with_defaults(chosen, [b for b in budgets if b.cost != cost], reach)[0]
        if budget.cost == cost
    }
    size = "x".join(map(str, network["input"]))
    print(f"space {space.name}, objective {objective.name}, input {size}\n")
    print(ranges_table(reach, defaults, filled), flush=True)
    for note in notes(chosen, objective, filled):
        print(f"Note: {note}", flush=True)


def _finish(args: Namespace, found: Design, talks: bool) -> int:
    """Write the run, tell what was found, and return the exit status."""
    if not found.networks:
        if found.status == INTERRUPTED:
            raise KeyboardInterrupt
        raise UserError(f"no network found after {found.seconds:.0f} s; give a longer --time-limit")
    from ..save import design_record, save_design

    request = _request(args)
    folder = save_design(found, args.output, args.name, request)
    if args.json:
        print_json({"run": str(folder), **design_record(found, request)})
    elif talks:
        _tell(found, folder)
    else:
        print(folder)
    return 130 if found.status == INTERRUPTED else 0


def _tell(found: Design, folder: Path) -> None:
    from ..report.stages import stage_rows
    from ..report.table import stage_table
    from ..report.words import (
        budget_table,
        caution,
        defaults_line,
        networks_table,
        outcome,
        prices_line,
        proof,
    )

    print(f"\n{stage_table(stage_rows(found.networks[0].architecture))}")
    print(f"\n{budget_table(found)}\n")
    print(f"{proof(found, found.best)}\n({outcome(found)})")
    told = "" if found.prediction is None else caution(found)
    for line in (told, defaults_line(found), prices_line(found)):
        if line:
            print(line)
    if len(found.networks) > 1:
        print(f"\n{networks_table(found)}")
    print(f"\n{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _request(args: Namespace) -> Request:
    """The command as it was typed, its settings, and the user's own files, which a run keeps."""
    from ..loading import source_file
    from ..save import Request

    settings = {
        name: value for name, value in vars(args).items() if name not in ("argv", "command")
    }
    files: dict[str, bytes] = {}
    for kind, name in (("space", args.space), ("objective", args.objective)):
        path = None if name is None else source_file(name)
        if path is not None:
            files[f"{kind}{path.suffix}"] = path.read_bytes()
    return Request(["archsearch", *args.argv], settings, files)
