"""Searches over a supernet: members judged with the weights they inherit, and nothing trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
from inheriting import Gone, here, trained_supernet

from archsearch.budget import parse_budgets
from archsearch.cost import cost
from archsearch.errors import UserError
from archsearch.search import Machines, Searched, resume_search, run, search
from archsearch.search.supernets import outside, within
from archsearch.supernet.files import TENSORS, read_supernet
from archsearch.supernet.score import Scorer


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_supernet(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    """Says how many outcomes the next search lives for; runs go into a folder of the test's."""
    monkeypatch.chdir(tmp_path)

    def set_life(life: int = -1) -> None:
        monkeypatch.setattr(run, "workers_for", here(life))

    set_life()
    return set_life


def told(found: Searched) -> list[tuple[Any, ...]]:
    return [(t.number, t.key, t.state, t.values) for t in found.trials]


def test_members_are_judged_as_the_supernet_itself_judges_them(
    supernet: Path, use: Callable[[int], None]
) -> None:
    before = (supernet / TENSORS).read_bytes()
    found = search(supernet=supernet, trials=5, strategy="random", start=None)
    trained = read_supernet(supernet)
    scorer = Scorer(trained.supernet, trained.source.open())
    assert len({trial.key for trial in found.trials}) == len(found.trials) == 5
    for trial in found.trials:
        network = found.members.space.build(trial.point)
        accuracy, loss = scorer.score(network)
        assert (trial.metrics["accuracy"], trial.metrics["loss"]) == (accuracy, loss)
        assert "epochs" not in trial.metrics
    assert len({trial.metrics["loss"] for trial in found.trials}) == 5
    assert (supernet / TENSORS).read_bytes() == before
    assert not found.references


def test_a_worker_gets_the_weights_and_judges_alike(
    supernet: Path, use: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    here_found = search(supernet=supernet, trials=2, strategy="random", start=None)
    monkeypatch.undo()
    output = here_found.folder.parent.absolute()
    monkeypatch.chdir(output)
    found = search(
        supernet=supernet,
        trials=2,
        strategy="random",
        start=None,
        machines=Machines(workers=1, ray=False),
        output=output,
    )
    assert told(found) == told(here_found)


def test_costs_are_further_goals(supernet: Path, use: Callable[[int], None]) -> None:
    found = search(None, ["loss", "macs"], supernet=supernet, trials=4, strategy="random")
    assert [goal.higher_is_better for goal in found.goals] == [False, False]
    for trial in found.trials:
        loss, macs = trial.values
        assert loss == trial.metrics["loss"]
        assert macs == cost(found.members.space.build(trial.point)).macs


def test_a_search_cut_off_goes_on_to_the_same_result(
    supernet: Path, use: Callable[[int], None]
) -> None:
    asked: dict[str, Any] = {"supernet": supernet, "trials": 6, "strategy": "evolution"}
    whole = search(**asked, name="whole")
    use(3)
    with pytest.raises(Gone):
        search(**asked, name="cut")
    use(-1)
    assert told(resume_search("runs/cut")) == told(whole)


def test_a_supernet_that_was_moved_or_trained_anew_is_refused(
    supernet: Path, use: Callable[[int], None], tmp_path: Path
) -> None:
    own = tmp_path / "own"
    copytree(supernet, own)
    found = search(supernet=own, trials=1, strategy="random", start=None)
    content = bytearray((own / TENSORS).read_bytes())
    content[-1] ^= 1
    (own / TENSORS).write_bytes(content)
    with pytest.raises(UserError, match="other weights than when the search began"):
        resume_search(found.folder, trials=2)
    rmtree(own)
    with pytest.raises(UserError, match="not there any more"):
        resume_search(found.folder, trials=2)


def test_what_is_the_supernets_cannot_be_given_too(
    supernet: Path, use: Callable[[int], None]
) -> None:
    with pytest.raises(UserError, match="with --space and --data: .* leave out --space and --data"):
        search("tiny", supernet=supernet, data="digits")
    for name, value in (("epochs", 3), ("kernel_sizes", (3,)), ("compare", ["lenet"])):
        with pytest.raises(UserError, match=f"leave out --{name.replace('_', '-')}"):
            search(supernet=supernet, **{name: value})  # type: ignore[arg-type]


def test_an_earlier_search_that_trained_teaches_nothing(
    supernet: Path, use: Callable[[int], None]
) -> None:
    first = search(supernet=supernet, trials=2, strategy="random", start=None)
    again = search(supernet=supernet, trials=1, strategy="random", start=first.folder)
    assert told(again)[:2] == told(first)
    with pytest.raises(UserError, match="did not judge networks by training each"):
        search("tiny", trials=1, start=first.folder)


def test_budgets_of_the_training_hold_where_there_is_no_other() -> None:
    learnt = parse_budgets(["100k-params", "2M-macs", "100-images/s@a100"])
    asked = parse_budgets(["200k-params", "1M-macs"])
    assert [str(budget) for budget in within(learnt, asked)] == [
        "200k-params",
        "1M-macs",
        "100-images/s@a100",
    ]
    assert "within 100k-params:" in outside(learnt, asked)
    assert outside(learnt, parse_budgets(["100k-params", "200-images/s@a100"])) == ""
    assert "100-images/s@a100" in outside(learnt, parse_budgets("50-images/s@a100"))
