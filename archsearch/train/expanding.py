"""Growth that is decided on the way: a network expands where a larger one would learn faster, by
the natural expansion score (``growth.expansion``).

The candidates are the networks that are deeper by a block, or wider in a part, within the budgets;
they are scored on pictures that are held out of the training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..budget import Budget, parse_budgets
from ..errors import BadFile, UserError
from ..growth.channels import CannotGrow
from .genealogy import read_genealogy, write_genealogy
from .growing import Here, Next, draws
from .seed import GENEALOGY
from .successors import check_room, edited, nothing_larger

if TYPE_CHECKING:
    from ..architecture import Architecture
    from ..data.dataset import Data
    from ..growth.expansion import Expansion
    from ..growth.plan import Growth
    from ..training.loop import Training
    from ..training.recipe import Recipe


KINDS = ("deepen", "widen", "expansion")
"""As published: layers, and channels."""


@dataclass(frozen=True)
class Expanding:
    """Expansion by this ``rule``, in the training of a run's folder (``growing.Way``)."""

    folder: Path
    rule: Expansion
    budgets: Sequence[Budget]
    epochs: int

    def until(self, here: Here, done: int) -> int:
        return min(self.epochs, max(done + 1, self._first(here)))

    def next(self, here: Here, done: int, training: Training) -> Next | None:
        from ..growth.expansion import best_expansion
        from ..growth.words import changes
        from ..training.grown import held_out

        if not self._first(here) <= done < self.epochs:
            return None
        found = best_expansion(
            training.net,
            *held_out(training),
            candidates(here.network, self.budgets),
            penalty=self.rule.penalty,
            seed=draws(training, here),
        )
        if found is None:
            return None
        score = {"present": found.present, "larger": found.score}
        said = {"changes": changes(here.network, found.growth.new), "score": score}
        self._note({"epoch": done, **said})
        if not self.rule.worth(found):
            return None
        limits = [str(budget) for budget in self.budgets]
        why = {"budgets": limits, "found_by": "score", "epochs": [done, self.epochs]}
        return Next(found.growth, {"score": score, **why})

    def _first(self, here: Here) -> int:
        return self.rule.first(here.since if here.number else None)

    def _note(self, look: Mapping[str, Any]) -> None:
        """Tell of the best candidate after an epoch; those after later ones, of a training that was
        cut off, are forgotten."""
        record = read_genealogy(self.folder)
        own = record["expansion"]
        own["looks"] = [old for old in own["looks"] if old["epoch"] < look["epoch"]] + [look]
        write_genealogy(self.folder, record)


def candidates(architecture: Architecture, budgets: Sequence[Budget]) -> Iterator[Growth]:
    """The growths by one transformation of these ``KINDS``, to networks within the budgets."""
    from ..growth.plan import plan

    for new in edited(architecture, budgets, KINDS):
        try:
            yield plan(architecture, new)
        except CannotGrow:
            continue


def check_expansion(
    architecture: Architecture, budgets: Sequence[Budget], recipe: Recipe, data: Data
) -> None:
    """Raise ``UserError`` for what no network can expand with."""
    check_room(architecture, budgets)
    if next(candidates(architecture, budgets), None) is None:
        raise nothing_larger(budgets)
    if recipe.epochs < 2:
        raise UserError(
            f"--epochs {recipe.epochs}: a network expands between two epochs; give 2 or more"
        )
    if len(data.validation) < 2:
        raise UserError(
            f"{data.name}: no validation pictures to score larger networks on; hold some back"
            " with --validation"
        )


def said_of(rule: Expansion, budgets: Sequence[Budget]) -> dict[str, Any]:
    """What growth.json says of the rule, before there is any look."""
    return asdict(rule) | {"budgets": [str(budget) for budget in budgets], "looks": []}


def read_rule(record: Mapping[str, Any]) -> tuple[Expansion, tuple[Budget, ...]]:
    """The rule and the budgets that growth.json tells of; raises ``UserError``."""
    from ..growth.expansion import Expansion

    try:
        own = record["expansion"]
        rule = Expansion(float(own["threshold"]), int(own["wait"]), float(own["penalty"]))
        if not all(map(_is_look, own["looks"])):
            raise ValueError("looks")
        return rule, parse_budgets(own["budgets"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(f"{GENEALOGY}: what it tells of its expansion is damaged ({error})") from None


def _is_look(own: Mapping[str, Any]) -> bool:
    numbers = [own["epoch"], own["score"]["present"], own["score"]["larger"]]
    return all(isinstance(number, int | float) for number in numbers) and all(
        isinstance(text, str) for text in own["changes"]
    )
