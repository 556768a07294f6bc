"""Runs of supernets: what they leave, that nothing is lost, and what is not taken for another."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from supernets import same
from torch import Tensor

from archsearch import read_supernet, resume_supernet, train_supernet
from archsearch.budget import parse_budgets
from archsearch.errors import BadFile, UserError
from archsearch.members.within import SpaceMembers
from archsearch.nets.weights import read_notes, read_tensors
from archsearch.supernet.draws import largest, smallest
from archsearch.supernet.files import NOTE
from archsearch.supernet.score import Scorer
from archsearch.supernet.training import Batch, SupernetTraining
from archsearch.train import Trained
from archsearch.training.augment import Augment
from archsearch.training.job import Source
from archsearch.training.recipe import Recipe

torch.set_num_threads(1)

SPACE = """
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.operators.convolution import Convolution
from archsearch.space import SearchSpace, StageSpace, choice, widths

block = ConvNormAct(widths(4, 8, 4), conv=Convolution(kernel_size=choice(1, 3)))
stages = (StageSpace(block, (1, 2), stride=2),)
space = SearchSpace("mine", ConvNormAct(8), stages, Classifier(10), (3, 32, 32))
"""

SHORT = Recipe(epochs=2, batch_size=16, augment=Augment())
SMALL = Source(limit=64)


class Poison:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("executed", "w")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("supernets")
    (folder / "mine.py").write_text(SPACE)
    return folder


def trained(place: Path, name: str, **changes: Any) -> Trained:
    settings = {"rule": "sandwich", "recipe": SHORT, "output": place / "runs", "name": name}
    settings |= changes
    return train_supernet(place / "mine.py", SMALL, **settings)


@pytest.fixture(scope="module")
def whole(place: Path) -> Trained:
    """A run that nothing cut off."""
    return trained(place, "whole")


@pytest.fixture
def copy(whole: Trained, tmp_path: Path) -> Path:
    """A run to be changed."""
    shutil.copytree(whole.folder, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def cut(copy: Path) -> Path:
    """A run that was cut off before its end was written."""
    (copy / "outcome.json").unlink()
    (copy / "supernet.safetensors").unlink()
    return copy


# -- what it leaves ----------------------------------------------------------------------------
def test_a_run_leaves_what_it_promises(whole: Trained) -> None:
    names = {path.name for path in whole.folder.iterdir()}
    assert names >= {
        "supernet.json", "supernet.safetensors", "checkpoint.safetensors", "history.csv",
        "outcome.json", "curves.svg", "report.html", "tensorboard", "inputs",
    }  # fmt: skip
    record = json.loads((whole.folder / "supernet.json").read_text())
    assert record["state"] == whole.state == "finished"
    assert record["supernet"]["space"] == "inputs/mine.py"
    assert record["supernet"]["input"] == [1, 8, 8]  # the digits', not the space's
    assert record["versions"]["torch"] == torch.__version__
    (outcome,) = whole.outcomes
    assert len(outcome.history) == 2
    page = (whole.folder / "report.html").read_text()
    assert "Supernet: mine on digits" in page
    assert "Its largest member" in page and "smallest" in page
    assert "<script" not in page


def test_what_was_watched_is_what_is_read_back(whole: Trained) -> None:
    """The row's accuracies are those of the shared weights in the file."""
    found = read_supernet(whole.folder)
    assert found.space.input == (1, 8, 8) and found.folder == whole.folder
    members = SpaceMembers(found.space)
    scorer = Scorer(found.supernet, found.source.open())
    (outcome,) = whole.outcomes
    for point, column in ((largest, "validation_accuracy"), (smallest, "smallest_accuracy")):
        score = scorer.score(found.space.build(point(members)))
        assert score.accuracy == outcome.history[-1][column]


def test_tensors_are_the_mean_that_the_recipe_asks_for(whole: Trained) -> None:
    checkpoint = read_tensors(whole.folder / "checkpoint.safetensors")
    kept = read_tensors(whole.folder / "supernet.safetensors")
    assert kept and kept.keys() == {
        name.removeprefix("average.") for name in checkpoint if name.startswith("average.")
    }
    for name, tensor in kept.items():
        assert torch.equal(tensor, checkpoint[f"average.{name}"])
        assert not torch.equal(tensor, checkpoint[f"model.{name}"])


def test_members_within_the_budgets_learn_and_no_others(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, learnt = Batch.learn, []

    def watched(self: Batch, point: Any, *args: Any, **named: Any) -> Tensor:
        learnt.append(point)
        return learn(self, point, *args, **named)

    monkeypatch.setattr(Batch, "learn", watched)
    run = trained(place, "within", budgets="800-params", rule="single-path")
    found = read_supernet(run.folder)
    assert found.budgets == parse_budgets("800-params")
    every = SpaceMembers(found.space).listed()
    assert every is not None
    params = SpaceMembers(found.space).costs(learnt)["params"]
    assert learnt and params.max() <= 800 < SpaceMembers(found.space).costs(every)["params"].max()


# -- nothing is lost -----------------------------------------------------------------------------
@pytest.mark.parametrize("rule", ["sandwich", "strict-fairness"])
def test_cut_off_it_comes_to_the_same_weights(
    rule: str, place: Path, tmp_path: Path, whole: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in the middle leaves what the last checkpoint holds, which is enough."""
    step, steps = SupernetTraining._step, []

    def counted(self: SupernetTraining, *args: Any) -> None:
        steps.append(self.step)
        step(self, *args)

    if rule != "sandwich":
        whole = trained(place, rule, rule=rule)

    class Cut(Exception):
        pass

    def cut(seed: int, row: Mapping[str, Any], epochs: int, left: float) -> None:
        raise Cut

    with pytest.raises(Cut):
        trained(
            place, "cut", rule=rule, output=tmp_path, on_epoch=cut, checkpoint_seconds=0.02
        )  # fmt: skip
    monkeypatch.setattr(SupernetTraining, "_step", counted)
    (place / "mine.py").rename(place / "away.py")  # the run has its own copy
    try:
        resumed = resume_supernet(tmp_path / "cut")
    finally:
        (place / "away.py").rename(place / "mine.py")
    assert resumed.state == "finished" and steps[0] > 0
    assert same(resumed.folder, whole.folder)
    rows = (resumed.outcomes[0].history, whole.outcomes[0].history)
    for row, other in zip(*rows, strict=True):
        differing = {name for name in row if row[name] != other[name]}
        assert differing <= {"seconds", "pictures_per_second"}


def test_a_finished_run_is_not_trained_again(whole: Trained) -> None:
    path = whole.folder / "supernet.safetensors"
    before = path.stat().st_mtime_ns
    again = resume_supernet(whole.folder)
    assert again.outcomes[0].history == whole.outcomes[0].history
    assert path.stat().st_mtime_ns == before


def test_two_processes_train_as_one(place: Path, tmp_path: Path) -> None:
    """Without batch norm, whose statistics are those of each process's part of the batch."""
    own = tmp_path / "normless.py"
    own.write_text(SPACE.replace("ConvNormAct(", "ConvNormAct(norm=None, width="))
    recipe = Recipe(epochs=1, batch_size=16, augment=Augment(), optimizer="sgd")
    two, one = (
        train_supernet(own, SMALL, recipe, devices=devices, output=tmp_path) for devices in (2, 1)
    )
    assert two.state == "finished"
    expected = read_tensors(one.folder / "supernet.safetensors")
    for name, tensor in read_tensors(two.folder / "supernet.safetensors").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)
    (row,), (other,) = two.outcomes[0].history, one.outcomes[0].history
    assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)


def test_a_training_that_diverges_is_a_result(place: Path) -> None:
    wild = Recipe(epochs=1, batch_size=16, learning_rate=1e30, clip=None, warmup=0.0)
    run = trained(place, "wild", recipe=wild)
    assert run.state == "diverged" and "smaller learning rate" in run.outcomes[0].reason
    with pytest.raises(UserError, match="diverged; train another, with a smaller --learning-rate"):
        read_supernet(run.folder)


# -- what is not what it should be -----------------------------------------------------------------
def test_a_space_that_has_changed(copy: Path, cut: Path) -> None:
    own = copy / "inputs" / "mine.py"
    own.write_text(SPACE.replace("widths(4, 8, 4)", "widths(4, 12, 4)"))
    for use in (read_supernet, resume_supernet):
        (copy / "supernet.safetensors").touch()
        with pytest.raises(BadFile, match="space mine has changed since the supernet was made"):
            use(copy)


def test_data_that_have_changed(cut: Path) -> None:
    record = json.loads((cut / "supernet.json").read_text())
    record["data"]["limit"] = 65
    (cut / "supernet.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"train was 64 and is 65\); put the data back"):
        resume_supernet(cut)


def noted(path: Path, **changes: Any) -> None:
    """Say something else in the file of the tensors."""
    notes = read_notes(path)
    notes[NOTE] = json.dumps(json.loads(notes[NOTE]) | changes)
    path.write_bytes(save(read_tensors(path), notes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "of version 2, and 1 is read here"),
        ({"digest": "0", "space": "theirs"}, r"the supernet of another space \(theirs\), not of"),
        ({"separate": True}, "of a supernet with separate weights"),
        ({"kernel_transforms": True}, "of a supernet with kernel transforms"),
    ],
)
def test_tensors_of_another_supernet(changes: dict[str, Any], words: str, copy: Path) -> None:
    noted(copy / "supernet.safetensors", **changes)
    with pytest.raises(BadFile, match=words):
        read_supernet(copy)


def test_files_that_are_no_tensors(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    path = copy / "supernet.safetensors"
    content = path.read_bytes()
    for broken in (b"", content[:2000], pickle.dumps(Poison())):
        path.write_bytes(broken)
        with pytest.raises(BadFile, match=r"supernet\.safetensors is not a safetensors file"):
            read_supernet(copy)
    assert not Path("executed").exists()
    path.write_bytes(save({"weight": torch.zeros(1)}, {}))
    with pytest.raises(BadFile, match="no tensors of a supernet"):
        read_supernet(copy)
    path.write_bytes(content)
    tensors, notes = read_tensors(path), read_notes(path)
    name = next(iter(tensors))
    path.write_bytes(save(tensors | {name: tensors[name][:1].clone()}, notes))
    with pytest.raises(BadFile, match=f"{name} has the shape"):
        read_supernet(copy)


def test_a_checkpoint_of_another_supernet(cut: Path) -> None:
    checkpoint = cut / "checkpoint.safetensors"
    notes = read_notes(checkpoint)
    other = notes | {"space": "0" * 16}
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(save(read_tensors(checkpoint), other))
    with pytest.raises(BadFile, match="checkpoint of another space than mine; delete it to begin"):
        resume_supernet(cut)
    tensors = read_tensors(checkpoint)
    del tensors[next(name for name in tensors if name.startswith("model."))]
    checkpoint.write_bytes(save(tensors, notes))
    with pytest.raises(BadFile, match=r"checkpoint of another training .*; delete it to begin"):
        resume_supernet(cut)
    checkpoint.write_bytes(content[:1000])
    with pytest.raises(BadFile, match="delete it to begin anew"):
        resume_supernet(cut)


def test_a_supernet_that_is_not_there_yet(cut: Path) -> None:
    with pytest.raises(UserError, match=f"archsearch resume {cut}"):
        read_supernet(cut)
    with pytest.raises(UserError, match=r"absent: no supernet \(there is no absent/supernet.json"):
        read_supernet("absent")
