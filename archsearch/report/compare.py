"""Networks side by side: totals with their ratio to the first, and stages by resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..architecture import Architecture
from ..cost import COST_NAMES, cost
from .numbers import cost_label, exact
from .stages import PLAIN, StageRow, stage_rows
from .table import LEFT, RIGHT, table

Named = tuple[str, Architecture]


def comparison(networks: Sequence[Named]) -> dict[str, Any]:
    """Plain data: per network its costs, their ratio to the first network's, and its stages."""
    costs = [cost(network).as_dict() for _, network in networks]
    return {
        "networks": [
            {
                "name": name,
                "input": list(network.input),
                "costs": own,
                "ratios": {key: _ratio(own[key], costs[0][key]) for key in own},
                "stages": [row.as_dict() for row in stage_rows(network)],
            }
            for (name, network), own in zip(networks, costs, strict=True)
        ]
    }


def comparison_tables(networks: Sequence[Named]) -> str:
    """Two tables: totals, and stages with those of equal resolution on a line."""
    names = [name for name, _ in networks]
    return f"{_totals(names, networks)}\n\n{_stages(names, networks)}"


def _totals(names: Sequence[str], networks: Sequence[Named]) -> str:
    costs = [cost(network).as_dict() for _, network in networks]
    rows = [["input", *(part for _, n in networks for part in ("x".join(map(str, n.input)), ""))]]
    for key in COST_NAMES:
        row = [cost_label(key)]
        for own in costs:
            ratio = _ratio(own[key], costs[0][key])
            row += [exact(own[key]), f"x{ratio:.2f}" if ratio is not None else "-"]
        rows.append(row)
    header = ["", *(part for name in names for part in (name, ""))]
    return table(header, rows, LEFT + RIGHT * (len(header) - 1))


def _stages(names: Sequence[str], networks: Sequence[Named]) -> str:
    columns = [_by_resolution(stage_rows(network)) for _, network in networks]
    sizes = sorted({key for column in columns for key in column}, reverse=True)
    rows = []
    for size in sizes:
        cells = [column.get(size, []) for column in columns]
        for i in range(max(map(len, cells))):
            label = "x".join(map(str, size)) if i == 0 else ""
            rows.append([label or "", *(c[i] if i < len(c) else "" for c in cells)])
    return table(["output", *names], rows, LEFT * (len(names) + 1))


def _by_resolution(rows: Sequence[StageRow]) -> dict[tuple[int, ...], list[str]]:
    """Output size to a line per part; what has no spatial size comes last."""
    found: dict[tuple[int, ...], list[str]] = {}
    for row in rows:
        found.setdefault(row.output.size, []).append(_cell(row))
    return found


def _cell(row: StageRow) -> str:
    words = [row.block, str(row.width), f"x{row.depth}" if row.depth > 1 else ""]
    words += [
        *(word for word in row.convolutions if word not in PLAIN),
        f"k{row.kernel_text}" if row.kernels else "",
        f"e{row.expansion_text}" if row.expansions else "",
    ]
    return " ".join(word for word in words if word)


def _ratio(value: float, first: float) -> float | None:
    return value / first if first else None
