"""Rules of training a supernet: which members learn from a batch, and from what.

A rule is a function of a ``Step``, in a file of its own that names its paper; one step of the
optimiser follows with all the gradients it left.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from ...members import Members
    from ...space import Point


class Step(Protocol):
    """One batch, and what a rule may do with it."""

    members: Members
    """The members within the budgets: what is drawn from."""
    largest: Point
    """The member with the most multiply-accumulates."""
    smallest: Point
    """The member with the fewest."""
    rng: Random
    """Seeded by the training's seed and the number of the step."""
    progress: float
    """Share of the training that lies behind, from 0 to below 1."""
    pictures: int
    """Pictures in the batch."""

    def learn(
        self,
        point: Point,
        part: slice = slice(None),
        hints: Tensor | None = None,
        share: float = 1.0,
    ) -> Tensor:
        """Let a member learn from some pictures of the batch: forward and backward.

        Its loss (against the labels, or where there are ``hints`` (pictures, classes), logits of
        another member on the same pictures, against their softmax) counts ``share``. Returns its
        logits, shape (pictures of the part, classes), detached.
        """
        ...

    def loss(self, point: Point) -> float:
        """A member's mean loss on the batch, nats, from which nothing is learnt."""
        ...


Rule: TypeAlias = Callable[[Step], None]
"""Calls ``Step.learn`` for every member that is to learn from the batch."""

DEFAULT = "uniform"
"""Where nobody names a rule: it ranked best for the time it takes (benchmarks/README.md)."""
