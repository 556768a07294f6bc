"""Which trial a candidate grows from, and whose weights are kept for that.

It takes no strategy of its own: hill climbing whose children inherit weights is network morphism
(Elsken et al., "Simple and Efficient Architecture Search for CNNs", 2017).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..architecture import Architecture
from ..errors import UserError
from ..evaluation.grown import Growing
from ..growth.channels import CannotGrow
from ..growth.plan import plan
from ..members import Members
from ..trials import History, Trial

KEPT = 20
"""Of how many networks, the best, weights are kept."""


@dataclass
class Lineage:
    """A candidate grows from the best of the networks whose weights are kept that it can be grown
    from: those of the ``KEPT`` trials that ended best, by the goal in the place ``goal``.

    Networks that the search is held against (``anew``, by their keys) begin anew, also where they
    are candidates. ``parents`` has the number of the parent of every candidate that is out and has
    one.
    """

    growing: Growing
    members: Members
    goal: int
    anew: frozenset[str] = frozenset()
    parents: dict[int, int] = field(default_factory=dict)
    _built: dict[str, Architecture] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for own in sorted(self.anew):
            self._note(own, None)

    def hand_out(
        self, number: int, candidate: str, architecture: Architecture, history: History
    ) -> None:
        """Let workers know what a candidate (its key) begins with."""
        parent = None if candidate in self.anew else self._parent(architecture, history)
        if parent is not None:
            self.parents[number] = parent.number
        self._note(candidate, None if parent is None else parent.key)

    def tidy(self, history: History) -> None:
        """Keep what is still needed: the weights of the best, and what is out or grows."""
        self.parents = {n: p for n, p in self.parents.items() if n in history.pending}
        best = {trial.key for trial in self._best(history)}
        growing = set(self.parents.values())
        parents = {trial.key for trial in history.trials if trial.number in growing}
        out = {self.members.key(point) for point in history.pending.values()}
        self._built = {k: network for k, network in self._built.items() if k in best}
        self.growing.keep_only(best | parents | out | self.anew)

    def _parent(self, architecture: Architecture, history: History) -> Trial | None:
        for trial in self._best(history):
            try:
                plan(self._network(trial), architecture)
            except CannotGrow:
                continue
            return trial
        return None

    def _best(self, history: History) -> list[Trial]:
        """The trials whose networks may be grown, the best first."""
        losses, kept = history.losses()[:, self.goal].tolist(), self.growing.kept()
        ended = [
            (loss, trial.number, trial)
            for loss, trial in zip(losses, history.trials, strict=True)
            if trial.state == "finished" and trial.key in kept
        ]
        return [trial for *_, trial in sorted(ended, key=lambda own: own[:2])[:KEPT]]

    def _network(self, trial: Trial) -> Architecture:
        if trial.key not in self._built:
            self._built[trial.key] = self.members.space.build(trial.point)
        return self._built[trial.key]

    def _note(self, candidate: str, parent: str | None) -> None:
        try:
            self.growing.hand_out(candidate, parent)
        except OSError as error:
            raise UserError(
                f"{self.growing.folder}: cannot be written ({error.strerror}); free some space,"
                " then resume: what was recorded is kept"
            ) from None
