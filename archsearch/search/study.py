"""The trials of a search as a study of Optuna, which optuna-dashboard opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..inputs import place_of
from ..ledger import NAME, read, trials_of
from ..studies import study_of
from ..trials import History
from .problem import problem_of
from .setup import read_record

if TYPE_CHECKING:
    import optuna


def study(folder: str | Path, storage: str | None = None) -> optuna.Study:
    """The ledger of a run as a study named after its folder: in memory, or in a storage by its
    address ("sqlite:///study.db"; about 16 trials a second go into that).

    Raises ``UserError`` where the folder holds no search, or the storage a study of that name.
    """
    folder = Path(folder)
    _, setup = read_record(folder)
    members = problem_of(setup, lambda kept: place_of(folder, kept)).members
    contents = read(folder / NAME)
    trials = trials_of(contents.records, members, contents.header)
    history = History(contents.header.goals, trials)
    return study_of(history, members, storage, folder.absolute().name)
