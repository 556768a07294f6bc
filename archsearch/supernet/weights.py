"""A supernet: the tensors that all networks of a space share, and any member as a view of them.

    supernet = Supernet(Layout(space))
    subnet = supernet.subnet(architecture)    # an nn.Module whose weights lie in the shared tensors

A subnet is made of the same modules as the network by itself, compiled from the same text; its
state dict has the same names. Nothing is copied: what an optimiser writes into a subnet's weights
is in the supernet. (Groups of several sizes are the exception: smaller ones are gathered anew.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..architecture import Architecture
from ..graph import Scope, trace
from ..nets.build import build, build_recipe
from ..operator import Weight
from ..training.devices import layout
from .layout import Layout, Piece, Placed, placed_blocks
from .shortcuts import Shortcuts, merged, overwriting, shortcuts
from .slices import gathered, is_gathered, sliced, transformed, with_taps

KEPT = 4096
"""Blocks whose modules are kept; beyond these the oldest is dropped."""


class Leaf(NamedTuple):
    """A piece of a shared tensor that is learnt: the tensor's name, the axes of the piece, and the
    parameter whose memory is the tensor's."""

    shared: str
    weight: Weight
    parameter: nn.Parameter


@dataclass
class Derived:
    """A weight that is no view: ``make`` computes it from leaves whenever it is used."""

    own: nn.Parameter
    make: Callable[[], Tensor]

    def refresh(self) -> None:
        with torch.no_grad():
            self.own.copy_(self.make())

    def hand_on(self) -> None:
        """Pass the gradient of the weight on to what it was made of."""
        if self.own.grad is not None:
            with torch.enable_grad():
                self.make().backward(self.own.grad)  # type: ignore[no-untyped-call]
            self.own.grad = None


@dataclass
class View:
    """A block of a subnet: its module, how the maps in it may lie in memory, what can be left out
    where nothing is learnt, what it learns, and those of its weights that are no views of that."""

    module: nn.Module
    maps: torch.memory_format
    shortcuts: Shortcuts
    leaves: list[Leaf] = field(default_factory=list)
    derived: list[Derived] = field(default_factory=list)


class Subnet(nn.Module):
    """A member of a supernet's space with the supernet's weights, called as the network itself.

    It is good until the supernet is asked for the next one: they share modules.
    """

    def __init__(
        self,
        architecture: Architecture,
        views: Mapping[str, View],
        maps: torch.memory_format | None = None,
    ) -> None:
        """``maps``: how its maps had best lie in memory; None is as pictures do for all."""
        super().__init__()
        self.architecture, self.maps = architecture, maps
        self._views = list(views.values())
        stages: dict[str, list[nn.Module]] = {}
        for name, view in views.items():
            if name == "stem":
                self.stem = view.module
            elif name != "head":
                stages.setdefault(name.rpartition(".")[0], []).append(view.module)
        self.stages = nn.Sequential(*(nn.Sequential(*blocks) for blocks in stages.values()))
        self.head = views["head"].module

    def forward(self, x: Tensor) -> Tensor:
        """What the network gives for a batch (n, channels, ...)."""
        if "stem" in self._modules:
            x = self.stem(x)
        return cast("Tensor", self.head(self.stages(x)))

    def laid_out(self, x: Tensor) -> Tensor:
        """A batch in the order in memory in which the member learns fastest without harm."""
        return x if self.maps is None or x.dim() != 4 else x.to(memory_format=self.maps)

    def in_mode(self, training: bool) -> Subnet:
        """The same in training mode, or not; without a look at layers whose blocks are in it."""
        if any(view.module.training != training for view in self._views):
            return self.train(training)
        for container in (self, self.stages, *self.stages):
            container.training = training
        return self

    def leaves(self) -> Iterator[Leaf]:
        """What the subnet learns."""
        for view in self._views:
            yield from view.leaves

    def overwriting(self) -> AbstractContextManager[None]:
        """Inside, where nothing must be learnt, activations write where they read."""
        return overwriting(view.shortcuts for view in self._views)

    def merged(self) -> AbstractContextManager[None]:
        """Inside, in evaluation mode and where nothing must be learnt, convolutions do what the
        batch norms behind them would."""
        return merged(view.shortcuts for view in self._views)

    def hand_on(self) -> None:
        """Pass gradients of weights that are no views on to what they were made of."""
        for view in self._views:
            for own in view.derived:
                own.hand_on()


class Supernet(nn.Module):
    """The shared tensors of a space; each is a parameter under its name in the layout: ``tensors``,
    or fresh ones by the ``seed``."""

    def __init__(
        self, layout: Layout, seed: int = 0, tensors: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.layout = layout
        self._views: dict[Placed, View] = {}
        if tensors is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                tensors = _started(layout)
        for name, tensor in tensors.items():
            self._register(name, nn.Parameter(tensor))
        self.shared: Mapping[str, nn.Parameter] = dict(self.named_parameters())

    def memory_format(self, device: torch.device) -> torch.memory_format:
        """How the tensors, and pictures for them, lie in memory: as those of any network, channels
        last where that is safe for all members (``training.devices.layout``). Where it is not,
        each member lays out its batches (``Subnet.laid_out``); maps follow these, and kernels are
        put in order on their way, which takes no time worth mention."""
        unsafe = device.type == "cpu" and self.layout.strides_pointwise
        return torch.contiguous_format if unsafe else torch.channels_last

    def subnet(self, architecture: Architecture) -> Subnet:
        """A member with the shared weights, in the mode (training or not) that the supernet is in.

        Its running statistics are its own, and fresh when it is asked for again after long. Raises
        ``UserError`` for a network of another space.
        """
        placed = placed_blocks(architecture)
        views = {own.name: view for own in placed if (view := self._views.get(own)) is not None}
        if len(views) < len(placed):
            views = self._made_views(architecture, placed)
        for view in views.values():
            for derived in view.derived:
                derived.refresh()
        return Subnet(architecture, views, self._maps(views)).in_mode(self.training)

    def _maps(self, views: Mapping[str, View]) -> torch.memory_format | None:
        """How the maps of a member lie, where members differ in that."""
        if self.memory_format(self._like.device) == torch.channels_last:
            return None
        safe = all(view.maps == torch.channels_last for view in views.values())
        return torch.channels_last if safe else torch.contiguous_format

    @property
    def _like(self) -> Tensor:
        return next(iter(self.shared.values()))

    def _made_views(self, architecture: Architecture, placed: Sequence[Placed]) -> dict[str, View]:
        """The blocks of a member, of which some are not kept yet. Where layers use the weights of
        others, blocks mean something in their network alone, and are not kept."""
        scopes = {own: trace(own.block, own.x) for own in placed}
        if any(node.op.tie for scope in scopes.values() for node in scope.nodes()):
            with torch.device("meta"):
                net = build(architecture)
            modules = {own: net.get_submodule(own.name) for own in placed}
            return {p.name: self._made(p, scope, modules[p]) for p, scope in scopes.items()}
        for own, scope in scopes.items():
            if own not in self._views:
                with torch.device("meta"):
                    module = build_recipe(own.block, own.x)
                self._views[own] = self._made(own, scope, module)
        found = {own.name: self._views[own] for own in placed}
        while len(self._views) > KEPT:
            self._views.pop(next(iter(self._views)))
        return found

    # -- one block of a member -----------------------------------------------------------------
    def _made(self, placed: Placed, scope: Scope, module: nn.Module) -> View:
        view = View(module, layout(self._like.device, module), shortcuts(scope, module))
        for piece in self.layout.pieces(placed, scope):
            layer, name = _layer(module, piece)
            layer.register_parameter(name, self._weight(piece, view))
        _fill_buffers(module, placed, self._like)
        return view

    def _weight(self, piece: Piece, view: View) -> nn.Parameter:
        """The parameter of a layer, and what it learns."""
        tensors, steps = self.layout.tensors, self.layout.transforms(piece)
        large = tensors[piece.shared].weight
        held = with_taps(piece.weight, steps[0][1]) if steps else piece.weight
        own = self._leaf(piece.shared, held, view)
        if not steps and not is_gathered(large, held):
            return own
        matrices = [(self._leaf(name, tensors[name].weight, view), size) for name, size in steps]
        weight, inputs = piece.weight, int(piece.node.x[0].channels)

        def make() -> Tensor:
            kernel = transformed(own, matrices)
            return gathered(kernel, weight, inputs) if is_gathered(large, weight) else kernel

        view.derived.append(Derived(nn.Parameter(make().detach()), make))
        return view.derived[-1].own

    def _leaf(self, shared: str, weight: Weight, view: View) -> nn.Parameter:
        """A view of a piece of a tensor, to be learnt."""
        whole, large = self.shared[shared], self.layout.tensors[shared].weight
        own = nn.Parameter(sliced(whole.detach(), large, weight), whole.requires_grad)
        axes = zip(large.axes, own.shape, strict=True)
        found = Weight(tuple(axis._replace(size=size) for axis, size in axes))
        view.leaves.append(Leaf(shared, found, own))
        return own

    # -- as a module ---------------------------------------------------------------------------
    def _register(self, name: str, parameter: nn.Parameter) -> None:
        *path, last = name.split(".")
        place: nn.Module = self
        for step in path:
            if step not in place._modules:
                place.add_module(step, nn.Module())
            place = cast("nn.Module", place._modules[step])
        place.register_parameter(last, parameter)

    def _apply(self, *args: Any, **named: Any) -> Supernet:
        """Moving the shared tensors leaves the views behind."""
        self._views.clear()
        return cast("Supernet", super()._apply(*args, **named))  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        """Without the views, which a copy has to make of its own tensors."""
        return self.__dict__ | {"_views": {}, "shared": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.shared = dict(self.named_parameters())


def _layer(module: nn.Module, piece: Piece) -> tuple[nn.Module, str]:
    """The module that a weight is of, and its name there."""
    path, _, name = f"{piece.node.name}.{piece.name}".rpartition(".")
    return module.get_submodule(path), name


def _fill_buffers(module: nn.Module, placed: Placed, like: Tensor) -> None:
    """Give memory to what is not learnt, on the device and in the precision of ``like``: running
    statistics start afresh, constants are as they are in the network by itself."""
    waiting: list[tuple[nn.Module, str, str]] = []
    for path, layer in module.named_modules():
        for name, buffer in layer._buffers.items():
            if buffer is None:
                continue
            if name in ("running_mean", "running_var", "num_batches_tracked"):
                kind = like.dtype if buffer.is_floating_point() else buffer.dtype
                fill = 1.0 if name == "running_var" else 0.0
                layer._buffers[name] = torch.full(
                    buffer.shape, fill, dtype=kind, device=like.device
                )
            else:
                waiting.append((layer, name, f"{path}.{name}" if path else name))
    if waiting:
        real = dict(build_recipe(placed.block, placed.x).named_buffers())
        for layer, name, full in waiting:
            layer._buffers[name] = real[full].to(like.device)


def _started(layout: Layout) -> dict[str, Tensor]:
    """Fresh tensors: each is filled with the weights of the largest blocks that have it."""
    blocks: dict[Placed, nn.Module] = {}
    tensors: dict[str, Tensor] = {}
    for name, own in layout.tensors.items():
        shape = [int(axis.size) for axis in own.weight.axes]
        if not own.sources:
            tensors[name] = torch.eye(*shape)
            continue
        tensor = torch.empty(shape)
        for i, source in enumerate(reversed(own.sources)):
            if source.placed not in blocks:
                blocks[source.placed] = _started_block(source.placed)
            fresh = blocks[source.placed].get_parameter(f"{source.layer}.{source.name}").detach()
            if i == 0 and list(fresh.shape) != shape:  # nothing has all sizes: fill the corners
                tensor.normal_(float(fresh.mean()), float(fresh.std(correction=0)))
            axes = zip(own.weight.axes, fresh.shape, strict=True)
            smaller = Weight(tuple(axis._replace(size=size) for axis, size in axes))
            place = sliced(tensor, own.weight, smaller)
            for dim, size in enumerate(fresh.shape):  # groups are of different sizes
                place = place.narrow(dim, 0, size)
            place.copy_(fresh)
        tensors[name] = tensor
    return tensors


def _started_block(placed: Placed) -> nn.Module:
    module = build_recipe(placed.block, placed.x)
    return module.apply(vars(sys.modules[type(module).__module__])["initialise"])
