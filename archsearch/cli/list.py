"""``archsearch list KIND``: the spaces, objectives, operators, blocks and published models; of an
operator that is named all that is known."""

from __future__ import annotations

import importlib
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from ..errors import UserError, suggestion
from .commands import Parser
from .options import add_json, print_json


def arguments(parser: Parser) -> None:
    parser.add_argument("kind", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("name", metavar="NAME", nargs="?", help="one operator: all about it")
    add_json(parser)
    parser.add_argument("--markdown", action="store_true", help="operators as a page of docs/")


def run(args: Namespace) -> int:
    kind = args.kind if args.kind in KINDS else f"{args.kind}s"
    if kind not in KINDS:
        raise UserError(f"no list is named {args.kind[:40]!r}; {suggestion(args.kind, KINDS)}")
    if kind != "operators" and (args.name is not None or args.markdown):
        raise UserError("NAME and --markdown are for operators: archsearch list operators NAME")
    if args.name is not None:
        _check_operator(args.name)
    if args.json:
        print_json([row for row in KINDS[kind]() if args.name in (None, row["name"])])
    elif kind == "operators":
        _print_operators(args.name, args.markdown)
    else:
        _print(KINDS[kind]())
    return 0


def _check_operator(name: str) -> None:
    from ..report.operators import operator_kinds

    known = operator_kinds()
    if name not in known:
        raise UserError(f"no operator is named {name[:40]!r}; {suggestion(name, known)}")


def _print_operators(name: str | None, markdown: bool) -> None:
    """All about every operator, the same as a page, or all about one."""
    from ..report.operators import operator_details, operator_listing, operator_page, operator_rows

    rows = operator_rows(name)
    if name is not None:
        print(operator_details(rows[0]))
    else:
        print(operator_page(rows) if markdown else operator_listing(rows))


def spaces() -> list[dict[str, Any]]:
    """Name, summary, how many networks (before constraints between stages), and the objective its
    designs maximise."""
    from ..loading import entries

    return [
        _entry(e.name, e.summary, e.problem)
        | ({"networks": e.value.size(), "objective": e.value.objective} if e.value else {})
        for e in entries("space")
    ]


def objectives() -> list[dict[str, Any]]:
    """Name, summary, whether a design can maximise it, and what a search does to know it of a
    network: "count", "build" it or "train" it."""
    from ..loading import entries
    from ..objectives import Objective, Trained

    def told(value: Any) -> dict[str, Any]:
        built = "build" if getattr(value, "built", False) else "count"
        return {
            "design": "yes" if isinstance(value, Objective) else "no",
            "search": "train" if isinstance(value, Trained) else built,
        }

    return [
        _entry(e.name, e.summary, e.problem) | (told(e.value) if e.value else {})
        for e in entries("objective")
    ]


def operators() -> list[dict[str, Any]]:
    """Everything that is derived of operators and composite convolutions."""
    from dataclasses import asdict

    from ..report.operators import operator_rows

    return [asdict(row) | {"preserved_by": row.preserved_by} for row in operator_rows()]


def blocks() -> list[dict[str, Any]]:
    importlib.import_module("archsearch.blocks")  # makes them known
    from ..block import Block

    return [_class(cls) for _, cls in sorted(Block.known.items())]


def models() -> list[dict[str, Any]]:
    from ..cost import cost
    from ..models import MODELS

    rows = []
    for name, build in MODELS.items():
        network = build()
        total = cost(network)
        size = "x".join(map(str, network.input))
        rows.append({"name": name, "input": size, "params": total.params, "macs": total.macs})
    return rows


KINDS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "spaces": spaces,
    "objectives": objectives,
    "operators": operators,
    "blocks": blocks,
    "models": models,
}


def _entry(name: str, summary: str, problem: str) -> dict[str, Any]:
    if problem:
        print(f"archsearch: {problem}", file=sys.stderr)
    return {"name": name, "summary": "cannot be loaded" if problem else summary}


def _class(cls: type[Any]) -> dict[str, Any]:
    from dataclasses import fields

    from ..loading import summary

    return {"name": cls.__name__, "summary": summary(cls), "fields": [f.name for f in fields(cls)]}


def _print(rows: list[dict[str, Any]]) -> None:
    if any("fields" in row for row in rows):
        for row in rows:
            print(f"{row['name']}: {row['summary']}")
            if row["fields"]:
                print(f"    {', '.join(row['fields'])}")
        return
    from ..report.numbers import cost_label, exact, short
    from ..report.table import LEFT, RIGHT, table

    keys = dict.fromkeys(key for row in rows for key in row)
    names = sorted(keys, key=lambda name: name == "summary")  # the long one last
    lines = [
        [short(row[n]) if n == "networks" and n in row else exact(row.get(n)) for n in names]
        for row in rows
    ]
    words = ("name", "summary", "objective", "design", "search")
    align = "".join(LEFT if name in words else RIGHT for name in names)
    print(table([cost_label(name) for name in names], lines, align))
