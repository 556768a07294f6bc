"""The ledger loses nothing that it acknowledged: damaged, torn, full or killed at any moment."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import tiny_mobile, tiny_nested

from archsearch.errors import BadFile, UserError
from archsearch.ledger import (
    Header,
    Ledger,
    Record,
    choice_names,
    create,
    digest,
    first_line,
    read,
    record_of,
    trials_of,
)
from archsearch.loading import find_space, shipped_names
from archsearch.points import part_names, texts_of
from archsearch.space import Point, SearchSpace
from archsearch.trials import Goal, Trial

ROOT = Path(__file__).parents[1]
GOALS = (Goal("accuracy"), Goal("macs", higher_is_better=False, known=True))
HEADER = Header(GOALS, ("stem.width", "head.depth"), {"space": "mobile", "seed": 3})


def record(number: int, **changes: Any) -> Record:
    own = Record(
        number=number,
        key="0123456789abcdef",
        choices=("16", None),
        state="finished",
        values=(0.5, 12_345),
        metrics={"accuracy": 0.5, "macs": 12_345},
        reason="",
        seconds=1.25,
        worker="node-1",
        seed=7,
        time="2025-01-02T03:04:05.678+00:00",
    )
    return own._replace(**changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ledger = tmp_path / "ledger.jsonl"
    create(ledger, HEADER)
    return ledger


def append(path: Path, *records: Record, durable: bool = False) -> None:
    with Ledger(path) as ledger:
        ledger.append(records, durable)


def numbers(path: Path) -> list[int]:
    return [each.number for each in read(path).records]


# -- what goes in comes out --------------------------------------------------------------------
TEXTS = st.text(st.characters(), max_size=20)  # surrogates, line breaks, quotation marks and all
TEXTS |= st.sampled_from(["", "|", "a|b"])  # what stands between choices where it can
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
RECORDS = st.builds(
    Record,
    number=st.integers(0, 2**40),
    key=TEXTS,
    choices=st.tuples(TEXTS, TEXTS | st.none()),
    state=st.sampled_from(["finished", "stopped", "failed"]),
    values=st.just(()) | st.tuples(NUMBERS, NUMBERS),
    metrics=st.dictionaries(TEXTS, NUMBERS, max_size=3),
    reason=TEXTS,
    seconds=NUMBERS,
    worker=TEXTS,
    seed=st.integers(),
    time=TEXTS,
)


@settings(max_examples=50)
@given(batches=st.lists(st.lists(RECORDS, max_size=3), max_size=3))
def test_records_come_back_as_they_were(
    batches: list[list[Record]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("run") / "ledger.jsonl"
    create(path, HEADER)
    expected: dict[int, Record] = {}
    for batch in batches:
        append(path, *batch)
        for each in batch:
            expected.setdefault(each.number, each)
    contents = read(path)
    assert contents.header == HEADER
    assert contents.records == list(expected.values())
    assert len(contents.damage) == sum(map(len, batches)) - len(expected)


def test_it_is_json_lines_to_other_tools(path: Path) -> None:
    append(path, record(0, reason="line\nbreak ü \udc80"))
    header, line = path.read_bytes().splitlines()
    data = json.loads(line)
    checksum = data.pop("crc")
    written = record(0, reason="line\nbreak ü \udc80")._asdict() | {"choices": "16|"}
    assert written.pop("parent") is None  # a line tells of a parent only where there is one
    assert data == json.loads(json.dumps(written))
    assert int(checksum, 16) == crc32(line.split(b',"crc"')[0])
    assert json.loads(header)["search"] == HEADER.search


def test_of_an_evaluation_that_is_there_twice_the_first_counts(path: Path) -> None:
    append(path, record(0), record(1), record(0, reason="later"))
    contents = read(path)
    assert contents.records == [record(0), record(1)]
    assert contents.damage == ("line 4: evaluation 0 again, not read",)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(path: Path, value: float) -> None:
    bad: dict[str, Record] = {
        "accuracy": record(1, values=(value, 1)),
        "loss": record(1, metrics={"loss": value}),
        "seconds": record(1, seconds=value),
    }
    for name, each in bad.items():
        with pytest.raises(UserError, match=f"evaluation 1: {name} is {value}"):
            append(path, record(0), each)
    assert numbers(path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"number": -1},
        {"number": True},
        {"key": 5},
        {"choices": ("16",)},
        {"choices": ("16", 3)},
        {"choices": "ab"},
        {"state": "running"},
        {"state": []},
        {"values": (1.0,)},
        {"values": ("a", "b")},
        {"metrics": {"a": True}},
        {"metrics": {"a": 10**400}},
        {"metrics": []},
        {"reason": None},
        {"seconds": "1"},
        {"seed": 1.0},
    ],
)
def test_a_line_of_something_else_is_damage(path: Path, changes: dict[str, Any]) -> None:
    """Even with a right checksum: somebody may have written it by hand."""
    body = json.dumps(record(1)._asdict() | changes)[:-1].encode()
    append(path, record(0))
    with path.open("ab") as file:
        file.write(b'%s,"crc":"%08x"}\n' % (body, crc32(body)))
    append(path, record(2))
    assert numbers(path) == [0, 2]
    assert read(path).damage == ("line 3: no record of this search, not read",)


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b'{"number":1,', b"1,2", b"\xff", b"NaN"])
def test_a_line_that_is_no_json_costs_itself_alone(path: Path, body: bytes) -> None:
    append(path, record(0))
    with path.open("ab") as file:
        file.write(b'%s,"crc":"%08x"}\n' % (body, crc32(body)))
    append(path, record(2))
    assert numbers(path) == [0, 2]
    assert len(read(path).damage) == 1


# -- damage ------------------------------------------------------------------------------------
LAST = (record(17), record(18, reason='a \n break, {"number":1'), record(19, metrics={}))


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of files, none of which needs to survive a loss of power."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def whole(path: Path, no_sync: None) -> bytes:
    append(path, *(record(i) for i in range(17)), *LAST)
    return path.read_bytes()


def owner(content: bytes, offset: int) -> int:
    """The number of the record that a byte belongs to."""
    return content[:offset].count(b"\n") - 1


def tail(content: bytes) -> range:
    return range(content.rindex(b"\n", 0, content.rindex(b'{"number":17,')) + 1, len(content))


def goes_on(path: Path, kept: set[int], may_be_lost: set[int]) -> None:
    """It opens with what must be there, and three more evaluations are added and read."""
    before = set(numbers(path))
    assert kept - may_be_lost <= before <= kept
    with Ledger(path) as ledger:
        for i in range(3):
            ledger.append([record(100 + i)], durable=False)
    after = read(path)
    own = {each.number: each for each in after.records}
    assert own.keys() == before | set(range(100, 103))
    originals = [record(i) for i in range(17)] + list(LAST) + [record(100 + i) for i in range(3)]
    assert all(each in originals for each in after.records)


def test_a_ledger_cut_anywhere_opens_and_goes_on(path: Path, whole: bytes) -> None:
    for offset in tail(whole):
        path.write_bytes(whole[:offset])
        lines = whole[:offset].count(b"\n") - 1
        complete = whole[offset : offset + 1] == b"\n"  # but for its line break
        assert read(path).damage == ()  # a line that is being written is no damage
        goes_on(path, set(range(lines + complete)), set())


def test_a_flipped_bit_costs_at_most_its_record(path: Path, whole: bytes) -> None:
    for offset in tail(whole):
        flipped = whole[offset] ^ 1 << offset % 8
        path.write_bytes(whole[:offset] + bytes([flipped]) + whole[offset + 1 :])
        goes_on(path, set(range(20)), {owner(whole, offset)})


@pytest.mark.parametrize(
    "junk", [b"\0" * 4096, b"\n\n\n", b'{"number":18,', random.Random(0).randbytes(300)]
)
def test_junk_at_the_end_costs_nothing(path: Path, whole: bytes, junk: bytes) -> None:
    path.write_bytes(whole + junk)
    goes_on(path, set(range(20)), set())


@given(data=st.data())
def test_many_damages_cost_no_more_than_the_records_they_are_in(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("run") / "ledger.jsonl"
    lines = [json.dumps(record(i)._asdict(), separators=(",", ":"))[:-1] for i in range(20)]
    content = first_line(HEADER) + b"".join(
        b'%s,"crc":"%08x"}\n' % (line.encode(), crc32(line.encode())) for line in lines
    )
    start = content.index(b"\n") + 1
    changes = data.draw(
        st.dictionaries(st.integers(start, len(content) - 1), st.integers(0, 255), max_size=6)
    )
    damaged = bytearray(content)
    for offset, byte in changes.items():
        damaged[offset] = byte
    path.write_bytes(damaged)
    lost = {owner(content, offset) for offset in changes}
    found = set(numbers(path))
    assert set(range(20)) - lost <= found <= set(range(20))


# -- what is no ledger -------------------------------------------------------------------------
def refused(path: Path) -> str:
    messages = []
    for function in (read, Ledger):
        with pytest.raises(BadFile) as caught:
            function(path)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and str(path) in messages[0] and "\n" not in messages[0]
    return messages[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"number,accuracy\n0,0.5\n", "no ledger of a search"),
        (b"\x89PNG\r\n\x1a\n\0\0", "no ledger of a search"),
        (b'{"is":"a drawing","format":1}\n', "no ledger of a search"),
        (b'{"is":"archsearch ledger","format":1,"go', "damaged; restore it from a copy"),
        (b'{"is":"archsearch ledger","format":2,"x":0}\n', "format 2, this version .* reads 1"),
    ],
)
def test_what_is_no_ledger_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=message):
        read(path)
    refused(path)
    assert path.read_bytes() == content


def test_a_first_line_damaged_anywhere_is_refused(path: Path) -> None:
    append(path, record(0))
    content = path.read_bytes()
    for offset in range(content.index(b"\n") + 1):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[offset] ^= 1 << bit
            path.write_bytes(damaged)
            refused(path)


@pytest.mark.parametrize("data", [{"goals": 3}, {"goals": [{}]}, {"choices": [1]}, {"search": []}])
def test_a_first_line_of_other_things_is_refused(path: Path, data: dict[str, Any]) -> None:
    own = json.loads(first_line(HEADER))
    del own["crc"]
    body = json.dumps(own | data, separators=(",", ":"))[:-1].encode()
    path.write_bytes(b'%s,"crc":"%08x"}\n' % (body, crc32(body)))
    assert "its first line" in refused(path)


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no such ledger" in refused(tmp_path / "ledger.jsonl")
    with pytest.raises(BadFile, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        Ledger(tmp_path)


def test_a_ledger_is_never_begun_over_another(path: Path) -> None:
    append(path, record(0))
    with pytest.raises(UserError, match="there is a ledger already"):
        create(path, HEADER)
    assert numbers(path) == [0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (HEADER, ""),
        (replace(HEADER, goals=GOALS[:1]), "the goals were accuracy"),
        (replace(HEADER, goals=(GOALS[0], replace(GOALS[1], higher_is_better=True))), "the goals"),
        (replace(HEADER, choices=("stem.width",)), "the choices were"),
        (replace(HEADER, search=HEADER.search | {"seed": 4}), "seed was 3 and is 4"),
        (replace(HEADER, search=HEADER.search | {"data": "digits"}), "data was None and is digits"),
    ],
)
def test_another_search_is_told_apart(changed: Header, words: str) -> None:
    assert HEADER.difference(changed).startswith(words) and bool(HEADER.difference(changed)) == (
        changed != HEADER
    )


# -- disks that are full or fail ---------------------------------------------------------------
@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The operating system refuses more bytes, as on a full disk. Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("durable", [True, False])
def test_a_full_disk_costs_nothing_that_was_recorded(path: Path, durable: bool) -> None:
    """However little space is left: not even a part of what did not fit stays."""
    batch = [record(1), record(2)]
    with Ledger(path) as ledger:
        ledger.append([record(0)], durable)
        before = path.read_bytes()
        for left in (0, 1, 50, 300, 400):
            with (
                files_no_larger_than(len(before) + left),
                pytest.raises(UserError, match=r"File too large.*free some space, then resume"),
            ):
                ledger.append(batch, durable)
            assert path.read_bytes() == before
        ledger.append(batch, durable)
    assert read(path).records == [record(0), record(1), record(2)]


def fails(number: int) -> Any:
    def failing(*args: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return failing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_to_sync_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    ledger = Ledger(path)
    ledger.append([record(0)])
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fails(number))
        with pytest.raises(UserError, match=os.strerror(number)):
            ledger.append([record(1)])
    ledger.append([record(2)])
    ledger.close()
    assert numbers(path) == [0, 2]


def test_a_part_that_cannot_even_be_taken_back_is_harmless(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger(path) as ledger:
        ledger.append([record(0)])
        with monkeypatch.context() as broken, files_no_larger_than(path.stat().st_size + 100):
            broken.setattr(os, "ftruncate", fails(errno.EIO))
            with pytest.raises(UserError, match="File too large"):
                ledger.append([record(1)])
        ledger.append([record(2)])
    assert numbers(path) == [0, 2]
    assert read(path).damage == ("line 3: damaged, not read",)


def test_a_ledger_that_somebody_deletes_is_noticed(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.append([record(0)])
        path.unlink()
        with pytest.raises(UserError, match="deleted"):
            ledger.append([record(1)])


def test_a_ledger_can_be_begun_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", fails(errno.ENOSPC))
    with pytest.raises(UserError, match="No space left on device"):
        create(tmp_path / "ledger.jsonl", HEADER)
    assert list(tmp_path.iterdir()) == []


# -- what reaches the disk, and when -----------------------------------------------------------
def test_durable_records_are_forced_to_disk_before_they_are_acknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("write", "fsync"):
        original = getattr(os, name)

        def noted(file: int, *args: Any, name: str = name, original: Any = original) -> Any:
            calls.append(name)
            return original(file, *args)

        monkeypatch.setattr(os, name, noted)
    clock = iter([100.0, 100.0, 100.4, 101.5, 101.5, 102.0])
    with Ledger(path) as ledger:
        calls.clear()
        monkeypatch.setattr(time, "monotonic", lambda: next(clock))
        ledger.append([record(0)])  # asks the clock once, when it is done
        ledger.append([record(i) for i in range(1, 50)], durable=False)
        ledger.append([record(50)], durable=False)
        assert calls == ["write", "fsync", "write", "write"]
        ledger.append([record(51)], durable=False)  # the second is over
        assert calls[4:] == ["write", "fsync"]
        ledger.append([record(52)], durable=False)
        ledger.append([])
        assert calls[6:] == ["write"]
    assert calls[6:] == ["write", "fsync"]
    assert numbers(path) == list(range(53))


# -- killed ------------------------------------------------------------------------------------
WRITER = f"""
import sys
from pathlib import Path
from archsearch.ledger import Ledger, Record
first, size, durable = map(int, sys.argv[2:])
one = {record(0)!r}
with Ledger(Path(sys.argv[1])) as ledger:
    for number in range(first, 10**9, size):
        batch = [one._replace(number=i) for i in range(number, number + size)]
        ledger.append(batch, bool(durable))
        print(number + size, flush=True)
"""


def killed_writer(path: Path, first: int, size: int, durable: bool, seconds: float) -> int:
    """Let another process add records from ``first`` on and kill it; what it acknowledged."""
    args = [sys.executable, "-c", WRITER, *map(str, (path, first, size, int(durable)))]
    with subprocess.Popen(args, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline()]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.read().splitlines(keepends=True)
    return int([line for line in acknowledged if line.endswith(b"\n")][-1])


def test_a_killed_writer_loses_nothing_it_acknowledged(path: Path) -> None:
    rng, there = random.Random(1), 0
    for size, durable in ((1, True), (3, True), (1, False), (40, False)):
        acknowledged = killed_writer(path, there, size, durable, rng.uniform(0, 0.1))
        contents = read(path)
        found = [each.number for each in contents.records]
        assert found == list(range(len(found))) and len(found) >= acknowledged > there
        assert contents.records == [record(i) for i in found]
        there = len(found)


def test_it_is_read_while_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system writes in small parts, and somebody looks after each."""
    write, seen = os.write, [0]

    def partly(file: int, data: bytes) -> int:
        done = write(file, data[:23])
        contents = read(path)
        assert contents.records == [record(i) for i in range(len(contents.records))]
        assert not contents.damage
        seen.append(len(contents.records))
        return done

    monkeypatch.setattr(os, "write", partly)
    append(path, record(0))
    append(path, *(record(i) for i in range(1, 6)))
    assert seen == sorted(seen) and set(seen) == set(range(7))


# -- trials ------------------------------------------------------------------------------------
class Listed:
    """As much of ``Members`` as a ledger needs: all points of a small space."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.points = {tuple(sorted(self.texts(p).items())): p for p in space.points()}

    def texts(self, point: Point) -> dict[str, str]:
        return {
            f"{part}.{path}": text
            for part, pick in zip(part_names(self.space), point, strict=True)
            for path, text in texts_of(pick).items()
        }

    def point(self, texts: Mapping[str, str]) -> Point:
        try:
            return self.points[tuple(sorted(texts.items()))]
        except KeyError:
            raise UserError(f"no member: {dict(texts)}") from None


def trials(members: Any, points: Sequence[Point]) -> list[Trial]:
    return [
        Trial(i, point, f"key{i}", "finished", (i / 7, i), {"macs": i}, "", 0.5, "here", i)
        for i, point in enumerate(points)
    ]


@pytest.mark.parametrize("space", [tiny_mobile(), tiny_nested()], ids=lambda space: space.name)
def test_trials_of_every_member_come_back(space: SearchSpace, path: Path) -> None:
    members: Any = Listed(space)
    names = {name for point in members.points.values() for name in members.texts(point)}
    assert set(choice_names(space)) == names
    header = Header(GOALS, choice_names(space))
    path.unlink()
    create(path, header)
    everything = trials(members, list(members.points.values()))
    append(path, *(record_of(trial, members, header) for trial in everything))
    contents = read(path)
    assert list(trials_of(contents.records, members, contents.header)) == everything


def test_numbers_of_other_kinds_are_recorded_as_numbers() -> None:
    import numpy as np

    members: Any = Listed(tiny_mobile())
    header = Header(GOALS, choice_names(members.space))
    point = next(iter(members.points.values()))
    trial = Trial(0, point, "k", "finished", (np.float32(0.5), np.int64(3)), {"a": np.bool_(True)})
    own = record_of(trial, members, header)
    assert own.values == (0.5, 3) and own.metrics == {"a": 1.0}
    assert {type(v) for v in (*own.values, *own.metrics.values())} == {float}


def test_a_record_of_a_space_that_changed_is_named() -> None:
    members: Any = Listed(tiny_mobile())
    header = Header(GOALS, choice_names(members.space))
    point = next(iter(members.points.values()))
    (trial,) = trials(members, [point])
    own = record_of(replace(trial, number=12), members, header)
    changed = own._replace(choices=("999", *own.choices[1:]))
    with pytest.raises(UserError, match=r"evaluation 12 \(key0\) is of no member of the space"):
        list(trials_of([changed], members, header))
    with pytest.raises(ValueError, match="does not name"):
        record_of(trial, members, replace(header, choices=header.choices[1:]))


def test_digests_tell_spaces_apart() -> None:
    spaces = [find_space(name) for name in shipped_names("space")]
    assert len({digest(space) for space in spaces}) == len(spaces)
    assert not any(" at 0x" in repr(space) for space in spaces)  # the same in every process
    space = tiny_mobile()
    assert digest(space) == digest(tiny_mobile()) == digest(replace(space, origin="elsewhere"))
    assert digest(space) != digest(space.with_kernel_sizes((3, 5, 7)))
    assert digest(space) != digest(replace(space, input=(3, 64, 64)))
