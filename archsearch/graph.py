"""The lowered form of a network: primitive layers in execution order, inside named scopes.

A scope is what becomes one module class in PyTorch; its dotted name is the layer's name in the
graph, in the exported module and in the state dict alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .legality import check_counts, is_open
from .operator import IllegalArchitecture, Operator, Shape


@dataclass(frozen=True)
class Value:
    """What a node computes: referred to by the node's name."""

    name: str
    shape: Shape


@dataclass(frozen=True)
class Node:
    """One primitive: its dotted name, its operator, the values it reads, their shapes ``x`` and the
    shape of its output."""

    name: str
    op: Operator
    inputs: tuple[Value, ...]
    x: tuple[Shape, ...]
    shape: Shape


@dataclass(frozen=True)
class Scope:
    """A named group of nodes and scopes with one output: a module class in PyTorch."""

    name: str
    kind: str
    inputs: tuple[Value, ...]
    output: Value
    children: tuple[Node | Scope, ...]

    def nodes(self) -> Iterator[Node]:
        """All primitives inside, in execution order."""
        for child in self.children:
            if isinstance(child, Scope):
                yield from child.nodes()
            else:
                yield child

    def scopes(self) -> Iterator[Scope]:
        """This scope and all scopes inside, outermost first."""
        yield self
        for child in self.children:
            if isinstance(child, Scope):
                yield from child.scopes()


@dataclass(frozen=True)
class Recipe:
    """Anything made of operators: frozen fields, and ``expand``, which states no cost, no torch."""

    def __post_init__(self) -> None:
        check_counts(self)
        if not is_open(self):
            self.check_fields()

    def check_fields(self) -> None:
        """Raise ``IllegalArchitecture`` for fields that fit no input at all. Numbers may be arrays
        of candidates; a description with open fields is not asked."""

    def expand(self, g: Tracer, x: Value) -> Value:
        raise NotImplementedError

    @property
    def kind(self) -> str:
        """Name of the class it becomes in PyTorch."""
        return type(self).__name__


@dataclass
class Tracer:
    """Collects nodes while recipes expand; the only mutable thing in the description."""

    prefix: str = ""
    children: list[Node | Scope] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def __call__(self, name: str, op: Operator | Recipe, *inputs: Value) -> Value:
        """Add a layer, or a part made of layers (as a scope), and return its output."""
        if isinstance(op, Recipe):
            (x,) = inputs
            return self.scope(name, op, x)
        full = self._free(name)
        shapes = tuple([value.shape for value in inputs])
        try:
            if op.inputs not in (None, len(inputs)):
                kind = type(op).__name__
                raise IllegalArchitecture(f"{kind} has {op.inputs} inputs, not {len(inputs)}")
            shape = op.shape(*shapes)
        except IllegalArchitecture as error:
            raise IllegalArchitecture(f"{full}: {error}") from None
        self.children.append(Node(full, op, inputs, shapes, shape))
        return Value(full, shape)

    def scope(self, name: str, recipe: Recipe, x: Value) -> Value:
        """Expand a recipe inside a scope of its own and return its output."""
        inner = Tracer(self._free(name) + ".")
        try:
            output = recipe.expand(inner, x)
        except IllegalArchitecture as error:
            text = str(error)
            raise IllegalArchitecture(
                text if text.startswith(inner.prefix[:-1]) else f"{inner.prefix[:-1]}: {text}"
            ) from None
        scope = Scope(inner.prefix[:-1], recipe.kind, (x,), output, tuple(inner.children))
        self.children.append(scope)
        return Value(output.name, output.shape)

    def _free(self, name: str) -> str:
        full = self.prefix + name
        if full in self.taken:
            raise ValueError(f"two layers are named {full}")
        self.taken.add(full)
        return full


def trace(recipe: Recipe, x: Shape, name: str = "x") -> Scope:
    """Expand one recipe on an input shape: a scope whose layers carry short names."""
    g, source = Tracer(), Value(name, x)
    output = recipe.expand(g, source)
    return Scope("", recipe.kind, (source,), output, tuple(g.children))


def to_networkx(scope: Scope, costs: dict[str, dict[str, Any]] | None = None) -> Any:
    """The graph as a ``networkx.DiGraph``: a node per layer, an edge per value read.

    Node attributes: ``operator``, ``shape`` (a tuple without the batch axis) and, where ``costs``
    has the node's name, each cost by its name.
    """
    import networkx

    graph = networkx.DiGraph()
    for value in scope.inputs:
        shape = (value.shape.channels, *value.shape.size)
        graph.add_node(value.name, operator="Input", shape=shape)
    for node in scope.nodes():
        shape = (node.shape.channels, *node.shape.size)
        extra = (costs or {}).get(node.name, {})
        graph.add_node(node.name, operator=type(node.op).__name__, shape=shape, **extra)
        graph.add_edges_from((value.name, node.name) for value in node.inputs)
    return graph
