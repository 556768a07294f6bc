"""Searches that are killed, interrupted, doubled, damaged, or run out of disk lose nothing.

The searches run in processes of their own (``benchmarks/kills.py`` has them, and kills more often).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command_line import refused

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def kills() -> Iterator[Any]:
    """The script, imported as one beside it would."""
    sys.path.insert(0, str(BENCHMARKS))
    yield import_module("kills")
    sys.path.remove(str(BENCHMARKS))


Begin = Callable[..., Any]


@pytest.fixture
def begin(kills: Any, tmp_path: Path) -> Begin:
    """A place for a search whose goals take no workers, unless it is told otherwise."""

    def make(**changes: Any) -> Any:
        case = kills.Case("", "evolution", trials=200, workers=None, seconds=0.001)
        return kills.Place(tmp_path, replace(case, **changes)).prepare()

    return make


def recorded(place: Any) -> list[int]:
    contents = place.contents()
    assert not contents.damage
    return [record.number for record in contents.records]


# -- killed ------------------------------------------------------------------------------------
def test_a_killed_search_loses_nothing_and_repeats_nothing(kills: Any, begin: Begin) -> None:
    """One candidate after another: in the end it is the search that was never killed."""
    found = kills.killed(begin(workers=1, trials=16), 3, Random(0))
    assert (found.lost, found.twice, found.damaged, found.trials) == (0, 0, 0, 16)
    assert found.repeated <= found.kills
    assert found.same_ledger and found.same_front


def test_so_does_one_that_evaluates_many_at_once(kills: Any, begin: Begin) -> None:
    found = kills.killed(begin(trials=150, seconds=0.002), 3, Random(1))
    assert (found.lost, found.twice, found.damaged, found.trials) == (0, 0, 0, 150)
    assert found.kills > 0


# -- Ctrl-C ------------------------------------------------------------------------------------
def interrupted(driver: Any) -> None:
    """As a terminal does it: everything that was started there is told."""
    os.killpg(driver.process.pid, signal.SIGINT)


def test_ctrl_c_lets_what_is_out_finish(kills: Any, begin: Begin) -> None:
    place = begin(workers=2, seconds=0.5)
    driver = kills.Driver(place).start()
    driver.listen_for(1)
    interrupted(driver)
    driver.finish()
    assert driver.ended == "stopped"
    assert sorted(recorded(place)) == list(range(len(place.notes())))
    assert json.loads((place.run / "search.json").read_text())["state"] == "stopped"
    assert (place.run / "report.html").exists()


def test_ctrl_c_twice_stops_now(kills: Any, begin: Begin) -> None:
    place = begin(workers=1, seconds=600)
    driver = kills.Driver(place).start()
    while not place.notes():
        driver.listen(0.05)
        assert driver.process.is_alive(), driver.ended
    interrupted(driver)
    driver.listen(1.0)
    assert driver.process.is_alive()  # it waits for the candidate
    interrupted(driver)
    driver.finish()
    assert driver.ended == "interrupted"
    assert recorded(place) == []


def test_ctrl_c_twice_loses_nothing_that_was_recorded(kills: Any, begin: Begin) -> None:
    place = begin(trials=80, seconds=0.01)
    driver = kills.Driver(place).start()
    driver.listen_for(1)
    interrupted(driver)
    interrupted(driver)
    driver.finish()
    assert driver.ended in ("interrupted", "stopped")
    assert len(recorded(place)) >= max(driver.said)
    before = set(recorded(place))
    assert kills.Driver(replace(place)).start().finish().ended == "finished"
    assert before <= set(recorded(place)) and len(recorded(place)) == 80


# -- two at once, and folders that are none ----------------------------------------------------
@pytest.fixture(scope="module")
def done(kills: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished search."""
    case = kills.Case("", "evolution", trials=40, workers=None, seconds=0.0)
    place = kills.Place(tmp_path_factory.mktemp("done"), case).prepare()
    assert kills.Driver(place).start().finish().ended == "finished"
    return place


def test_two_searches_on_one_run_are_refused(
    kills: Any, begin: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    driver = kills.Driver(place := begin(trials=10_000, seconds=0.01)).start()
    try:
        driver.listen_for(1)
        before = (place.run / "search.json").read_text()
        told = refused(capsys, "resume", str(place.run), "--trials", "20000", "--quiet")
        assert told == f"{place.run}: another process is at work on it; wait for it"
        assert (place.run / "search.json").read_text() == before
        assert driver.process.is_alive()
    finally:
        driver.process.kill()
        driver.finish()


def files(folder: Path) -> dict[Path, bytes]:
    """What a run holds, but for its lock and what Python compiled."""
    return {path: path.read_bytes() for path in folder.rglob("[!_.]*.*") if path.suffix != ".pyc"}


def another_version(file: Path) -> None:
    file.write_text(file.read_text().replace('"format": 1', '"format": 999'))


def another_ledger(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"format":1', b'"format":2'))


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 100])


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("search.json", Path.unlink, ""),
        ("search.json", another_version, "not of this version of archsearch"),
        ("search.json", half, "cannot be read"),
        ("ledger.jsonl", Path.unlink, "there is no such ledger"),
        ("ledger.jsonl", lambda file: file.write_bytes(b""), "empty"),
        ("ledger.jsonl", another_ledger, "a ledger of format 2"),
        ("ledger.jsonl", half, "its first line"),
        ("ledger.jsonl", lambda file: file.write_text("notes\n"), "no ledger of a search"),
        ("inputs/mine.py", Path.unlink, "no such space file"),
        ("inputs/number.py", lambda file: file.write_text("objective = 1"), "objective"),
    ],
)
def test_a_run_that_is_half_there_is_refused(
    done: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    damage: Callable[[Path], Any],
    words: str,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(done.run, run)
    damage(run / file)
    before = files(run)
    told = refused(capsys, "resume", str(run), "--trials", "50", "--quiet")
    assert words in told and str(tmp_path)[:40] in told
    assert files(run) == before


def test_a_space_that_changed_is_refused(
    done: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(done.run, run)
    own = run / "inputs" / "mine.py"
    own.write_text(own.read_text().replace("widths(8, 64)", "widths(72, 128)"))
    told = refused(capsys, "resume", str(run), "--trials", "50", "--quiet")
    assert str(run) in told and "digest" in told


# -- a full disk -------------------------------------------------------------------------------
def test_a_search_that_runs_out_of_disk_goes_on_later(kills: Any, begin: Begin) -> None:
    """No file of the run may pass a size, the ledger first of all; then there is room again."""
    place = begin(trials=200)
    driver = kills.Driver(place, largest=30_000).start().finish()
    assert "cannot be written" in driver.ended and "\n" not in driver.ended, driver.ended
    kept = recorded(place)
    assert 0 < len(kept) < 200 and kept == list(range(max(driver.said)))
    assert kills.Driver(place).start().finish().ended == "finished"
    assert recorded(place) == list(range(200))
