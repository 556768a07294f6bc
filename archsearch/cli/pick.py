"""``--best`` and ``--pick ID``: one network of a search's run, for commands that take a network."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .options import architecture

if TYPE_CHECKING:
    from ..architecture import Architecture
    from .commands import Parser


def add_pick(parser: Parser) -> None:
    parser.add_argument(
        "--best", action="store_true", help="of a search: the best in its first goal (default)"
    )
    parser.add_argument(
        "--pick", metavar="ID", help="of a search: the network of this trial, or of this key"
    )


def chosen(name: str, args: Namespace) -> Architecture:
    """The network that ARCH and these options name, for the input and classes that were given."""
    if args.pick is None:
        if args.best and not _is_search(folder_of(name)):
            raise UserError(f"--best: {name[:80]} is not the run of a search; leave it out")
        return architecture(name, args)
    if args.best:
        raise UserError("--best and --pick ask for different networks; give one of them")
    from dataclasses import replace

    from ..search.picked import picked

    found, _ = picked(folder_of(name), args.pick)
    found = found if args.input is None else replace(found, input=args.input)
    return found if args.classes is None else found.with_classes(args.classes)


def folder_of(name: str) -> Path:
    """A run's folder, or its name under runs."""
    given, under = Path(name), Path("runs") / name
    return under if _is_search(under) and not _is_search(given) else given


def _is_search(folder: Path) -> bool:
    from ..search.setup import RECORD

    try:
        return (folder / RECORD).is_file()
    except (OSError, ValueError):  # a text that cannot be a path
        return False
