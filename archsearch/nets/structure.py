"""Which parts of a network are one class: scopes of the same layers, wired the same way.

A scope is read once into a ``Part``; parts with equal ``signature`` become one class, whatever
their numbers. Containers (stages) are not classes: they are written as ``nn.Sequential``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from string import Formatter
from typing import Any, NamedTuple

from ..graph import Node, Scope
from ..operator import Call, IllegalArchitecture, Operator, Shape
from ..operators.merge import Split
from .checks import LayerName, check_call, check_identifier, check_operator
from .layers import NORMS, Signature, own_layer, signature

INPUT = "x"
"""How the layers of a part call its input."""


RESERVED = {
    INPUT,
    "T_destination", "Tensor", "add_module", "apply", "bfloat16", "buffers",
    "call_super_init", "children", "compile", "cpu", "cuda", "double", "dump_patches",
    "eval", "extra_repr", "float", "forward", "get_buffer", "get_extra_state",
    "get_parameter", "get_submodule", "half", "ipu", "load_state_dict", "modules", "mtia",
    "named_buffers", "named_children", "named_modules", "named_parameters", "nn",
    "parameters", "pre_logits", "register_backward_hook", "register_buffer",
    "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
    "register_full_backward_pre_hook", "register_load_state_dict_post_hook",
    "register_load_state_dict_pre_hook", "register_module", "register_parameter",
    "register_state_dict_post_hook", "register_state_dict_pre_hook", "requires_grad_",
    "self", "set_extra_state", "set_submodule", "share_memory", "state_dict", "to",
    "to_empty", "torch", "train", "training", "type", "xpu", "zero_grad",
}  # fmt: skip
"""Names that a layer of a PyTorch module cannot have without breaking it: those of every module,
and those that its forward() uses otherwise."""


class Argument(NamedTuple):
    """Where a constructor takes a value: the child's name, and the argument's name or role."""

    child: str
    role: str


@dataclass(frozen=True)
class Child:
    """A layer or part inside a part, with names relative to it.

    ``arguments`` are the values its constructor takes (of a layer: numbers; empty for a part, whose
    arguments are its class's business); ``reads`` and ``template`` say how forward() uses it.
    """

    name: str
    reads: tuple[str, ...]
    shape: Shape
    template: str
    call: Call | None = None
    op: Operator | None = None
    part: Part | None = None
    arguments: tuple[tuple[str, Any], ...] = ()
    positional: int = 0
    initial: tuple[tuple[str, str], ...] = ()
    contracts: bool = True
    weighted: bool = True

    @property
    def keeps_channels(self) -> bool:
        """Whether output channel i is made of input channel i, or a norm over them."""
        return self.op is not None and self.op.channels in ("each", "joint")

    @property
    def is_function(self) -> bool:
        """Whether it has no module: its arguments stand in its line of forward()."""
        return self.call is None and self.part is None

    @property
    def is_plain(self) -> bool:
        """Whether forward() merely calls it on one value."""
        return self.template == "{module}({0})"


@dataclass(frozen=True)
class Parting:
    """Layers that each take some channels of one value, together all of them, in order; whether
    each takes as many as the others."""

    names: tuple[str, ...]
    is_even: bool


@dataclass(frozen=True)
class Part:
    """A scope with its children, input and output, and what makes it the same class as another."""

    name: str
    kind: str
    input: Shape
    output: str
    output_shape: Shape
    children: tuple[Child, ...]
    partings: tuple[Parting, ...]
    signature: tuple[Any, ...]

    def parts(self) -> Iterator[Part]:
        """The parts inside, innermost first, then this one."""
        for child in self.children:
            if child.part is not None:
                yield from child.part.parts()
        yield self


def is_sequence(scope: Scope) -> bool:
    """Whether a scope only holds numbered scopes, each reading the one before: a stage."""
    return bool(scope.children) and all(
        isinstance(child, Scope) and _leaf(child.name) == str(i)
        for i, child in enumerate(scope.children)
    )


def read_part(scope: Scope) -> Part:
    """A scope as a part. Raises ``IllegalArchitecture`` for what cannot stand in a program."""
    children = tuple(_read_child(scope, child) for child in scope.children)
    partings = tuple(_read_partings(scope.inputs[0].shape, children))
    children = tuple(_parted(child, partings) for child in children)
    output = local_name(scope, scope.output.name)
    same = tuple(_child_signature(child) for child in children)
    return Part(
        scope.name,
        check_identifier(scope.kind),
        scope.inputs[0].shape,
        output,
        scope.output.shape,
        children,
        partings,
        (scope.kind, same, partings, output),
    )


def local_name(scope: Scope, value: str) -> str:
    """The name by which the children of a scope know a value: its input or a child of it."""
    if value == scope.inputs[0].name:
        return INPUT
    return _relative(scope, value).split(".")[0]


def _relative(scope: Scope, name: str) -> str:
    return name.removeprefix(f"{scope.name}." if scope.name else "")


def _read_child(scope: Scope, child: Node | Scope) -> Child:
    name = check_identifier(_relative(scope, child.name))
    if name in RESERVED:
        raise IllegalArchitecture(f"a layer cannot be named {name!r}: modules use the name")
    reads = tuple(local_name(scope, value.name) for value in child.inputs)
    if isinstance(child, Scope):
        part = read_part(child)
        return Child(name, reads, part.output_shape, "{module}({0})", part=part)
    check_operator(child.op, child.name)
    shape, call = child.shape, child.op.module(*child.x)
    weights = child.op.weights(*child.x)
    template = child.op.forward(*child.x)
    if call is not None:
        arguments, positional = _arguments(child, call)
    else:
        arguments, positional = _numbers(child.op, template), 0
    return Child(
        name,
        reads,
        shape,
        template,
        call,
        child.op,
        None,
        arguments,
        positional,
        tuple(child.op.initial().items()),
        any(weight.contracts for weight in weights.values()),
        bool(weights),
    )


def _read_partings(x: Shape, children: tuple[Child, ...]) -> Iterator[Parting]:
    """The values that are split up into consecutive parts without a rest."""
    by_value: dict[tuple[str, ...], list[tuple[Split, str]]] = {}
    for child in children:
        if isinstance(child.op, Split):
            by_value.setdefault(child.reads, []).append((child.op, child.name))
    channels = {INPUT: x.channels} | {child.name: child.shape.channels for child in children}
    for (value,), found in by_value.items():
        found.sort(key=lambda pair: pair[0].start)
        starts, stops = ([getattr(split, end) for split, _ in found] for end in ("start", "stop"))
        if len(found) > 1 and [*starts, channels[value]] == [0, *stops]:
            is_even = len({split.length for split, _ in found}) == 1
            yield Parting(tuple(name for _, name in found), is_even)


def _parted(child: Child, partings: tuple[Parting, ...]) -> Child:
    """The layer with the numbers that a statement for all parts needs: of equal parts, none."""
    for parting in partings:
        if child.name in parting.names:
            size = () if parting.is_even else (("length", child.shape.channels),)
            return replace(child, arguments=size)
    return child


def _numbers(op: Operator, template: str) -> tuple[tuple[str, Any], ...]:
    """The numbers that a function's line names, which are attributes of its operator."""
    names = [name for _, name, _, _ in Formatter().parse(template) if name and not name.isdigit()]
    return tuple((name, getattr(op, name)) for name in dict.fromkeys(names))


def _arguments(node: Node, call: Call) -> tuple[tuple[tuple[str, Any], ...], int]:
    """All values by name, defaults that the call leaves out included, and how many have no name."""
    own = own_layer(type(node.op))
    check_call(call, own.names if own is not None else (), node.name)
    known = signature(call, type(node.op))
    extra = range(len(known.positional), len(call.args))
    names = (*known.positional, *(f"argument{i}" for i in extra))
    values = dict(zip(names, call.args, strict=False))
    for keyword, default in known.defaults.items():
        values.setdefault(keyword, default)
    if not values and not call.kwargs:
        return (("class", LayerName(call.name)),), 0
    named = values | dict(call.kwargs)
    if known in NORMS and len(call.args) == 1:
        return _norm_arguments(call, named, known), 1
    order = [*named][: len(call.args)]
    order += sorted([*named][len(call.args) :], key=_place)
    return tuple((name, named[name]) for name in order), len(call.args)


def _norm_arguments(
    call: Call, named: dict[str, Any], known: Signature
) -> tuple[tuple[str, Any], ...]:
    """The arguments of a norm: whichever of PyTorch's it is, a class can take it as its own."""
    channels, *others = named
    changed = {k: named[k] for k in others if k == "eps" or named[k] != known.defaults.get(k)}
    return ("num_features", named[channels]), *changed.items(), ("norm", LayerName(call.name))


def _place(keyword: str) -> int:
    """Where PyTorch has the argument; those it does not share between layers come last."""
    order = ("kernel_size", "stride", "padding", "dilation", "groups", "bias")
    return order.index(keyword) if keyword in order else len(order)


def _child_signature(child: Child) -> tuple[Any, ...]:
    if child.part is not None:
        return child.name, child.part.signature, child.reads
    roles = tuple(role for role, _ in child.arguments)
    is_open = roles == ("class",) or "norm" in roles
    name = child.call.name if child.call is not None and not is_open else ""
    return child.name, name, roles, child.positional, child.template, child.reads, child.initial


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
