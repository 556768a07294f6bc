"""What the ranking of a supernet is worth: its members by inherited weights, and by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..fitted import FloatArray
from ..inputs import place_of
from ..loading import find_objective
from ..members import Members
from ..members.resolutions import members_of
from ..objectives import Trained as Trains
from ..report.supernet_ranking import write_ranking
from ..runs import default_name
from ..save import versions
from ..space import Point
from ..supernet.baselines import baselines
from ..supernet.files import Trained, read_supernet
from ..supernet.ranking import (
    INHERITED,
    INHERITED_LOSS,
    Member,
    Ranking,
    check_enough,
    rank,
)
from .loop import Watch
from .machines import Machines
from .run import STOPPED
from .setup import LIBRARIES
from .standalone import ACCURACY, Standalone, Training, read_standalone, train_standalone
from .supernets import data_of

if TYPE_CHECKING:
    from ..architecture import Architecture

MEMBERS = 40
"""Enough to tell tau to about 0.2 either way."""


@dataclass(frozen=True)
class RankedSupernet:
    """``ranking`` is None where training was stopped before its end. ``outside`` counts networks of
    ledgers that are no members, ``failed`` members that could not be trained."""

    folder: Path
    ranking: Ranking | None
    outside: int = 0
    failed: int = 0


def rank_supernet(
    run: str | Path,
    *,
    ledgers: Sequence[str | Path] = (),
    members: int = MEMBERS,
    objective: str = ACCURACY,
    epochs: int | None = None,
    seeds: int = 1,
    seed: int = 0,
    device: str | None = None,
    machines: Machines | None = None,
    command: Sequence[str] = (),
    watch: Watch | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> RankedSupernet:
    """Hold the supernet of a run against members trained by themselves, and write what comes of it
    into the run's folder.

    Members and their accuracies are those of ``ledgers`` (runs of searches, or tables) or, without
    any, so many are drawn and trained from scratch as the ``objective`` says, with so many
    ``seeds`` each, from ``seed`` on. Those trainings are kept in the run's folder; the same call
    goes on with them. Raises ``UserError``, ``BadFile``.
    """
    check_enough(members)
    if not isinstance(find_objective(objective), Trains):
        raise UserError(f"--objective {objective[:60]}: it trains nothing; give one like accuracy")
    trained = read_supernet(run)
    among = members_of(trained.space, trained.budgets)
    if ledgers:
        alone, failed = read_standalone(ledgers, among, trained.source.text), 0
        sources = [str(each) for each in ledgers]
    else:
        points = drawn(among, members, seed)
        check_enough(len(points))
        how = Training(
            place_of(trained.folder, trained.setup.space),
            trained.setup.budgets,
            asdict(trained.source),
            objective,
            epochs,
            device,
            trained.setup.resolutions,
        )
        sources = []
        for each in range(seed, seed + seeds):
            folder = trained.folder / _name(objective, epochs, each)
            tell(f"{folder}: training {len(points)} members by themselves")
            found = train_standalone(
                folder, how, points, among,
                seed=each, machines=machines, command=command, watch=watch,
            )  # fmt: skip
            if found.state == STOPPED:
                return RankedSupernet(trained.folder, None)
            sources.append(str(folder))
        alone = _of(read_standalone(sources, among, trained.source.text), among, points)
        failed = len(points) - len(alone.points)
    check_enough(len(alone.points))
    ranking = _ranked(trained, among, alone, seed, device, tell)
    about = {
        "format": 1,
        "command": list(command),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "space": trained.space.name,
        "budgets": list(trained.setup.budgets),
        "data": trained.source.text,
        "standalone": sources,
        "seed": seed,
        "versions": versions(LIBRARIES),
    }
    write_ranking(trained.folder, about, ranking)
    return RankedSupernet(trained.folder, ranking, alone.outside, failed)


def drawn(members: Members, count: int, seed: int) -> list[Point]:
    """Different random members, of fewer all; more are these and others."""
    rng = Random(seed)
    listed = members.listed()
    if listed is not None:
        return rng.sample(listed, len(listed))[:count]
    found: dict[str, Point] = {}
    while len(found) < count:
        (point,) = members.draw(rng, 1)
        found.setdefault(members.key(point), point)
    return list(found.values())


def _name(objective: str, epochs: int | None, seed: int) -> str:
    """The folder of the trainings."""
    length = [] if epochs is None else [f"{epochs}-epochs"]
    return default_name("standalone", Path(objective).stem, *length, f"seed-{seed}")


def _of(alone: Standalone, members: Members, points: Sequence[Point]) -> Standalone:
    """Those of these points alone: a run may have trained others before."""
    keys = [key for key in map(members.key, points) if key in alone.points]
    return Standalone(
        {key: alone.points[key] for key in keys},
        {key: alone.accuracies[key] for key in keys},
    )


def _ranked(
    trained: Trained,
    members: Members,
    alone: Standalone,
    seed: int,
    device: str | None,
    tell: Callable[[str], None],
) -> Ranking:
    """The members by everything there is to rank them by."""
    points = alone.points
    networks = [trained.space.build(point) for point in points.values()]
    own = [
        Member(key, members.texts(point), alone.accuracies[key]) for key, point in points.items()
    ]
    tell(f"scoring {len(networks)} members by inherited weights")
    scores = dict(_inherited(trained, networks, device))
    scores |= baselines(networks, seed, lambda name: tell(f"scoring by {name}"))
    return rank(own, scores)


def _inherited(
    trained: Trained, networks: Sequence[Architecture], device: str | None
) -> Mapping[str, FloatArray]:
    """What the supernet says of networks."""
    from ..supernet.score import Scorer
    from ..training.devices import find_device

    place = find_device(device)
    found = Scorer(trained.supernet.to(place), data_of(trained), judged=None, device=place).scores(
        networks
    )
    return {
        INHERITED: np.array([score.accuracy for score in found]),
        INHERITED_LOSS: -np.array([score.loss for score in found]),
    }
