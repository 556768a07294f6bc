"""Whether the built network computes what the user's module does, in float64, in both modes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..architecture import Architecture
from ..errors import UserError
from ..nets.build import build

TOLERANCE = 1e-12
"""The largest difference, relative to the largest number."""

BATCH = 3


def check_same(module: nn.Module, architecture: Architecture, origins: Mapping[str, str]) -> None:
    """Compare on random inputs: outputs in evaluation and in training, and the statistics that
    training leaves. Raises ``UserError``.

    The weights are changed a little for it, as a weight of zero tells nothing of what it stands
    for; the module is left so.
    """
    theirs, mine = module.double(), build(architecture).double()
    name = type(theirs).__name__
    generator = torch.Generator().manual_seed(0)
    _change(theirs, generator)
    _take(mine, theirs, origins)
    x = torch.randn(BATCH, *architecture.input, generator=generator, dtype=torch.double)
    for train, words in ((False, "in evaluation"), (True, "in training")):
        found, expected = (_run(net.train(train), x) for net in (mine, theirs))
        _compare(found, expected, name, words)
    state, own = theirs.state_dict(), mine.state_dict()
    for ours, origin in origins.items():
        if ours.rpartition(".")[2].startswith("running_"):
            words = f"in the statistics of {origin.rpartition('.')[0]}"
            _compare(own[ours], state[origin], name, words)


def _take(mine: nn.Module, theirs: nn.Module, origins: Mapping[str, str]) -> None:
    state = theirs.state_dict()
    own = mine.state_dict()
    mine.load_state_dict(
        own | {name: state[origin].reshape(own[name].shape) for name, origin in origins.items()}
    )


def _change(net: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                size = tensor.square().mean().sqrt().nan_to_num() + 0.1
                noise = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
                tensor += 0.1 * size * noise


def _run(net: nn.Module, x: Tensor) -> Tensor:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        output: Tensor = net(x.clone())
    return output


def _compare(found: Tensor, expected: Tensor, name: str, words: str) -> None:
    if not expected.isfinite().all():
        raise UserError(f"{name} gives numbers that are not finite {words}; mend its weights first")
    if found.shape == expected.shape:
        error = (found - expected).abs().max() / expected.abs().max().clamp(min=1e-6)
        if error <= TOLERANCE:
            return
        size = f"by {error:.0e} of the largest number"
    else:
        size = "in the shape of its output"
    raise UserError(
        f"{name} cannot be imported: what was read of it differs {words}, {size}. A layer that"
        " works in place on what is read later, or a choice by the numbers of a tensor, does that"
    )
