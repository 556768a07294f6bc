"""Inserted norms that are to pass their input on: with the statistics of what they really read.

Such a norm is the identity in evaluation mode whatever its running statistics; with those of its
input it nearly is in training mode, too, where it uses those of each batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..operators.normalization import BatchNorm
from .inserted import Start
from .plan import Growth


def settling(growth: Growth) -> list[str]:
    """The layers that ``settle`` changes."""
    return [
        name
        for name, start in growth.roles.starts.items()
        if start is Start.IDENTITY and isinstance(growth.nodes[name].op, BatchNorm)
    ]


@torch.no_grad()
def settle(growth: Growth, net: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Give the inserted norms of the grown ``net`` the statistics of what they read, over all of
    the ``inputs`` (batch, channels, sizes ...) together, and let them undo them.

    In evaluation mode the network computes what it did, to rounding; its mode is left as it is.
    """
    sums: dict[str, list[Tensor]] = {}

    def look(name: str, x: Tensor) -> None:
        x = x.detach().double()
        dims = [dim for dim in range(x.dim()) if dim != 1]
        count = torch.tensor(float(x.numel() // x.shape[1]), device=x.device)
        own = [count, x.sum(dims), x.square().sum(dims)]
        sums[name] = [a + b for a, b in zip(sums[name], own, strict=True)] if name in sums else own

    handles = [
        net.get_submodule(name).register_forward_pre_hook(
            lambda module, x, name=name: look(name, x[0])
        )
        for name in settling(growth)
    ]
    modes = {module: module.training for module in net.modules()}
    try:
        net.eval()
        if handles:
            for x in inputs:
                net(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    for name, (count, total, squares) in sums.items():
        norm: nn.BatchNorm2d = net.get_submodule(name)  # type: ignore[assignment]
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((norm.running_var.double() + norm.eps).sqrt())
        norm.bias.add_(norm.running_mean)  # it may be that of the layer before
