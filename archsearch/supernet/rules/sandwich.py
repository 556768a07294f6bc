"""The sandwich rule with in-place distillation (Yu et al., BigNAS: Scaling Up Neural Architecture
Search with Big Single-Stage Models, ECCV 2020; the rule itself: Yu & Huang, Universally Slimmable
Networks, ICCV 2019).

The largest member learns the batch's labels; ``RANDOM`` random members, then the smallest learn
the answers that it just gave. The authors add up the gradients; here they are averaged, so that
learning rate and clipping, which are meant for one network, fit. They use dropout in the largest
only, and pictures of a size drawn for each step; here all have the dropout of their descriptions,
and one size.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...space import Point
from . import Step

RANDOM = 2
"""Random members in one step, as the authors have."""


def sandwich(step: Step) -> None:
    taught(step, [*step.members.draw(step.rng, RANDOM), step.smallest])


def taught(step: Step, pupils: Sequence[Point]) -> None:
    """Let the largest member learn from the labels, and others from its answers."""
    share = 1 / (1 + len(pupils))
    hints = step.learn(step.largest, share=share)
    for point in pupils:
        step.learn(point, hints=hints, share=share)
