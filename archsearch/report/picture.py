"""The network as a picture: stages as rows of plates to scale, and what is inside each block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod, sqrt

from ..architecture import Architecture
from ..graph import Node, Scope
from . import svg
from .stages import StageRow

WIDTH = 1080.0
_HEIGHT = 170.0
_SLANT = 0.22
_GAP = 3.0
_LABEL = 74.0

COLOURS = 10
"""The page's style sheet has this many fills: ``f0`` to ``f9``."""


def colour(index: int) -> str:
    return f"f{index % COLOURS}"


def network_picture(rows: Sequence[StageRow]) -> str:
    """Every block as a plate: its height shows the map's size, its thickness the channels (both by
    their square root, so that the small can be seen beside the large)."""
    tallest = max(sqrt(max(row.output.size, default=1)) for row in rows)
    heights = [max(_HEIGHT * sqrt(max(r.output.size, default=1)) / tallest, 7.0) for r in rows]
    thick = [sqrt(row.width) for row in rows]
    gaps = sum(_GAP * (r.depth - 1) for r in rows)
    room = WIDTH - gaps - sum(14 + _SLANT * h for h in heights)
    natural = sum(t * row.depth for t, row in zip(thick, rows, strict=True))
    scale = max(min(room / natural, 2.4), 0.08)
    parts, x = [], 0.0
    base = _HEIGHT * (1 + _SLANT) + 8
    for i, (row, height, t) in enumerate(zip(rows, heights, thick, strict=True)):
        own = max(t * scale, 1.2)
        plates = row.depth * own + (row.depth - 1) * _GAP + _SLANT * height
        room = max(plates, _LABEL)
        left = x + (room - plates) / 2
        for k in range(row.depth):
            parts.append(_plate(left + k * (own + _GAP), base, own, height, colour(i)))
        parts += _captions(x + room / 2, base + 18, row)
        x += room + 14
    return svg.drawing(x - 14, base + 52, parts, "the network's stages, to scale")


def _plate(x: float, base: float, width: float, height: float, css: str) -> str:
    """A cuboid standing on ``base``: front, top and right side."""
    top, slant = base - height, _SLANT * height
    front = svg.rect(x, top, width, height, f"{css} edge")
    roof = [(x, top), (x + slant, top - slant), (x + slant + width, top - slant), (x + width, top)]
    right = x + width
    side = [
        (right, top),
        (right + slant, top - slant),
        (right + slant, base - slant),
        (right, base),
    ]
    return svg.polygon(roof, f"{css} light edge") + svg.polygon(side, f"{css} dark edge") + front


def _captions(x: float, y: float, row: StageRow) -> list[str]:
    name = row.name.removeprefix("stages.")
    title = f"stage {name}" if name != row.name else name
    times = f" x {row.depth}" if row.depth > 1 else ""
    size = row.size_text if row.output.size and row.stride is not None else ""
    return [
        svg.text(x, y, title, "strong"),
        svg.text(x, y + 15, f"{row.width} wide{times}" if size else f"{row.width} out", "small"),
        svg.text(x, y + 29, size, "small"),
    ]


# -- inside a block ----------------------------------------------------------------------------
@dataclass
class _Pill:
    """A layer that is drawn, the channels it maps, and the norms and activations that follow it."""

    title: str
    detail: str
    sources: tuple[int, ...]
    extra: list[str] = field(default_factory=list)


@dataclass
class BlockPicture:
    """What is inside the blocks of some parts: the parts' names, the block's class, its layers."""

    names: list[str]
    kind: str
    drawing: str


def block_pictures(architecture: Architecture) -> list[BlockPicture]:
    """A picture per distinct structure of a repeated block: layers from left to right, branches as
    arcs above. Channels are told where all parts that share the picture agree on them."""
    groups: dict[tuple[object, ...], list[tuple[str, Scope, list[_Pill]]]] = {}
    for part in architecture.trace().children:
        if isinstance(part, Scope):
            block = _repeated(part) if part.kind == "Stage" else part
            pills = _pills(block)
            structure = tuple((p.title, p.sources, *p.extra) for p in pills)
            groups.setdefault((block.kind, structure), []).append((part.name, block, pills))
    pictures = []
    for members in groups.values():
        pills = members[0][2]
        for i, pill in enumerate(pills):
            if len({own[i].detail for _, _, own in members}) > 1:
                pill.detail = ""
        kind = members[0][1].kind
        pictures.append(BlockPicture([name for name, _, _ in members], kind, _strip(kind, pills)))
    return pictures


def _repeated(stage: Scope) -> Scope:
    """The last block of the class that a stage has most of: the first often projects."""
    blocks = [child for child in stage.children if isinstance(child, Scope)]
    kinds = [block.kind for block in blocks]
    most = max(kinds, key=kinds.count)
    return [block for block in blocks if block.kind == most][-1]


def _strip(kind: str, pills: Sequence[_Pill]) -> str:
    widths = [
        max(44.0, 7.4 * max(map(len, (p.title, p.detail, " ".join(p.extra)))) + 14) for p in pills
    ]
    lefts, x = [], 26.0
    for width in widths:
        lefts.append(x)
        x += width + 20
    branches = any(source != i - 1 for i, pill in enumerate(pills) for source in pill.sources)
    top = 40.0 if branches else 6.0
    parts = [svg.text(4, top + 26, "x", "small", "start")]
    for i, (pill, left, width) in enumerate(zip(pills, lefts, widths, strict=True)):
        parts += _drawn(pill, left, top, width)
        for source in set(pill.sources):
            start = lefts[source] + widths[source] if source >= 0 else 14.0
            if source == i - 1:
                parts.append(svg.line(start, top + 22, left - 2, top + 22, "wire arrow"))
            else:
                rise = min(32.0, 8 + (left - start) / 24)
                parts.append(_arc(start + 4, left + width / 2, top, rise))
    end = lefts[-1] + widths[-1] if pills else x
    parts.append(svg.line(end, top + 22, end + 16, top + 22, "wire arrow"))
    return svg.drawing(end + 24, top + 66, parts, f"layers of {kind}")


def _drawn(pill: _Pill, left: float, top: float, width: float) -> list[str]:
    middle = left + width / 2
    parts = [
        svg.rect(left, top, width, 44, "pill", 8),
        svg.text(middle, top + (18 if pill.detail else 27), pill.title, "pill-title"),
    ]
    if pill.detail:
        parts.append(svg.text(middle, top + 34, pill.detail, "pill-detail"))
    if pill.extra:
        parts.append(svg.text(middle, top + 58, " ".join(pill.extra), "tiny"))
    return parts


def _arc(start: float, end: float, top: float, rise: float) -> str:
    """From the wire before a pill over the pills between to the top of another."""
    y, wire = top - rise, top + 22
    return svg.path(
        f"M{start:.1f} {wire:.1f} C{start:.1f} {y:.1f} {start + 6:.1f} {y:.1f} "
        f"{start + 16:.1f} {y:.1f} L{end - 14:.1f} {y:.1f} C{end:.1f} {y:.1f} "
        f"{end:.1f} {y + 4:.1f} {end:.1f} {top - 2:.1f}",
        "wire arrow",
    )


def _pills(block: Scope) -> list[_Pill]:
    """The layers in execution order; norms and activations go under the layer they follow."""
    pills: list[_Pill] = []
    place = {value.name: -1 for value in block.inputs}
    for node in block.nodes():
        sources = tuple(place[value.name] for value in node.inputs)
        if pills and sources == (len(pills) - 1,) and not _stands_alone(node):
            pills[-1].extra.append(type(node.op).__name__)
        else:
            pills.append(_Pill(_title(node), _detail(node), sources))
        place[node.name] = len(pills) - 1
    return pills


def _stands_alone(node: Node) -> bool:
    return node.op.fan_in(*node.x) is not None or node.shape != node.x[0]


def _title(node: Node) -> str:
    signs = {"Add": "+", "Multiply": "x", "GlobalPool": "mean"}
    kernel = getattr(node.op, "kernel_size", None)
    name = type(node.op).__name__
    if kernel is None:
        return signs.get(name, name)
    sizes = kernel if isinstance(kernel, tuple) else (kernel,) * max(node.x[0].dimensions, 1)
    size = "x".join(map(str, sizes))
    fan_in = node.op.fan_in(*node.x)
    if fan_in is None:
        return f"{name} {size}"
    inputs = fan_in // prod(sizes)
    if inputs == 1 and node.x[0].channels > 1:
        return f"{size} depthwise"
    return size if inputs == node.x[0].channels else f"{size} by {inputs}"


def _detail(node: Node) -> str:
    if node.op.fan_in(*node.x) is None:
        return ""
    stride = getattr(node.op, "stride", 1)
    return f"{node.x[0].channels} to {node.shape.channels}" + (
        f", /{stride}" if stride != 1 else ""
    )
