"""``archsearch grow RUN --budget 200k-params``: train a network on while it grows."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from . import train
from .commands import Parser
from .options import add_option, number, whole

if TYPE_CHECKING:
    from ..growth.expansion import Expansion
    from ..train import Trained

MOST_STEPS = 100


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "network", metavar="RUN", help="a run, or a weights file (.safetensors) that a run wrote"
    )
    parser.add_argument(
        "--data", metavar="SOURCE", help="as for train (default: the run's own data)"
    )
    parser.add_argument(
        "--budget", action="append", default=[], metavar="200k-params",
        help="how far to grow; as for archsearch design",
    )  # fmt: skip
    add_option(
        parser, "--steps", partial(whole, most=MOST_STEPS), metavar="K",
        help="how many times to grow, in equal ratios (default: once for every doubling)",
    )  # fmt: skip
    parser.add_argument(
        "--space", metavar="NAME|FILE",
        help="space that the network is of, and is to stay in (default: that of the run's design)",
    )  # fmt: skip
    parser.add_argument(
        "--objective", metavar="NAME|FILE",
        help="what makes a network of the space better (default: the space's own)",
    )  # fmt: skip
    parser.add_argument(
        "--self-expanding", action="store_true",
        help="grow where a larger network would learn faster, by the natural expansion score",
    )  # fmt: skip
    add_option(
        parser, "--threshold", number, metavar="X",
        help="self-expanding: by which factor its score is to be higher (default: 2)",
    )  # fmt: skip
    add_option(
        parser, "--wait", partial(whole, least=0), metavar="N",
        help="self-expanding: epochs after an expansion without another (default: 10)",
    )  # fmt: skip
    train.recipe_arguments(parser)
    train.run_arguments(parser)


def run(args: Namespace) -> int:
    from ..runs import check_output
    from ..train.grown import grow
    from ..training.job import Source

    check_output(args.output, args.name)
    if args.devices != 1:
        raise UserError(f"--devices {args.devices}: a growing network trains on one; leave it out")
    given = {"--validation": args.validation, "--limit-train": args.limit_train}
    if args.data is None:
        for option, value in given.items():
            if value is not None:
                raise UserError(f"{option} {value}: say of which data, with --data")
    source = args.data and Source(args.data, None, args.validation, 0, args.limit_train)
    grown = grow(
        args.network,
        args.budget,
        source,
        train.recipe_of(args, source or Source()),
        expansion=_expansion(args),
        steps=args.steps,
        space=args.space,
        objective=args.objective,
        seed=args.seed,
        device=args.device,
        output=args.output,
        name=args.name,
        command=["archsearch", *args.argv],
        **talk(args.quiet),
    )
    return end(grown, args.quiet)


def end(grown: Trained, quiet: bool) -> int:
    """Say what came of it, and return the exit status."""
    from ..report.generations import expansion_line
    from ..report.training import run_lines
    from ..train.genealogy import read_genealogy

    lines, record = run_lines(grown.outcomes), read_genealogy(grown.folder)
    if "expansion" in record:
        lines.append(expansion_line(record))
    return train.say_end(grown, [] if quiet else lines, quiet)


def _expansion(args: Namespace) -> Expansion | None:
    """When to expand, as was asked for; None where the growth is planned."""
    from ..growth.expansion import Expansion

    rule = {"threshold": args.threshold, "wait": args.wait}
    plan = {"steps": args.steps, "space": args.space, "objective": args.objective}
    out = "plans a growth; leave it out, or --self-expanding"
    for name, value in (plan if args.self_expanding else rule).items():
        if value is not None:
            why = out if args.self_expanding else "add --self-expanding, which it is for"
            raise UserError(f"--{name} {value}: {why}")
    if not args.self_expanding:
        return None
    return Expansion(**{name: value for name, value in rule.items() if value is not None})


def talk(quiet: bool) -> dict[str, Any]:
    """What a growth says while it runs."""
    return {} if quiet else train.talk(quiet) | {"on_start": _say_where, "on_growth": _say_growth}


def _say_where(folder: Path) -> None:
    print(f"{folder}: growing; archsearch resume {folder} goes on if it is cut off", flush=True)


def _say_growth(own: Mapping[str, Any]) -> None:
    from ..report.training_text import share

    before, after = own["accuracy"]["before"], own["accuracy"]["after"]
    print(f"grown after {own['epochs'][0]} epochs: {'; '.join(own['changes'])}")
    print(
        f"  {own['before']['params']:,} -> {own['after']['params']:,} params; {own['split']}"
        f" accuracy {share(before)} before, {share(after)} after",
        flush=True,
    )
