"""SPOS: one member at a time (Guo et al., Single Path One-Shot Neural Architecture Search with
Uniform Sampling, ECCV 2020).

Every batch is learnt by one random member. The authors draw every choice uniformly; here all
members are drawn about equally often, so that an alternative with more choices inside comes more
often, and budgets are kept without drawing again.
"""

from __future__ import annotations

from . import Step


def single_path(step: Step) -> None:
    (point,) = step.members.draw(step.rng, 1)
    step.learn(point)
