"""``archsearch train``, ``evaluate`` and ``resume``: what they refuse and how, and Ctrl-C.

Every refusal is one line and status 2, runs nothing that a file holds, and leaves nothing behind.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import ENVIRONMENT, refused, remains
from safetensors import safe_open
from safetensors.torch import load_file, save

from archsearch.architecture import Architecture, Stage
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cli import main
from archsearch.nets.weights import read_tensors
from archsearch.report.training import epoch_line
from archsearch.serialization import to_pretty_json

torch.set_num_threads(1)

NET = Architecture(
    ConvNormAct(8), (Stage.of(ConvNormAct(16), 1, stride=2),), Classifier(10), (1, 8, 8)
)
WIDE = Architecture(ConvNormAct(9), NET.stages, NET.head, NET.input)
SHORT = ("--epochs", "1", "--limit-train", "64", "--batch-size", "32", "--quiet")
TRAIN = ("train", "net.json", *SHORT)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of two networks: ``done`` and ``wide``."""
    folder = tmp_path_factory.mktemp("trained")
    for name, network in (("done", NET), ("wide", WIDE)):
        (folder / f"{name}.json").write_text(to_pretty_json(network))
        place = ("--output", str(folder), "--name", name)
        assert main(["train", str(folder / f"{name}.json"), *SHORT, *place]) == 0
    return folder


@pytest.fixture(autouse=True)
def here(own_folder: Path) -> Path:
    (own_folder / "net.json").write_text(to_pretty_json(NET))
    return own_folder


class Poison:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("executed", "w")


# -- options -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--optimizer", "adam"), ("optimizer adam", "adamw, sgd")),
        (("--augment", "heavy"), ("--augment heavy", "none, standard or strong")),
        (("--precision", "fp8"), ("precision fp8", "bfloat16")),
        (("--device", "tpu"), ("--device tpu", "cpu")),
        (("--device", "meta"), ("--device meta", "cpu")),
        (("--device", "cuda:99"), ("--device cuda:99", "use c")),
        (("--device", "cpu", "--precision", "float16"), ("--precision float16", "bfloat16")),
        (("--epochs", "0"), ("--epochs 0", "from 1")),
        (("--epochs", "ten"), ("--epochs ten", "whole number")),
        (("--batch-size", "-1"), ("--batch-size -1", "from 1")),
        (("--accumulate", "5"), ("batch size 32", "5 equal parts", "5 accumulated")),
        (("--devices", "3", "--device", "cpu"), ("batch size 32", "3 equal parts")),
        (("--learning-rate", "nan"), ("--learning-rate nan", "at least 0")),
        (("--weight-decay", "-1"), ("--weight-decay -1", "at least 0")),
        (("--mixup", "inf"), ("--mixup inf", "at least 0")),
        (("--label-smoothing", "2"), ("--label-smoothing 2", "below 100")),
        (("--ema", "1"), ("--ema 1", "below 100")),
        (("--seeds", "0"), ("--seeds 0", "from 1")),
        (("--seed", "-1"), ("--seed -1", "from 0")),
        (("--validation", "100%"), ("--validation 100%", "below 100")),
        (("--limit-train", "3"), ("3 training pictures", "10 or more")),
        (("--optimiser", "sgd"), ("--optimiser", "did you mean --optimizer?")),
        (("--classes", "7"), ("10 classes", "--classes 10")),
        (("--input", "1x28x28"), ("1x8x8", "--input 1x8x8")),
        (("--input", "3x8x8"), ("1x8x8", "--input 1x8x8")),
        (("--teacher", "absent"), ("absent", "no weights file")),
        (("--weights", "absent"), ("absent", "no weights file")),
        (("--name", "a/b"), ("--name 'a/b'", "letters")),
        (("--output", "net.json"), ("--output net.json", "not a folder")),
    ],
)  # fmt: skip
def test_options(options: tuple[str, ...], words: tuple[str, ...], capsys: Capture) -> None:
    said = refused(capsys, *TRAIN, *options)
    assert all(word in said for word in words), said
    assert remains(Path()) == ["net.json"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(capsys: Capture) -> None:
    assert "--device cuda: torch sees no GPU" in refused(capsys, *TRAIN, "--device", "cuda")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet49", "did you mean"),
        ("absent.json", "absent.json: no such"),
        ("poison.json", "no architecture file"),
    ],
)
def test_unknown_architectures(name: str, words: str, capsys: Capture) -> None:
    Path("poison.json").write_bytes(pickle.dumps(Poison()))
    assert words in refused(capsys, "train", name, *SHORT)
    assert remains(Path()) == ["net.json", "poison.json"]


def test_a_run_is_never_overwritten(runs: Path, capsys: Capture) -> None:
    before = (runs / "done" / "weights.safetensors").read_bytes()
    said = refused(capsys, *TRAIN, "--output", str(runs), "--name", "done")
    assert "--name done" in said and "exists" in said
    assert (runs / "done" / "weights.safetensors").read_bytes() == before


# -- data --------------------------------------------------------------------------------------
def write_npz(**changes: Any) -> None:
    rng = np.random.default_rng(0)
    shape = changes.pop("shape", (40, 8, 8))
    x, y = rng.integers(0, 256, shape, np.uint8), np.arange(40) % changes.pop("classes", 10)
    held = {"x_train": x, "y_train": y, "x_test": x[:20], "y_test": y[:20]}
    np.savez("own.npz", **{**held, **changes})


def truncated() -> None:
    write_npz()
    whole = Path("own.npz").read_bytes()
    Path("own.npz").write_bytes(whole[: len(whole) // 2])


def poisoned_pickle() -> None:
    Path("own.npz").write_bytes(pickle.dumps(Poison()))


def poisoned_array() -> None:
    write_npz(x_train=np.array([Poison()], object))


def idx_files(content: bytes) -> Callable[[], None]:
    def write() -> None:
        Path("set").mkdir()
        for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3",
                     "t10k-labels-idx1"):  # fmt: skip
            Path("set", f"{name}-ubyte").write_bytes(content)

    return write


def cifar_files() -> None:
    Path("set").mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        Path("set", f"{name}.bin").write_bytes(bytes(3073 + 5))


def no_picture() -> None:
    for name in ("cat", "dog"):
        Path("set", name).mkdir(parents=True)
        for i in range(4):
            Path("set", name, f"{i}.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("write", "source", "words"),
    [
        (None, "mnits:set", ("did you mean mnist?",)),
        (None, "digit", ("did you mean digits?",)),
        (None, "mnist:absent", ("mnist:absent", "no such folder")),
        (None, "npz:absent.npz", ("absent.npz", "no such file")),
        (None, "npz", ("npz:FILE",)),
        (write_npz, "own.npz", ("npz:own.npz",)),
        (truncated, "npz:own.npz", ("own.npz", "not a whole one")),
        (poisoned_pickle, "npz:own.npz", ("own.npz",)),
        (poisoned_array, "npz:own.npz", ("own.npz: x_train", "Python objects")),
        (lambda: write_npz(shape=(40, 28, 28)), "npz:own.npz", ("--input 1x28x28",)),
        (lambda: write_npz(shape=(40, 8, 8, 3)), "npz:own.npz", ("--input 3x8x8",)),
        (lambda: write_npz(y_train=np.full(40, -1)), "npz:own.npz", ("own.npz: y_train has -1",)),
        (lambda: write_npz(y_test=np.full(20, 10)), "npz:own.npz", ("label 10 of test picture 0",)),
        (lambda: write_npz(classes=1), "npz:own.npz", ("every training picture is of class",)),
        (lambda: write_npz(x_test=np.zeros((0, 8, 8), np.uint8), y_test=np.zeros(0, int)),
         "npz:own.npz", ("the test split is empty",)),
        (lambda: write_npz(x_train=np.zeros((40, 8, 8))), "npz:own.npz", ("float64", "uint8")),
        (lambda: write_npz(y_test=np.zeros(3, int)), "npz:own.npz", ("20", "3")),
        (idx_files(b"PNG"), "mnist:set", ("train-images-idx3-ubyte",)),
        (idx_files(struct.pack(">IIII", 0x803, 10, 8, 8)), "mnist:set", ("cut off",)),
        (cifar_files, "cifar10:set", ("data_batch_1.bin",)),
        (cifar_files, "cifar100:set", ("train.bin",)),
        (no_picture, "imagefolder:set", ("png",)),
    ],
)  # fmt: skip
def test_data(
    write: Callable[[], None] | None, source: str, words: tuple[str, ...], capsys: Capture
) -> None:
    if write is not None:
        write()
    before = remains(Path())
    said = refused(capsys, *TRAIN[:-1], "--limit-train", "20", "--data", source, "--quiet")
    assert all(word in said for word in words), said
    assert remains(Path()) == before


# -- weights -----------------------------------------------------------------------------------
@pytest.mark.parametrize("option", ["--weights", "--teacher"])
def test_poisoned_weights(option: str, capsys: Capture) -> None:
    Path("weights.safetensors").write_bytes(pickle.dumps(Poison()))
    said = refused(capsys, *TRAIN, option, "weights.safetensors")
    assert "weights.safetensors is not a safetensors file" in said
    assert remains(Path()) == ["net.json", "weights.safetensors"]


def test_weights_of_another_network(runs: Path, capsys: Capture) -> None:
    assert "another architecture" in refused(capsys, *TRAIN, "--weights", str(runs / "wide"))
    write_npz(classes=7)
    other = ("--data", "npz:own.npz", "--limit-train", "20")
    assert "--teacher" in refused(capsys, *TRAIN, *other, "--teacher", str(runs / "done"))
    assert remains(Path()) == ["net.json", "own.npz"]


# -- evaluate ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--split", "tests"), "--split tests"),
        (("--data", "digit"), "did you mean digits?"),
        (("--data", "npz:own.npz"), "tells apart"),
        (("--device", "tpu"), "--device tpu"),
    ],
)
def test_evaluate_refuses(
    options: tuple[str, ...], words: str, runs: Path, capsys: Capture
) -> None:
    write_npz(classes=7)
    assert words in refused(capsys, "evaluate", str(runs / "done"), *options)
    assert words in refused(capsys, "evaluate", str(runs / "done"), "--json", *options)


def test_evaluate_says_which_file_it_cannot_use(runs: Path, capsys: Capture) -> None:
    Path("poison.safetensors").write_bytes(pickle.dumps(Poison()))
    assert "poison.safetensors" in refused(capsys, "evaluate", "poison.safetensors")
    assert "absent: no weights file" in refused(capsys, "evaluate", "absent")
    shutil.copy(runs / "done" / "weights.safetensors", "alone.safetensors")
    assert "--data" in refused(capsys, "evaluate", "alone.safetensors")
    assert not Path("executed").exists()


def test_evaluate_prints_json(runs: Path, capsys: Capture) -> None:
    assert main(["evaluate", str(runs / "done"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    metrics = json.loads((runs / "done" / "metrics.json").read_text())
    assert found["accuracy"] == metrics["test"]["accuracy"]["mean"]
    assert found["pictures"] == 359


# -- resume ------------------------------------------------------------------------------------
@pytest.fixture
def cut(runs: Path) -> Path:
    """A run that was cut off before it was judged."""
    shutil.copytree(runs / "done", "runs/cut")
    Path("runs/cut/outcome.json").unlink()
    return Path("runs/cut")


@pytest.mark.parametrize("name", ["absent", "net.json", "empty", ""])
def test_nothing_to_go_on_with(name: str, capsys: Capture) -> None:
    Path("empty").mkdir()
    assert "nothing to go on with" in refused(capsys, "resume", name)
    assert remains(Path()) == ["empty", "net.json"]


def changed(**changes: Any) -> Callable[[bytes], bytes]:
    """A JSON object with other values."""
    return lambda content: json.dumps(json.loads(content) | changes).encode()


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("train.json", lambda content: content[:40], "train.json: cannot be read"),
        ("train.json", lambda content: b"\xff", "train.json: cannot be read"),
        ("train.json", lambda content: b"[]", "train.json: not of this version"),
        ("train.json", changed(seeds=[]), "train.json: seeds []"),
        ("train.json", changed(seeds="x"), "train.json: ValueError"),
        ("train.json", changed(devices=0), "train.json: --devices 0"),
        ("train.json", changed(recipe={"knob": 1}), "train.json: recipe: 'knob'"),
        ("train.json", changed(data={}), "train.json: KeyError"),
        ("train.json", changed(device="tpu"), "train.json: --device tpu"),
        ("train.json", changed(architecture="0"), "not the network the training began with"),
        ("architecture.json", lambda content: b"{}", "architecture.json: "),
        ("architecture.json", lambda content: to_pretty_json(WIDE).encode(), "not the network"),
        ("checkpoint.safetensors", lambda content: content[:1000], "delete it to begin anew"),
        ("checkpoint.safetensors", lambda content: pickle.dumps(Poison()), "delete it to begin"),
    ],
)  # fmt: skip
def test_damaged_files(
    file: str, change: Callable[[bytes], bytes], words: str, cut: Path, capsys: Capture
) -> None:
    content = change((cut / file).read_bytes())
    (cut / file).write_bytes(content)
    before = remains(Path())
    assert words in refused(capsys, "resume", "cut", "--quiet")
    assert (cut / file).read_bytes() == content
    assert remains(Path()) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:30],
        lambda content: b"{}",
        lambda content: b"[]",
        changed(test={"accuracy": 1}),
        changed(history=3),
        changed(history=[{"epoch": 1}]),
        changed(history=[{"epoch": "one", "seconds": 0.1}]),
        changed(state="running"),
    ],
)
def test_a_damaged_outcome_is_made_again(
    change: Callable[[bytes], bytes], runs: Path, cut: Path, capsys: Capture
) -> None:
    """The line's way out leads out."""
    (cut / "outcome.json").write_bytes(change((runs / "done" / "outcome.json").read_bytes()))
    assert "outcome.json: damaged" in refused(capsys, "resume", "cut", "--quiet")
    (cut / "outcome.json").unlink()
    assert main(["resume", "cut", "--quiet"]) == 0
    before, after = (
        json.loads((folder / "metrics.json").read_text()) for folder in (runs / "done", cut)
    )
    assert before == after


def test_a_checkpoint_of_another_architecture(runs: Path, cut: Path, capsys: Capture) -> None:
    shutil.copy(runs / "wide" / "checkpoint.safetensors", cut)
    assert "checkpoint of another architecture" in refused(capsys, "resume", "cut", "--quiet")
    shutil.copy(runs / "done" / "weights.safetensors", cut / "checkpoint.safetensors")
    assert "no checkpoint of a training" in refused(capsys, "resume", "cut", "--quiet")


FACTS = [
    {"step": "one"}, {"step": -1}, {"step": 10**9}, {"history": 3}, {"tally": [1, 2, 3, 4]},
]  # fmt: skip


@pytest.mark.parametrize("facts", FACTS)
def test_a_checkpoint_of_other_facts(facts: dict[str, Any], cut: Path, capsys: Capture) -> None:
    path = cut / "checkpoint.safetensors"
    with safe_open(str(path), "pt") as file:
        notes = file.metadata()
    notes["training"] = json.dumps(json.loads(notes["training"]) | facts)
    path.write_bytes(save(load_file(path), notes))
    assert "checkpoint of another training" in refused(capsys, "resume", "cut", "--quiet")


def test_an_optimiser_of_another_shape_is_refused(cut: Path, capsys: Capture) -> None:
    """Fused kernels would read and write past the end of it."""
    path = cut / "checkpoint.safetensors"
    with safe_open(str(path), "pt") as file:
        notes = file.metadata()
    tensors = {
        name: tensor[:1].clone() if name.startswith("optimiser.") and tensor.dim() else tensor
        for name, tensor in load_file(path).items()
    }
    path.write_bytes(save(tensors, notes))
    assert "checkpoint of another training" in refused(capsys, "resume", "cut", "--quiet")


def test_files_that_cannot_be_written(cut: Path, capsys: Capture) -> None:
    (cut / "weights.safetensors").unlink()
    (cut / "weights.safetensors").mkdir()
    said = refused(capsys, "resume", "cut", "--quiet")
    assert "weights.safetensors" in said and "archsearch resume runs/cut" in said
    (cut / "weights.safetensors").rmdir()
    assert main(["resume", "cut", "--quiet"]) == 0


def test_a_full_disk_costs_nothing_that_was_done(
    monkeypatch: pytest.MonkeyPatch, runs: Path, capsys: Capture
) -> None:
    from archsearch.training import checkpoint

    write, written = checkpoint.write_atomically, []

    def full(path: Path, content: bytes) -> None:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_atomically", full)
        said = refused(capsys, *TRAIN, "--name", "full")
    assert "No space left on device" in said and "archsearch resume runs/full" in said
    assert main(["resume", "full", "--quiet"]) == 0
    same_weights(Path("runs/full"), runs / "done")


# -- Ctrl-C ------------------------------------------------------------------------------------
def test_an_interrupt_stops_between_steps_and_resume_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupting(*args: Any) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return epoch_line(*args)

    words = ["train", "net.json", *SHORT[:-1], "--epochs", "3"]
    with monkeypatch.context() as patched:
        patched.setattr("archsearch.report.training.epoch_line", interrupting)
        assert main([*words, "--name", "cut"]) == 130
    said = capsys.readouterr()
    assert "stopped; go on with: archsearch resume runs/cut" in said.out
    assert "epoch 1/3" in said.out and "epoch 2/3" not in said.out
    assert said.err == ""
    assert main(["resume", "cut"]) == 0
    assert "epoch 2/3" in capsys.readouterr().out
    assert main([*words, "--name", "whole"]) == 0
    same_weights(Path("runs/cut"), Path("runs/whole"))


def same_weights(one: Path, other: Path) -> None:
    mine, theirs = (read_tensors(run / "weights.safetensors") for run in (one, other))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


# -- help --------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", ["train", "evaluate", "resume"])
def test_the_page_has_every_option(command: str, capsys: Capture) -> None:
    page = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
    _, _, section = page.partition(f"\n## {command}\n")
    section, _, _ = section.partition("\n## ")
    assert main([command, "--help"]) == 0
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert options and options == set(re.findall(r"--[a-z][a-z-]+", section))


@pytest.mark.parametrize("words", [["train"], ["evaluate"], ["resume"], ["score"], ["fit"], []])
def test_help_imports_no_library(words: list[str]) -> None:
    code = (
        "import sys\nfrom archsearch.cli import main\n"
        f"assert main({[*words, '--help']!r}) == 0\n"
        "print('\\0' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    loaded = set(done.stdout.rpartition("\0")[2].split())
    assert not loaded & {"torch", "numpy", "PIL", "safetensors", "scipy", "matplotlib", "onnx"}
