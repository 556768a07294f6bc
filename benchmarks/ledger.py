"""How quick the ledger of a search is, and what it loses when it is killed or damaged.

    python benchmarks/ledger.py

Records are of random members of the space `mobile`, with two goals and three metrics. A writer
is killed (SIGKILL) at random moments while it adds records, five times one ledger; what it
acknowledged, by a word on a pipe after the call returned, must be there afterwards. Damage is done
to every byte of the last three records; then ten more records are added.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from measure import Measured, alone, print_table

from archsearch.ledger import (
    Header,
    Ledger,
    Record,
    choice_names,
    create,
    digest,
    read,
    record_of,
    trials_of,
)
from archsearch.loading import find_space
from archsearch.members.within import SpaceMembers
from archsearch.trials import Goal, Trial

SPACE = find_space("mobile")
GOALS = (Goal("accuracy"), Goal("macs", higher_is_better=False, known=True))
HEADER = Header(GOALS, choice_names(SPACE), {"space": "mobile", "digest": digest(SPACE)})

RECORDS = 100_000
BATCH = 256
DURABLE = 500
KILLS = 50
ONE_LEDGER = 5
"""Kills that one ledger sees, one after another."""

MOMENTS = 0.3
"""Seconds from a writer's first record within which it is killed."""

processes = get_context("forkserver")

MEMBERS = 5_000
"""Different members that the records of a large ledger are of."""


def records(count: int, seed: int = 0) -> list[Record]:
    rng = Random(seed)
    members = SpaceMembers(SPACE)
    own = [
        record_of(_trial(i, point, members.key(point), rng), members, HEADER)
        for i, point in enumerate(members.draw(rng, min(count, MEMBERS)))
    ]
    return [own[i % MEMBERS]._replace(number=i, seconds=rng.random()) for i in range(count)]


def _trial(number: int, point: object, key: str, rng: Random) -> Trial:
    metrics = {"accuracy": rng.random(), "loss": rng.random(), "epoch": 5}
    values = (metrics["accuracy"], rng.randrange(10**9))
    return Trial(number, point, key, "finished", values, metrics, "", 1.0, "node-1/4711", number)  # type: ignore[arg-type]


# -- how quick -------------------------------------------------------------------------------------
def added(path: Path, some: Sequence[Record], size: int, durable: bool) -> None:
    with Ledger(path) as ledger:
        for i in range(0, len(some), size):
            ledger.append(some[i : i + size], durable)


def opened(path: Path) -> int:
    return len(read(path).records)


def resumed(path: Path) -> int:
    contents = read(path)
    return sum(1 for _ in trials_of(contents.records, SpaceMembers(SPACE), contents.header))


@dataclass(frozen=True)
class Speed:
    what: str
    count: int
    measured: Measured
    bar: str

    def row(self) -> list[str]:
        own = self.measured
        return [
            self.what,
            f"{self.count / own.wall:,.0f}",
            f"{self.count / own.cpu:,.0f}",
            f"{own.wall:.2f}",
            f"{own.cpu:.2f}",
            f"{own.memory >> 20:,}",
            self.bar,
        ]


def speeds(folder: Path) -> Iterator[Speed]:
    many = records(RECORDS)
    for what, count, size, durable, bar in (
        (f"cheap, {BATCH} at a time", RECORDS, BATCH, False, ">= 2,000/s"),
        ("cheap, one at a time", RECORDS // 5, 1, False, ""),
        ("trained, one at a time", DURABLE, 1, True, ""),
    ):
        path = folder / f"{size}-{durable}.jsonl"
        create(path, HEADER)
        yield Speed(what, count, alone(added, path, many[:count], size, durable), bar)
    path = folder / f"{BATCH}-False.jsonl"
    yield Speed(f"open ({path.stat().st_size >> 20} MiB)", RECORDS, alone(opened, path), "<= 2 s")
    yield Speed("open, and trials of it", RECORDS, alone(resumed, path), "")


# -- killed ----------------------------------------------------------------------------------------
def write_for_ever(
    path: Path, one: Record, first: int, size: int, durable: bool, say: Connection
) -> None:
    """Add records and say so, until killed: how many there will be, and how many there are."""
    with Ledger(path) as ledger:
        for number in range(first, 10**9, size):
            batch = [one._replace(number=i) for i in range(number, number + size)]
            say.send(("begin", number + size))
            ledger.append(batch, durable)
            say.send(("done", number + size))


@dataclass
class Killed:
    kills: int = 0
    inside: int = 0
    acknowledged: int = 0
    lost: int = 0
    wrong: int = 0
    damaged: int = 0

    def kill(self, path: Path, one: Record, size: int, durable: bool, rng: Random) -> None:
        first = len(read(path).records)
        said, say = processes.Pipe(duplex=False)
        process = processes.Process(
            target=write_for_ever, args=(path, one, first, size, durable, say)
        )
        process.start()
        say.close()
        told, last = first, ("", first)
        with suppress(EOFError):
            last = said.recv()
            moment = time.monotonic() + rng.uniform(0, MOMENTS)
            while True:
                if process.is_alive() and time.monotonic() >= moment:
                    process.kill()
                last = said.recv()
                told = last[1] if last[0] == "done" else told
        process.join()
        said.close()
        contents = read(path)
        found = [record.number for record in contents.records]
        self.kills += 1
        self.inside += last[0] == "begin"
        self.acknowledged += told - first
        self.lost += len(set(range(first, told)) - set(found))
        self.wrong += sum(a != b for a, b in zip(found, range(len(found)), strict=True))
        self.damaged += len(contents.damage)


def kills(folder: Path) -> Iterator[list[str]]:
    rng, (one,) = Random(0), records(1)
    for what, size, durable in (
        ("trained, one at a time", 1, True),
        (f"cheap, {BATCH} at a time", BATCH, False),
    ):
        killed = Killed()
        for i in range(KILLS):
            path = folder / f"killed-{size}-{i // ONE_LEDGER}.jsonl"
            if not path.exists():
                create(path, HEADER)
            killed.kill(path, one, size, durable, rng)
        yield [
            what,
            str(killed.kills),
            str(killed.inside),
            f"{killed.acknowledged:,}",
            str(killed.lost),
            str(killed.wrong),
            str(killed.damaged),
        ]


# -- damaged ---------------------------------------------------------------------------------------
def damages(folder: Path) -> Iterator[list[str]]:
    """Each kind of damage at every byte of the last three records."""
    path = folder / "damaged.jsonl"
    some = records(30)
    create(path, HEADER)
    added(path, some[:20], 20, durable=False)
    whole = path.read_bytes()
    start = len(b"\n".join(whole.split(b"\n")[:-4])) + 1
    offsets = range(start, len(whole))
    yield damage(
        path, "cut off there", some, ((whole[:i], whole[:i].count(b"\n")) for i in offsets)
    )
    for what, changed in (
        *((f"bit {bit} flipped", lambda byte, bit=bit: byte ^ 1 << bit) for bit in range(8)),
        ("a line break", lambda byte: ord("\n")),
        ("a zero byte", lambda byte: 0),
    ):
        cases = (
            (whole[:i] + bytes([changed(whole[i])]) + whole[i + 1 :], whole[:i].count(b"\n"))
            for i in offsets
        )
        yield damage(path, what, some, cases)


def damage(
    path: Path, what: str, some: Sequence[Record], cases: Iterator[tuple[bytes, int]]
) -> list[str]:
    """``cases`` are contents of the ledger, with the number of the line that is damaged."""
    tried = opened = others = added_all = 0
    for content, line in cases:
        tried += 1
        path.write_bytes(content)
        before = {record.number for record in read(path).records}
        opened += 1
        lines = content.count(b"\n") if "cut" in what else 21
        others += len(set(range(lines - 1)) - {line - 1} - before)
        with Ledger(path) as ledger:
            for record in some[20:30]:
                ledger.append([record], durable=False)
        after = read(path).records
        added_all += [r for r in after if r.number not in before] == some[20:30] and all(
            record == some[record.number] for record in after
        )
    return [what, f"{tried:,}", f"{opened:,}", str(others), f"{added_all:,}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary)
        print_table(
            f"Speed, {RECORDS:,} records",
            ["what", "records/s", "per CPU s", "wall s", "CPU s", "MiB", "bar"],
            [speed.row() for speed in speeds(folder)],
        )
        print_table(
            "Killed at random moments (bar: 0 lost)",
            ["what", "kills", "inside append", "acknowledged", "lost", "wrong", "damaged lines"],
            list(kills(folder)),
        )
        print_table(
            "Every byte of the last three records damaged (bar: all open, others lost 0)",
            ["damage", "tried", "opened", "others lost", "10 more added"],
            list(damages(folder)),
        )


if __name__ == "__main__":
    main()
