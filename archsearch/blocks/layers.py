"""A block whose layers are given one by one: what a network has that no other block here is."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, replace
from keyword import iskeyword

from ..block import Block
from ..graph import Tracer, Value
from ..operator import check
from ..operators.linear import Linear
from ..spatial import Spatial

INPUT = "x"
"""How layers call the block's input."""


@dataclass(frozen=True)
class Layer:
    """One layer: its name, its operator, and what it reads: names of layers before it, or ``"x"``,
    the input of the block."""

    name: str
    op: Spatial
    inputs: tuple[str, ...] = (INPUT,)

    def __post_init__(self) -> None:
        _check_name(self.name, "a layer")
        check(self.name != INPUT, "a layer cannot be named {!r}: that is the input", INPUT)
        check(len(self.inputs) > 0, "{} reads nothing; say what, or {!r}", self.name, INPUT)


@dataclass(frozen=True)
class Layers(Block):
    """Any graph of operators with one input; the last layer's output is the block's.

    ``kind`` is what its class is called in PyTorch. Raises ``IllegalArchitecture`` for a name that
    cannot be one or is given twice, an input that no layer before has, and a layer that none reads.
    """

    layers: tuple[Layer, ...]
    kind: str = "Layers"

    def check_fields(self) -> None:
        _check_name(self.kind, "a block")
        check(not hasattr(builtins, self.kind), "a block cannot be named {!r}", self.kind)
        check(len(self.layers) > 0, "a block of no layers; give one or more")
        known, read = {INPUT}, {self.layers[-1].name}
        for layer in self.layers:
            check(layer.name not in known, "two layers are named {}; rename one", layer.name)
            for name in layer.inputs:
                check(name in known, "{} reads {!r}; no layer before it is that", layer.name, name)
            known.add(layer.name)
            read.update(layer.inputs)
        for layer in self.layers:
            check(layer.name in read, "nothing reads {}; leave it out", layer.name)

    def expand(self, g: Tracer, x: Value) -> Value:
        values = {INPUT: x}
        for layer in self.layers:
            values[layer.name] = g(layer.name, layer.op, *(values[name] for name in layer.inputs))
        return values[self.layers[-1].name]

    def with_classes(self, classes: int) -> Layers:
        """The same head for another number of classes; raises ``IllegalArchitecture`` where its
        last layer is not linear."""
        *before, last = self.layers
        is_linear = isinstance(last.op, Linear)
        check(is_linear, "the head does not end in a linear layer: it has no classes")
        last = replace(last, op=last.op.with_(out_features=classes))
        return replace(self, layers=(*before, last))


def _check_name(name: str, what: str) -> None:
    fits = name.isascii() and name.isidentifier() and not iskeyword(name) and name[0] != "_"
    check(fits and len(name) <= 80, "{} cannot be named {!r:.80}; use a name of Python", what, name)
