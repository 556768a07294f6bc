"""Chain programs: the data of the mathematical program the solver certifies.

Only numbers live here: slots, choices, features, budgets. No networks, no algorithms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Assignment = tuple[tuple[int, int], ...]
"""One (choice, depth) pair per slot."""

TOLERANCE = 1e-9
"""Relative slack granted to every budget and to the effectiveness limit, against rounding."""

MOST_SLACK = 0.5
"""Most slack of a budget: costs are whole numbers, so none above the budget gets through."""


@dataclass(frozen=True, eq=False)
class Slot:
    """A run of identical blocks: pick one choice j and one depth L.

    With s the out-state of the previous slot, the features of the run are
    ``basis[s] @ first[j] + (L - lo[j]) * rest[j]``.

    Shapes, with S in-states, J choices, rank r and F features: ``out_state`` (J,) indexes this
    slot's out-states 0..out_states-1; ``lo`` and ``hi`` (J,) bound the depth; ``basis`` (S, r);
    ``first`` (J, r, F); ``rest`` (J, F). Choice j accepts the in-states
    ``state_lo[j]..state_hi[j]`` (both included), and of these only where ``allowed[s, j]``.
    Slot 0 has exactly one in-state.
    """

    out_states: int
    out_state: IntArray
    lo: IntArray
    hi: IntArray
    basis: FloatArray
    first: FloatArray
    rest: FloatArray
    state_lo: IntArray | None = None
    state_hi: IntArray | None = None
    allowed: BoolArray | None = None
    name: str = ""

    def __post_init__(self) -> None:
        for attribute in ("out_state", "lo", "hi", "state_lo", "state_hi"):
            value = getattr(self, attribute)
            if value is not None:
                object.__setattr__(self, attribute, np.asarray(value, dtype=np.int64))
        for attribute in ("basis", "first", "rest"):
            value = np.asarray(getattr(self, attribute), dtype=np.float64)
            object.__setattr__(self, attribute, value)
        if self.allowed is not None:
            object.__setattr__(self, "allowed", np.asarray(self.allowed, dtype=np.bool_))
        self._check()

    def _check(self) -> None:
        states, rank = self.basis.shape
        choices = len(self.out_state)
        features = self.rest.shape[-1]
        label = f"slot {self.name!r}"
        if choices == 0:
            raise ValueError(f"{label} has no choices")
        if self.first.shape != (choices, rank, features) or self.rest.shape != (choices, features):
            raise ValueError(
                f"{label}: first {self.first.shape} and rest {self.rest.shape} should be "
                f"({choices}, {rank}, features) and ({choices}, features)"
            )
        for attribute in ("lo", "hi", "state_lo", "state_hi"):
            value = getattr(self, attribute)
            if value is not None and value.shape != (choices,):
                raise ValueError(f"{label}: {attribute} has shape {value.shape}, not ({choices},)")
        if self.allowed is not None and self.allowed.shape != (states, choices):
            raise ValueError(
                f"{label}: allowed has shape {self.allowed.shape}, not ({states}, {choices})"
            )
        if (self.lo > self.hi).any() or (self.lo < 0).any():
            raise ValueError(f"{label}: every choice needs 0 <= lo <= hi")
        if (self.out_state < 0).any() or (self.out_state >= self.out_states).any():
            raise ValueError(f"{label}: out_state outside 0..{self.out_states - 1}")
        for array in (self.basis, self.first, self.rest):
            if not np.isfinite(array).all():
                raise ValueError(f"{label}: features must be finite")

    @property
    def in_states(self) -> int:
        return int(self.basis.shape[0])

    @property
    def choices(self) -> int:
        return len(self.out_state)

    def accepts(self, state: int, choice: int) -> bool:
        """Whether `choice` may follow in-state `state`."""
        if self.state_lo is not None and state < self.state_lo[choice]:
            return False
        if self.state_hi is not None and state > self.state_hi[choice]:
            return False
        return self.allowed is None or bool(self.allowed[state, choice])


@dataclass(frozen=True, eq=False)
class Product:
    """Objective term ``S_end * level[out-state of slot end]``, S_end cumulative over 0..end.

    ``level`` holds alpha * log(r^2 c) per out-state of slot ``end``; any sign is allowed.
    """

    end: int
    level: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", np.asarray(self.level, dtype=np.float64))


@dataclass(frozen=True)
class Evenness:
    """Objective term ``-weight * exp(spread)`` over the summed depths of groups of slots.

    ``kind`` is the population standard deviation or the population variance. ``variance`` names
    a feature whose total is that variance, where the program has one (see expand.py).
    """

    weight: float
    groups: tuple[tuple[int, ...], ...]
    kind: Literal["std", "var"] = "std"
    variance: str | None = None

    def penalty(self, depths: FloatArray) -> FloatArray:
        """weight * exp(spread) for group depths of shape (..., groups); may be infinite."""
        spread = depths.var(axis=-1)
        if self.kind == "std":
            spread = np.sqrt(spread)
        with np.errstate(over="ignore"):
            result: FloatArray = self.weight * np.exp(spread)
        return result


@dataclass(frozen=True)
class Effectiveness:
    """Constraint ``D * exp(-kappa * S / D) <= limit`` on the prefix of slots 0..end.

    S is the cumulative entropy feature and D the cumulative layer-count feature; a prefix without
    layers satisfies it. Equivalent to ``S >= D * log(D / limit) / kappa``, convex in D.
    """

    end: int
    limit: float
    kappa: float = 2.0

    def needed(self, layers: FloatArray | float) -> FloatArray:
        """The smallest S that D = `layers` allows, tolerance included (any shape)."""
        layers = np.asarray(layers, dtype=np.float64)
        limit = self.limit * (1.0 + TOLERANCE)
        safe = np.maximum(layers, 1e-300)
        result: FloatArray = np.where(layers > 0, layers * np.log(safe / limit) / self.kappa, 0.0)
        return result


@dataclass(frozen=True, eq=False)
class Program:
    """Maximise products - evenness + score, subject to budgets and effectiveness.

    ``features`` names the columns of every slot's tables. ``budgets`` maps a feature to the most
    its total may be. ``entropy`` names the feature S of the products and of the effectiveness
    (to which ``entropy_offset`` is added), ``layers`` the feature D, ``score`` a feature whose
    total, times ``score_weight``, is added to the objective.
    """

    slots: tuple[Slot, ...]
    features: tuple[str, ...]
    budgets: Mapping[str, float] = field(default_factory=dict)
    products: tuple[Product, ...] = ()
    evenness: Evenness | None = None
    effectiveness: tuple[Effectiveness, ...] = ()
    entropy: str | None = None
    layers: str | None = None
    score: str | None = None
    score_weight: float = 1.0
    entropy_offset: float = 0.0

    def __post_init__(self) -> None:
        for attribute in ("slots", "features", "products", "effectiveness"):
            object.__setattr__(self, attribute, tuple(getattr(self, attribute)))
        object.__setattr__(self, "budgets", dict(self.budgets))
        self._check_slots()
        self._check_terms()

    def _check_slots(self) -> None:
        if not self.slots:
            raise ValueError("a program needs at least one slot")
        if self.slots[0].in_states != 1:
            raise ValueError(f"slot 0 must have one in-state, has {self.slots[0].in_states}")
        for index, slot in enumerate(self.slots):
            if slot.rest.shape[1] != len(self.features):
                raise ValueError(
                    f"slot {index} has {slot.rest.shape[1]} features, not {len(self.features)}"
                )
            if index and slot.in_states != self.slots[index - 1].out_states:
                raise ValueError(
                    f"slot {index} has {slot.in_states} in-states, the slot before it has "
                    f"{self.slots[index - 1].out_states} out-states"
                )

    def _check_terms(self) -> None:
        named = [*self.budgets, *(n for n in (self.entropy, self.layers, self.score) if n)]
        for name in named:
            if name not in self.features:
                raise ValueError(f"unknown feature {name!r}; the program has {self.features}")
        if (self.products or self.effectiveness) and self.entropy is None:
            raise ValueError("products and effectiveness need the name of the entropy feature")
        if self.effectiveness and self.layers is None:
            raise ValueError("effectiveness needs the name of the layers feature")
        for end in [term.end for term in self.products] + [t.end for t in self.effectiveness]:
            if not 0 <= end < len(self.slots):
                raise ValueError(f"a term ends at slot {end}; there are {len(self.slots)} slots")
        for product in self.products:
            if product.level.shape != (self.slots[product.end].out_states,):
                raise ValueError(
                    f"product at slot {product.end}: level has shape {product.level.shape}, "
                    f"the slot has {self.slots[product.end].out_states} out-states"
                )
        if self.evenness is not None and self.evenness.weight < 0:
            raise ValueError("the evenness weight must not be negative")

    def index(self, feature: str) -> int:
        """Column of `feature`."""
        return self.features.index(feature)

    def allowance(self, feature: str) -> float:
        """The budget of `feature` with its tolerance."""
        budget = float(self.budgets[feature])
        return budget + min(TOLERANCE * max(1.0, abs(budget)), MOST_SLACK)


def as_assignment(pairs: Sequence[Sequence[int]]) -> Assignment:
    """Plain tuples of plain integers from any nested sequence of (choice, depth)."""
    return tuple((int(choice), int(depth)) for choice, depth in pairs)
