"""The architecture: stem, stages of blocks with run-lengths, head. Frozen, hashable, plain data.

It knows no cost and no torch; ``trace`` lowers it to the graph everything else is read from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from .block import Block
from .graph import Recipe, Scope, Tracer, Value
from .operator import IllegalArchitecture, Shape

MOST_BLOCKS = 10_000
"""A description with more blocks is refused: no network has them, a damaged file may."""


@dataclass(frozen=True)
class Run:
    """The same block, ``repeats`` times in a row."""

    block: Block
    repeats: int = 1

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise IllegalArchitecture(f"repeats is {self.repeats}; it must be at least 1")


@dataclass(frozen=True)
class Stage(Recipe):
    """Blocks in a row, as run-lengths; equal neighbours are merged: equal stages are equal."""

    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        merged: list[Run] = []
        for run in self.runs:
            if merged and merged[-1].block == run.block:
                run = Run(run.block, merged.pop().repeats + run.repeats)
            merged.append(run)
        if not merged:
            raise IllegalArchitecture("a stage has no blocks")
        object.__setattr__(self, "runs", tuple(merged))

    @staticmethod
    def of(block: Block, depth: int = 1, **first: Any) -> Stage:
        """``depth`` blocks, of which the first differs by the fields in ``first`` (its stride, and
        that it projects): ``Stage.of(BasicBlock(128), 2, stride=2, projects=True)``."""
        runs = [Run(replace(block, **first))] + ([Run(block, depth - 1)] if depth > 1 else [])
        return Stage(tuple(runs))

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return sum(run.repeats for run in self.runs)

    @property
    def kind(self) -> str:
        return "Stage"

    def blocks(self) -> Iterator[Block]:
        for run in self.runs:
            for _ in range(run.repeats):
                yield run.block

    def expand(self, g: Tracer, x: Value) -> Value:
        for i, block in enumerate(self.blocks()):
            x = g.scope(str(i), block, x)
        return x


@dataclass(frozen=True)
class Architecture(Recipe):
    """A whole network. ``input`` is channels and spatial size, without the batch axis."""

    stem: Block | None
    stages: tuple[Stage, ...]
    head: Block
    input: tuple[int, ...] = (3, 224, 224)

    def __post_init__(self) -> None:
        if not 2 <= len(self.input) <= 4 or min(self.input) < 1:
            raise IllegalArchitecture(f"input {self.input} is not channels and 1 to 3 sizes")
        if not self.stages:
            raise IllegalArchitecture("a network needs at least one stage between stem and head")
        blocks = sum(stage.depth for stage in self.stages)
        if blocks > MOST_BLOCKS:
            raise IllegalArchitecture(f"{blocks} blocks are more than {MOST_BLOCKS}")

    @property
    def kind(self) -> str:
        return "Network"

    def parts(self) -> Iterator[tuple[str, Block | Stage]]:
        """Stem, stages and head in order, with their names."""
        if self.stem is not None:
            yield "stem", self.stem
        for i, stage in enumerate(self.stages):
            yield f"stages.{i}", stage
        yield "head", self.head

    def expand(self, g: Tracer, x: Value) -> Value:
        for name, part in self.parts():
            x = g.scope(name, part, x)
        return x

    def trace(self) -> Scope:
        """The lowered form. Raises ``IllegalArchitecture`` naming the layer that cannot be."""
        g, source = Tracer(), Value("x", Shape(self.input[0], self.input[1:]))
        output = self.expand(g, source)
        return Scope("", self.kind, (source,), output, tuple(g.children))

    def with_classes(self, classes: int) -> Architecture:
        """The same network for another number of classes."""
        return replace(self, head=head_with_classes(self.head, classes))


def head_with_classes(head: Block, classes: int) -> Block:
    """The head for another number of classes; raises ``IllegalArchitecture`` where it has none."""
    if (own := getattr(head, "with_classes", None)) is not None:
        changed_head: Block = own(classes)
        return changed_head
    if "classes" not in {f.name for f in fields(head)}:
        raise IllegalArchitecture(f"the head {type(head).__name__} has no classes")
    changed: dict[str, Any] = {"classes": classes}
    return replace(head, **changed)
