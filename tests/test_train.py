"""Runs of trainings: what they leave, that nothing is lost, and what they refuse."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from archsearch.architecture import Architecture, Stage
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cli import main
from archsearch.errors import BadFile, UserError
from archsearch.evaluate import evaluate
from archsearch.nets.weights import load_network, read_notes, read_tensors, tensors_file
from archsearch.runs import locked
from archsearch.serialization import to_pretty_json
from archsearch.train import Trained, resume, train
from archsearch.training.job import Source
from archsearch.training.recipe import Recipe

torch.set_num_threads(1)

NET = Architecture(
    ConvNormAct(8), (Stage.of(ConvNormAct(16), 1, stride=2),), Classifier(10), (1, 8, 8)
)
SHORT = Recipe(epochs=2, batch_size=64)
SMALL = Source(limit=256)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run of two seeds on a part of the digits."""
    return train(NET, SMALL, SHORT, seeds=(0, 1), output=tmp_path_factory.mktemp("runs"))


def test_a_run_leaves_what_it_promises(digits: Trained) -> None:
    names = {path.name for path in digits.folder.iterdir()}
    assert names >= {
        "architecture.json", "model.py", "train.json", "metrics.json", "curves.svg", "report.html",
        "per_class.csv", "weights.safetensors", "seed-0", "seed-1",
    }  # fmt: skip
    own = {path.name for path in (digits.folder / "seed-0").iterdir()}
    assert own >= {"checkpoint.safetensors", "weights.safetensors", "history.csv", "tensorboard"}
    record = json.loads((digits.folder / "train.json").read_text())
    assert record["state"] == digits.state == "finished"
    assert record["versions"]["torch"] == torch.__version__
    assert record["seeds"] == [0, 1]
    metrics = json.loads((digits.folder / "metrics.json").read_text())
    found = metrics["test"]["accuracy"]
    assert found["mean"] == pytest.approx(np.mean(digits.accuracies))
    assert found["deviation"] == pytest.approx(np.std(digits.accuracies, ddof=1))
    assert found["n"] == 2


def test_what_was_trained_is_what_is_evaluated(digits: Trained) -> None:
    for outcome in digits.outcomes:
        found = evaluate(digits.folder / f"seed-{outcome.seed}")
        assert outcome.test is not None
        assert found.as_dict()["confusion"] == outcome.test["confusion"]
        assert found.loss == pytest.approx(outcome.test["loss"], rel=1e-5)
    best = max(digits.outcomes, key=lambda own: own.validation["accuracy"])  # type: ignore[index]
    kept, own = (
        read_tensors(folder / "weights.safetensors")
        for folder in (digits.folder, digits.folder / f"seed-{best.seed}")
    )
    assert all(torch.equal(tensor, own[name]) for name, tensor in kept.items())


def test_the_exported_code_runs_with_the_weights(digits: Trained) -> None:
    """By hand, as somebody would who has the two files alone."""
    script = f"""
import runpy, numpy, torch
from safetensors.torch import load_file
net = runpy.run_path({str(digits.folder / "model.py")!r})["Net"]()
net.load_state_dict(load_file({str(digits.folder / "weights.safetensors")!r}))
print(sum(p.numel() for p in net.eval().parameters()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    from archsearch.cost import cost

    assert int(done.stdout) == cost(NET).params


def test_a_finished_run_is_not_trained_again(digits: Trained) -> None:
    before = (digits.folder / "seed-0" / "weights.safetensors").stat().st_mtime_ns
    again = resume(digits.folder)
    assert again.accuracies == digits.accuracies
    assert (digits.folder / "seed-0" / "weights.safetensors").stat().st_mtime_ns == before


SCRIPT = """
import sys, torch
sys.path.insert(0, {tests!r})
torch.set_num_threads(1)
import test_train
test_train.train(
    test_train.NET, test_train.SMALL, test_train.Recipe(epochs=12, batch_size=16),
    output={output!r}, name="cut", checkpoint_seconds=0.05,
)
"""


def test_killed_at_any_moment_it_comes_to_the_same_weights(tmp_path: Path) -> None:
    """kill -9, three times in a row, then on to the end: bit for bit what an unbroken run gives."""
    recipe = Recipe(epochs=12, batch_size=16)
    whole = train(NET, SMALL, recipe, output=tmp_path, name="whole")
    script = SCRIPT.format(tests=str(Path(__file__).parent), output=str(tmp_path))
    folder, rng = tmp_path / "cut", random.Random(1)
    again = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import torch; "
    again += f"torch.set_num_threads(1); import test_train; test_train.resume({str(folder)!r})"
    killed = 0
    for code in (script, again, again):
        process = subprocess.Popen([sys.executable, "-c", code])
        _wait_for(lambda: (folder / "checkpoint.safetensors").exists(), process)
        time.sleep(rng.uniform(0.1, 0.6))
        killed += process.poll() is None
        process.kill()
        process.wait()
    assert killed, "nothing was cut off"
    assert not [path for path in folder.iterdir() if path.name == "weights.safetensors"] or killed
    done = resume(folder)
    assert done.state == "finished"
    expected = read_tensors(whole.folder / "weights.safetensors")
    for name, tensor in read_tensors(folder / "weights.safetensors").items():
        assert torch.equal(tensor, expected[name]), name
    assert done.accuracies == whole.accuracies


def _wait_for(there: object, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 60
    while not there() and process.poll() is None and time.monotonic() < limit:  # type: ignore[operator]
        time.sleep(0.02)


def test_an_interrupt_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupt(seed: int, row: object, epochs: int, left: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    stopped = train(NET, SMALL, SHORT, output=tmp_path, name="stopped", on_epoch=interrupt)
    assert stopped.state == "stopped"
    assert len(stopped.outcomes[0].history) == 1
    whole = train(NET, SMALL, SHORT, output=tmp_path, name="whole")
    done = resume(stopped.folder)
    assert done.state == "finished"
    assert done.accuracies == whole.accuracies


def test_divergence_is_reported_not_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.json").write_text(to_pretty_json(NET))
    status = main([
        "train", str(tmp_path / "net.json"), "--limit-train", "64", "--epochs", "1", "--optimizer",
        "sgd", "--learning-rate", "1e30", "--output", str(tmp_path), "--name", "gone",
    ])  # fmt: skip
    said = capsys.readouterr().out
    assert status == 1
    assert "diverged" in said and "learning rate" in said
    metrics = json.loads((tmp_path / "gone" / "metrics.json").read_text())
    assert metrics["seeds"][0]["state"] == "diverged"
    assert not (tmp_path / "gone" / "weights.safetensors").exists()


def test_data_that_changed_are_noticed(tmp_path: Path) -> None:
    def write(seed: int) -> None:
        rng = np.random.default_rng(seed)
        x = rng.integers(0, 255, (80, 8, 8), np.uint8)
        y = np.arange(80) % 10
        np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])

    write(0)

    def interrupt(seed: int, row: object, epochs: int, left: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    source = f"npz:{tmp_path / 'own.npz'}"
    recipe = Recipe(epochs=2, batch_size=16)
    stopped = train(NET, source, recipe, output=tmp_path / "runs", on_epoch=interrupt)
    write(1)
    with pytest.raises(UserError, match="not what the training began with"):
        resume(stopped.folder)


def test_nobody_works_on_a_run_that_is_worked_on(digits: Trained) -> None:
    with locked(digits.folder), pytest.raises(UserError, match="another process"):
        resume(digits.folder)


def test_a_network_is_taught_and_starts_from_another(digits: Trained, tmp_path: Path) -> None:
    taught = train(NET, SMALL, SHORT, teacher=digits.folder, output=tmp_path, name="taught")
    assert taught.state == "finished"
    frozen = Recipe(epochs=1, batch_size=64, learning_rate=0.0, ema=0.0)
    started = train(NET, SMALL, frozen, weights=digits.folder, output=tmp_path, name="started")
    own = read_tensors(started.folder / "weights.safetensors")
    for name, tensor in read_tensors(digits.folder / "weights.safetensors").items():
        if "running" not in name and "tracked" not in name:
            assert torch.equal(own[name], tensor), name
    five = NET.with_classes(5)
    wide = Architecture(ConvNormAct(9), NET.stages, NET.head, NET.input)
    from archsearch.nets.build import build
    from archsearch.training.initial import start_from

    net = build(five)
    assert start_from(net, digits.folder / "weights.safetensors", five)
    assert torch.equal(net.state_dict()["stem.conv.weight"], own["stem.conv.weight"])
    with pytest.raises(BadFile, match="another architecture"):
        start_from(build(wide), digits.folder / "weights.safetensors", wide)


@pytest.mark.parametrize(
    ("architecture", "named"),
    [
        (Architecture(NET.stem, NET.stages, NET.head, (3, 8, 8)), "--input 1x8x8"),
        (Architecture(NET.stem, NET.stages, NET.head, (1, 28, 28)), "--input 1x8x8"),
        (NET.with_classes(7), "--classes 10"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(
    architecture: Architecture, named: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=named):
        train(architecture, SMALL, SHORT, output=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a file of weights", b"half"])
def test_a_poisoned_file_is_refused(content: bytes, digits: Trained, tmp_path: Path) -> None:
    class Poison:
        def __reduce__(self) -> object:
            return (open, (str(tmp_path / "executed"), "w"))

    path = tmp_path / "weights.safetensors"
    whole = (digits.folder / "weights.safetensors").read_bytes()
    contents = {b"": pickle.dumps(Poison()), b"half": whole[: len(whole) // 2]}
    path.write_bytes(contents.get(content, content))
    with pytest.raises(UserError):
        evaluate(path, "digits")
    with pytest.raises(UserError):
        train(NET, SMALL, SHORT, output=tmp_path, weights=path)
    with pytest.raises(UserError):
        train(NET, SMALL, SHORT, output=tmp_path, teacher=path)
    assert not (tmp_path / "executed").exists()


def test_a_folder_of_photographs_in_two_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From design to a network trained on one's own pictures."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, colour in (("red", (200, 40, 40)), ("green", (40, 200, 40)), ("blue", (40, 40, 200))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(20):
            size = tuple(rng.integers(24, 48, 2))
            noise = rng.integers(-40, 40, (*size, 3)) + np.array(colour)
            Image.fromarray(noise.astype(np.uint8)).save(tmp_path / f"photos/{name}/{i}.png")
    assert not main([
        "design", "--budget", "20k-params", "--space", "tiny", "--input", "3x32x32",
        "--name", "mine", "--quiet",
    ])  # fmt: skip
    assert not main([
        "train", "runs/mine", "--data", "imagefolder:photos", "--epochs", "6", "--batch-size", "8",
        "--name", "trained",
    ])  # fmt: skip
    said = capsys.readouterr().out
    assert "3 classes, as photos has" in said
    metrics = json.loads((tmp_path / "runs/trained/metrics.json").read_text())
    assert metrics["test"]["accuracy"]["mean"] > 0.6
    architecture, _ = load_network(tmp_path / "runs/trained/weights.safetensors")
    assert architecture.input == (3, 32, 32)


@pytest.mark.parametrize(
    "changes",
    [{"mean": [0.1, 0.2, 0.3]}, {"deviation": [0.0]}, {"deviation": [1e999]}, {"mean": "x"}],
)
def test_a_file_with_impossible_preprocessing_is_refused(
    changes: dict[str, object], digits: Trained, tmp_path: Path
) -> None:
    whole = digits.folder / "weights.safetensors"
    notes = read_notes(whole)
    notes["preprocessing"] = json.dumps(json.loads(notes["preprocessing"]) | changes)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(tensors_file(read_tensors(whole), notes))
    with pytest.raises(BadFile, match="preprocessing"):
        evaluate(path, "digits")
