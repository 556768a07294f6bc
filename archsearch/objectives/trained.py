"""The objective that costs most and tells most: what a network has learnt after some epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Trained:
    """How a network does on the validation pictures after a short training.

    ``metric`` is the "accuracy" there, a share of 1, or the "loss", the mean cross-entropy in nats.
    ``recipe`` has fields of ``training.recipe.Recipe`` that are not to be at their defaults; the
    test pictures are never looked at. Data and, where asked for, other ``epochs`` come from whoever
    searches.
    """

    name: str
    metric: Literal["accuracy", "loss"] = "accuracy"
    epochs: int = 5
    recipe: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""

    def __post_init__(self) -> None:
        if self.metric not in ("accuracy", "loss"):
            raise ValueError(f"metric {self.metric!r}: a training gives accuracy and loss")
        if type(self.epochs) is not int or self.epochs < 1:
            raise ValueError(f"epochs {self.epochs!r}: give a whole number of at least 1")

    @property
    def higher_is_better(self) -> bool:
        return self.metric == "accuracy"
