"""Which block of a grown network is which block of the old one, and which blocks are inserted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from ..architecture import Architecture, Stage
from ..block import Block
from .channels import CannotGrow


@dataclass(frozen=True)
class Aligned:
    """Names of parts of the grown network ("stages.0.1") to those of the old one that they come
    from; an inserted block comes from None."""

    origins: dict[str, str | None]

    @property
    def inserted(self) -> list[str]:
        return [name for name, origin in self.origins.items() if origin is None]


def align(old: Architecture, new: Architecture) -> Aligned:
    """Lay two networks beside each other so that as little as possible changes.

    Every block of the old one has its place in the new one, in order. Raises ``CannotGrow`` where
    there are fewer blocks, other stages, or another input.
    """
    if old.input != new.input:
        sizes = " to ".join("x".join(map(str, each.input)) for each in (old, new))
        raise CannotGrow(f"the input would change from {sizes}: a transformation keeps it")
    if len(old.stages) != len(new.stages):
        raise CannotGrow(f"{len(old.stages)} stages would become {len(new.stages)}")
    if (old.stem is None) != (new.stem is None):
        raise CannotGrow("a stem cannot come or go")
    origins: dict[str, str | None] = {}
    for (name, a), (_, b) in zip(old.parts(), new.parts(), strict=True):
        if isinstance(a, Stage) and isinstance(b, Stage):
            origins |= _stage(name, list(a.blocks()), list(b.blocks()))
        else:
            origins[name] = name
    return Aligned(origins)


def _stage(
    name: str, old: Sequence[Block], new: Sequence[Block]
) -> Iterator[tuple[str, str | None]]:
    if len(new) < len(old):
        raise CannotGrow(
            f"{name}: {len(old)} blocks would become {len(new)}; give at least {len(old)}"
        )
    places = _places(old, new)
    return (
        (f"{name}.{j}", f"{name}.{places.index(j)}" if j in places else None)
        for j in range(len(new))
    )


def _places(old: Sequence[Block], new: Sequence[Block]) -> list[int]:
    """For every old block its place among the new ones: of all the ways that keep the order, one
    that is likest, and of these the one with inserted blocks last."""
    room = len(new) - len(old)
    like = [[_likeness(a, b) for b in new[i : i + room + 1]] for i, a in enumerate(old)]
    # best[i][k]: the likeness of the old blocks from i on, k inserted ones being before them
    best = [[0.0] * (room + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        for k in range(room, -1, -1):
            later = best[i][k + 1] if k < room else -1.0
            best[i][k] = max(like[i][k] + best[i + 1][k], later)
    places, k = [], 0
    for i in range(len(old)):
        while like[i][k] + best[i + 1][k] < best[i][k]:
            k += 1
        places.append(i + k)
    return places


def _likeness(a: Block, b: Block) -> float:
    if type(a) is not type(b):
        return 0.0
    names = [f.name for f in fields(a)]
    equal = sum(bool(getattr(a, name) == getattr(b, name)) for name in names)
    return 1 + equal / (len(names) + 1)
