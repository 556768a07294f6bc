"""Networks back to points of a space: what each part chose, and how that is written as text.

``SearchSpace.build`` goes from a point to its network; ``point_of`` is the way back. ``text_of``
writes a chosen value, for tables and files: short, the same for equal values, never evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from .architecture import Architecture, Run, Stage
from .block import Block
from .errors import UserError
from .legality import IllegalArchitecture
from .space import BLOCK, Choice, InnerWidths, Pick, Point, SearchSpace, StageSpace, variants

DEPTH = "depth"
"""Name of the number of blocks among a part's choices; no block has a field of that name."""


def text_of(value: Any) -> str:
    """A chosen value in words: ``3``, ``1/4``, ``none``, ``SqueezeExcitation(activation=SiLU)``.

    A description is its class with the fields that are not at their defaults, so that equal values
    have equal texts and others have not.
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Choice | InnerWidths):
        return f"choice({', '.join(text_of(each) for each in value.options(8))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(text_of, value))})"
    if is_dataclass(value):
        own = [
            f"{f.name}={text_of(getattr(value, f.name))}"
            for f in fields(value)
            if f.default is MISSING or getattr(value, f.name) != f.default
        ]
        name = type(value).__name__
        return f"{name}({', '.join(own)})" if own else name
    return str(value)


@lru_cache(maxsize=1 << 16)
def texts_of(pick: Pick) -> Mapping[str, str]:
    """Every choice of a pick as text, by its path; the number of blocks is "depth"."""
    return {path: text_of(value) for path, value in pick.values} | {DEPTH: str(pick.depth)}


def part_names(space: SearchSpace) -> tuple[str, ...]:
    """Names of a space's parts in order: "stem" (where there is one), "stages.0", ..., "head"."""
    stem = () if space.stem is None else ("stem",)
    return (*stem, *(f"stages.{i}" for i in range(len(space.stages))), "head")


def point_of(space: SearchSpace, architecture: Architecture) -> Point:
    """The point of a space whose network this is: ``space.build(point_of(space, a)) == a``.

    Raises ``UserError`` naming the part that is outside the space.
    """
    if architecture.input != space.input:
        theirs, ours = ("x".join(map(str, shape)) for shape in (architecture.input, space.input))
        raise UserError(
            f"the network reads {theirs}, space {space.name} is set to {ours}: use one input"
        )
    parts = dict(architecture.parts())
    names = part_names(space)
    if tuple(parts) != names:
        found, wanted = len(architecture.stages), len(space.stages)
        stems = "a stem" if "stem" in parts else "no stem", "a stem" if space.stem else "no stem"
        raise UserError(
            f"the network has {stems[0]} and {found} stages, those of space {space.name} have"
            f" {stems[1]} and {wanted}"
        )
    point = []
    for name, part in zip(names, space.parts, strict=True):
        own = parts[name]
        stage = own if isinstance(own, Stage) else Stage((Run(own),))
        pick = next(_picks(part, stage), None)
        if pick is None:
            kinds = " or ".join(part.kinds)
            raise UserError(f"{name} of the network is none of the {kinds} of space {space.name}")
        point.append(pick)
    if not space.contains(tuple(point)):
        raise UserError(f"the widths of the network may not follow each other in {space.name}")
    return tuple(point)


def _picks(part: StageSpace, stage: Stage) -> Iterator[Pick]:
    """Picks of a part that build this stage."""
    blocks = list(stage.blocks())
    depth = len(blocks) - (part.before is not None)
    if depth not in part.depth:
        return
    for variant in variants(part.block):
        values = dict(variant.forks)
        for path, leaf in variant.leaves:
            options = leaf.options(values.get("width", variant.width))
            found = _value(blocks[-1], path, options)
            if depth == 1 and part.stride is not None and path in ("stride", "projects"):
                found = options[0]  # the first block has its own
            if found is None and None not in options:
                break
            values[path] = found
        else:
            if _builds(part, values, depth, stage):
                yield Pick(tuple(values.items()), depth)


def _value(block: Block, path: str, options: tuple[Any, ...]) -> Any:
    """What the block has at the path of a choice; None where that is no option."""
    try:
        value = block if path == BLOCK else attrgetter(path)(block)
    except AttributeError:
        return None
    return value if value in options else None


def _builds(part: StageSpace, values: Mapping[str, Any], depth: int, stage: Stage) -> bool:
    try:
        return part.build(values, depth) == stage
    except (IllegalArchitecture, KeyError):
        return False
