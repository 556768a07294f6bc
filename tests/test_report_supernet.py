"""What a supernet's report says and leaves, and the whole of it on real pictures."""

from __future__ import annotations

import csv
import json
import math
import re
import signal
from collections.abc import Iterator, Sequence
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import refused

from archsearch import find_objective, find_space, read_supernet, train_supernet
from archsearch.cli import main
from archsearch.cost import cost
from archsearch.errors import BadFile, UserError
from archsearch.evaluation.plan import Plan
from archsearch.fit.table import read_table
from archsearch.ledger import first_line, read, write_record
from archsearch.loading import Entry, find_architecture
from archsearch.members.within import SpaceMembers
from archsearch.report.supernet_page import ranking_page
from archsearch.report.supernet_ranking import as_csv, as_dict
from archsearch.report.supernet_text import summary_lines, verdict
from archsearch.search.ranking import RankedSupernet, rank_supernet
from archsearch.search.standalone import read_standalone
from archsearch.serialization import from_json
from archsearch.supernet.ranking import INHERITED, INHERITED_LOSS, LIVE_MACS, Member, Ranking, rank
from archsearch.supernet.score import Scorer
from archsearch.training.augment import Augment
from archsearch.training.job import Source
from archsearch.training.recipe import Recipe
from archsearch.trials import Outcome, Task

LEDGER = Path(__file__).parents[1] / "benchmarks" / "results" / "tiny_cifar10.csv"

ABOUT = {
    "command": ["archsearch", "supernet", "report", "runs/<b>"],
    "created": "2026-01-01T00:00:00+00:00",
    "space": "tiny",
    "budgets": ["30k-params"],
    "data": "cifar10:DIR",
    "standalone": ["tiny_cifar10.csv"],
    "seed": 0,
    "versions": {"torch": "2"},
}


def ranked(inherited: Sequence[float], accuracies: Sequence[float], **more: Any) -> Ranking:
    """A ranking of made-up members; live MACs count up."""
    members = [Member(f"key{i}", {}, {"0": a}) for i, a in enumerate(accuracies)]
    scores = {INHERITED: inherited, INHERITED_LOSS: inherited, LIVE_MACS: range(len(inherited))}
    return rank(members, {name: np.array(v, float) for name, v in (scores | more).items()})


@pytest.fixture(scope="module")
def kept() -> Ranking:
    """The kept ledger, ranked by a supernet that is right but for some noise."""
    members = SpaceMembers(find_space("tiny"))
    found = read_standalone([LEDGER], members, "cifar10")
    own = [Member(k, members.texts(p), found.accuracies[k]) for k, p in found.points.items()]
    truth = np.array([np.mean(list(m.accuracies.values())) for m in own])
    inherited = truth - 0.1 + 0.01 * np.random.default_rng(0).normal(size=len(own))
    costs = members.costs([found.points[m.key] for m in own])
    costs = {name: costs[name] for name in (LIVE_MACS, "params")}
    unknown = np.where(truth > 0.4, truth, -np.inf)
    return rank(
        own,
        {INHERITED: inherited, INHERITED_LOSS: -1 / inherited, **costs, "some-score": unknown},
    )


# -- in words ----------------------------------------------------------------------------------
def test_the_verdict_is_against_live_macs() -> None:
    good = ranked([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8])
    assert (
        "better than live MACs: no, over all 4 members (tau 1.00 against 1.00" in verdict(good)[0]
    )
    swapped = ranked([0.2, 0.1, 0.4, 0.3], [0.6, 0.5, 0.8, 0.7])
    first, half, others = verdict(swapped)
    assert "perhaps, over all 4 members (tau 1.00 against 0.33; difference 0.67" in first
    assert half.startswith("in the better half of 2: perhaps (tau 1.00 against -1.00")
    assert others == "ranked better by: nothing else that was tried"
    worse = ranked([0.1, 0.2, 0.4, 0.3], [0.5, 0.6, 0.7, 0.8], other=[4, 5, 6, 7])
    first, half, others = verdict(worse)
    assert "no, over all 4 members (tau 0.67 against 1.00" in first
    assert half.startswith("in the better half of 2: no (tau -1.00 against 1.00")
    assert others == "ranked better by: MACs (1.00), other (1.00)"


def test_the_pick_and_chance_are_told() -> None:
    text = "\n".join(summary_lines(ranked([0.1, 0.2, 0.4, 0.3], [0.5, 0.6, 0.7, 0.8])))
    assert "its first pick is number 2 of 4, 10.00 points of accuracy below the best" in text
    assert "too few members were trained with two seeds" in text
    best = "\n".join(summary_lines(ranked([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8])))
    assert "its first pick is the best of the 4" in best


def test_the_table_has_the_supernet_first_and_then_the_best(kept: Ranking) -> None:
    lines = summary_lines(kept)
    names = [re.split(r"\s{2,}", line)[0] for line in lines[2 : lines.index("")]]
    assert names[:2] == [INHERITED, INHERITED_LOSS]
    assert names[2:] == ["some-score", "MACs", "params"]
    assert "two trainings of the same 4 members (seeds 0 and 1)" in lines[-1]


# -- files -------------------------------------------------------------------------------------
def test_the_page_is_self_contained_and_names_every_member(kept: Ranking) -> None:
    page = ranking_page("<b>name", {**ABOUT, **as_dict(kept)}, kept)
    assert "<b>name" not in page and "runs/<b>" not in page
    assert not re.search(r"https?://|<script|src=", page)
    linked = set(re.findall(r'href="#(.*?)"', page))
    named = set(re.findall(r'<span id="(.*?)"', page))
    assert linked == named == {f"member-{member.key}" for member in kept.members}
    assert "ranks better than live MACs: yes" in page
    pictures = re.findall(r"<svg viewBox.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 3
    for picture in pictures:
        ElementTree.fromstring(picture)
        assert "nan" not in picture


def test_the_table_of_members_is_a_ledger_again(kept: Ranking, tmp_path: Path) -> None:
    (tmp_path / "ranking.csv").write_text(as_csv(kept))
    members = SpaceMembers(find_space("tiny"))
    again = read_standalone([tmp_path / "ranking.csv"], members, "cifar10")
    assert again.accuracies == {m.key: m.accuracies for m in kept.members}
    table = read_table(tmp_path / "ranking.csv", members.space, find_architecture)
    rows = list(csv.DictReader(StringIO(as_csv(kept))))
    assert len(rows) == 52 == len(table.points)
    losses = table.numbers("inherited_loss")
    assert (losses > 0).all()
    assert np.isnan(table.numbers("some-score")).sum() == sum(kept.scores["some-score"] == -np.inf)


def test_the_record_is_plain_json(kept: Ranking) -> None:
    told = json.loads(json.dumps(as_dict(kept), allow_nan=False))
    assert told["members"] == 44 and told["two_seeds"]["networks"] == 4
    own = told["scores"][INHERITED]["all"]
    assert own["low"] < own["kendall"] < own["high"]
    ahead = told["ahead_of_live_macs"]["all"]
    macs = told["scores"][LIVE_MACS]["all"]["kendall"]
    assert ahead["difference"] == pytest.approx(own["kendall"] - macs)


def test_constants_and_unknown_scores_are_drawn() -> None:
    flat = ranked([0.1] * 4, [0.5] * 4, broken=[-np.inf] * 4)
    page = ranking_page("flat", {**ABOUT, **as_dict(flat)}, flat)
    assert "nan" not in page.lower().replace("&#x27;", "")
    summary_lines(flat)


# -- the whole of it ---------------------------------------------------------------------------
SPACE = """
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.convolution import Convolution
from archsearch.space import SearchSpace, StageSpace, choice, widths

block = ConvNormAct(widths(4, 12, 4), conv=Convolution(kernel_size=choice(1, 3)))
stages = (StageSpace(block, (1, 2), stride=2),)
space = SearchSpace("mine", ConvNormAct(8), stages, Classifier(10), (1, 8, 8))
"""

SEARCHES = import_module("archsearch.search.run")


class Here:
    """Trains in this process; whoever looks on asks to stop after ``life`` trainings."""

    slots = 1

    def __init__(self, plan: Plan, life: float = math.inf) -> None:
        self._judge, self._tasks, self._life = plan.evaluation.prepare(), list[Task](), life

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def outcomes(self, timeout: float | None = None) -> list[Outcome]:
        task = self._tasks.pop()
        self._life -= 1
        if self._life == 0:
            signal.raise_signal(signal.SIGINT)
        metrics = self._judge(from_json(task.architecture), task.seed, lambda row: True)
        return [Outcome(task.number, "finished", metrics)]

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    """Nothing is built for a score, and members are trained in this process."""
    shipped = [Entry(name, "", find_objective(name)) for name in ("macs", "params")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archsearch.supernet.baselines.entries", lambda kind: shipped)
        patch.setattr(SEARCHES, "workers_for", lambda plan, *rest: Here(plan))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supernet of twelve members, trained for a moment."""
    folder = tmp_path_factory.mktemp("supernets")
    (folder / "mine.py").write_text(SPACE)
    trained = train_supernet(
        folder / "mine.py",
        Source("digits", limit=128),
        Recipe(epochs=2, batch_size=32, augment=Augment()),
        output=folder,
        name="super",
        device="cpu",
    )
    return trained.folder


@pytest.fixture(scope="module")
def ranking(run: Path, here: None) -> RankedSupernet:
    return rank_supernet(run, members=4, epochs=1, seeds=2, device="cpu", command=["me"])


def test_members_are_drawn_trained_and_ranked(run: Path, ranking: RankedSupernet) -> None:
    own = ranking.ranking
    assert own is not None and ranking.folder == run and ranking.failed == 0
    assert [*own.scores] == [INHERITED, INHERITED_LOSS, "macs", "params", "layers"]
    trained = read_supernet(run)
    members = SpaceMembers(trained.space)
    points = [members.point(member.choices) for member in own.members]
    networks = [trained.space.build(point) for point in points]
    assert own.scores["macs"].tolist() == [cost(network).macs for network in networks]
    told = Scorer(trained.supernet, trained.source.open()).scores(networks)
    assert own.scores[INHERITED].tolist() == [score.accuracy for score in told]
    assert {path.name for path in run.iterdir()} >= {"ranking.json", "ranking.csv", "ranking.html"}
    for seed in ("0", "1"):  # what the trainings of a search came to
        ledger = read(run / f"standalone-accuracy-1-epochs-seed-{seed}" / "ledger.jsonl")
        alone = {record.key: record.metrics["accuracy"] for record in ledger.records}
        assert alone == {member.key: member.accuracies[seed] for member in own.members}
    assert own.ceiling is not None and own.ceiling.correlation.networks == 4


def test_the_same_call_trains_nothing_again_and_more_members_are_these_and_others(
    run: Path, ranking: RankedSupernet
) -> None:
    before = ranking.ranking
    ledger = run / "standalone-accuracy-1-epochs-seed-0" / "ledger.jsonl"
    content = ledger.read_bytes()
    again = rank_supernet(run, members=4, epochs=1, device="cpu").ranking
    assert before is not None and again is not None
    assert ledger.read_bytes() == content
    assert [member.key for member in again.members] == [member.key for member in before.members]
    more = rank_supernet(run, members=6, epochs=1, device="cpu").ranking
    assert more is not None and more.members[:4] == again.members and len(more.members) == 6
    assert ledger.read_bytes().startswith(content)
    fewer = rank_supernet(run, members=4, epochs=1, device="cpu").ranking
    assert fewer is not None and fewer.members == again.members
    with pytest.raises(UserError, match="trained there in another way"):
        rank_supernet(run, members=4, epochs=1, device="meta")


def test_the_command_ranks_by_a_ledger(
    run: Path, ranking: RankedSupernet, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = run / "standalone-accuracy-1-epochs-seed-1"
    assert main(["supernet", "report", str(run), "--ledger", str(alone), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "The supernet ranks better than live MACs: " in said
    assert "inherited accuracy" in said and str(run) in said
    told = json.loads((run / "ranking.json").read_text())
    assert told["standalone"] == [str(alone)] and told["members"] == 4
    assert told["command"][:3] == ["archsearch", "supernet", "report"]
    argv = ["supernet", "report", str(run), "--ledger", str(run / "ranking.csv"), "--quiet"]
    assert main([*argv, "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"{run}\n"
    again = json.loads((run / "ranking.json").read_text())
    assert again["scores"] == told["scores"]


def test_a_report_that_is_stopped_goes_on(
    run: Path, ranking: RankedSupernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SEARCHES, "workers_for", lambda plan, *rest: Here(plan, life=2))
    cut = rank_supernet(run, members=5, epochs=2, device="cpu")
    assert cut.ranking is None
    ledger = run / "standalone-accuracy-2-epochs-seed-0" / "ledger.jsonl"
    before = read(ledger).records
    assert len(before) == 2
    monkeypatch.setattr(SEARCHES, "workers_for", lambda plan, *rest: Here(plan))
    found = rank_supernet(run, members=5, epochs=2, device="cpu").ranking
    assert found is not None and len(found.members) == 5
    assert read(ledger).records[:2] == before and len(read(ledger).records) == 5


def test_bad_input(
    run: Path, ranking: RankedSupernet, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = ("supernet", "report", str(run))
    alone = run / "standalone-accuracy-1-epochs-seed-0"
    assert "no supernet" in refused(capsys, "supernet", "report", str(tmp_path))
    both = refused(capsys, *report, "--ledger", str(alone), "--members", "40")
    assert both == "--members: nothing is trained where there is a --ledger; leave one of them out"
    assert "3 members: too few" in refused(capsys, *report, "--members", "3")
    assert "row 1" in refused(capsys, *report, "--ledger", str(LEDGER))
    assert "no such objective" in refused(capsys, *report, "--objective", "./none.py")
    assert "zen: it trains nothing" in refused(capsys, *report, "--objective", "zen")


def test_ledgers_of_something_else_are_refused(
    run: Path, ranking: RankedSupernet, tmp_path: Path
) -> None:
    members = SpaceMembers(read_supernet(run).space)
    alone = run / "standalone-accuracy-1-epochs-seed-0"
    assert len(read_standalone([alone], members, "digits").points) >= 4
    with pytest.raises(BadFile, match="trained on digits, the supernet on mnist:DIR"):
        read_standalone([alone], members, "mnist:DIR")
    with pytest.raises(BadFile, match="a search of mine, not of space tiny"):
        read_standalone([alone], SpaceMembers(find_space("tiny")), "digits")
    contents = read(alone / "ledger.jsonl")
    lines = [first_line(contents.header)]
    for record in contents.records:  # as a search over a supernet has them
        metrics = {"accuracy": record.metrics["accuracy"]}
        lines.append(write_record(record._replace(metrics=metrics), contents.header))
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(UserError, match="no member was trained to its end"):
        read_standalone([tmp_path], members, "digits")
