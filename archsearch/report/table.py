"""Tables of plain characters for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..cost import COST_NAMES, Cost
from .numbers import cost_label, exact
from .stages import StageRow

STAGE_HEADER = (
    "stage", "block", "width", "depth", "kernel", "expansion", "stride", "output", "params", "MACs",
)  # fmt: skip

LEFT = "<"
RIGHT = ">"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """Columns two spaces apart under a ruled header, without trailing spaces.

    ``align`` has a "<" or ">" per column; columns it does not name are right-aligned, the first
    left. A row may be shorter than the header.
    """
    sides = (
        [*align, *RIGHT * (len(header) - len(align))]
        if align
        else [LEFT, *RIGHT * (len(header) - 1)]
    )
    full = [[*row, *[""] * (len(header) - len(row))] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *full, strict=True)]
    ruled = [list(header), ["-" * width for width in widths], *full]
    lines = (
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        )
        for row in ruled
    )
    return "\n".join(line.rstrip() for line in lines)


def stage_table(rows: Sequence[StageRow]) -> str:
    """The stages of a network with their parameters and MACs, and the totals of both."""
    lines = [
        (
            row.name, row.block, exact(row.width), str(row.depth), row.kernel_text,
            row.expansion_text, row.stride_text, row.size_text,
            exact(row.cost.params), exact(row.cost.macs),
        )
        for row in rows
    ]  # fmt: skip
    total = [""] * 8 + [
        exact(sum(r.cost.params for r in rows)),
        exact(sum(r.cost.macs for r in rows)),
    ]
    total[0] = "total"
    return table(STAGE_HEADER, [*lines, total], "<<")


def cost_lines(cost: Cost) -> str:
    """Every cost of a network, one per line."""
    rows = [(cost_label(name), exact(getattr(cost, name))) for name in COST_NAMES]
    width = max(len(label) for label, _ in rows)
    digits = max(len(value) for _, value in rows)
    return "\n".join(f"{label:<{width}}  {value:>{digits}}" for label, value in rows)
