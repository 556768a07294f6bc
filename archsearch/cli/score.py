"""``archsearch score ARCH...``: what training-free objectives say of networks, side by side."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import UserError
from .commands import Parser
from .options import (
    ARCH_HELP,
    add_json,
    add_network_options,
    add_option,
    architecture,
    print_json,
    whole,
)

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..fitted import Fitted
    from ..objectives import AnyObjective, Objective
    from ..scores import Score

    Judge: TypeAlias = Objective | Score
    """What says something of a network that nobody trained."""

ALL = "all"
LARGEST_SEED = 2**31


def arguments(parser: Parser) -> None:
    parser.add_argument("architectures", metavar="ARCH", nargs="+", help=ARCH_HELP)
    add_option(
        parser, "--objective", _names, metavar="NAME,...",
        help=f"objectives, with commas, or {ALL} (default: those that build no network)",
    )  # fmt: skip
    add_network_options(parser)
    add_option(
        parser, "--seed", _seed, 0, metavar="N", help="of weights and inputs drawn (default: 0)"
    )
    add_json(parser)


def run(args: Namespace) -> int:
    networks = [(name, architecture(name, args)) for name in args.architectures]
    judges = _judges(args.objective)
    is_choice = args.objective not in (None, [ALL])
    values = [[_value(judge, own, args.seed, is_choice) for judge in judges] for _, own in networks]
    told = [i for i in range(len(judges)) if any(row[i] is not None for row in values)]
    judges, values = [judges[i] for i in told], [[row[i] for i in told] for row in values]
    if args.json:
        print_json(_data(networks, judges, values, args.seed))
    else:
        print(_table(networks, judges, values))
    return 0


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UserError(f"{option} {text[:60]!r}: write names with commas, such as zen,naswot")
    return names


def _seed(option: str, text: str) -> int:
    return whole(option, text, 0, LARGEST_SEED)


def _judges(names: Sequence[str] | None) -> list[Judge]:
    """The objectives that were asked for, or those that are shipped: all, or those that count."""
    from ..loading import entries, find_objective
    from ..objectives import Objective
    from ..scores import Score

    if names is not None and list(names) != [ALL]:
        return [_judge(find_objective(name)) for name in dict.fromkeys(names)]
    shipped = [entry.value for entry in entries("objective")]
    judges = [own for own in shipped if isinstance(own, Objective | Score)]
    return [own for own in judges if names is not None or not getattr(own, "built", False)]


def _judge(found: AnyObjective) -> Judge:
    from ..objectives import Objective
    from ..scores import Score

    if isinstance(found, Objective | Score):
        return found
    raise UserError(
        f"objective {found.name} is for networks that are tried one after the other: see archsearch"
        " search"
    )


def _value(judge: Judge, network: Architecture, seed: int, is_choice: bool) -> float | None:
    """What an objective says of a network; None where it was not asked for by name and speaks of
    other networks only."""
    from ..fitted import Fitted
    from ..objectives import Entropy
    from ..scores import Score

    if isinstance(judge, Score):
        return judge.value(network, seed)
    if isinstance(judge, Entropy):
        return judge.value(network)
    try:
        if isinstance(judge, Fitted):
            return _predicted(judge, network)
        raise UserError(
            f"objective {judge.name} values points of a space, not networks: see archsearch design"
        )
    except UserError:
        if is_choice:
            raise
        return None


def _predicted(judge: Fitted, network: Architecture) -> float:
    from math import isnan

    from ..loading import find_space
    from ..points import point_of

    space = find_space(judge.space).with_input(network.input)
    value = judge.predict(point_of(space, network.with_classes(judge.classes)))
    if isnan(value):
        raise UserError(
            f"objective {judge.name} knows no network with such a choice: it was fitted to"
            f" {judge.evidence.networks:,} networks of space {judge.space}"
        )
    return value


def _data(
    networks: Sequence[tuple[str, Architecture]],
    judges: Sequence[Judge],
    values: Sequence[Sequence[float | None]],
    seed: int,
) -> dict[str, Any]:
    """Plain data; a score that is not finite is null."""
    from math import isfinite

    names = [judge.name for judge in judges]
    return {
        "seed": seed,
        "objectives": [
            {
                "name": judge.name,
                "higher_is_better": getattr(judge, "higher_is_better", True),
                "origin": judge.origin,
            }
            for judge in judges
        ],
        "networks": [
            {
                "name": name,
                "input": list(network.input),
                "scores": {
                    key: value if value is not None and isfinite(value) else None
                    for key, value in zip(names, row, strict=True)
                },
            }
            for (name, network), row in zip(networks, values, strict=True)
        ],
    }


def _table(
    networks: Sequence[tuple[str, Architecture]],
    judges: Sequence[Judge],
    values: Sequence[Sequence[float | None]],
) -> str:
    from math import isfinite

    from ..report.numbers import cost_label, exact
    from ..report.table import LEFT, table

    rows = [
        [name, "x".join(map(str, network.input))]
        + ["-" if v is None or not isfinite(v) else exact(v) for v in row]
        for (name, network), row in zip(networks, values, strict=True)
    ]
    return table(["", "input", *(cost_label(j.name) for j in judges)], rows, LEFT * 2)
