"""Progressive shrinking (Cai et al., Once-for-All: Train One Network and Specialize it for
Efficient Deployment, ICLR 2020).

First the largest member learns alone, at any of its resolutions where there are several, as all
that follow. Then come members that are as it is but for their kernel
sizes (any choice of a kernel size or between convolutions), then also their depths, then all of
their choices; they learn the answers of the largest to the same batch. The authors' teacher is the
largest as it was when the first phase ended, and pupils learn from labels too; here it goes on
learning from the labels beside its pupils, of which there are as many in all phases, and no
network is kept twice. They open depths and expansions in two halves each, restart the learning
rate in every phase, and sort channels by importance before the last (``supernet.order``); here the
phases are shares of one training. Where a member with the largest's other choices is not legal or
exceeds a budget, the nearest one that does not takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...members.resolutions import SIZE
from ...operators.convolution import Convolution
from ...points import DEPTH
from ...spatial import CompositeConvolution
from ..draws import deal
from . import Step
from .sandwich import taught

KERNELS, DEPTHS, EVERYTHING = 0.30, 0.50, 0.75
"""From which share of the training on choices are open: the authors' phases of 180, 125, 150 and
150 epochs, rounded."""

PUPILS = 2
"""Members beside the largest; the authors have 1, 2 and 4 in their phases."""


def progressive_shrinking(step: Step) -> None:
    members, rng = step.members, step.rng
    if step.progress >= EVERYTHING:
        taught(step, members.draw(rng, PUPILS))
        return

    def free(path: str, options: Sequence[Any]) -> bool:
        if path == DEPTH:
            return step.progress >= DEPTHS
        return path == SIZE or (step.progress >= KERNELS and is_kernel(path, options))

    pupils = PUPILS if step.progress >= KERNELS else 1
    dealt = deal(members.space, pupils, rng, step.largest, free)
    points = [members.repaired(point, rng) for point in dealt]
    if step.progress < KERNELS:
        step.learn(points[0])
    else:
        taught(step, points)


def is_kernel(path: str, options: Sequence[Any]) -> bool:
    """Whether a choice is one of kernel sizes or between convolutions."""
    if path.endswith("kernel_size"):
        return True
    return all(isinstance(option, Convolution | CompositeConvolution) for option in options)
