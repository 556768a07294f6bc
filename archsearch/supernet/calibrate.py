"""Batch-norm statistics of a subnet: those of its own maps, on pictures it is not judged by.

The running statistics of training are a mixture over all members that shared a layer, and mean
nothing for any of them (Yu & Huang 2019, section 3.3; Guo et al. 2020, section 3.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Pooled:
    """Mean and variance of all numbers of a channel over several batches (Chan et al. 1979)."""

    def __init__(self, norm: _BatchNorm) -> None:
        self.norm = norm
        self.momentum = norm.momentum
        self.batches = self.count = 0
        zeros = torch.zeros_like(norm.get_buffer("running_mean"), dtype=torch.float64)
        self.mean, self.squares = zeros, zeros

    def take(self, norm: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        """Take in a batch that has just gone through the layer, which keeps its statistics."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None and variance is not None
        count = inputs[0].numel() // len(mean)
        total = self.count + count
        shift = mean.double() - self.mean
        squares = variance.double() * (count - 1)  # what the layer keeps is the unbiased variance
        self.squares = self.squares + squares + shift.square() * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total
        self.batches += 1

    def write(self) -> None:
        mean, variance = self.norm.running_mean, self.norm.running_var
        if self.count > 1 and mean is not None and variance is not None:
            mean.copy_(self.mean)
            variance.copy_(self.squares / (self.count - 1))
            self.norm.get_buffer("num_batches_tracked").fill_(self.batches)


@torch.no_grad()
def calibrate(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of all batch norms to those of the ``batches``, as one batch.

    Each is normalised by its own statistics on its way. The mean and (unbiased) variance over all
    of them are exact for the maps so made: the variance between the batches' means is in it.
    Dropout is off. Modes and momenta are afterwards as before, whatever happens, and so are the
    statistics where the batches end in an exception.
    """
    modes = [(layer, layer.training) for layer in net.modules()]
    pooled = [
        _Pooled(layer)
        for layer in net.modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    ]
    kept = {
        (own.norm, name): buffer.clone()
        for own in pooled
        for name, buffer in own.norm.named_buffers(recurse=False)
    }
    hooks = [own.norm.register_forward_hook(own.take) for own in pooled]
    try:
        net.eval()
        for own in pooled:
            own.norm.train()
            own.norm.momentum = 1.0
        for batch in batches:
            net(batch)
    except BaseException:
        for (norm, name), buffer in kept.items():
            norm.get_buffer(name).copy_(buffer)
        raise
    finally:
        for hook in hooks:
            hook.remove()
        for own in pooled:
            own.norm.momentum = own.momentum
        for layer, mode in modes:
            layer.training = mode
    for own in pooled:
        own.write()
