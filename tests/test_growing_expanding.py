"""``archsearch grow --self-expanding``: when a network expands, to what, and what is told of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import refused, remains
from safetensors.torch import load_file

from archsearch.architecture import Architecture, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.budget import parse_budgets
from archsearch.cli import main
from archsearch.cost import cost
from archsearch.growth.expansion import Expansion, best_expansion, natural_score
from archsearch.nets.build import build
from archsearch.nets.weights import load_network, read_metadata
from archsearch.serialization import key, read_architecture
from archsearch.train import Trained, growing, train
from archsearch.train.expanding import Expanding, candidates
from archsearch.train.genealogy import generations, read_genealogy
from archsearch.train.growing import Here
from archsearch.train.grown import grow, resume_growth
from archsearch.training.checkpoint import load_checkpoint
from archsearch.training.grown import HELD_OUT, held_out
from archsearch.training.job import Source
from archsearch.training.loop import Training
from archsearch.training.recipe import Recipe

torch.set_num_threads(1)


def network(first: int, second: int, depth: int = 1) -> Architecture:
    return Architecture(
        ConvNormAct(first),
        (Stage.of(ConvNormAct(second), depth, stride=2),),
        Classifier(10),
        (1, 8, 8),
    )


NET = network(4, 6)
DIGITS = Source(limit=64)
RECIPE = Recipe(epochs=5, batch_size=32)
ALWAYS = Expansion(threshold=0, wait=1)
BUDGET = "2k-params"

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network, ``small``, and an expansion of it, ``whole``."""
    folder = tmp_path_factory.mktemp("trained")
    train(NET, DIGITS, replace(RECIPE, epochs=1), output=folder, name="small")
    expanded(folder / "whole", folder / "small")
    return folder


@pytest.fixture(autouse=True)
def small(own_folder: Path, runs: Path) -> Path:
    shutil.copytree(runs / "small", own_folder / "runs" / "small")
    return own_folder / "runs" / "small"


def expanded(folder: Path, given: Path | str = "small", **more: Any) -> Trained:
    words: dict[str, Any] = {"expansion": ALWAYS, "output": folder.parent, "name": folder.name}
    return grow(given, BUDGET, DIGITS, RECIPE, **words | more)


def told(folder: Path) -> dict[str, Any]:
    record = read_genealogy(folder)
    assert generations(record) is record["generations"]
    return record


def interrupt(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def copied(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in training.tensors().items()}


def lost(*_: object) -> None:
    raise RuntimeError


# -- how it goes ---------------------------------------------------------------------------------
def test_it_expands_waits_and_stays_within_the_budget(runs: Path) -> None:
    """After epochs 1 and 3, of five; the line of networks is there, each from the one before."""
    record = told(runs / "whole")
    own = record["generations"]
    assert [generation["epochs"] for generation in own] == [[1, 3], [3, 5]]
    assert [look["epoch"] for look in record["expansion"]["looks"]] == [1, 3]
    line = [read_architecture(runs / f"whole/generations/{n}.json") for n in range(3)]
    assert line[0] == NET and [g["key"] for g in own] == [key(new) for new in line[1:]]
    assert [g["parent"] for g in own] == [key(old) for old in line[:-1]]
    assert cost(line[0]).params < cost(line[1]).params < cost(line[2]).params <= 2000
    assert line[2] == read_architecture(runs / "whole/architecture.json")
    assert line[2] == load_network(runs / "whole/weights.safetensors")[0]
    assert record["architecture"] == key(line[2])
    for generation in own:
        assert generation["accuracy"]["before"] == generation["accuracy"]["after"]
        assert generation["difference"]["evaluation"] <= 1e-12
        assert generation["found_by"] == "score" and generation["budgets"] == [BUDGET]
    history = (runs / "whole/history.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in history] == ["epoch", *"12345"]


def test_the_best_candidate_is_taken_by_held_out_pictures(small: Path, runs: Path) -> None:
    """What the run did after its first epoch, done by hand."""
    stopped = expanded(Path("runs/by-hand"), expansion=Expansion(9.0), on_epoch=interrupt)
    training = Training(build(NET), DIGITS.open(), RECIPE)
    tensors = load_file(stopped.folder / "checkpoint.safetensors")
    state = {name.removeprefix("model."): t for name, t in tensors.items() if "model." in name}
    training.net.load_state_dict(state)
    images, labels = held_out(training)
    pictures = training.data.validation
    assert len(images) == min(HELD_OUT, len(pictures)) and labels.tolist() == list(pictures.labels)
    growths = list(candidates(NET, parse_budgets(BUDGET)))
    found = best_expansion(training.net, images, labels, growths)
    assert found is not None
    own = told(runs / "whole")["generations"][0]
    assert own["key"] == key(found.growth.new)
    assert own["score"] == pytest.approx({"present": found.present, "larger": found.score})


def test_candidates_are_deeper_or_wider_within_the_budgets() -> None:
    def found(params: int) -> list[Architecture]:
        return [growth.new for growth in candidates(NET, parse_budgets(f"{params}-params"))]

    every = found(10_000)
    expected = [network(4, 12), network(4, 9), network(8, 6), network(4, 6, 2)]
    assert all(new in every for new in expected)
    assert len(set(every)) == len(every)
    for new in every:
        widths = [block.width for block in new.stages[0].blocks() if isinstance(block, ConvNormAct)]
        assert isinstance(new.stem, ConvNormAct)
        assert new == network(new.stem.width, widths[0], len(widths)) != NET
    for limit in map(cost, every):
        within = [new for new in every if cost(new).params <= limit.params]
        assert found(limit.params) == within
        assert found(limit.params - 1) == [new for new in within if cost(new).params < limit.params]


def test_tied_widths_are_one_candidate() -> None:
    """The stem's, and those of a stage that adds to it."""
    residual = replace(NET, stages=(Stage.of(BasicBlock(4)),))
    found = [growth.new for growth in candidates(residual, parse_budgets("1M-params"))]
    assert len(set(found)) == len(found)
    assert sum(new.stem == ConvNormAct(8) for new in found) == 1


def test_what_is_scored_is_what_is_trained_on() -> None:
    """Two networks of this budget, both wider: the checkpoint of the next one has its score."""
    budget = f"{cost(network(4, 9)).params}-params"
    with pytest.raises(RuntimeError):
        grow("small", budget, DIGITS, RECIPE, expansion=ALWAYS, name="first", on_growth=lost)
    (own,) = told(Path("runs/first"))["generations"]
    path = Path("runs/first/checkpoint.safetensors")
    training = Training(build(read_metadata(path)), DIGITS.open(), RECIPE)
    load_checkpoint(path, training, read_metadata(path))
    score = natural_score(training.net, *held_out(training))
    assert score == pytest.approx(own["score"]["larger"], rel=1e-6)


@pytest.mark.parametrize(("wait", "looks"), [(0, [3, 4]), (1, [4]), (5, [])])
def test_when_it_looks(wait: int, looks: list[int]) -> None:
    """After a growth behind epoch 2, of 5."""
    way = Expanding(Path("runs/none"), Expansion(wait=wait), [], 5)
    here, found = Here(1, NET, 2), []
    done = 2
    while done < 5:
        done = way.until(here, done)
        found += [done] if done < 5 else []
    assert found == looks
    training = Training(build(NET), DIGITS.open(), RECIPE)
    assert all(way.next(here, done, training) is None for done in {1, 2, 5} - {*looks})


def test_what_the_optimiser_knows_comes_along(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the larger network shares with the one before has its moments and its mean."""
    seen: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
    grown = growing._Growing._grown

    def watched(self: Any, here: Any, done: int, training: Training, found: Any) -> Training:
        larger = grown(self, here, done, training, found)
        assert (larger.step, larger.history) == (training.step, training.history)
        seen.append((copied(training), copied(larger)))
        return larger

    monkeypatch.setattr(growing._Growing, "_grown", watched)
    expanded(Path("runs/watched"))
    assert len(seen) == 2
    for before, after in seen:
        first = [name for name in before if name.endswith((".exp_avg", "stem.conv.weight"))]
        assert "average.stem.conv.weight" in first
        assert any(name.startswith("optimiser.head.") for name in first)
        for name in first:
            shared = after[name][tuple(slice(length) for length in before[name].shape)]
            assert torch.equal(shared, before[name]), name


# -- whatever ends it ----------------------------------------------------------------------------
def test_what_is_cut_off_comes_to_the_same(runs: Path, capsys: Capture) -> None:
    """At the end of an epoch before an expansion, between it and its checkpoint, and behind."""
    cut, whole = Path("runs/cut"), runs / "whole"
    assert expanded(cut, on_epoch=interrupt).state == "stopped"
    assert told(cut)["generations"] == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archsearch.training.checkpoint.save_checkpoint", lost)
        with pytest.raises(RuntimeError):
            resume_growth(cut)
    assert len(told(cut)["generations"]) == 1
    stopped = resume_growth(cut, on_epoch=interrupt)
    assert stopped.state == "stopped" and len(stopped.outcomes[0].history) == 2
    capsys.readouterr()
    assert main(["resume", "cut"]) == 0
    said = capsys.readouterr().out
    assert "epoch 3/5" in said and "epoch 2/5" not in said
    found, wanted = (load_file(folder / "weights.safetensors") for folder in (cut, whole))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    for name in ("generations", "expansion", "architecture"):
        assert told(cut)[name] == told(whole)[name]


def test_an_interruption_while_candidates_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look is finished, and the run says how to go on."""
    from archsearch.growth import expansion

    score = expansion.natural_score

    def scored(*given: Any) -> float:
        if len(calls) == 0:
            interrupt()
        calls.append(given)
        return score(*given)

    calls: list[Any] = []
    monkeypatch.setattr(expansion, "natural_score", scored)
    stopped = expanded(Path("runs/cut"))
    assert stopped.state == "stopped" and stopped.outcomes[0].reason == "interrupted"
    assert len(told(stopped.folder)["generations"]) == 1 and len(calls) > 2
    done = resume_growth(stopped.folder)
    assert done.state == "finished" and done.outcomes[0].reason == ""


# -- the command ---------------------------------------------------------------------------------
COMMAND = ("grow", "small", "--budget", BUDGET, "--self-expanding", "--batch-size", "32")


def test_the_command_expands(capsys: Capture) -> None:
    options = ("--threshold", "0.5", "--wait", "0", "--epochs", "3", "--name", "large")
    assert main([*COMMAND, *options]) == 0
    said = capsys.readouterr().out
    record = told(Path("runs/large"))
    assert {name: record["expansion"][name] for name in ("threshold", "wait", "penalty")} == {
        "threshold": 0.5, "wait": 0, "penalty": 0.0,
    }  # fmt: skip
    assert said.count("grown after") == len(record["generations"]) == 2
    assert "It expanded 2 times: more than 0.5 times its own score was asked for" in said
    page = Path("runs/large/report.html").read_text()
    assert "How it grew" in page and "It expanded 2 times" in page


def test_a_network_that_never_expands_says_so(capsys: Capture) -> None:
    options = ("--threshold", "1e9", "--epochs", "3", "--name", "same")
    assert main([*COMMAND, *options]) == 0
    line = "It never expanded: more than 1e+09 times its own score was asked for"
    said = capsys.readouterr().out
    record = told(Path("runs/same"))
    looks = record["expansion"]["looks"]
    best = max(look["score"]["larger"] / look["score"]["present"] for look in looks)
    assert [look["epoch"] for look in looks] == [1, 2]
    assert line in said and f"the best candidate of 2 epochs had {best:.2f} times" in said
    assert line in Path("runs/same/report.html").read_text()
    assert record["generations"] == [] and record["state"] == "finished"
    assert key(read_metadata(Path("runs/same/weights.safetensors"))) == key(NET)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--self-expanding", "--steps", "3"), ("--steps 3", "--self-expanding")),
        (("--self-expanding", "--space", "tiny"), ("--space tiny", "--self-expanding")),
        (("--threshold", "3"), ("--threshold 3", "add --self-expanding")),
        (("--wait", "3"), ("--wait 3", "add --self-expanding")),
        (("--self-expanding", "--wait", "-1"), ("--wait -1",)),
        (("--self-expanding", "--threshold", "nan"), ("--threshold nan",)),
        (("--self-expanding", "--epochs", "1"), ("--epochs 1", "2 or more")),
        (("--self-expanding", "--budget", "1G-macs"), ("--budget 100-params", "already")),
        (
            ("--self-expanding", "--data", "digits", "--validation", "0"),
            ("no validation pictures", "--validation"),
        ),
    ],
)
def test_what_is_refused(options: tuple[str, ...], words: tuple[str, ...], capsys: Capture) -> None:
    before = remains(Path())
    budget = "100-params" if "1G-macs" in options else BUDGET
    said = refused(capsys, "grow", "small", "--budget", budget, *options)
    assert all(word in said for word in words), said
    assert remains(Path()) == before


def test_a_budget_without_room_for_any_candidate(capsys: Capture) -> None:
    budget = f"{cost(NET).params + 1}-params"
    said = refused(capsys, "grow", "small", "--budget", budget, "--self-expanding")
    assert "nothing larger within it" in said


@pytest.mark.parametrize(
    "change",
    [
        {"expansion": 3},
        {"expansion": {}},
        {"expansion": {"threshold": "high", "wait": 1, "penalty": 0, "budgets": [], "looks": []}},
        {"expansion": {"threshold": 1, "wait": 1, "penalty": 0, "budgets": [], "looks": [{}]}},
        {"generations": 3},
        {"generations": [3]},
        {"generations": [{"epochs": ["1", 2]}]},
    ],
)
def test_damaged_records_are_refused(change: dict[str, Any], runs: Path, capsys: Capture) -> None:
    shutil.copytree(runs / "whole", "runs/whole")
    path = Path("runs/whole/growth.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert "growth.json" in refused(capsys, "resume", "whole", "--quiet")
