"""The optimiser of a network: which weights decay, and its state by the weights' names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from .recipe import Recipe


def make_optimiser(net: nn.Module, recipe: Recipe, strided: bool = False) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum 0.9; ``strided`` where it is to step on views, which one
    fused kernel for all weights cannot.

    Only the weights of convolutions and linear layers decay: not biases, not norms, not positions
    or scales (Goyal et al. 2017, section 5.3).
    """
    decaying: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            (decaying if decays(name, parameter) else others).append(parameter)
    groups = [
        {"params": decaying, "weight_decay": recipe.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    together = {"foreach": True} if strided else {"fused": True} if _fusible(net) else {}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.peak_rate, momentum=0.9, nesterov=True, **together)
    return torch.optim.AdamW(groups, recipe.peak_rate, betas=(0.9, 0.999), **together)


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay pulls on a parameter."""
    return parameter.dim() > 1 and "weight" in name.rpartition(".")[2]


def _fusible(net: nn.Module) -> bool:
    """Whether one kernel can update all weights: real numbers on devices that have it."""
    return all(
        parameter.is_floating_point() and parameter.device.type in ("cpu", "cuda")
        for parameter in net.parameters()
    )


def optimiser_tensors(
    net: nn.Module, optimiser: torch.optim.Optimizer
) -> Iterator[tuple[str, Tensor]]:
    """What the optimiser remembers of every weight, as ``NAME.KEY``: momentum, moments, steps."""
    for name, parameter in net.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                yield f"{name}.{key}", value


def restore_optimiser(
    net: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Give the optimiser back what ``optimiser_tensors`` listed; raises ``ValueError`` for what is
    not of the weights' shapes."""
    state = optimiser.state_dict()
    index = {
        id(parameter): number
        for number, parameter in enumerate(p for g in optimiser.param_groups for p in g["params"])
    }
    kept: dict[str, dict[str, Tensor]] = {}
    for full, tensor in tensors.items():
        of, _, what = full.rpartition(".")
        kept.setdefault(of, {})[what] = tensor
    for name, parameter in net.named_parameters():
        own = {what: _laid_out(tensor, parameter) for what, tensor in kept.get(name, {}).items()}
        if own and id(parameter) in index:
            state["state"][index[id(parameter)]] = own
    optimiser.load_state_dict(state)


def _laid_out(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The same numbers in the order in memory that the parameter has: fused kernels rely on it, and
    on the shape, which they read and write past the end of. Raises ``ValueError`` for another."""
    if tensor.dim() == 0:  # the number of steps
        return tensor
    if tensor.shape != parameter.shape:
        raise ValueError(f"{tuple(tensor.shape)} for a weight of {tuple(parameter.shape)}")
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
