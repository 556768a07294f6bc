"""``archsearch transform`` and ``grow``: trained networks made larger, and trained on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import refused, remains
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from archsearch.architecture import Architecture, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.budget import Budget, parse_budgets
from archsearch.cli import main
from archsearch.cost import cost
from archsearch.errors import UserError
from archsearch.growth.channels import CannotGrow
from archsearch.growth.plan import plan
from archsearch.loading import find_objective, find_space
from archsearch.nets.build import build
from archsearch.nets.weights import load_network, read_metadata
from archsearch.objectives import Entropy
from archsearch.points import point_of
from archsearch.serialization import key, to_pretty_json
from archsearch.space import SearchSpace, StageSpace, choice, widths
from archsearch.train import resume, train
from archsearch.train.grown import grow, resume_growth
from archsearch.train.planned import Planned
from archsearch.train.seed import STATE
from archsearch.train.start import take_over
from archsearch.train.successors import ladder, successors
from archsearch.training.job import Source
from archsearch.training.loop import Training
from archsearch.training.optimiser import optimiser_tensors
from archsearch.training.recipe import Recipe

torch.set_num_threads(1)

NET = Architecture(
    ConvNormAct(8),
    (Stage.of(BasicBlock(8), stride=2, projects=True),),
    Classifier(10),
    (1, 8, 8),
)
SPACE = SearchSpace(
    "mine",
    ConvNormAct(choice(8, 12)),
    (StageSpace(BasicBlock(widths(8, 20, 4)), (1, 2), stride=2),),
    Classifier(10),
    (1, 8, 8),
)
DIGITS = Source(limit=64)
SHORT = ("--epochs", "1", "--limit-train", "64", "--batch-size", "32", "--quiet")
RECIPE = Recipe(epochs=4, batch_size=32)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network: ``small``."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "net.json").write_text(to_pretty_json(NET))
    place = ("--output", str(folder), "--name", "small")
    assert main(["train", str(folder / "net.json"), *SHORT, *place]) == 0
    return folder


@pytest.fixture(autouse=True)
def small(own_folder: Path, runs: Path) -> Path:
    shutil.copytree(runs / "small", own_folder / "runs" / "small")
    return own_folder / "runs" / "small"


def answers(path: Path) -> torch.Tensor:
    """What a weights file's network answers, in float64, to the same pictures."""
    _, net = load_network(path / "weights.safetensors")
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        found: torch.Tensor = net.double().eval()(x)
    return found


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def interrupt(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


# -- transform ---------------------------------------------------------------------------------
def test_a_run_is_transformed(small: Path, capsys: Capture) -> None:
    edits = ("--widen", "stage1:1.5x", "--deepen", "stage1:+1", "--kernel", "stage1:5")
    assert main(["transform", "small", *edits, "--output", "runs/bigger"]) == 0
    said = capsys.readouterr().out
    bigger = Path("runs/bigger")
    assert remains(bigger) == [
        "architecture.json", "checkpoint.safetensors", "growth.json", "model.py",
        "weights.safetensors",
    ]  # fmt: skip
    new = read_metadata(bigger / "weights.safetensors")
    assert [getattr(block, "width", 0) for block in new.stages[0].blocks()] == [12, 12]
    torch.testing.assert_close(answers(bigger), answers(small), rtol=1e-12, atol=1e-12)
    (own,) = read(bigger / "growth.json")["generations"]
    assert own["transformations"] == ["widen stage1:1.5x", "deepen stage1:+1", "kernel stage1:5"]
    assert (own["parent"], own["key"]) == (key(NET), key(new))
    assert own["exact"] == "always" and own["difference"].keys() == {
        "evaluation",
        "training",
        "as kept",
    }
    assert own["after"]["params"] == cost(new).params
    assert f"{cost(NET).params:,} -> {cost(new).params:,}" in said
    assert "computes the same always" in said
    with safe_open(bigger / "weights.safetensors", "numpy") as file:
        assert json.loads(file.metadata()["preprocessing"])["data"] == "digits"
    capsys.readouterr()
    assert main(["evaluate", "bigger", "--data", "digits", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)["accuracy"]
    assert main(["evaluate", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == after


def test_edits_are_made_in_the_order_given(small: Path) -> None:
    edits = ("--deepen", "stage1:+1", "--widen", "stage1:10", "--deepen", "stage1:+1", "--quiet")
    assert main(["transform", "small", *edits, "--output", "runs/bigger"]) == 0
    (own,) = read(Path("runs/bigger/growth.json"))["generations"]
    assert own["transformations"] == ["deepen stage1:+1", "widen stage1:10", "deepen stage1:+1"]


def test_a_plain_network_says_where_it_is_exact(capsys: Capture) -> None:
    """An identity inserted with batch norm holds with running statistics alone."""
    plain = Architecture(ConvNormAct(8), (Stage.of(ConvNormAct(8)),), Classifier(10), (1, 8, 8))
    Path("plain.json").write_text(to_pretty_json(plain))
    assert main(["train", "plain.json", *SHORT, "--name", "plain"]) == 0
    capsys.readouterr()
    assert main(["transform", "plain", "--deepen", "stage1:+1", "--output", "runs/deep"]) == 0
    assert (
        "computes the same in evaluation mode (stages.0.1.conv_norm is" in capsys.readouterr().out
    )
    (own,) = read(Path("runs/deep/growth.json"))["generations"]
    assert own["difference"].keys() == {"evaluation", "as kept"}
    assert own["difference"]["evaluation"] <= 1e-12 < own["difference"]["as kept"] < 1e-7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("no transformation", "--widen stage2:1.5x")),
        (("--widen", "stage2:2x"), ("no part is named 'stage2'", "stem, stage1 and head")),
        (("--widen", "stage1:4"), ("width of 8 would become 4", "growth only adds")),
        (("--widen", "stage1:twice"), ("--widen 'twice'", "stage1:1.5x")),
        (("--kernel", "stage1:1"), ("kernels are as large already",)),
        (("--deepen", "head:+1"), ("head is one block",)),
        (("--dilation", "stage1:2"), ("a dilation of 1",)),
        (("--shrink", "stage1:2"), ("no option is named --shrink",)),
        (("--widen", "stage1:2x", "--seed", "-1"), ("--seed -1",)),
    ],
)
def test_transformations_that_are_refused(
    options: tuple[str, ...], words: tuple[str, ...], capsys: Capture
) -> None:
    before = remains(Path())
    said = refused(capsys, "transform", "small", *options, "--output", "runs/bigger")
    assert all(word in said for word in words), said
    assert remains(Path()) == before


@pytest.mark.parametrize("output", ["runs/small", "runs/small/outcome.json/x", "..", "runs/a b"])
def test_places_that_are_refused(output: str, capsys: Capture) -> None:
    before = remains(Path())
    refused(capsys, "transform", "small", "--widen", "stage1:2x", "--output", output)
    assert remains(Path()) == before


def test_weights_of_another_network_are_refused(small: Path, capsys: Capture) -> None:
    path = small / "weights.safetensors"
    with safe_open(path, "numpy") as file:
        notes = file.metadata()
    state = load_file(path)
    state["stem.conv.weight"] = state["stem.conv.weight"][:4].contiguous()
    save_file(state, path, notes)
    arguments = ("--widen", "stage1:2x", "--output", "runs/bigger")
    said = refused(capsys, "transform", "small", *arguments)
    assert "stem.conv.weight" in said and "another architecture" in said
    path.write_bytes(path.read_bytes()[:200])
    assert "damaged" in refused(capsys, "transform", "small", *arguments)
    assert "no weights file" in refused(capsys, "transform", "absent", *arguments)
    assert not Path("runs/bigger").exists()


def test_weights_that_are_no_numbers_are_refused(small: Path, capsys: Capture) -> None:
    """What is checked is the function itself, before anything is written."""
    path = small / "weights.safetensors"
    with safe_open(path, "numpy") as file:
        notes = file.metadata()
    state = load_file(path)
    state["stem.conv.weight"][0] = float("nan")
    save_file(state, path, notes)
    said = refused(capsys, "transform", "small", "--widen", "stage1:2x", "--output", "runs/bigger")
    assert "finite numbers" in said and not Path("runs/bigger").exists()


# -- what an optimiser knows -------------------------------------------------------------------
def test_training_on_takes_the_moments_along(small: Path) -> None:
    assert main(["transform", "small", "--widen", "stage1:2x", "--output", "runs/bigger"]) == 0
    place = ("--name", "on", "--weights", "bigger")
    assert main(["train", "runs/bigger", *SHORT, *place]) == 0
    new = read_metadata(Path("runs/bigger/weights.safetensors"))
    training = Training(build(new), DIGITS.open(), RECIPE)
    take_over(training, Path("runs/on"))
    found = dict(optimiser_tensors(training.net, training.optimiser))
    old = load_file(small / "checkpoint.safetensors")
    name = "stages.0.0.conv2.weight.exp_avg_sq"
    assert found[name].shape[0] == 16
    kept = old[f"optimiser.{name}"]
    assert torch.equal(found[name][:8, :8], kept) and kept.count_nonzero()
    assert float(found["stem.conv.weight.step"]) == 2
    # another optimiser has no use for them; a run that was not made larger has none to give
    other = Training(build(new), DIGITS.open(), Recipe(optimizer="sgd"))
    take_over(other, Path("runs/on"))
    assert not list(optimiser_tensors(other.net, other.optimiser))
    assert main(["train", "runs/small", *SHORT, "--name", "again", "--weights", "small"]) == 0
    assert not (Path("runs/again") / STATE).exists()


def test_a_stopped_training_goes_on_larger(capsys: Capture) -> None:
    stopped = train(NET, DIGITS, RECIPE, name="stopped", on_epoch=interrupt)
    assert stopped.state == "stopped"
    edit = ("--widen", "stage1:2x")
    assert main(["transform", "runs/stopped", *edit, "--output", "runs/bigger"]) == 0
    assert "archsearch resume runs/bigger" in capsys.readouterr().out
    done = resume("runs/bigger")
    assert done.state == "finished"
    (outcome,) = done.outcomes
    assert len(outcome.history) == 4
    assert outcome.history[0] == stopped.outcomes[0].history[0]
    new = read_metadata(Path("runs/bigger/weights.safetensors"))
    assert new.stages[0] == Stage.of(BasicBlock(16), stride=2, projects=True)


# -- the networks in between -------------------------------------------------------------------
def test_budgets_rise_in_equal_ratios() -> None:
    params = cost(NET).params
    rungs = ladder(NET, [Budget("params", 8 * params)])
    assert [rung[0].limit for rung in rungs] == [2 * params, 4 * params, 8 * params]
    rungs = ladder(NET, [Budget("params", 4 * params), Budget("macs", 10**9)], 2)
    assert [rung[0].limit for rung in rungs] == [2 * params, 4 * params]
    assert rungs[1][1].limit == 10**9


@pytest.mark.parametrize(
    ("here", "budgets", "count"),
    [
        (NET, "6k-params,200k-macs", 2),
        # better networks of the space are deeper and narrower: it cannot become one
        (
            replace(NET, stages=(Stage.of(BasicBlock(20), stride=2, projects=True),)),
            "11k-params,170k-macs",
            1,
        ),
    ],
)
def test_the_program_gives_the_best_network_that_can_be_grown_into(
    here: Architecture, budgets: str, count: int
) -> None:
    """Against all networks of the space, one by one."""
    goal = find_objective(SPACE.objective)
    assert isinstance(goal, Entropy)
    start = here
    rungs = ladder(start, parse_budgets(budgets), count)
    found = successors(start, rungs, SPACE)
    assert [own.found_by for own in found] == ["program"] * count
    for own, rung in zip(found, rungs, strict=True):
        best = (float("-inf"), here)
        for point in SPACE.points():
            network = SPACE.build(point)
            spent = cost(network)
            fits = all(budget.allows(getattr(spent, budget.cost)) for budget in rung)
            try:
                plan(here, network)
            except CannotGrow:
                continue
            if fits and goal.effectiveness(network) <= SPACE.effectiveness:
                best = max(best, (goal.value(network), network), key=lambda own: own[0])
        assert own.growth.old == here
        here = own.growth.new
        assert best[0] > float("-inf")
        assert goal.value(here) == pytest.approx(best[0], rel=2e-3)
        point_of(SPACE, here)
    assert len({key(start), *(key(own.growth.new) for own in found)}) == count + 1


def test_without_a_space_edits_gain_entropy_within_the_budgets() -> None:
    goal = find_objective("deepmad")
    assert isinstance(goal, Entropy)
    params = cost(NET).params
    found = successors(NET, ladder(NET, [Budget("params", 3 * params)]))
    assert [own.found_by for own in found] == ["edits", "edits"]
    values = [goal.value(NET), *(goal.value(own.growth.new) for own in found)]
    assert values == sorted(values) and len(set(values)) == 3
    for own in found:
        total = cost(own.growth.new)
        assert all(budget.allows(getattr(total, budget.cost)) for budget in own.budgets)
        assert own.transformations


def test_a_budget_that_leaves_no_room_for_any_edit_is_told() -> None:
    with pytest.raises(UserError, match="nothing larger within it"):
        successors(NET, ladder(NET, [Budget("params", cost(NET).params + 1)]))


@given(st.lists(st.integers(4, 40), min_size=1, max_size=6), st.integers(0, 200))
def test_networks_share_the_compute(widths: list[int], spare: int) -> None:
    """Each has an epoch, and no network could have another for less than what one of them has."""
    networks = [
        Architecture(ConvNormAct(8), (Stage.of(ConvNormAct(width)),), Classifier(4), (3, 8, 8))
        for width in sorted(widths)
    ]
    epochs = len(networks) + spare
    ends = Planned([networks[0], *networks], epochs).ends
    counts = [after - before for before, after in pairwise(ends)]
    assert (ends[0], ends[-1], len(counts)) == (0, epochs, len(networks))
    macs = [cost(network).macs for network in networks]
    fair = spare / sum(1 / each for each in macs)  # what all would cost if epochs could be split
    assert all(
        abs((count - 1) * each - fair) <= each for count, each in zip(counts, macs, strict=True)
    )


# -- grow --------------------------------------------------------------------------------------
def check_genealogy(folder: Path, record: Mapping[str, Any]) -> None:
    generations = record["generations"]
    parents = [key(NET), *(own["key"] for own in generations)]
    assert [own["parent"] for own in generations] == parents[:-1]
    assert parents[-1] == record["architecture"]
    for own in generations:
        assert own["accuracy"]["before"] == own["accuracy"]["after"]
        assert own["difference"]["evaluation"] <= 1e-12
        assert own["before"]["params"] < own["after"]["params"]
        assert own["changes"]
    assert key(read_metadata(folder / "weights.safetensors")) == parents[-1]


def test_a_network_grows_while_it_trains(capsys: Capture) -> None:
    arguments = ("--budget", "4k-params", "--epochs", "3", "--batch-size", "32", "--name", "large")
    data = ("--data", "digits", "--limit-train", "64")
    assert main(["grow", "small", *arguments, *data]) == 0
    said = capsys.readouterr().out
    folder = Path("runs/large")
    record = read(folder / "growth.json")
    assert record["state"] == "finished" and record["from"] == "small"
    check_genealogy(folder, record)
    assert [own["epochs"] for own in record["generations"]] == [[0, 2], [2, 3]]
    assert said.count("grown after") == 2 and said.count("epoch ") == 3
    assert cost(read_metadata(folder / "weights.safetensors")).params <= 4000
    history = (folder / "history.csv").read_text().splitlines()
    assert len(history) == 4
    assert {"report.html", "model.py", "metrics.json", "curves.svg", "architecture.json"} <= set(
        remains(folder)
    )
    page = (folder / "report.html").read_text()
    assert "A network grown on digits" in page and "How it grew" in page
    assert all("; ".join(own["changes"]) in page for own in record["generations"])
    # it is where another growth begins, with its own data
    options = ("--budget", "6k-params", "--epochs", "1", "--steps", "1", "--quiet")
    assert main(["grow", "large", *options, "--name", "larger"]) == 0
    assert read(Path("runs/larger/growth.json"))["data"]["limit"] == 64


def test_it_stays_in_its_space(capsys: Capture) -> None:
    grown = grow("small", "5k-params", DIGITS, RECIPE, space=SPACE, name="large")
    record = read(grown.folder / "growth.json")
    check_genealogy(grown.folder, record)
    assert {own["found_by"] for own in record["generations"]} == {"program"}
    point_of(SPACE, read_metadata(grown.folder / "weights.safetensors"))


@pytest.mark.parametrize(("said", "space"), [("tiny", "tiny"), ("mobile", None), (7, None)])
def test_the_space_of_its_design_is_found(
    said: object, space: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the folder that its training took it from; one that it is no member of is none."""
    tiny = find_space("tiny").with_input((1, 8, 8))
    network = tiny.build(tiny.sample(random.Random(0)))
    Path("runs/designed").mkdir()
    Path("runs/designed/architecture.json").write_text(to_pretty_json(network))
    Path("runs/designed/design.json").write_text(json.dumps({"space": said}))
    assert main(["train", "designed", *SHORT, "--name", "first"]) == 0
    asked = []

    def captured(*given: Any) -> list[Any]:
        asked.append(given[2])
        raise UserError("asked")

    monkeypatch.setattr(sys.modules[grow.__module__], "successors", captured)
    assert main(["grow", "first", "--budget", "9M-params"]) == 2
    assert asked == [space]


def test_what_is_cut_off_comes_to_the_same(capsys: Capture) -> None:
    """Between epochs of either network, and between two networks."""
    recipe = RECIPE
    whole = grow("small", "4k-params", DIGITS, recipe, name="whole")
    wanted = load_file(whole.folder / "weights.safetensors")
    assert whole.state == "finished"
    stopped = grow("small", "4k-params", DIGITS, recipe, name="cut", on_epoch=interrupt)
    assert stopped.state == "stopped"
    assert not (stopped.folder / "weights.safetensors").exists()

    def fail(own: object) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):  # once the second network is there
        resume_growth(stopped.folder, on_growth=fail)
    assert main(["resume", str(stopped.folder)]) == 0
    said = capsys.readouterr().out
    assert "epoch 4/4" in said and "epoch 1/4" not in said
    found = load_file(stopped.folder / "weights.safetensors")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    kept = read(stopped.folder / "growth.json")["generations"]
    assert kept == read(whole.folder / "growth.json")["generations"]
    assert main(["resume", str(stopped.folder), "--quiet"]) == 0  # nothing is done again


def test_a_growth_that_diverges_is_a_result(capsys: Capture) -> None:
    options = ("--data", "digits", "--limit-train", "64", "--epochs", "2", "--optimizer", "sgd",
               "--learning-rate", "1e30")  # fmt: skip
    assert main(["grow", "small", "--budget", "4k-params", *options, "--name", "gone"]) == 1
    assert "diverged" in capsys.readouterr().out
    assert read(Path("runs/gone/growth.json"))["state"] == "diverged"
    assert not Path("runs/gone/weights.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("--budget is missing",)),
        (("--budget", "1k-params"), ("the network has", "already", "larger budget")),
        (("--budget", "1ms-latency@a100"), ("growth knows no devices",)),
        (("--budget", "20k-params", "--epochs", "1"), ("--epochs 1", "an epoch each")),
        (("--budget", "4k-params", "--space", "tiny"), ("space tiny",)),
        (("--budget", "4k-params", "--space", "none"), ("no space is named",)),
        (("--budget", "4k-params", "--devices", "2"), ("--devices 2",)),
        (("--budget", "4k-params", "--steps", "0"), ("--steps 0",)),
        (("--budget", "4k-params", "--limit-train", "64"), ("--limit-train 64", "--data")),
        (("--budget", "4k-params", "--data", "mnist:absent"), ("mnist:absent",)),
    ],
)
def test_growths_that_are_refused(
    options: tuple[str, ...], words: tuple[str, ...], capsys: Capture
) -> None:
    before = remains(Path())
    said = refused(capsys, "grow", "small", *options)
    assert all(word in said for word in words), said
    assert remains(Path()) == before


def test_a_transformed_run_is_no_growth_to_go_on_with(capsys: Capture) -> None:
    edit = ("--widen", "stage1:2x", "--quiet")
    assert main(["transform", "small", *edit, "--output", "runs/bigger"]) == 0
    capsys.readouterr()
    assert "archsearch train runs/bigger" in refused(capsys, "resume", "bigger")


def test_damaged_growths_are_refused(small: Path, capsys: Capture) -> None:
    stopped = grow("small", "4k-params", DIGITS, RECIPE, name="cut", on_epoch=interrupt)
    folder = stopped.folder
    first = folder / "generations" / "1.json"
    last = folder / "generations" / "2.json"
    kept = last.read_text()
    last.write_text(first.read_text())
    assert "2.json is not the network" in refused(capsys, "resume", "cut", "--quiet")
    last.write_text(kept)
    first.write_text(to_pretty_json(NET))
    assert "none of the networks" in refused(capsys, "resume", "cut", "--quiet")
    record = read(folder / "growth.json")
    (folder / "growth.json").write_text(json.dumps(record | {"generations": 3}))
    assert "no generations" in refused(capsys, "resume", "cut", "--quiet")
    (folder / "growth.json").write_text("{")
    assert "cannot be read" in refused(capsys, "resume", "cut", "--quiet")
