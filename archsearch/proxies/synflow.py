"""SynFlow (Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving
synaptic flow").

With every weight at its absolute value and an input of ones, R is the sum of the outputs and the
score of a weight is w dR/dw; a network's score is the logarithm of their sum (Abdelfattah et al.
2021 take the sum; the logarithm ranks the same and can be printed). No data, no loss.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..architecture import Architecture
from ..operators.activation import GELU, Hardswish, ReLU, ReLU6, SiLU
from ..operators.normalization import BatchNorm, GroupNorm, LayerNorm
from .fresh import fresh, seeded

if TYPE_CHECKING:
    from torch import nn

PASSED = (ReLU, ReLU6, SiLU, GELU, Hardswish, BatchNorm, GroupNorm, LayerNorm)
"""Layers that numbers pass unchanged: norms are off, as the flow would not be conserved through
them, and what a ReLU gets is never negative here, so that it and its relatives let it through."""


def synflow(architecture: Architecture, seed: int = 0) -> float:
    """log of the sum of w dR/dw over all weights that contract, in double precision; weights start
    as PyTorch starts them, biases at zero. Gates (sigmoid, tanh) stay what they are. Where maps are
    multiplied with each other many times (HorNet), R overflows and the result is not finite."""
    import torch

    with seeded(seed):
        net, weights = fresh(architecture)
        net.double().eval()  # norms are passed by, and could not take a batch of one in training
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
            for parameter in weights.values():
                parameter.abs_()
        for node in architecture.trace().nodes():
            if isinstance(node.op, PASSED):
                net.get_submodule(node.name).register_forward_hook(_pass)
        x = torch.ones(1, *architecture.input, dtype=torch.float64)
        found = torch.autograd.grad(net(x).sum(), list(weights.values()), allow_unused=True)
        total = sum(
            float((weight.detach() * g).sum())
            for weight, g in zip(weights.values(), found, strict=True)
            if g is not None
        )
        return math.log(total) if total > 0 else -math.inf


def _pass(module: nn.Module, inputs: Any, output: Any) -> Any:
    return inputs[0]
