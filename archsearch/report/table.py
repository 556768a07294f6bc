"""Tables of plain characters for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..cost import COST_NAMES, Cost
from .numbers import cost_label, exact
from .stages import PLAIN, StageRow

STAGE_HEADER = (
    "stage", "block", "convolution", "width", "depth", "kernel", "expansion", "stride", "output",
    "params", "MACs",
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
    header, lines = stage_cells(rows)
    return table(header, lines, LEFT * left_columns(header))


def stage_cells(rows: Sequence[StageRow]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of a stage table, the totals last; how blocks convolve is a column where
    some do it otherwise than by plain dense or depthwise convolutions."""
    lines = [
        [
            row.name, row.block, row.convolution_text, exact(row.width), str(row.depth),
            row.kernel_text, row.expansion_text, row.stride_text, row.size_text,
            exact(row.cost.params), exact(row.cost.macs),
        ]
        for row in rows
    ]  # fmt: skip
    totals = [exact(sum(getattr(r.cost, name) for r in rows)) for name in ("params", "macs")]
    lines.append(["total", *[""] * (len(STAGE_HEADER) - 3), *totals])
    if any(word not in PLAIN for row in rows for word in row.convolutions):
        return list(STAGE_HEADER), lines
    at = STAGE_HEADER.index("convolution")
    header, *lines = ([*line[:at], *line[at + 1 :]] for line in (STAGE_HEADER, *lines))
    return header, lines


def left_columns(header: Sequence[str]) -> int:
    """How many columns of words a stage table begins with."""
    return header.index("width")


def cost_lines(cost: Cost, deployed: Cost | None = None) -> str:
    """Every cost of a network, one per line; with those of its deployed form, where they differ,
    in a column beside them."""
    forms = {"as trained": cost}
    if deployed is not None and deployed != cost:
        forms["deployed"] = deployed
    rows = [
        [cost_label(name), *(exact(getattr(form, name)) for form in forms.values())]
        for name in COST_NAMES
    ]
    if len(forms) > 1:
        rows.insert(0, ["", *forms])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([f"{label:<{widths[0]}}", *map(str.rjust, values, widths[1:])])
        for label, *values in rows
    )
