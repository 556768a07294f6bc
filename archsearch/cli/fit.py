"""``archsearch fit TABLE``: an objective from measured networks, with the evidence for it."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from typing import TYPE_CHECKING

from .commands import Parser
from .options import add_json, add_network_options, add_option, print_json, whole

if TYPE_CHECKING:
    from ..fitted import Evidence, Fitted

USELESS = 1
"""Exit status where a fit does not beat the baselines, and nothing was written."""


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "table",
        metavar="TABLE",
        help="a CSV file of networks and what was measured, or a folder with a results.csv",
    )
    parser.add_argument(
        "--space", required=True, metavar="SPACE", help="the space the networks are of"
    )
    parser.add_argument(
        "--target", required=True, metavar="COLUMN", help="the column to predict, such as top1"
    )
    parser.add_argument("--output", required=True, metavar="FILE.json", help="the objective's file")
    parser.add_argument(
        "--lower-is-better", action="store_true", help="the target is an error or a loss"
    )
    parser.add_argument("--title", default="", metavar="TEXT", help="the target's name with unit")
    parser.add_argument(
        "--origin", default="", metavar="TEXT", help="where the measurements come from"
    )
    parser.add_argument(
        "--force", action="store_true", help="write it even if costs alone rank the networks better"
    )
    add_option(parser, "--folds", partial(whole, least=2, most=100), 10, metavar="N",
               help="parts of the table, each held back once (default: 10)")  # fmt: skip
    add_option(parser, "--seed", partial(whole, least=0), 0, metavar="N", help="of the folds")
    add_network_options(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    from pathlib import Path

    from ..errors import UserError
    from ..files import write_atomically
    from ..fit.fitting import fit
    from ..fit.table import read_table
    from ..fitted import to_json
    from ..loading import find_architecture, find_space

    output = Path(args.output)
    if output.suffix != ".json":
        raise UserError(f"--output {args.output}: an objective's file ends in .json")
    space = find_space(args.space)
    if args.input is not None:
        space = space.with_input(args.input)
    if args.classes is not None:
        space = space.with_classes(args.classes)
    table = read_table(args.table, space, find_architecture)
    fitted = fit(
        table,
        args.target,
        name=output.stem.replace("_", "-"),
        title=args.title,
        higher_is_better=not args.lower_is_better,
        folds=args.folds,
        seed=args.seed,
        origin=args.origin,
    )
    useful = fitted.evidence.beats_baselines
    written = useful or args.force
    if written:
        try:
            write_atomically(output, to_json(fitted))
        except OSError as error:
            raise UserError(f"{output} cannot be written: {error.strerror}") from None
    if args.json:
        print_json(_as_json(fitted, str(output) if written else None))
    else:
        print(_told(fitted))
        if written:
            print(f"\n{output}: archsearch design --space {args.space} --objective {output} ...")
    if not useful:
        warning = "it does not rank unseen networks better than their costs alone"
        out = (
            "written all the same" if written else "not written; measure more networks, or --force"
        )
        print(f"warning: {warning}: {out}", file=sys.stderr)
    return 0 if written else USELESS


def _told(fitted: Fitted) -> str:
    """The evidence as tables."""
    from ..report.table import table

    evidence = fitted.evidence
    ranked = [("this fit, networks held out", evidence.rank), *evidence.baselines.items()]
    lines = [(name, f"{rank.kendall:.3f}", f"{rank.spearman:.3f}") for name, rank in ranked]
    text = (
        f"{fitted.target} of {evidence.networks:,} networks of space {fitted.space},"
        f" {evidence.folds}-fold cross-validation, {evidence.repeats}x\n\n"
        + table(("ranks by", "Kendall", "Spearman"), lines, "<")
        + f"\n\nmean error {evidence.error:g}, nine of ten within {evidence.error_90:g}"
    )
    if fitted.measures:
        rows = [(m.device, m.kind, *_device_row(m.evidence)) for m in fitted.measures]
        heads = ("device", "kind", "networks", "mean error", "9 of 10", "Kendall", "by MACs")
        text += f"\n\n{table(heads, rows, '<<')}"
    return text


def _device_row(evidence: Evidence) -> tuple[str, ...]:
    return (
        f"{evidence.networks:,}",
        f"{evidence.error:.1f} %",
        f"{evidence.error_90:.1f} %",
        f"{evidence.rank.kendall:.3f}",
        f"{evidence.baselines['macs'].kendall:.3f}",
    )


def _as_json(fitted: Fitted, file: str | None) -> dict[str, object]:
    from dataclasses import asdict

    measures = [
        {"device": m.device, "kind": m.kind, "evidence": asdict(m.evidence)}
        for m in fitted.measures
    ]
    return {
        "name": fitted.name,
        "space": fitted.space,
        "target": fitted.target,
        "evidence": asdict(fitted.evidence),
        "measures": measures,
        "file": file,
    }
