"""What no network can be: one check for single networks, batches of candidates, and unknowns.

A condition on integers raises at once. Under ``collecting`` a condition on an array of candidates
is remembered as a mask instead, and one on unknowns is remembered as undecided.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import UserError


class IllegalArchitecture(UserError, ValueError):
    """A description that no network can have; the message names the place and the value."""


class NotConcrete(TypeError):
    """A single number was needed, and there are many candidates' or none is chosen yet."""


class Open:
    """A field left to choose: what may stand in it is judged once it is chosen."""


def is_open(description: object) -> bool:
    """Whether a field, or an entry of a tuple in one, is left to choose."""
    return any(
        isinstance(value, Open)
        or (type(value) is tuple and any(isinstance(item, Open) for item in value))
        for value in vars(description).values()
    )


class Undecided:
    """The answer to a question about widths that are not chosen yet."""

    def __bool__(self) -> bool:
        raise NotConcrete("a width that is not chosen yet decides here")

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 0


@dataclass
class Collected:
    """Masks of legal candidates, and whether some condition depended on unknowns."""

    masks: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    undecided: bool = False


_collected: ContextVar[Collected | None] = ContextVar("collected", default=None)


@contextmanager
def collecting() -> Iterator[Collected]:
    """Collect the conditions on arrays and unknowns that are checked inside."""
    collected = Collected()
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def check_counts(description: object, may_be_zero: Collection[str] = ()) -> None:
    """Raise ``IllegalArchitecture`` where an integer or ratio among the fields, alone or in a
    tuple, is zero or negative; fields in ``may_be_zero`` must not be negative."""
    for name, value in vars(description).items():
        kind_of = type(value)
        if kind_of is tuple:
            numbers = value
        elif kind_of is int or kind_of is Fraction:
            numbers = (value,)
        else:
            continue
        for number in numbers:
            if type(number) not in (int, Fraction) or number > 0:
                continue
            if number < 0 or name not in may_be_zero:
                kind = type(description).__name__
                least = 0 if name in may_be_zero else 1
                bound = f"must be at least {least}" if type(number) is int else "must be above zero"
                raise IllegalArchitecture(f"{name} of {kind} is {value}; it {bound}")


MOST_DIVIDED = 2**20
"""The largest number whose divisors a message names; no network is so wide."""


@dataclass(frozen=True)
class Divisors:
    """The divisors of ``number`` nearest to ``wanted``, as words for a message; computed only when
    the message is written."""

    number: Any
    wanted: Any

    def __str__(self) -> str:
        if not (isinstance(self.number, int) and isinstance(self.wanted, int)):
            return "a divisor"
        if self.number > MOST_DIVIDED:
            return "a divisor"
        found = [n for n in range(1, self.number + 1) if self.number % n == 0]
        below = [n for n in found if n < self.wanted][-1:]
        above = [n for n in found if n > self.wanted][:1]
        return " or ".join(map(str, below + above))


def per_dimension(value: Any, dimensions: int, name: str) -> tuple[Any, ...]:
    """One number per spatial dimension: the same for all, or as given.

    Raises ``IllegalArchitecture`` where a tuple has another length; ``name`` is what the message
    calls it ("Convolution: kernel_size").
    """
    if not isinstance(value, tuple):
        return (value,) * dimensions
    check(
        len(value) == dimensions,
        "{} {} does not fit {} spatial dimensions: give one number, or one per dimension",
        name,
        value,
        dimensions,
    )
    return value


def check_odd(description: object, *fields: str, way_out: str = "") -> None:
    """Raise ``IllegalArchitecture`` where a kernel size among these fields is even, and so has no
    middle; ``way_out`` is what else a message can offer."""
    for name in fields:
        value = getattr(description, name)
        for size in value if isinstance(value, tuple) else (value,):
            near = f"{size - 1} or {size + 1}" if isinstance(size, int) and size > 1 else "odd ones"
            kind = type(description).__name__
            check(
                size % 2 == 1,
                "{}: {} {} is even; {} keep the size{}",
                kind,
                name,
                size,
                near,
                way_out,
            )


def check(condition: Any, message: str, *values: object) -> None:
    """Raise ``IllegalArchitecture`` where the condition does not hold; ``message`` is formatted
    with the values only then, as they may be large arrays."""
    collected = _collected.get()
    if isinstance(condition, Undecided):
        if collected is not None:
            collected.undecided = True
    elif isinstance(condition, np.ndarray):
        if collected is not None:
            collected.masks.append(condition)
        elif not condition.all():
            raise IllegalArchitecture(message.format(*values))
    elif not condition:
        raise IllegalArchitecture(message.format(*values))
