"""A small supernet for tests, and searches over it in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from archsearch.evaluation.plan import Plan
from archsearch.serialization import from_json
from archsearch.train.supernet import train_supernet
from archsearch.training.job import Source
from archsearch.training.recipe import Recipe
from archsearch.trials import Outcome, Task

SPACE = '''"""Sixteen networks."""
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.space import SearchSpace, StageSpace, choice

space = SearchSpace(
    "few",
    ConvNormAct(width=choice(8, 16)),
    (
        StageSpace(BasicBlock(width=choice(8, 16)), depth=(1,), stride=2),
        StageSpace(BasicBlock(width=choice(16, 24)), depth=(1, 2), stride=2),
    ),
    Classifier(10),
    input=(1, 8, 8),
)
'''


def trained_supernet(place: Path, name: str = "shared", **more: Any) -> Path:
    """The run of a supernet of ``SPACE`` on a few digits, below ``place``."""
    (place / "few.py").write_text(SPACE)
    run = train_supernet(
        place / "few.py",
        Source("digits", limit=256),
        Recipe(epochs=2, batch_size=32),
        output=place,
        name=name,
        **{"rule": "single-path", **more},
    )
    return run.folder


class Here:
    """Workers in this process, one at a time; they are gone after ``life`` outcomes."""

    slots = 1

    def __init__(self, plan: Plan, life: int = -1) -> None:
        self._judge, self._life = plan.evaluation.prepare(), life
        self._tasks: list[Task] = []

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def outcomes(self, timeout: float | None = None) -> list[Outcome]:
        if self._life == 0:
            raise Gone
        self._life -= 1
        tasks, self._tasks = self._tasks, []
        return [
            Outcome(
                task.number,
                "finished",
                self._judge(from_json(task.architecture), task.seed, lambda row: True),
            )
            for task in tasks
        ]

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._tasks.clear()


class Gone(Exception):
    """Ends a search as a kill would."""


def here(life: int = -1) -> Callable[..., Here]:
    """In the place of ``workers_for``."""
    return lambda plan, *rest: Here(plan, life)
