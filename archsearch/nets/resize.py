"""One operator at another size: its weights cut or grown along their labelled axes.

A supernet cuts (``sliced``). Growth comes in transformations that preserve the operator's function
(Chen et al. 2016, Net2Net; Cai et al. 2018, path-level): each says what the operator becomes, or
refuses with a reason, from labels and fields alone; ``Grown.weights`` then follows from the labels.
Torch is not needed to ask which transformations hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import UserError
from ..graph import Scope
from ..legality import per_dimension
from ..operator import IllegalArchitecture, Kind, Operator, Shape, Weight

if TYPE_CHECKING:
    from torch import Tensor

State: TypeAlias = "Mapping[str, Tensor]"
"""The weights of one operator by their names."""

CHANNEL_FIELDS = ("out_channels", "out_features", "start", "stop")
"""Fields of operators that count channels: they grow with the channels of the input."""


class CannotGrow(UserError, ValueError):
    """A transformation that would change what an operator computes; the message says why."""


# -- weights, by labels alone --------------------------------------------------------------------
def sliced(state: State, new: Mapping[str, Weight]) -> dict[str, Tensor]:
    """The part of larger weights that a smaller form of the operator uses: the first channels and
    the central taps. Raises ``ValueError`` where the new form is not smaller."""
    return {name: _slice(state[name], weight) for name, weight in new.items()}


def _slice(tensor: Tensor, weight: Weight) -> Tensor:
    for dim, (size, axis) in enumerate(zip(tensor.shape, weight.axes, strict=True)):
        if axis.size > size:
            raise ValueError(f"{axis.size} {axis.kind.value} cannot be cut out of {size}")
        start = (size - axis.size) // 2 if axis.kind is Kind.TAP else 0
        tensor = tensor.narrow(dim, start, axis.size)
    return tensor


@dataclass(frozen=True)
class Grown:
    """An operator ``old`` on inputs ``old_x``, and the larger ``op`` on ``x`` that computes the
    same: on inputs whose channels are repeated, each beside its copies, the output so repeated."""

    old: Operator
    old_x: tuple[Shape, ...]
    op: Operator
    x: tuple[Shape, ...]

    def weights(self, state: State) -> dict[str, Tensor]:
        """The weights of the larger operator from those of ``old``: copies along output channels;
        copies that share the old number along summed input channels; a ring of zeros along taps;
        zeros for the inputs of groups that joined one's own."""
        old, new = self.old.weights(*self.old_x), self.op.weights(*self.x)
        return {name: self._grow(state[name], old[name], new[name]) for name in new}

    def _grow(self, tensor: Tensor, old: Weight, new: Weight) -> Tensor:
        for dim, (a, b) in enumerate(zip(old.axes, new.axes, strict=True)):
            if a.size == b.size:
                continue
            if a.kind is Kind.TAP:
                tensor = _ring(tensor, dim, b.size)
            elif a.kind is Kind.GROUP and self._groups(a.size, self.old_x) > self._groups(
                b.size, self.x
            ):
                tensor = _among_zeros(tensor, dim, b.size, self._groups(a.size, self.old_x))
            else:
                shares = a.kind is not Kind.OUT and old.summed
                tensor = _copies(tensor, dim, b.size, shares)
        return tensor

    @staticmethod
    def _groups(group_size: int, x: tuple[Shape, ...]) -> int:
        return int(x[0].channels) // group_size


def _copies(tensor: Tensor, dim: int, size: int, shares: bool) -> Tensor:
    """Each entry along ``dim`` beside its copies, ``size`` in all; where it ``shares``, they sum to
    the entry."""
    import torch

    old = tensor.shape[dim]
    source = torch.arange(size, device=tensor.device) * old // size
    tensor = tensor.index_select(dim, source)
    if not shares:
        return tensor
    counts = torch.bincount(source, minlength=old)[source]
    return tensor / counts.to(tensor.dtype).view(-1, *[1] * (tensor.dim() - 1 - dim))


def _ring(tensor: Tensor, dim: int, size: int) -> Tensor:
    """As many zeros on both sides along ``dim``, up to ``size``."""
    shape = list(tensor.shape)
    shape[dim] = size
    ringed = tensor.new_zeros(shape)
    ringed.narrow(dim, (size - tensor.shape[dim]) // 2, tensor.shape[dim]).copy_(tensor)
    return ringed


def _among_zeros(tensor: Tensor, dim: int, size: int, groups: int) -> Tensor:
    """Inputs of one group along ``dim`` among those of the groups that join it; output channels
    are the first axis."""
    import torch

    old, outputs = tensor.shape[dim], tensor.shape[0]
    shape = list(tensor.shape)
    shape[dim] = size
    joined = tensor.new_zeros(shape)
    group = torch.arange(outputs, device=tensor.device) * groups // outputs
    for place in range(size // old):
        rows = (group % (size // old) == place).nonzero().flatten()
        joined.narrow(dim, place * old, old).index_copy_(0, rows, tensor.index_select(0, rows))
    return joined


# -- transformations -----------------------------------------------------------------------------
def wider(op: Operator, x: tuple[Shape, ...], factor: int = 2) -> Grown:
    """Every channel ``factor`` times: copies of inputs give copies of outputs."""
    name = type(op).__name__
    if op.channel_order:
        raise CannotGrow(f"{name}: {op.channel_order}")
    if op.channels == "flatten" and x[0].positions > 1:
        raise CannotGrow(
            f"{name}: the numbers of a channel stand together, not those of its copies"
        )
    if op.channels == "pairs":
        raise CannotGrow(f"{name}: channels side by side are a pair, not a channel and its copy")
    settings = vars(op)
    changed = {f: settings[f] * factor for f in CHANNEL_FIELDS if settings.get(f)}
    wide = tuple(Shape(shape.channels * factor, shape.size) for shape in x)
    grown = _become(op, x, op.with_(**changed), wide)
    for old, new in _axes(grown):
        if old.kind is Kind.GROUP and old.size == new.size > 1:
            raise CannotGrow(
                f"{name}: groups that stay at {old.size} channels would hold copies of one channel,"
                " not the channels they held; keep the number of groups instead"
            )
    return grown


def larger_kernel(op: Operator, x: tuple[Shape, ...], to: int | tuple[int, ...] = 0) -> Grown:
    """``kernel_size`` larger (two taps per dimension, unless ``to`` says its size): zeros around
    the kernel."""
    name = type(op).__name__
    fields: Any = op
    if not hasattr(op, "kernel_size"):
        raise CannotGrow(f"{name}: it has no kernel_size")
    _need_plain_weights(op, x)
    kernel = per_dimension(fields.kernel_size, x[0].dimensions, "kernel_size")
    over_taps = [
        tuple(axis.size for axis in weight.axes if axis.kind is Kind.TAP)
        for weight in op.weights(*x).values()
        if weight.summed
    ]
    if kernel not in over_taps:
        raise CannotGrow(f"{name}: it has no weights over the positions of its kernel")
    target = to or _plus(fields.kernel_size, 2)
    changed: dict[str, Any] = {"kernel_size": target}
    if getattr(op, "padding", None) is not None:
        larger = per_dimension(target, x[0].dimensions, "kernel_size")
        pads, dilations = (
            per_dimension(getattr(op, f), x[0].dimensions, f) for f in ("padding", "dilation")
        )
        rings = [(b - a) // 2 for a, b in zip(kernel, larger, strict=True)]
        zipped = zip(pads, dilations, rings, strict=True)
        changed["padding"] = tuple(pad + dilation * ring for pad, dilation, ring in zipped)
    return _become(op, x, op.with_(**changed), x)


def fewer_groups(op: Operator, x: tuple[Shape, ...], factor: int = 2) -> Grown:
    """``factor`` neighbouring groups become one: zeros between what was apart."""
    name = type(op).__name__
    _need_plain_weights(op, x)
    sizes = [a.size for w in op.weights(*x).values() for a in w.axes if a.kind is Kind.GROUP]
    groups = x[0].channels // sizes[0] if sizes else 1
    if groups % factor:
        raise CannotGrow(f"{name}: its weights are in {groups} groups, not a multiple of {factor}")
    fields: Any = op
    if getattr(op, "groups", None) is not None:
        return _become(op, x, op.with_(groups=fields.groups // factor), x)
    if getattr(op, "group_size", None) is not None:
        return _become(op, x, op.with_(group_size=fields.group_size * factor), x)
    raise CannotGrow(f"{name}: it has neither groups nor group_size to change")


TRANSFORMATIONS: dict[str, Callable[[Operator, tuple[Shape, ...]], Grown]] = {
    "wider": wider,
    "larger kernel": larger_kernel,
    "fewer groups": fewer_groups,
}


def refusal(transformation: str, op: Operator, x: tuple[Shape, ...]) -> str:
    """Why a transformation does not preserve what the operator computes; empty where it does."""
    try:
        TRANSFORMATIONS[transformation](op, x)
    except CannotGrow as error:
        return str(error)
    return ""


def grown_nodes(transformation: str, old: Scope, new: Scope) -> list[Grown]:
    """The operators of a part beside those of its larger form, in order.

    Raises ``CannotGrow`` naming the first operator that the transformation does not turn into the
    one in its place.
    """
    pairs = list(zip(old.nodes(), new.nodes(), strict=False))
    if len(list(old.nodes())) != len(list(new.nodes())):
        raise CannotGrow("its larger form has other layers")
    grown = []
    for a, b in pairs:
        same = Grown(a.op, a.x, b.op, b.x)
        if transformation != "wider" and (a.op, a.x) == (b.op, b.x):
            grown.append(same)
            continue
        if type(a.op) is not type(b.op):
            raise CannotGrow(f"{a.name}: {b.name} stands in its place")
        extra = {"to": getattr(b.op, "kernel_size", 0)} if transformation == "larger kernel" else {}
        apply: Callable[..., Grown] = TRANSFORMATIONS[transformation]
        expected = apply(a.op, a.x, **extra)
        if expected != same:
            fields = [f for f, v in vars(expected.op).items() if getattr(b.op, f) != v]
            wrong = ", ".join(f"{f} {getattr(b.op, f)}" for f in fields) or "another input"
            raise CannotGrow(f"{a.name}: {wrong} in its larger form computes something else")
        grown.append(same)
    return grown


def _become(op: Operator, x: tuple[Shape, ...], new: Operator, new_x: tuple[Shape, ...]) -> Grown:
    """The growth, where the new form exists and has the outputs it should."""
    try:
        before, after = op.shape(*x), new.shape(*new_x)
    except IllegalArchitecture as error:
        raise CannotGrow(str(error)) from None
    factor = new_x[0].channels // x[0].channels
    if after != Shape(before.channels * factor, before.size):
        raise CannotGrow(f"{type(op).__name__}: its output would become {after} from {before}")
    return Grown(op, x, new, new_x)


def _axes(grown: Grown) -> list[tuple[Any, Any]]:
    old, new = grown.old.weights(*grown.old_x), grown.op.weights(*grown.x)
    return [pair for name in old for pair in zip(old[name].axes, new[name].axes, strict=True)]


def _need_plain_weights(op: Operator, x: tuple[Shape, ...]) -> None:
    if op.deployed(*x) is not None:
        name = type(op).__name__
        raise CannotGrow(f"{name}: its kernel is computed from its weights; deploy it first")


def _plus(kernel: int | tuple[int, ...], more: int) -> int | tuple[int, ...]:
    return tuple(k + more for k in kernel) if isinstance(kernel, tuple) else kernel + more
