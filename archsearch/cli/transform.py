"""``archsearch transform RUN``: a trained network made larger, which computes the same."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .commands import Parser
from .options import add_option, whole

if TYPE_CHECKING:
    from ..train.transformed import Transformed


def arguments(parser: Parser) -> None:
    from ..growth.edits import EDITS

    parser.add_argument(
        "network", metavar="RUN", help="a run, or a weights file (.safetensors) that a run wrote"
    )
    edits = parser.add_argument_group("transformations, made in the order given")
    for edit in EDITS.values():
        edits.add_argument(
            f"--{edit.name}", action=_Step, dest="steps", default=[], metavar=f"PART:{edit.form}",
            help=f"{edit.summary}: {edit.example}",
        )  # fmt: skip
    add_option(
        parser, "--seed", partial(whole, least=0), 0, metavar="N",
        help="what new filters are drawn by (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="the new run's folder, such as runs/bigger"
    )
    parser.add_argument("--quiet", action="store_true", help="print only where the run is")


class _Step(argparse.Action):
    """Adds a transformation to those before it, whatever their options."""

    def __call__(
        self, parser: Any, namespace: Namespace, values: Any, option: str | None = None
    ) -> None:
        from ..growth.edits import parse_step

        assert option is not None
        step = parse_step(option.removeprefix("--"), values)
        namespace.steps = [*namespace.steps, step]


def run(args: Namespace) -> int:
    from ..train.transformed import transform

    found = transform(
        args.network,
        args.steps,
        args.output,
        seed=args.seed,
        command=["archsearch", *args.argv],
    )
    print(found.folder if args.quiet else "\n".join(lines(found)))
    return 0


def lines(found: Transformed) -> list[str]:
    """What was done, for a terminal."""
    first, last = found.generations[0], found.generations[-1]
    told = [f"  {text}" for own in found.generations for text in own["changes"]]
    told += ["", *_costs(first["before"], last["after"]), ""]
    told += [line for own in found.generations for line in exactness(own)]
    came = "optimiser state came along" if found.carried else "there was no optimiser state"
    told += [f"{found.folder}: {came}"]
    if found.stopped:
        told += [f"go on with its training: archsearch resume {found.folder}"]
    return told


def exactness(own: Mapping[str, Any]) -> list[str]:
    """How exact a growth is, and what was measured."""
    said = f"computes the same {own['exact']}"
    if own["why"]:
        said += f" ({own['why']})"
    measured = ", ".join(f"{mode} {apart:.1e}" for mode, apart in own["difference"].items())
    return [said, f"largest relative difference of outputs, in float64: {measured}"]


def _costs(before: Mapping[str, int], after: Mapping[str, int]) -> Sequence[str]:
    return [
        f"  {name:<6} {before[cost]:>15,} -> {after[cost]:,} ({after[cost] / before[cost]:.2f}x)"
        for name, cost in (("params", "params"), ("MACs", "macs"))
        if before[cost]
    ]
