"""What tests of modules share: weights that hide nothing, shapes without weights, one thread."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.architecture import Architecture
from archsearch.nets.build import build

torch.set_num_threads(1)  # the networks here are so small that threads only wait for each other


def randomise(net: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics far from their start (zero scales would hide whole branches); the
    network is returned in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith(("running_var", "weight")) and tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.dim() == 1:
                tensor.normal_(0, 0.1, generator=generator)
    return net.eval()


def without_weights(architecture: Architecture) -> nn.Module:
    """The network on the device "meta": it has shapes, and no numbers. To draw none takes
    milliseconds for every layer there, so that it is left out."""
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        for name in ("normal_", "uniform_"):
            patch.setattr(torch.Tensor, name, lambda tensor, *_, **__: tensor)
        return build(architecture)


def assert_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for the order of additions, which threads and processors may choose."""
    assert found.shape == expected.shape
    error = (found - expected).abs().max() / expected.abs().max()
    assert error < 1e-4, f"they differ by {error:.1e} of the largest number"
