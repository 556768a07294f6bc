"""Objectives made of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Combination:
    """One number made of several: ``function`` of the values of the objectives in ``of``.

    These are objectives, or names as a search takes them: "macs" is the cost itself. The function
    gets their values in this order; each is evaluated once for a network, however many ask for it.
    """

    name: str
    of: tuple[Any, ...]
    function: Callable[..., float]
    higher_is_better: bool = True
    origin: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.of, tuple | list) or not self.of:
            raise ValueError(f"of {self.of!r}: name the objectives that {self.name} combines")
