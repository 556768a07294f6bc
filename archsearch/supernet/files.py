"""What the run of a supernet keeps: supernet.json, which says what it is of, and its tensors.

from archsearch import read_supernet
trained = read_supernet("runs/NAME")
subnet = trained.supernet.subnet(architecture)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..budget import Budget, parse_budgets
from ..errors import BadFile, UserError
from ..inputs import place_of
from ..loading import find_space
from ..runs import read_record
from ..space import SearchSpace, digest
from .layout import Layout

if TYPE_CHECKING:
    from ..training.job import Source
    from .weights import Supernet

FORMAT = 1
"""Version of supernet.json and supernet.safetensors."""

RECORD = "supernet.json"
TENSORS = "supernet.safetensors"

NOTE = "supernet"
"""The metadata entry of a tensors file that says which supernet it is of."""


@dataclass(frozen=True)
class Setup:
    """Which supernet it is. ``space`` is a name, or a copy in the run's folder ("inputs/..."), set
    to ``input`` and ``classes``, and ``digest`` that of the space then. Members within ``budgets``
    learn by the ``rule``; ``separate`` and ``kernel_transforms`` are as in ``Layout``. With
    ``sort_channels`` they are sorted by importance before widths shrink. Each looks at one of the
    ``resolutions``, where there are any to choose from."""

    space: str
    digest: str
    input: tuple[int, ...]
    classes: int
    budgets: tuple[str, ...]
    rule: str
    separate: bool
    kernel_transforms: bool = False
    sort_channels: bool = False
    resolutions: tuple[int, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Setup:
        """The setup whose ``as_dict`` this was; raises ``KeyError``, ``TypeError``,
        ``ValueError``."""
        plain = {"sort_channels": False, "resolutions": None, **plain}  # which earlier ones lack
        own = {f.name: plain[f.name] for f in fields(cls)}
        kinds = {"classes": int, "space": str, "rule": str}
        kinds |= {"separate": bool, "kernel_transforms": bool, "sort_channels": bool}
        for name, kind in kinds.items():
            if type(own[name]) is not kind:
                raise ValueError(f"{name} is {own[name]!r}"[:80])
        own["input"] = tuple(map(int, own["input"]))
        own["budgets"] = tuple(map(str, own["budgets"]))
        if own["resolutions"] is not None:
            own["resolutions"] = tuple(map(int, own["resolutions"]))
        return cls(**own)

    def open_space(self, folder: Path) -> SearchSpace:
        """The space of the supernet in a run's folder; raises ``UserError``, and ``BadFile`` where
        it is not the one that the supernet was trained for."""
        space = find_space(place_of(folder, self.space))
        space = space.with_input(self.input).with_classes(self.classes)
        if self.resolutions is not None:
            space = space.with_resolutions(self.resolutions)
        if digest(space) != self.digest:
            raise BadFile(
                f"{folder}: space {space.name} has changed since the supernet was made; put it"
                " back, or train another"
            )
        return space


@dataclass(frozen=True)
class Trained:
    """A trained supernet: ``record`` is what supernet.json holds, ``source`` where its data are."""

    folder: Path
    record: Mapping[str, Any]
    setup: Setup
    space: SearchSpace
    source: Source
    layout: Layout
    supernet: Supernet

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """What the members that learnt keep within."""
        return parse_budgets(self.setup.budgets)


def find_run(given: str | Path, runs: str | Path = "runs") -> Path:
    """The folder of a supernet's run, or of that name under ``runs``; raises ``UserError``."""
    for folder in (Path(given), Path(runs) / given):
        if (folder / RECORD).is_file():
            return folder
    raise UserError(f"{given}: no supernet (there is no {Path(given) / RECORD})")


def read_setup(folder: Path) -> tuple[dict[str, Any], Setup]:
    """The supernet.json of a run; raises ``UserError``."""
    path = folder / RECORD
    record = read_record(path, FORMAT, "supernet")
    try:
        return record, Setup.from_dict(record["supernet"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: damaged ({type(error).__name__} {error})"[:200]) from None


def read_supernet(given: str | Path, runs: str | Path = "runs") -> Trained:
    """The trained supernet of a run, on the CPU.

    Raises ``UserError`` where there is none yet, and ``BadFile`` where its files are damaged, or of
    another version, or the space has changed since.
    """
    from ..training.job import Source
    from .weights import Supernet

    folder = find_run(given, runs)
    record, setup = read_setup(folder)
    try:
        source = Source.from_dict(record["data"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{folder / RECORD}: data {type(error).__name__} {error}"[:200]) from None
    if not (folder / TENSORS).is_file():
        raise UserError(f"{folder}: {_unfinished(folder, record)}")
    space = setup.open_space(folder)
    layout = Layout(space, setup.separate, setup.kernel_transforms)
    supernet = Supernet(layout)
    load_tensors(folder / TENSORS, supernet)
    return Trained(folder, record, setup, space, source, layout, supernet)


def tensors_content(supernet: Supernet, notes: Mapping[str, str]) -> bytes:
    """The file of a supernet's tensors; ``notes`` go into its metadata."""
    from ..nets.weights import tensors_file

    said = json.dumps(_identity(supernet.layout))
    return tensors_file(supernet.state_dict(), {**notes, NOTE: said})


def load_tensors(path: Path, supernet: Supernet) -> None:
    """Put the tensors of a file into a supernet; raises ``BadFile`` where they are another's."""
    from ..nets.weights import load_weights, read_notes

    said = _noted(path, read_notes(path).get(NOTE))
    layout = supernet.layout
    for name, own in _identity(layout).items():
        found = said.get(name)
        if found == own:
            continue
        if name == "format":
            raise BadFile(f"{path}: of version {found}, and {own} is read here"[:200])
        if name == "separate":
            raise BadFile(f"{path}: of a supernet with{'' if found else 'out'} separate weights")
        if name == "kernel_transforms":
            raise BadFile(f"{path}: of a supernet with{'' if found else 'out'} kernel transforms")
        raise BadFile(
            f"{path}: the supernet of another space ({said.get('space')}), not of"
            f" {layout.space.name} as it is"[:200]
        )
    load_weights(path, supernet)


def _identity(layout: Layout) -> dict[str, Any]:
    """What makes tensors those of one supernet and no other."""
    return {
        "format": FORMAT,
        "space": layout.space.name,
        "digest": digest(layout.space),
        "separate": layout.separate,
        "kernel_transforms": layout.kernel_transforms,
    }


def _noted(path: Path, text: str | None) -> Mapping[str, Any]:
    try:
        said = json.loads(text or "")
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise BadFile(f"{path}: no tensors of a supernet")
    return said


def _unfinished(folder: Path, record: Mapping[str, Any]) -> str:
    if record.get("state") == "diverged":
        return "its training diverged; train another, with a smaller --learning-rate"
    return f"its supernet is not trained to the end; archsearch resume {folder}"
