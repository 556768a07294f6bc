"""What objectives say of one network, and what is no answer: ``UserError``, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, isnan

from ..architecture import Architecture
from ..errors import UserError
from ..fitted import Fitted
from ..loading import told_by_file
from ..objectives import Additive, Combination, Entropy, LowCost
from ..points import point_of
from ..scores import Score
from ..space import SearchSpace
from .asked import Asked, Untrained


def value_of(
    objective: Untrained, architecture: Architecture, seed: int, space: SearchSpace
) -> float:
    """What an objective says of a network. A sum over choices asks which ``space`` it lies in."""
    return number(objective.name, lambda: _value(objective, architecture, seed, space))


def _value(
    objective: Untrained, architecture: Architecture, seed: int, space: SearchSpace
) -> object:
    if isinstance(objective, LowCost | Entropy):
        return objective.value(architecture)
    if isinstance(objective, Score):
        return objective.function(architecture, seed)
    point = point_of(space, architecture)
    if isinstance(objective, Additive):
        return objective.value_of(point)
    value = objective.predict(point)
    return unknown(objective) if isnan(value) else value


def unknown(objective: Fitted) -> float:
    """Raises ``UserError``: the objective knows nothing of a network."""
    raise UserError(
        f"objective {objective.name} knows no network with such a choice: it was fitted to"
        f" {objective.evidence.networks:,} networks of space {objective.space}"
    )


def with_combinations(asked: Asked, values: Mapping[str, float]) -> dict[str, float]:
    """The values of all leaves, and of the combinations, by name."""
    found = dict(values)
    for name, combination in asked.combinations.items():
        found[name] = combined(combination, [found[part] for part in asked.parts[name]])
    return found


def combined(combination: Combination, values: Sequence[float]) -> float:
    """What a combination makes of the values of its parts."""
    return number(combination.name, lambda: combination.function(*values))


def number(name: str, function: Callable[[], object]) -> float:
    """What the function of an objective returns. Raises ``UserError`` where it raises, or returns
    what is no finite number; running out of memory is left to whoever watches over that."""
    try:
        answer = function()
    except (UserError, MemoryError):
        raise
    except Exception as error:
        told = told_by_file(error) or " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"objective {name} failed: {told[:400]}") from error
    try:
        if answer is None or isinstance(answer, str | bytes):
            raise TypeError
        value = float(answer)  # type: ignore[arg-type]  # whatever is a number to Python
    except Exception:
        shown = "nothing" if answer is None else f"{answer!r:.60}, which is no number"
        raise UserError(f"objective {name} returned {shown}") from None
    if not isfinite(value):
        shown = "NaN" if isnan(value) else "infinity" if value > 0 else "minus infinity"
        raise UserError(f"objective {name} gave {shown}: it cannot judge this network")
    return value
