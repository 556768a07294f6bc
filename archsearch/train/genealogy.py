"""``growth.json`` and ``generations/``: which networks a training grew through, and how.

Of every growth it has a generation; ``generations/0.json`` is the network that there was at first,
and ``generations/N.json`` the one that the N-th generation led to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadFile
from ..files import write_atomically
from ..runs import read_record
from ..serialization import key, read_architecture, to_pretty_json
from .record import as_json
from .seed import GENEALOGY

if TYPE_CHECKING:
    from ..architecture import Architecture

FORMAT = 1
"""Version of growth.json."""


def read_genealogy(folder: Path) -> dict[str, Any]:
    """The growth.json of a run; raises ``UserError``."""
    return read_record(folder / GENEALOGY, FORMAT, "growth to go on with")


def write_genealogy(folder: Path, record: Mapping[str, Any]) -> None:
    """Leave a growth.json; raises ``OSError``."""
    write_atomically(folder / GENEALOGY, as_json(record))


def generations(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is said of every growth; raises ``BadFile``."""
    found = record.get("generations")
    if not isinstance(found, list) or not all(map(_is_generation, found)):
        raise BadFile(f"{GENEALOGY}: it tells of no generations")
    return found


def _is_generation(own: Any) -> bool:
    """Whether it has what is told of a growth, which may not have been made yet."""
    try:
        first, last = own["epochs"]
        numbers, texts = [first, last], [own["key"], *own["changes"]]
        if "after" in own:
            spent = [own[when] for when in ("before", "after")]
            numbers += [cost[name] for cost in spent for name in ("params", "macs")]
            numbers += [own["difference"]["evaluation"]]
            numbers += [own["accuracy"][when] or 0.0 for when in ("before", "after")]
    except (KeyError, TypeError, ValueError):
        return False
    return all(isinstance(number, int | float) for number in numbers) and all(
        isinstance(text, str) for text in texts
    )


def network_files(networks: Sequence[Architecture], first: int = 0) -> dict[str, str | bytes]:
    """The files of networks of the line, of which this is the number of the first, and the run's
    own, which are of the last."""
    from ..nets.source import source

    files: dict[str, str | bytes] = {
        _file(number): to_pretty_json(network) for number, network in enumerate(networks, first)
    }
    return files | {
        "architecture.json": to_pretty_json(networks[-1]),
        "model.py": source(networks[-1]),
    }


def read_networks(folder: Path, record: Mapping[str, Any]) -> list[Architecture]:
    """The networks that growth.json tells of, from the first on; raises ``UserError``."""
    count = len(generations(record)) + 1
    networks = [read_architecture(folder / _file(number)) for number in range(count)]
    if key(networks[-1]) != record.get("architecture"):
        raise BadFile(f"{folder}: {_file(count - 1)} is not the network it grows into")
    return networks


def note(folder: Path, number: int, own: Mapping[str, Any], new: Architecture) -> dict[str, Any]:
    """Add what is known of the growth of the network of this number, and return all that is said
    of it. The files of the network it leads to are there before it is told of."""
    record = read_genealogy(folder)
    found = generations(record)
    known = found[number] if number < len(found) else {}
    if known.get("key") != key(new):
        for name, content in network_files([new], number + 1).items():
            write_atomically(folder / name, content)
        known, record["architecture"] = {}, key(new)
    found[number : number + 1] = [known | dict(own)]
    if number:
        found[number - 1]["epochs"][1] = found[number]["epochs"][0]
    write_genealogy(folder, record)
    return found[number]


def _file(number: int) -> str:
    """Where the architecture of a generation lies."""
    return f"generations/{number}.json"
