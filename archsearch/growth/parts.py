"""The blocks of a network by the names of its parts, and the network with some of them changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from ..architecture import Architecture, Run, Stage
from ..block import Block
from ..graph import Node, Scope
from .channels import CannotGrow
from .layouts import is_depthwise


class Parts:
    """A network's blocks by their names: "stem", "stages.0.1", "head"."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.blocks: dict[str, Block] = {}
        for name, part in architecture.parts():
            if isinstance(part, Stage):
                self.blocks |= {f"{name}.{i}": block for i, block in enumerate(part.blocks())}
            else:
                self.blocks[name] = part

    @property
    def names(self) -> list[str]:
        """The parts as people name them: "stem", "stage1", ..., "head"."""
        stem = [] if self.architecture.stem is None else ["stem"]
        return [*stem, *(f"stage{i + 1}" for i in range(len(self.architecture.stages))), "head"]

    def of(self, part: str) -> list[str]:
        """The names of a part's blocks; raises ``CannotGrow`` where there is no such part."""
        numbered = re.fullmatch(r"stage([1-9][0-9]{0,3})", part)
        name = f"stages.{int(numbered[1]) - 1}" if numbered else part
        found = [own for own in self.blocks if own == name or own.startswith(f"{name}.")]
        if not found or name == "stages":
            *first, last = self.names
            raise CannotGrow(
                f"no part is named {part[:40]!r}: the network has {', '.join(first)} and {last}"
            )
        return found

    def alike(self, part: str) -> list[str]:
        """The blocks of a part that are of its commonest kind (of two as common, the later): a
        stage may begin or end with a downsampling of another kind."""
        names = self.of(part)
        kinds = [type(self.blocks[name]) for name in reversed(names)]
        kind = max(kinds, key=kinds.count)
        return [name for name in names if type(self.blocks[name]) is kind]

    def lacks(self, part: str, what: str) -> CannotGrow:
        """The refusal where no block of a part has what is to be changed."""
        kinds = dict.fromkeys(type(self.blocks[name]).__name__ for name in self.of(part))
        return CannotGrow(f"{part}: {' and '.join(kinds)} has no {what} to change")

    def built(self, changed: Mapping[str, Sequence[Block]]) -> Architecture:
        """The network with these blocks in the places of those named."""
        own = self.architecture
        lists = {name: list(changed.get(name, [block])) for name, block in self.blocks.items()}

        def one(name: str) -> Block:
            (block,) = lists[name]
            return block

        stages = tuple(
            Stage(
                tuple(
                    Run(block)
                    for i in range(stage.depth)
                    for block in lists[f"stages.{number}.{i}"]
                )
            )
            for number, stage in enumerate(own.stages)
        )
        stem = None if own.stem is None else one("stem")
        return Architecture(stem, stages, one("head"), own.input)

    # -- as traced -----------------------------------------------------------------------------
    @cached_property
    def root(self) -> Scope:
        return self.architecture.trace()

    @cached_property
    def scopes(self) -> dict[str, Scope]:
        """The traced blocks by their names."""
        return {scope.name: scope for scope in self.root.scopes() if scope.name in self.blocks}

    @cached_property
    def _class(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for node in self.root.nodes():
            if node.op.channels in ("each", "joint", "pairs") or is_depthwise(node):
                for i, value in enumerate(node.inputs):
                    if i not in node.op.coefficients:
                        found[_find(found, value.name)] = _find(found, node.name)
        return found

    def tied(self, value: str) -> str:
        """The class of values whose channels are the same as those of ``value``."""
        return _find(self._class, value)

    def filters(self, name: str) -> Iterator[Node]:
        """The layers of a block that choose how many channels they give."""
        for node in self.scopes[name].nodes():
            if node.op.channels == "new" and not is_depthwise(node):
                yield node


def _find(parents: dict[str, str], value: str) -> str:
    while (parent := parents.get(value, value)) != value:
        value = parent
    return value
