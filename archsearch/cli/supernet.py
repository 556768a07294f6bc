"""``archsearch supernet``: train the supernet of a space; ``supernet report``: how it ranks."""

from __future__ import annotations

from argparse import SUPPRESS, Namespace
from typing import TYPE_CHECKING

from ..supernet.rules import DEFAULT
from . import train
from .commands import Parser
from .options import add_option, resolutions, shape

if TYPE_CHECKING:
    from ..train import Trained


REPORT = "report"


def arguments(parser: Parser) -> None:
    if parser.words[:1] == [REPORT]:
        from .supernet_report import add_report_options

        parser.prog += f" {REPORT}"
        parser.description = "Measure how well a supernet ranks members of its space."
        parser.add_argument("action", metavar=REPORT, choices=[REPORT], help=SUPPRESS)
        add_report_options(parser)
    else:
        parser.epilog = (
            "archsearch supernet report RUN measures how well the supernet of RUN ranks."
        )
        parser.set_defaults(action=None)
        _training_arguments(parser)


def _training_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--space", default="mobile", metavar="NAME|FILE", help="search space (default: mobile)"
    )
    parser.add_argument("--data", default="digits", metavar="SOURCE", help=train.DATA_HELP)
    parser.add_argument(
        "--rule", default=DEFAULT, metavar="NAME",
        help="who learns from a batch: single-path, uniform, strict-fairness, sandwich, "
        "progressive-shrinking, multi-architecture or attentive (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="300k-params",
        help="which members learn; as for archsearch design",
    )
    add_option(
        parser, "--resolutions", resolutions, metavar="20,24,28",
        help="resolutions that members look at pictures at (default: that of the pictures)",
    )  # fmt: skip
    parser.add_argument(
        "--separate-weights", action="store_true",
        help="give groups of channels that cannot share weights their own",
    )  # fmt: skip
    parser.add_argument(
        "--kernel-transforms", action="store_true",
        help="learn how smaller kernels come from the centres of larger ones",
    )  # fmt: skip
    parser.add_argument(
        "--sort-channels", action="store_true",
        help="with --rule progressive-shrinking: the most important channels first, before widths"
        " shrink",
    )  # fmt: skip
    add_option(
        parser, "--input", shape, metavar="3x224x224", help="to which pictures of files are brought"
    )
    train.recipe_arguments(parser)
    train.run_arguments(parser)


def run(args: Namespace) -> int:
    if args.action == REPORT:
        from .supernet_report import run_report

        return run_report(args)
    from ..runs import check_output
    from ..train.supernet import NO_AVERAGE, train_supernet
    from ..training.job import Source

    check_output(args.output, args.name)
    source = Source(args.data, args.input, args.validation, 0, args.limit_train)
    trained = train_supernet(
        args.space,
        source,
        train.recipe_of(args, source, ema=NO_AVERAGE),
        rule=args.rule,
        budgets=args.budget,
        resolutions=args.resolutions,
        separate=args.separate_weights,
        kernel_transforms=args.kernel_transforms,
        sort_channels=args.sort_channels,
        seed=args.seed,
        device=args.device,
        devices=args.devices,
        output=args.output,
        name=args.name,
        command=["archsearch", *args.argv],
        **train.talk(args.quiet),
    )
    return end(trained, args.quiet)


def end(trained: Trained, quiet: bool) -> int:
    """Say what came of it, and return the exit status."""
    lines = []
    for outcome in trained.outcomes:
        lines += [f"{outcome.state}: {outcome.reason}"] * bool(outcome.reason)
        lines += _accuracies(outcome.history[-1]) if outcome.history else []
    status = train.say_end(trained, lines, quiet)
    if not quiet and not status:
        print(f"search it with: archsearch search --supernet {trained.folder}")
    return status


def _accuracies(row: dict[str, float]) -> list[str]:
    from ..report.training_text import share

    return [
        f"largest member   {share(row['validation_accuracy'])} of the validation pictures",
        f"smallest member  {share(row['smallest_accuracy'])}",
    ]
