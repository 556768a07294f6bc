"""Searches end to end: what is asked, evaluated and kept, cut off anywhere and gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from archsearch.budget import parse_budgets
from archsearch.cli import main
from archsearch.cost import cost
from archsearch.errors import BadFile, InfeasibleBudget, UserError
from archsearch.evaluation.plan import Plan
from archsearch.ledger import NAME, read
from archsearch.loading import find_architecture, find_space
from archsearch.runs import locked
from archsearch.search import Machines, Searched, resume_search, run, search
from archsearch.search.starts import designed
from archsearch.serialization import from_json, key
from archsearch.trials import Outcome, Task

SPACE = '''"""Sixteen networks, two of which are the same."""
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.space import SearchSpace, StageSpace, choice

space = SearchSpace(
    "few",
    ConvNormAct(width=choice(8, 16)),
    (StageSpace(BasicBlock(width=choice(16, 24)), depth=(1, 2), stride=2),),
    Classifier(10, hidden=choice((), (32,))),
    input=(1, 8, 8),
)
'''

OBJECTIVE = '''"""A number that takes a worker."""
from archsearch.cli import main
from archsearch.cost import cost
from archsearch.scores import Score


def measured(architecture, seed):
    params = cost(architecture).params
    if params % 5 == 1:
        raise ValueError(f"no good with {params} parameters")
    return params % 997 / 997


objective = Score("odd", measured)
'''

HOPELESS = OBJECTIVE.replace("params % 5 == 1", "True")


class Cut(Exception):
    """Ends a search as a kill would: nothing of it goes on."""


class Slots:
    """Workers in this process, that give back the latest task first; they die after ``life``
    outcomes."""

    def __init__(self, plan: Plan, slots: int, life: int, seen: list[int]) -> None:
        self.slots, self._life, self._seen = slots, life, seen
        self._judge = plan.evaluation.prepare()
        self._tasks: list[Task] = []

    def submit(self, task: Task) -> None:
        assert len(self._tasks) < self.slots
        self._tasks.append(task)

    def outcomes(self, timeout: float | None = None) -> list[Outcome]:
        if not self._tasks:
            return []
        if self._life == 0:
            raise Cut
        self._life -= 1
        task = self._tasks.pop()
        self._seen.append(task.number)
        try:
            metrics = self._judge(from_json(task.architecture), task.seed, lambda row: True)
        except Exception as error:
            return [Outcome(task.number, "failed", reason=str(error))]
        return [Outcome(task.number, "finished", metrics)]

    def __enter__(self) -> Slots:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._tasks.clear()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a space and an objective of a user's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few.py").write_text(SPACE)
    (tmp_path / "odd.py").write_text(OBJECTIVE)
    return tmp_path


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Sets how many slots the next search has, and how many outcomes they live for; the numbers of
    what is evaluated."""

    def use(slots: int = 1, life: int = -1) -> list[int]:
        seen: list[int] = []

        def made(plan: Plan, *rest: Any) -> Slots:
            return Slots(plan, slots, life, seen)

        monkeypatch.setattr(run, "workers_for", made)
        return seen

    return use


def tried(found: Searched) -> list[tuple[Any, ...]]:
    """What of a search does not depend on how long things took."""
    return [(t.number, t.key, t.state, t.values, t.reason[-30:]) for t in found.trials]


def few(name: str, **more: Any) -> Searched:
    words: dict[str, Any] = {"trials": 9, "strategy": "evolution", "compare": ()}
    return search("few.py", "odd.py", name=name, **words | more)


@pytest.mark.parametrize("life", [0, 1, 4, 8])
def test_a_search_cut_off_goes_on_to_the_same_result(
    place: Path, workers: Callable[..., list[int]], life: int
) -> None:
    workers()
    whole = few("whole")
    first = workers(life=life)
    with pytest.raises(Cut):
        few("cut")
    again = workers()
    resumed = resume_search(place / "runs/cut")
    assert tried(resumed) == tried(whole)
    assert sorted(first + again) == list(range(9))
    kept = [record.number for record in read(place / "runs/cut" / NAME).records]
    assert kept == list(range(9))


def test_every_candidate_is_tried_once_by_many_workers(
    place: Path, workers: Callable[..., list[int]]
) -> None:
    seen = workers(slots=4)
    found = few("many", trials=12)
    assert sorted(seen) == list(range(12)) and seen != sorted(seen)
    assert len({trial.key for trial in found.trials}) == 12
    for trial in found.trials:
        params = cost(found.members.space.build(trial.point)).params
        assert (trial.state == "failed") == (params % 5 == 1)
        if trial.state == "failed":
            assert f"no good with {params} parameters" in trial.reason
        else:
            assert trial.values == (params % 997 / 997,)


def test_a_small_space_is_tried_whole_and_then_the_search_ends(
    place: Path, workers: Callable[..., list[int]]
) -> None:
    workers(slots=3)
    found = few("all", trials=100)
    listed = found.members.listed()
    assert listed is not None
    assert {t.key for t in found.trials} == {found.members.key(point) for point in listed}
    assert found.state == "finished" and found.best is not None
    assert found.best.values[0] == max(t.values[0] for t in found.trials if t.values)
    assert key(find_architecture(str(found.folder))) == found.best.key


def test_a_search_is_resumed_with_more_trials(
    place: Path, workers: Callable[..., list[int]]
) -> None:
    workers()
    few("more", trials=4)
    again = workers()
    found = resume_search(place / "runs/more", trials=9)
    assert again == [4, 5, 6, 7, 8]
    workers()
    assert tried(found) == tried(few("at-once", trials=9))


def test_what_is_compared_is_evaluated_once_and_is_no_trial(
    place: Path, workers: Callable[..., list[int]]
) -> None:
    first = workers(life=2)
    with pytest.raises(Cut):
        few("compared", budgets="20k-params", compare=("resnet", "plain"))
    again = workers()
    found = resume_search(place / "runs/compared")
    assert sorted(first + again) == list(range(-2, 9))
    assert set(found.references) == {"resnet", "plain"}
    for outcome in found.references.values():
        assert outcome.metrics["params"] <= 20_000


def test_a_search_learns_from_an_earlier_one(
    place: Path, workers: Callable[..., list[int]]
) -> None:
    workers()
    earlier = few("earlier", trials=5)
    seen = workers()
    found = few("later", trials=3, start=place / "runs/earlier")
    assert [t.key for t in found.trials[:5]] == [t.key for t in earlier.trials]
    assert seen == [5, 6, 7] and len({t.key for t in found.trials}) == 8
    with pytest.raises(UserError, match="searched for odd"):
        search("few.py", "macs", start=place / "runs/earlier")


def test_a_search_where_nothing_works_is_given_up_and_kept(
    place: Path, workers: Callable[..., list[int]]
) -> None:
    (place / "odd.py").write_text(HOPELESS)
    workers()
    with pytest.raises(UserError, match=r"first 10 candidates failed: .*no good with"):
        few("hopeless", trials=14)
    assert len(read(place / "runs/hopeless" / NAME).records) == 10


def test_a_run_keeps_the_users_own_files(place: Path, workers: Callable[..., list[int]]) -> None:
    workers()
    few("files", trials=3)
    (place / "few.py").write_text("raise SystemExit")
    (place / "odd.py").unlink()
    assert len(resume_search(place / "runs/files", trials=5).trials) == 5
    changed = SPACE.replace("16, 24", "16, 32")
    (place / "runs/files/inputs/few.py").write_text(changed)
    with pytest.raises(UserError, match="digest was"):
        resume_search(place / "runs/files", trials=6)


def test_goals_that_take_no_worker_are_judged_in_batches(place: Path) -> None:
    words: dict[str, Any] = {"trials": 14, "seed": 3, "compare": ()}
    one, again = (search("few.py", ["params", "macs"], name=n, **words) for n in ("a", "b"))
    assert tried(one) == tried(again)
    assert one.best is not None and one.best.values[0] == min(t.values[0] for t in one.trials)
    words = {"budgets": "3M-params", "trials": 60, "name": "mobile"}
    found = search("mobile", ["imagenet-mobile", "macs"], **words)
    assert [goal.higher_is_better for goal in found.goals] == [True, False]
    for trial in found.trials:
        spent = cost(found.members.space.build(trial.point))
        assert spent.params <= 3_000_000
        assert not trial.values or trial.values[1] == spent.macs
    for one in found.front:
        assert not any(
            other.values[0] >= one.values[0] and other.values[1] <= one.values[1]
            for other in found.front
            if other is not one
        )
    assert set(found.references) == {"resnet"}  # failed: the objective knows no such network


def test_a_start_is_designed_below_what_the_objective_of_the_space_knows() -> None:
    space, budgets = find_space("mobile").with_classes(10), parse_budgets(["300k-params"])
    (point,) = designed(space, budgets, 1)
    assert cost(space.build(point)).params <= 300_000


def refused() -> Iterator[tuple[str, Callable[[Path], object], str]]:
    """What cannot be gone on with: a name, what is done to a run, and the message."""
    yield "gone", lambda run: (run / "search.json").unlink(), "no search to go on with"
    yield "torn", lambda run: (run / "search.json").write_text('{"form'), "cannot be read"
    yield "version", lambda run: _change(run, format=99), "not of this version"
    yield "setup", lambda run: _change(run, setup={"seed": 1}), "setup is damaged"
    yield "ledger", lambda run: (run / NAME).unlink(), "no such ledger"
    yield "other", lambda run: (run / NAME).write_text("hello\n"), "no ledger of a search"


def _change(run: Path, **changes: Any) -> None:
    record = json.loads((run / "search.json").read_text())
    (run / "search.json").write_text(json.dumps(record | changes))


@pytest.mark.parametrize(("name", "damage", "message"), [*refused()])
def test_a_damaged_run_is_refused_in_one_line(
    place: Path, name: str, damage: Callable[[Path], object], message: str
) -> None:
    found = search("few.py", "macs", trials=3, name="run", compare=())
    damage(found.folder)
    with pytest.raises(BadFile if name not in ("gone",) else UserError, match=message) as error:
        resume_search(found.folder)
    assert "\n" not in str(error.value)


def test_two_searches_on_one_run_are_refused(place: Path) -> None:
    found = search("few.py", "macs", trials=3, name="run", compare=())
    with locked(found.folder), pytest.raises(UserError, match="another process"):
        resume_search(found.folder, trials=5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"trials": 0}, "--trials 0"),
        ({"strategy": "magic"}, "no strategy is named 'magic'"),
        ({"objectives": "nothing"}, "no objective is named"),
        ({"budgets": "10-params"}, "the smallest params this space can reach"),
        ({"start": "nowhere"}, "nowhere"),
        ({"compare": ("alexnet99",)}, "--compare: no run or published model"),
        ({"scheduler": "pbt", "objectives": "accuracy"}, "pbt"),
    ],
)
def test_what_cannot_be_searched_leaves_nothing_behind(
    place: Path, words: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"objectives": "macs", "trials": 2, "compare": ()} | words
    objectives: str | Sequence[str] = given.pop("objectives")
    with pytest.raises((UserError, InfeasibleBudget), match=message):
        search("few.py", objectives, machines=Machines(1), **given)
    assert not (place / "runs").exists()


def test_a_search_becomes_a_study_of_optuna(
    place: Path, workers: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    import optuna

    workers()
    found = few("study", trials=6)
    assert main(["export", "runs/study", "--format", "optuna", "--output", "t.db"]) == 0
    study = optuna.load_study(study_name="study", storage="sqlite:///t.db")
    assert [trial.number for trial in study.trials] == [trial.number for trial in found.trials]
    good = [trial for trial in found.trials if trial.values]
    assert [t.values for t in study.trials if t.values] == [list(t.values) for t in good]
    assert found.best is not None and study.best_value == found.best.values[0]
    assert main(["export", "runs/study", "--format", "optuna", "--output", "t.db"]) == 2
    assert "t.db exists" in capsys.readouterr().err
    assert sorted(path.name for path in place.glob("*.db*")) == ["t.db"]
