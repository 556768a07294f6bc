"""Searches whose candidates grow: from whom, with which weights, and what of these is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import torch
from growable import can_grow
from inheriting import Gone, here

from archsearch.architecture import Architecture
from archsearch.cost import cost
from archsearch.errors import BadFile, UserError
from archsearch.evaluation.grown import Growing
from archsearch.evaluation.plan import plan as judged_by
from archsearch.growth.words import changes
from archsearch.ledger import NAME, Header, Record, read, write_record
from archsearch.ledger.record import read_record
from archsearch.members.within import SpaceMembers
from archsearch.nets.build import build
from archsearch.nets.weights import read_metadata
from archsearch.report.genealogy import genealogy
from archsearch.report.search_cloud import Cloud
from archsearch.search import Machines, Searched, lineage, machines, resume_search, run, search
from archsearch.serialization import key
from archsearch.space import SearchSpace
from archsearch.training.job import Source
from archsearch.trials import Goal, Trial
from archsearch.workers.ray import connected

SPACE = '''"""Residual networks that grow in width and depth."""
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.space import SearchSpace, StageSpace, choice

space = SearchSpace(
    "growing",
    ConvNormAct(width=choice(4, 8)),
    (
        StageSpace(BasicBlock(width=choice(8, 12)), depth=(1, 2), stride=2),
        StageSpace(BasicBlock(width=choice(12, 16)), depth=(1, 2), stride=2),
    ),
    Classifier(10),
    input=(1, 8, 8),
)
'''


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """A search from beginning to end."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("whole")
        patch.chdir(place)
        patch.setattr(run, "workers_for", here())
        (place / "growing.py").write_text(SPACE)
        found = grown()
        return replace(found, folder=found.folder.absolute())


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    """Says how many outcomes the next search lives for; it runs in a folder of the test's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "growing.py").write_text(SPACE)

    def set_life(life: int = -1) -> None:
        monkeypatch.setattr(run, "workers_for", here(life))

    set_life()
    return set_life


def grown(name: str = "own", **more: Any) -> Searched:
    words: dict[str, Any] = {"trials": 7, "strategy": "local", "compare": (), "start": None}
    words |= {"data": Source("digits", limit=64), "epochs": 2, "grown_epochs": 1, "grow": True}
    return search("growing.py", name=name, **words | more)


def growing_space() -> SearchSpace:
    own: dict[str, Any] = {}
    exec(SPACE, own)
    space = own["space"]
    assert isinstance(space, SearchSpace)
    return space


def networks(found: Searched) -> list[Architecture]:
    return [found.members.space.build(trial.point) for trial in found.trials]


def told(found: Searched) -> list[tuple[Any, ...]]:
    return [(t.number, t.key, t.state, t.values, t.parent) for t in found.trials]


def test_a_candidate_grows_from_the_best_that_it_can(whole: Searched) -> None:
    found = whole
    built, values = networks(found), [trial.values for trial in found.trials]
    assert any(trial.parent is not None for trial in found.trials)
    for trial in found.trials:
        able = [n for n in range(trial.number) if can_grow(built[n], built[trial.number])]
        best = max(able, key=lambda n: (values[n], -n), default=None)
        assert trial.parent == best
        assert trial.metrics["epochs"] == (2 if best is None else 1)


def test_it_begins_by_answering_as_its_parent_does(tmp_path: Path) -> None:
    space = growing_space()
    points = list(space.points())
    old, new = space.build(points[0]), space.build(points[-1])
    growing = Growing(tmp_path / "weights")
    growing.hand_out(key(new), key(old))
    torch.manual_seed(3)
    parent, child = build(old).eval(), build(new).eval()
    growing.keep(parent, old)
    assert growing.parent_of(new) == key(old)
    growing.start(child, new, key(old), seed=0)
    x = torch.randn(5, *space.input)
    torch.testing.assert_close(child(x), parent(x), rtol=1e-5, atol=1e-5)


def test_a_search_cut_off_goes_on_to_the_same_result(
    whole: Searched, use: Callable[[int], None]
) -> None:
    use(4)
    with pytest.raises(Gone):
        grown("cut")
    use(-1)
    assert told(resume_search("runs/cut")) == told(whole)


def test_real_workers_share_the_folder(
    whole: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "growing.py").write_text(SPACE)
    found = grown(trials=3, machines=Machines(workers=1, ray=False))
    assert told(found) == told(whole)[:3]
    assert any(trial.parent is not None for trial in found.trials)


def test_weights_of_the_best_are_kept_and_no_others(
    use: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "KEPT", 2)
    found = grown(trials=5)
    best = sorted(found.trials, key=lambda t: (-t.values[0], t.number))[:2]
    folder = found.folder / run.WEIGHTS
    assert {path.stem for path in folder.iterdir()} == {trial.key for trial in best}
    for trial in best:
        kept = read_metadata(folder / f"{trial.key}.safetensors")
        assert key(kept) == trial.key
    for trial in found.trials:
        before = sorted(found.trials[: trial.number], key=lambda t: (-t.values[0], t.number))[:2]
        assert trial.parent is None or trial.parent in {t.number for t in before}


def test_what_it_is_held_against_begins_anew(use: Callable[[int], None]) -> None:
    found = grown(trials=2, compare=("resnet",), budgets="20k-params")
    (outcome,) = found.references.values()
    assert outcome.state == "finished" and outcome.metrics["epochs"] == 2


def test_an_earlier_search_is_told_of_with_its_parents(
    whole: Searched, use: Callable[[int], None]
) -> None:
    budget = sorted(cost(network).params for network in networks(whole))[-2]
    found = grown(trials=1, start=whole.folder, budgets=f"{budget}-params")
    *known, last = found.trials
    assert 0 < len(known) < len(whole.trials)
    keys = {t.key: whole.trials[t.parent].key for t in whole.trials if t.parent is not None}
    kept = {trial.key for trial in known}
    for trial in known:
        parent = None if trial.parent is None else found.trials[trial.parent].key
        assert parent == (keys.get(trial.key) if keys.get(trial.key) in kept else None)
    assert last.parent is None  # their weights are in the other run


def test_a_ledger_tells_parents_and_older_ones_are_read(tmp_path: Path) -> None:
    header = Header((Goal("accuracy"),), ("stem.width",))
    plain = Record(4, "k", ("8",), "finished", (0.5,), {}, "", 1.0, "", 0, "2026-01-01")
    line = write_record(plain, header)
    assert b"parent" not in line
    assert read_record(line[:-1], header) == plain
    child = write_record(plain._replace(parent=2), header)
    assert read_record(child[:-1], header) == plain._replace(parent=2)
    for wrong in (b'"parent":"2"', b'"parent":1.5'):
        assert read_record(child[:-1].replace(b'"parent":2', wrong), header) is None


def test_ledger_of_a_run_has_them(whole: Searched) -> None:
    records = read(whole.folder / NAME).records
    assert [r.parent for r in records] == [t.parent for t in whole.trials]


def test_runs_from_before_are_read(use: Callable[[int], None]) -> None:
    found = grown(trials=1, grow=False, grown_epochs=None)
    path = found.folder / run.RECORD
    record = json.loads(path.read_text())
    del record["setup"]["grow"], record["setup"]["grown_epochs"]
    path.write_text(json.dumps(record))
    assert len(resume_search(found.folder, trials=2).trials) == 2
    assert not (found.folder / run.WEIGHTS).exists()


# -- the genealogy in the report -----------------------------------------------------------------
def family(
    parents: dict[int, int | None], values: dict[int, tuple[float, ...]], goals: tuple[Goal, ...]
) -> Cloud:
    """Trials of the space's networks, the small ones first, with these parents and values."""
    space = growing_space()
    points = sorted(space.points(), key=lambda point: cost(space.build(point)).params)
    trials = [
        Trial(n, points[n], key(space.build(points[n])), "finished" if values[n] else "failed",
              values[n], parent=parent)
        for n, parent in parents.items()
    ]  # fmt: skip
    return Cloud(goals, trials, SpaceMembers(space))


def test_the_report_tells_who_grew_from_whom() -> None:
    parents = {0: None, 1: 0, 2: 1, 3: 0, 4: None, 5: 3}
    values = {0: (0.5,), 1: (0.6,), 2: (0.9,), 3: (0.55,), 4: (0.7,), 5: ()}
    cloud = family(parents, values, (Goal("accuracy"),))
    page = genealogy(cloud)
    steps = re.findall(r"M([\d.]+) [\d.]+L([\d.]+) [\d.]+", page)
    places = [(70 + 1010 * a / 4, 70 + 1010 * b / 4) for a, b in ((0, 1), (1, 2), (0, 3))]
    assert [tuple(map(float, own)) for own in steps] == [pytest.approx(own) for own in places]
    (line,) = re.findall(r'<polyline points="([^"]+)" class="ancestry"', page)
    assert [float(own.split(",")[0]) for own in line.split()] == [70, 322.5, 575]
    rows = re.findall(r"<tr><td.*?</tr>", page)
    cells = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in rows]
    assert [(own[0], own[1], own[3], own[4]) for own in cells] == [
        ("0", "", "", "50.00 %"),
        ("1", "0", "50.00 %", "60.00 %"),
        ("2", "1", "60.00 %", "90.00 %"),
        ("3", "0", "50.00 %", "55.00 %"),
    ]
    build = cloud.members.space.build
    for own in cells[1:]:
        old, new = (build(cloud.everything[int(n)].point) for n in (own[1], own[0]))
        assert unescape(own[2]) == "; ".join(changes(old, new)) != ""


def test_a_cost_is_no_merit_of_a_child() -> None:
    """Of several goals the first that is no cost is told, and small losses are good."""
    goals = (Goal("macs", higher_is_better=False, known=True), Goal("loss", False))
    values = {0: (1.0, 2.0), 1: (2.0, 0.5), 2: (3.0, 1.0)}
    page = genealogy(family({0: None, 1: 0, 2: 0}, values, goals))
    first, _, others = page.partition("Other children")
    assert "loss before" in page and ">0.5<" in first and ">1<" in others


def test_nothing_is_told_where_nothing_grew(whole: Searched) -> None:
    cloud = family({0: None, 1: None}, {0: (0.5,), 1: (0.6,)}, (Goal("accuracy"),))
    assert genealogy(cloud) == ""
    assert "Who grew from whom" in (whole.folder / "report.html").read_text()


class TestBadInput:
    @pytest.fixture
    def growing(self, tmp_path: Path) -> tuple[Growing, Architecture, Architecture]:
        space = growing_space()
        points = list(space.points())
        return Growing(tmp_path / "weights"), space.build(points[0]), space.build(points[-1])

    def test_a_worker_without_the_folder_says_so(
        self, growing: tuple[Growing, Architecture, Architecture]
    ) -> None:
        own, old, _ = growing
        with pytest.raises(UserError, match="let every worker have the run's folder"):
            own.parent_of(old)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"parent": "../../x"}', '{"parent": 3}'])
    def test_a_note_that_is_none(
        self, growing: tuple[Growing, Architecture, Architecture], text: str
    ) -> None:
        own, old, _ = growing
        own.hand_out(key(old), None)
        (own.folder / f"{key(old)}.json").write_text(text)
        with pytest.raises(BadFile, match="resume the search"):
            own.parent_of(old)

    def test_weights_of_another_network(
        self, growing: tuple[Growing, Architecture, Architecture]
    ) -> None:
        own, old, new = growing
        own.hand_out(key(old), None)
        own.keep(build(new), new)
        own.weights(key(new)).rename(own.weights(key(old)))
        with pytest.raises(BadFile, match="another network than its name says"):
            own.start(build(new), new, key(old), 0)

    def test_weights_that_are_damaged(
        self, growing: tuple[Growing, Architecture, Architecture]
    ) -> None:
        own, old, new = growing
        own.hand_out(key(old), None)
        own.keep(build(old), old)
        path = own.weights(key(old))
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(BadFile, match="damaged"):
            own.start(build(new), new, key(old), 0)

    def test_a_full_disk_fails_the_candidate_in_words(
        self, growing: tuple[Growing, Architecture, Architecture]
    ) -> None:
        own, old, _ = growing
        nowhere = replace(own, folder=own.folder / "none")
        with pytest.raises(UserError, match="cannot be written"):
            nowhere.keep(build(old), old)

    def test_where_nothing_is_trained(self, use: Callable[[int], None]) -> None:
        with pytest.raises(UserError, match="--grow: .* none is trained"):
            search("growing.py", "macs", grow=True, start=None)
        assert not Path("runs").exists()
        Path("table.csv").write_text("width,a\n1,2\n2,3\n")
        with pytest.raises(UserError, match="--grow: .* nothing is trained"):
            search(table="table.csv", objectives="a", encoding=["width"], grow=True)

    def test_epochs_without_growing(self, use: Callable[[int], None]) -> None:
        with pytest.raises(UserError, match="give --grow too"):
            grown(grow=False)


def test_the_plan_that_grows_is_another(tmp_path: Path) -> None:
    space = growing_space()
    one = judged_by(["accuracy"], space, source=Source("digits", limit=64))
    other = one.grown(Growing(tmp_path))
    assert one.growing is None and other.growing == Growing(tmp_path)
    assert other.evaluation is not one.evaluation


# -- on Ray --------------------------------------------------------------------------------------
@pytest.mark.slow
def test_children_on_ray_inherit_from_networks_that_others_trained(
    use: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first candidate is trained in this process, the others by two workers on Ray: they grow
    from it, and come to what they come to here with the same parents."""
    with monkeypatch.context() as patch, connected("local", cpus=2):
        first = grown(trials=1).trials[0]
        patch.setattr(run, "workers_for", machines.workers_for)
        found = resume_search("runs/own", trials=5, machines=Machines(workers=2))
    assert [trial.state for trial in found.trials] == ["finished"] * 5
    assert first.worker != found.trials[1].worker != found.trials[2].worker
    assert any(trial.parent == 0 for trial in found.trials)
    growing = Growing(tmp_path / "again", epochs=1)
    plan = judged_by(["accuracy"], growing_space(), source=Source("digits", limit=64), epochs=2)
    judge = plan.grown(growing).evaluation.prepare()
    keys = {trial.number: trial.key for trial in found.trials}
    for trial in sorted(found.trials, key=lambda own: own.number):
        growing.hand_out(trial.key, None if trial.parent is None else keys[trial.parent])
        metrics = judge(found.members.space.build(trial.point), trial.seed, lambda row: True)
        assert metrics["accuracy"] == trial.values[0]
