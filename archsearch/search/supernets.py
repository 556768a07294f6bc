"""The supernet that a search is over: whose members are judged by weights they inherit from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..budget import Budget
from ..errors import UserError
from ..supernet.files import TENSORS, Trained, read_supernet

if TYPE_CHECKING:
    from ..data.dataset import Data


def kept(trained: Trained) -> dict[str, str]:
    """What a search keeps to know a supernet by: its folder, and the digest of its tensors."""
    return {"folder": str(trained.folder.absolute()), "sha256": _digest(trained.folder)}


def open_again(known: Mapping[str, Any]) -> Trained:
    """The supernet that a search knows; raises ``UserError`` where it was moved or trained anew."""
    folder = Path(str(known.get("folder")))
    if not (folder / TENSORS).is_file():
        raise UserError(f"{folder}: the supernet of the search is not there any more; move it back")
    if _digest(folder) != known.get("sha256"):
        raise UserError(
            f"{folder}: the supernet has other weights than when the search began; begin a new"
            " search over it"
        )
    return read_supernet(folder)


def data_of(trained: Trained) -> Data:
    """The data that a supernet was trained on; raises ``UserError`` where they are others now."""
    data = trained.source.open()
    if data.record != trained.record["data"].get("record"):
        raise UserError(
            f"{trained.folder}: {trained.source.text} is not what the supernet was trained on any"
            " more; put the data back"
        )
    return data


def within(learnt: Iterable[Budget], asked: Sequence[Budget]) -> tuple[Budget, ...]:
    """The budgets of a search: those asked for, and of other costs those that the supernet was
    trained within."""
    named = {budget.cost for budget in asked}
    return (*asked, *(budget for budget in learnt if budget.cost not in named))


def outside(learnt: Iterable[Budget], asked: Sequence[Budget]) -> str:
    """A line about budgets that admit members the supernet was not trained for; "" without."""
    limits = {budget.cost: budget for budget in asked}
    looser = [b for b in learnt if b.cost in limits and not b.allows(limits[b.cost].limit)]
    if not looser:
        return ""
    return (
        f"the supernet was trained within {', '.join(map(str, looser))}: beyond, members have"
        " weights that have not learnt together"
    )


def check_same(
    known: Mapping[str, Any] | None, folder: Path, other: Mapping[str, Any] | None
) -> None:
    """Raise ``UserError`` where an earlier search, in the folder, judged networks by ``other``
    weights than those that are ``known``."""
    if (known or {}).get("sha256") != (other or {}).get("sha256"):
        own = "weights of this supernet" if known else "training each"
        raise UserError(f"--start {folder}: it did not judge networks by {own}; leave it out")


def _digest(folder: Path) -> str:
    with (folder / TENSORS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
