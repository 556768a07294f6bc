"""NASWOT (Mellor et al. 2021, "Neural Architecture Search without Training").

A unit that is on or off writes one bit for each input; the kernel K_ij of two inputs is the number
of units less the Hamming distance of their codes, and the score is log |det K|: a network tells
inputs apart that fall into different linear regions. Weights start as PyTorch starts them, batch
norm sees the batch, both as in the released code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..architecture import Architecture
from ..operators.activation import Activation
from .fresh import Batch, checked, fresh, normal_batch, seeded

if TYPE_CHECKING:
    from torch import nn


def naswot(architecture: Architecture, seed: int = 0, batch: Batch | None = None) -> float:
    """log |det K| over the inputs of a batch (standard normal ones where none is given).

    A ReLU is on where what it gets is above zero. The paper knows no other activation; here every
    one writes the sign of what it gets: for a ReLU that is the same, for its smooth relatives the
    side on which they pass or stop a signal, for a sigmoid or tanh the half in which it saturates.
    Minus infinity where two inputs have the same code, and for a network without activations.
    """
    import torch

    with seeded(seed), torch.no_grad():
        net, _ = fresh(architecture)
        x, _ = normal_batch(architecture) if batch is None else checked(batch, architecture)
        kernel = torch.zeros(len(x), len(x), dtype=torch.float64)

        def add(module: nn.Module, inputs: Any, output: Any) -> None:
            on = (inputs[0] > 0).flatten(1).float()
            both = (on @ on.T).double()
            each = both.diagonal()
            kernel.add_(on.shape[1] - (each[:, None] + each - 2 * both))

        for module in net.modules():
            if isinstance(module, _kinds()):
                module.register_forward_hook(add)
        net(x)
        return float(torch.linalg.slogdet(kernel).logabsdet)


def _kinds() -> tuple[type[nn.Module], ...]:
    """PyTorch's classes of the activations there are."""
    from torch import nn

    return tuple(getattr(nn, kind.__name__) for kind in Activation.__subclasses__())
