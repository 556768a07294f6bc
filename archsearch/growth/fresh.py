"""What weights start as that nothing old tells anything about."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from ..graph import Node
from ..nets.build import build_recipe
from ..operator import Weight
from ..operators.convolution import Convolution
from ..operators.normalization import BatchNorm
from .inserted import Start, padding
from .plan import GrownLayer, Growth


class Fresh:
    """Fresh weights of the new network, of a block only when it is asked for."""

    def __init__(self, growth: Growth, seed: int, like: Tensor) -> None:
        self._growth, self._seed, self._like = growth, seed, like
        self._inputs = growth.input_shapes
        self._part = ""
        self._state: dict[str, Tensor] = {}

    def names(self, layer: str) -> list[str]:
        """What a layer holds."""
        place = f"{layer[len(self._read(layer)) + 1 :]}."
        found = [name.removeprefix(place) for name in self._state if name.startswith(place)]
        return [name for name in found if "." not in name]

    def like(self, name: str, layer: GrownLayer, weight: Weight, old: Tensor) -> Tensor:
        """A fresh weight; of a plain operator in the place of another, one as large as ``old``."""
        if layer.replaced_by is None:
            return self[name]
        sizes = [axis.size for axis in weight.axes]
        return old.new_empty(sizes).normal_(0, float(old.std(correction=0)))

    def __getitem__(self, name: str) -> Tensor:
        part = self._read(name)
        tensor = self._state[name[len(part) + 1 :]]
        kind = self._like.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self._like.device, kind)

    def _read(self, name: str) -> str:
        """The block that something is in, whose fresh weights are there now."""
        part = next(part for part in self._inputs if name.startswith(f"{part}."))
        if self._part != part:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self._seed * 100_003 + list(self._inputs).index(part))
                module = build_recipe(self._growth.blocks[part], self._inputs[part])
                module.apply(vars(sys.modules[type(module).__module__])["initialise"])
            self._part, self._state = part, dict(module.state_dict())
        return part


def started(growth: Growth, fresh: Fresh, layer: str, name: str) -> Tensor:
    """A weight of an inserted layer."""
    tensor = fresh[f"{layer}.{name}"]
    start = growth.roles.starts.get(layer)
    node = growth.nodes[layer]
    weight = node.op.weights(*node.x).get(name)
    if start is None or weight is None or not weight.trained:
        return tensor
    if start is Start.ZERO or name == "bias":
        return torch.zeros_like(tensor)
    if isinstance(node.op, Convolution):
        return _dirac(tensor, node)
    scale = (1 + node.op.eps) ** 0.5 if isinstance(node.op, BatchNorm) else 1.0
    return torch.full_like(tensor, scale)


def _dirac(tensor: Tensor, node: Node) -> Tensor:
    """A kernel that passes every channel on."""
    op = node.op
    assert isinstance(op, Convolution)
    found = torch.zeros_like(tensor)
    rows = torch.arange(tensor.shape[0], device=tensor.device)
    middle = [p // d for p, d in zip(padding(op, node), op.dilations(node.x[0]), strict=True)]
    place: tuple[Tensor | int, ...] = (rows, rows % tensor.shape[1], *middle)
    found[place] = 1
    return found
