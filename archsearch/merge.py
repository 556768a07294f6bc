"""The deployed form of a network: the same function with fewer layers, by algebra on its graph.

Six rules rewrite the layers of a block until none applies; they know operators and no family.
A block computes what it did, so the feature maps between blocks are those of the trained network.
Where a deployed layer's weights come from is written down as data; ``nets/deploy.py`` computes it.

Ding et al. 2021 (RepVGG, section 3.3: norms into convolutions, branches into one kernel); Ding et
al. 2024 (UniRepLKNet, section 3.2: dilated branches).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import gcd
from typing import TypeAlias

from .graph import Node, Scope, Value
from .legality import per_dimension
from .operator import Operator
from .operators.convolution import Convolution
from .operators.linear import Flatten, Linear
from .operators.merge import Add, LayerScale
from .operators.normalization import GRN, BatchNorm


# -- where weights come from -------------------------------------------------------------------
@dataclass(frozen=True)
class Stored:
    """The weights a layer of the trained network holds, but for those left out."""

    layer: str
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plain:
    """The weights of the plain layer that a trained one becomes, as its ``merged()`` gives them."""

    layer: str


@dataclass(frozen=True)
class Affine:
    """A factor and a summand per channel: what a trained batch norm (with running statistics) or
    layer scale multiplies and adds, or the bias that another layer adds."""

    layer: str
    kind: type[Operator]
    eps: float = 0.0

    @property
    def shifts(self) -> bool:
        """Whether it adds something."""
        return self.kind is not LayerScale


@dataclass(frozen=True)
class Followed:
    """A filter (convolution or linear layer) with what comes after it."""

    filter: Source
    by: Affine


@dataclass(frozen=True)
class Preceded:
    """A filter with what comes before it; each channel is ``repeats`` of the filter's inputs."""

    filter: Source
    by: Affine
    groups: int
    repeats: int = 1


@dataclass(frozen=True)
class Placed:
    """A kernel inside a larger one: in each dimension from ``start`` on, every ``step`` taps."""

    filter: Source
    start: tuple[int, ...]
    step: tuple[int, ...]


@dataclass(frozen=True)
class Summed:
    """Two filters of one input in one kernel of ``size`` taps."""

    size: tuple[int, ...]
    parts: tuple[Placed, Placed]


@dataclass(frozen=True)
class Bypassed:
    """A filter and a branch beside it that takes each channel by itself (None: the identity)."""

    filter: Source
    by: Affine | None


Source: TypeAlias = Stored | Plain | Followed | Preceded | Summed | Bypassed


@dataclass(frozen=True)
class Deployed:
    """A deployed network: its graph, and for every layer with weights where they come from."""

    scope: Scope
    weights: Mapping[str, Source]


def deployed(scope: Scope) -> Deployed:
    """The deployed form of a traced network, block or other part; itself where nothing merges.

    A scope that is left with one layer gives it its name; names of other layers stay.
    """
    names: dict[str, str] = {}
    layers: dict[str, _Layer] = {}
    for block in _blocks(scope):
        part = _Part.of(block)
        part.simplify()
        layers |= part.layers
        names |= part.names
    return _Builder(layers, names).build(scope)


def _blocks(scope: Scope) -> Iterator[Scope]:
    """The parts whose outputs stay: the blocks of a network or stage, else the scope itself."""
    if scope.kind not in ("Network", "Stage"):
        yield scope
        return
    for child in scope.children:
        if isinstance(child, Scope):
            yield from _blocks(child)


# -- the layers of a block while they are rewritten ---------------------------------------------
@dataclass(frozen=True)
class _Layer:
    node: Node
    weights: Source


@dataclass
class _Part:
    """The layers of a block in execution order, and for what is gone what to read instead."""

    layers: dict[str, _Layer]
    output: str
    names: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(scope: Scope) -> _Part:
        layers = {node.name: _Layer(node, Stored(node.name)) for node in scope.nodes()}
        return _Part(layers, scope.output.name)

    def simplify(self) -> None:
        """Apply the rules, the first ones first, until none applies; each takes something away."""
        while any(rule(self, node) for rule in RULES for node in self.nodes()):
            pass

    def nodes(self) -> list[Node]:
        return [layer.node for layer in self.layers.values()]

    def node(self, value: str) -> Node | None:
        """What computes a value; None for the block's input."""
        return self.layers[value].node if value in self.layers else None

    def readers(self, value: str) -> list[Node | None]:
        """What reads a value, once per input; None is what follows the block."""
        found: list[Node | None] = [
            node for node in self.nodes() for read in node.inputs if read.name == value
        ]
        return [*found, None] if value == self.output else found

    def only_reader(self, value: str) -> Node | None:
        readers = self.readers(value)
        return readers[0] if len(readers) == 1 else None

    def weights(self, node: Node) -> Source:
        return self.layers[node.name].weights

    def replace(self, node: Node, op: Operator, weights: Source) -> None:
        """Another operator of the same input and output shapes in the place of one."""
        self.layers[node.name] = _Layer(replace(node, op=op), weights)

    def drop(self, node: Node, instead: Value) -> None:
        """Take a layer away; what read it reads another value of its shape."""
        del self.layers[node.name]
        self.names[node.name] = instead.name
        for name, layer in self.layers.items():
            read = tuple(instead if v.name == node.name else v for v in layer.node.inputs)
            self.layers[name] = replace(layer, node=replace(layer.node, inputs=read))
        if self.output == node.name:
            self.output = instead.name


# -- what the rules ask of a layer ---------------------------------------------------------------
@dataclass(frozen=True)
class _Grid:
    """The taps of a filter, one number per dimension each (none for a linear layer)."""

    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int

    @property
    def radius(self) -> tuple[int, ...]:
        return tuple(d * (k - 1) // 2 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def is_centred(self) -> bool:
        """Whether output positions lie on input positions with as many taps on either side."""
        return self.padding == self.radius and all(k % 2 for k in self.kernel)

    def placed(self, filter: Source, onto: _Grid) -> Placed:
        """Where its taps are among those of a grid that has them all."""
        start, step = [], []
        for i, radius in enumerate(self.radius):
            start.append((onto.radius[i] - radius) // onto.dilation[i])
            step.append(self.dilation[i] // onto.dilation[i] if self.kernel[i] > 1 else 1)
        return Placed(filter, tuple(start), tuple(step))


def _grid(node: Node | None) -> _Grid | None:
    """The grid of a convolution or linear layer; None for any other."""
    if node is None or type(node.op) not in (Convolution, Linear):
        return None
    if not isinstance(node.op, Convolution):
        return _Grid((), (), (), (), 1)
    op, (x,) = node.op, node.x
    padding = per_dimension(op.pads(x), x.dimensions, "padding")
    groups = x.channels // op.inputs_per_group(x)
    return _Grid(op.kernel(x), op.dilations(x), padding, op.strides(x), groups)


def _affine(node: Node | None) -> Affine | None:
    if node is not None and isinstance(node.op, BatchNorm):
        return Affine(node.name, BatchNorm, node.op.eps)
    if node is not None and isinstance(node.op, LayerScale):
        return Affine(node.name, LayerScale)
    return None


def _biased(node: Node, affine: Affine | None) -> Operator:
    """The filter with a bias where it needs one."""
    return node.op.with_(bias=True) if affine and affine.shifts else node.op


def _has_bias(node: Node) -> bool:
    return isinstance(node.op, Convolution | Linear) and node.op.bias


# -- the rules: each takes a layer and says whether it changed something -------------------------
def _become_plain(part: _Part, node: Node) -> bool:
    """A layer that says it becomes a plain one does."""
    plain = node.op.deployed(*node.x)
    if plain is None:
        return False
    part.replace(node, plain, Plain(node.name))
    return True


def _fold_backward(part: _Part, node: Node) -> bool:
    """A filter and the norm or scale that alone reads it are one filter."""
    affine, before = _affine(node), part.node(node.inputs[0].name)
    if affine is None or before is None or _grid(before) is None:
        return False
    if part.only_reader(before.name) is None:
        return False
    part.replace(before, _biased(before, affine), Followed(part.weights(before), affine))
    part.drop(node, node.inputs[0])
    return True


def _fold_forward(part: _Part, node: Node) -> bool:
    """A norm or scale that only filters read moves into them; zeros around the map must stay."""
    affine = _affine(node)
    if affine is None or not _into_readers(part, node, affine):
        return False
    part.drop(node, node.inputs[0])
    return True


def _move_bias(part: _Part, node: Node) -> bool:
    """The bias of a response norm moves into the filters that alone read it."""
    if not (isinstance(node.op, GRN) and node.op.bias):
        return False
    if not _into_readers(part, node, Affine(node.name, GRN)):
        return False
    part.replace(node, node.op.with_(bias=False), Stored(node.name, ("bias",)))
    return True


def _into_readers(part: _Part, node: Node, affine: Affine) -> bool:
    readers, repeats = part.readers(node.name), 1
    if len(readers) == 1 and (flatten := readers[0]) and isinstance(flatten.op, Flatten):
        readers, repeats = part.readers(flatten.name), node.shape.positions
    grids = [_grid(reader) for reader in readers]
    if not readers or not all(g and not (affine.shifts and any(g.padding)) for g in grids):
        return False
    for reader, grid in zip(readers, grids, strict=True):
        assert reader is not None
        assert grid is not None
        weights = Preceded(part.weights(reader), affine, grid.groups, repeats)
        part.replace(reader, _biased(reader, affine), weights)
    return True


def _sum_branches(part: _Part, node: Node) -> bool:
    """Two branches of one input that meet in a sum are one filter, where that is no more work."""
    if not isinstance(node.op, Add):
        return False
    pairs = combinations(_summands(part, node), 2)
    return any(_merge(part, a[1], *b) or _merge(part, b[1], *a) for a, b in pairs)


def _summands(part: _Part, add: Node) -> Iterator[tuple[Node, Value]]:
    """The values summed by a tree of sums, each with the sum that reads it."""
    for value in add.inputs:
        inner = part.node(value.name)
        if inner is not None and isinstance(inner.op, Add) and part.only_reader(inner.name):
            yield from _summands(part, inner)
        else:
            yield add, value


def _merge(part: _Part, kept: Value, add: Node, gone: Value) -> bool:
    """Put the branch ``gone``, which ``add`` reads, into the filter that computes ``kept``."""
    node, other = part.node(kept.name), part.node(gone.name)
    grid = _grid(node)
    if node is None or grid is None or not grid.is_centred or part.only_reader(kept.name) is None:
        return False
    if gone == node.inputs[0]:
        merged = _with_bypass(part, node, grid, None)
    elif other is None or other.inputs[0] != node.inputs[0] or not part.only_reader(gone.name):
        return False
    elif affine := _affine(other):
        merged = _with_bypass(part, node, grid, affine)
    else:
        merged = _with_filter(part, node, grid, other)
    if merged is None:
        return False
    part.replace(node, *merged)
    if gone != node.inputs[0]:
        del part.layers[gone.name]
        part.names[gone.name] = kept.name
    part.drop(add, add.inputs[1 - add.inputs.index(gone)])
    return True


def _with_bypass(
    part: _Part, node: Node, grid: _Grid, affine: Affine | None
) -> tuple[Operator, Source] | None:
    if any(step != 1 for step in grid.stride) or node.shape != node.x[0]:
        return None
    return _biased(node, affine), Bypassed(part.weights(node), affine)


def _with_filter(
    part: _Part, node: Node, grid: _Grid, other: Node
) -> tuple[Operator, Source] | None:
    theirs = _grid(other)
    if theirs is None or not theirs.is_centred or grid.radius < theirs.radius:
        return None
    if (theirs.stride, theirs.groups) != (grid.stride, grid.groups):
        return None
    onto = _union(grid, theirs)
    op = node.op.with_(bias=_has_bias(node) or _has_bias(other))
    if onto != grid:
        sizes = {"kernel_size": _one(onto.kernel), "dilation": _one(onto.dilation)}
        op = op.with_(**sizes, padding=None)
    if op.macs(*node.x) > node.op.macs(*node.x) + other.op.macs(*other.x):
        return None
    parts = grid.placed(part.weights(node), onto), theirs.placed(part.weights(other), onto)
    return op, Summed(onto.kernel, parts)


def _union(a: _Grid, b: _Grid) -> _Grid:
    """The smallest grid that has the taps of both."""
    radius = tuple(map(max, a.radius, b.radius))
    steps = [
        gcd(*(g.dilation[i] for g in (a, b) if g.kernel[i] > 1)) or 1 for i in range(len(radius))
    ]
    kernel = tuple(2 * r // step + 1 for r, step in zip(radius, steps, strict=True))
    return replace(a, kernel=kernel, dilation=tuple(steps), padding=radius)


def _one(numbers: Sequence[int]) -> int | tuple[int, ...]:
    """A number per dimension, or the one number where they agree."""
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


RULES: tuple[Callable[[_Part, Node], bool], ...] = (
    _become_plain,
    _fold_backward,
    _fold_forward,
    _move_bias,
    _sum_branches,
)


# -- the graph that is left ----------------------------------------------------------------------
@dataclass
class _Builder:
    """Puts the layers that are left back into their scopes."""

    layers: Mapping[str, _Layer]
    names: dict[str, str]

    def build(self, scope: Scope) -> Deployed:
        for block in _blocks(scope):
            self._shorten(block)
        weights = {
            self._name(name): layer.weights
            for name, layer in self.layers.items()
            if layer.node.op.weights(*layer.node.x)
        }
        return Deployed(self._scope(scope), weights)

    def _shorten(self, block: Scope) -> None:
        """Call the one layer that is left of a scope as the scope, the outermost such scope."""
        for scope in block.scopes():
            before = [node.name for node in scope.nodes()]
            left = [name for name in before if name in self.layers]
            if scope is not block and len(left) == 1 < len(before) and left[0] not in self.names:
                self.names[left[0]] = scope.name

    def _scope(self, scope: Scope) -> Scope:
        children: list[Node | Scope] = []
        for child in scope.children:
            nodes = child.nodes() if isinstance(child, Scope) else (child,)
            left = [self.layers[node.name].node for node in nodes if node.name in self.layers]
            if isinstance(child, Scope) and any(self._name(n.name) != child.name for n in left):
                children.append(self._scope(child))
            else:
                children += map(self._node, left)
        inputs = tuple(map(self._value, scope.inputs))
        return replace(
            scope, inputs=inputs, output=self._value(scope.output), children=tuple(children)
        )

    def _node(self, node: Node) -> Node:
        inputs = tuple(map(self._value, node.inputs))
        return replace(node, name=self._name(node.name), inputs=inputs)

    def _value(self, value: Value) -> Value:
        return Value(self._name(value.name), value.shape)

    def _name(self, name: str) -> str:
        while name in self.names:
            name = self.names[name]
        return name
