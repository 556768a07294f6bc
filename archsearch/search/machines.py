"""What a search runs on, and who evaluates its candidates there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .setup import Setup

if TYPE_CHECKING:
    from ..evaluation.plan import Plan
    from ..evaluation.table import TablePlan
    from ..workers import Workers


@dataclass(frozen=True)
class Machines:
    """What a search runs on; another choice changes how long it takes and nothing else.

    ``workers`` candidates are evaluated side by side (None: as many as there is room for), each
    with ``cpus`` and ``gpus`` (fractions are shared) of this machine, or of the Ray cluster at
    ``address``. Without ``ray`` they are processes of this machine, and no scheduler stops any.
    ``callbacks`` are loggers of Ray Tune's (MLflow, Weights & Biases), and ``scheduler`` is one of
    its schedulers instead of the search's own, for trainings.
    """

    workers: int | None = 2
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    ray: bool = True
    callbacks: tuple[Any, ...] = ()
    scheduler: Any = None


def workers_for(plan: Plan | TablePlan, folder: Path, setup: Setup, machines: Machines) -> Workers:
    """Where candidates are evaluated: trainings through Ray Tune, which may stop them early, but
    not behind a Ray client, as Tune has to run on the cluster itself."""
    from ..workers import Limits

    limits = Limits(setup.seconds_per_trial, setup.memory_per_trial)
    if not machines.ray:
        from ..workers.local import LocalWorkers

        return LocalWorkers(plan.evaluation, machines.workers or 1, limits)
    goal = plan.watched
    address = machines.address or os.environ.get("RAY_ADDRESS", "")
    if goal is None or plan.epochs is None or address.startswith("ray://"):
        from ..workers.ray import RayWorkers

        return RayWorkers(
            plan.evaluation,
            machines.workers,
            limits,
            address=machines.address,
            cpus=machines.cpus,
            gpus=machines.gpus,
        )
    from ..workers.tune import TuneWorkers

    return TuneWorkers(
        plan.evaluation,
        machines.workers,
        limits,
        folder=folder,
        metric=goal.name,
        higher_is_better=goal.higher_is_better,
        epochs=plan.epochs,
        scheduler=machines.scheduler or setup.scheduler,
        callbacks=machines.callbacks,
        address=machines.address,
        cpus=machines.cpus,
        gpus=machines.gpus,
    )
