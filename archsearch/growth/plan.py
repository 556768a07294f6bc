"""Two networks laid beside each other: whether the second can compute what the first does, and how.

Nothing here touches a weight: all that is impossible is refused before one is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..architecture import Architecture, Stage
from ..block import Block
from ..graph import Node, Scope, Value
from ..operator import Operator, Shape
from ..operators.dropout import Dropout
from ..operators.merge import Concat
from ..operators.normalization import BatchNorm
from .align import Aligned, align
from .channels import NEW, BoolArray, CannotGrow, Channels
from .inserted import Passed, Roles, Wanted
from .layouts import Layouts
from .rules import check_fields, grown_channels, plain, with_bias


@dataclass(frozen=True, eq=False)
class GrownLayer:
    """A layer that the old network has, grown: its nodes before and after, and the channels that
    it reads and gives. Where it is ``replaced_by`` another operator, ``new`` is the plain one
    that this starts as; where it has no bias any more, an inserted norm has it: ``bias_in``."""

    old: Node
    new: Node
    inputs: tuple[Channels, ...]
    output: Channels
    replaced_by: Operator | None = None
    bias_in: str | None = None


@dataclass(frozen=True, eq=False)
class Growth:
    """How ``new`` computes what ``old`` does: ``layers`` are those that both have, by their names
    in ``new``, ``roles`` tells of the others. ``nodes`` are all of ``new`` by name, and
    ``input_shapes`` what each of its blocks reads."""

    old: Architecture
    new: Architecture
    aligned: Aligned
    layers: Mapping[str, GrownLayer]
    roles: Roles
    nodes: Mapping[str, Node]
    input_shapes: Mapping[str, Shape]

    @property
    def in_training(self) -> bool:
        """Whether it computes the same in training mode, too: with the statistics of batches."""
        return self.roles.in_training

    @cached_property
    def blocks(self) -> dict[str, Block]:
        """The parts of the new network by their names: stem, blocks, head."""
        found: dict[str, Block] = {}
        for name, part in self.new.parts():
            if isinstance(part, Stage):
                found |= {f"{name}.{i}": block for i, block in enumerate(part.blocks())}
            else:
                found[name] = part
        return found


def plan(
    old: Architecture, new: Architecture, unused: Mapping[str, BoolArray] | None = None
) -> Growth:
    """How ``new`` can compute what ``old`` does, with any weights.

    New channels come behind those that were there, unless it is told which ones are ``unused``, by
    the layers that give them: then these are the new ones.

    Chen et al. 2016 (Net2Net); Wei et al. 2016 (network morphism); Cai et al. 2018 (path-level
    transformations); Yuan et al. 2023 (composable expansions). Raises ``CannotGrow`` naming the
    first layer in the way.
    """
    aligned = align(old, new)
    before, after = old.trace(), new.trace()
    if before.output.shape != after.output.shape:
        raise CannotGrow(
            f"the output would change from {before.output.shape} to {after.output.shape}"
        )
    laid = lay(before, after, dict(_partners(aligned, before, after)), unused)
    if not laid.output.is_same:
        raise CannotGrow("the outputs of the network would not stay what they are")
    shapes = {part.name: part.inputs[0].shape for part in _parts(after)}
    nodes = {node.name: node for node in after.nodes()}
    return Growth(old, new, aligned, laid.layers, laid.roles, nodes, shapes)


@dataclass(frozen=True, eq=False)
class Laid:
    """A part of a network and its grown form laid beside each other, and the channels of what that
    gives."""

    layers: Mapping[str, GrownLayer]
    roles: Roles
    output: Channels


def lay(
    before: Scope,
    after: Scope,
    partners: Mapping[str, str],
    unused: Mapping[str, BoolArray] | None = None,
) -> Laid:
    """How ``after`` can compute what ``before`` does; what they read may have grown, too.

    ``partners`` tells which layers of ``after`` are which of ``before``, by their names. Raises
    ``CannotGrow``.
    """
    old = {node.name: node for node in before.nodes()}
    wanted = Wanted(old, {node.name: node for node in after.nodes()}, partners)
    roles = wanted.hold(after.output.name, before.output.name)
    for node in after.nodes():
        origin = partners.get(node.name)
        if origin is not None:
            for mine, theirs in zip(node.inputs, _inputs(old[origin], node), strict=True):
                roles += wanted.hold(mine.name, theirs)
        if isinstance(node.op, Dropout) and node.op.p > 0:
            roles += Roles(in_training=False, why=f"{node.name} drops numbers at random")
    layouts = Layouts(after, old, partners, roles, unused or {})
    layers = list(_layers(after, old, partners, roles, layouts))
    return Laid(
        {name: layer for name, layer, _ in layers if layer is not None},
        roles,
        {name: held for name, _, held in layers}[after.output.name],
    )


def _inputs(old: Node, new: Node) -> list[str]:
    if len(old.inputs) != len(new.inputs):
        raise CannotGrow(f"{new.name}: it would read {len(new.inputs)} values, not"
                         f" {len(old.inputs)}")  # fmt: skip
    return [value.name for value in old.inputs]


def _partners(aligned: Aligned, before: Scope, after: Scope) -> Iterator[tuple[str, str]]:
    """The nodes of the new network that the old one has too, and their names there."""
    known = {node.name: node for node in before.nodes()}
    for part in _parts(after):
        origin = aligned.origins[part.name]
        if origin is None:
            continue
        inner: dict[str, list[Node]] = {}
        for node in part.nodes():
            theirs = origin + node.name[len(part.name) :]
            outer = theirs.rpartition(".")[0]
            if theirs in known:
                yield node.name, theirs
            elif outer in known:
                inner.setdefault(outer, []).append(node)
        for outer, nodes in inner.items():
            yield _in_place_of(known[outer], nodes), outer


def _in_place_of(old: Node, nodes: Sequence[Node]) -> str:
    """The name of the first of the layers that a convolution is made of that can be the plain one
    that was there; raises ``CannotGrow`` saying why none can, where there are several the one of
    its kind."""
    reasons = []
    for node in sorted(nodes, key=lambda node: type(node.op) is not type(old.op)):
        try:
            check_fields(old, with_bias(old, node))
        except CannotGrow as error:
            reasons.append(str(error))
        else:
            return node.name
    raise CannotGrow(reasons[0])


def _parts(root: Scope) -> Iterator[Scope]:
    """Stem, blocks and head of a traced network."""
    for child in root.children:
        assert isinstance(child, Scope)
        if child.kind == "Stage":
            yield from (block for block in child.children if isinstance(block, Scope))
        else:
            yield child


def _layers(
    after: Scope,
    old: Mapping[str, Node],
    partners: Mapping[str, str],
    roles: Roles,
    layouts: Layouts,
) -> Iterator[tuple[str, GrownLayer | None, Channels]]:
    """The layers whose channels are told by old ones, and these: those that were there, and those
    (None) that pass something on."""
    held: dict[str, Channels] = {}
    readers: dict[str, list[Node]] = {}
    for node in after.nodes():
        for value in node.inputs:
            readers.setdefault(value.name, []).append(node)

    def read(value: Value) -> Channels:
        return held[value.name] if value.name in held else layouts.channels(value.name)

    for node in after.nodes():
        if node.name in roles.passed:
            passed = roles.passed[node.name]
            held[node.name] = _passed(node, passed, read(node.inputs[passed.input]))
            yield node.name, None, held[node.name]
        elif node.name in partners:
            before = old[partners[node.name]]
            x = tuple(map(read, node.inputs))
            start, other, bias_in = plain(before, node), None, None
            if start is not node:
                other = node.op
            elif norm := _inserted_norm(readers.get(node.name, []), roles):
                start = with_bias(before, node)
                bias_in = None if start is node else norm
            y = held[node.name] = grown_channels(before, start, x, layouts.channels(node.name))
            yield node.name, GrownLayer(before, start, x, y, other, bias_in), y


def _inserted_norm(readers: Sequence[Node], roles: Roles) -> str | None:
    """The batch norm that alone reads a layer and is inserted to pass that on."""
    found = [node.name for node in readers if isinstance(node.op, BatchNorm)]
    return found[0] if len(readers) == len(found) == 1 and found[0] in roles.passed else None


def _passed(node: Node, passed: Passed, given: Channels) -> Channels:
    """What an inserted layer gives that passes an input on: ``given``, beside new channels where it
    puts values side by side."""
    source = given.source
    if isinstance(node.op, Concat):
        beside = [np.full(int(shape.channels), NEW) for shape in node.x]
        beside[passed.input] = source
        source = np.concatenate(beside)
    return Channels(source, given.old, given.factor * passed.factor)
