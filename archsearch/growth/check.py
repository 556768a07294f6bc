"""How far a grown network's answers are from those of the network it came from, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..architecture import Architecture
from ..nets.build import build
from .carry import grown_state
from .channels import CannotGrow
from .plan import Growth

State = Mapping[str, Tensor]

TOLERANCE = 1e-12
"""The largest relative difference, in float64, that is rounding."""

ROUNDING = 1e-5
"""The largest that is rounding where weights are kept in a shorter type, such as float32."""

SAMPLES = 2
"""Inputs that are tried: two, as statistics of one would leave batch norm without a spread."""

EVALUATION, TRAINING, KEPT = "evaluation", "training", "as kept"


def checked(growth: Growth, state: State, seed: int = 0) -> dict[str, float]:
    """The largest differences of outputs, relative to the largest output, on inputs drawn from a
    standard normal distribution; in float64.

    By mode: "evaluation" and, where the growth is exact in it, "training", with weights grown in
    float64; "as kept" is in evaluation mode with weights of the type of ``state``, which is
    rounding. Raises ``CannotGrow`` where one is more than that.
    """
    wide = {n: t.double() if t.is_floating_point() else t for n, t in state.items()}
    modes = (False, True) if growth.in_training else (False,)
    wanted = outputs(growth.old, wide, modes)
    got = outputs(growth.new, grown_state(growth, wide, seed), modes)
    kept = outputs(growth.new, grown_state(growth, state, seed))[0]
    found = {
        name: apart(a, b) for name, a, b in zip((EVALUATION, TRAINING), wanted, got, strict=False)
    }
    found[KEPT] = apart(wanted[0], kept)
    for name, difference in found.items():
        most = ROUNDING if name == KEPT else TOLERANCE
        if not difference <= most:
            where = "with weights as they are kept" if name == KEPT else f"in {name} mode"
            raise CannotGrow(
                f"the grown network's outputs differ by {difference:.1e} {where} (at most {most:g}"
                " is rounding): are all weights finite numbers?"
            )
    return found


@torch.no_grad()
def outputs(
    architecture: Architecture, state: State, modes: Sequence[bool] = (False,), seed: int = 0
) -> list[Tensor]:
    """What a network with these weights answers to random inputs, in float64, in evaluation mode
    (False) and training mode (True), in this order."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(SAMPLES, *architecture.input, generator=random, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        net = build(architecture).to(torch.float64)
        net.load_state_dict(dict(state))
        return [net.train(mode)(x) for mode in modes]


def apart(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the largest number of ``a``."""
    largest, difference = float(a.abs().max()), float((a - b).abs().max())
    return difference / largest if largest else difference
