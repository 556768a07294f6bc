"""Dropout: in training, numbers set to zero at random."""

from __future__ import annotations

from dataclasses import dataclass

from ..operator import Call, Operator, Shape, Weight, check


@dataclass(frozen=True)
class Dropout(Operator):
    """``nn.Dropout``: each number is zero with probability ``p`` in training, and the others are
    1 / (1 - p) times as large; in evaluation it passes its input on (Srivastava et al. 2014)."""

    p: float = 0.5
    paper = "Srivastava et al. 2014"

    def check_fields(self) -> None:
        check(0 <= self.p < 1, "Dropout: p {} is no probability below 1; 0.5 is usual", self.p)

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {}

    def module(self, x: Shape) -> Call:
        return Call("nn.Dropout", (), {"p": self.p})
