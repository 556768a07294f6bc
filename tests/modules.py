"""What tests of modules share: weights that hide nothing, and a torch that stays on one thread."""

from __future__ import annotations

import torch
from torch import nn


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
