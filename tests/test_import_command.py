"""A network of the user's own files as a run that other commands read."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from archsearch.cli import import_network as command
from archsearch.cli import main
from archsearch.cli.commands import Parser
from archsearch.errors import BadFile, UserError
from archsearch.loading import find_architecture
from archsearch.nets.weights import load_network
from archsearch.training.initial import read_preprocessing

CODE = """
import torch
from torch import nn

def small(width=8):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4),
    )

class Small(nn.Sequential):
    def __init__(self):
        super().__init__(*small())

def leaky():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.LeakyReLU(), nn.Flatten(), nn.Linear(288, 4))

def broken():
    return nn.Sequential(nn.Conv2d(3, 8))

def nothing():
    return 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's, with the file ``users_nets.py``."""
    (tmp_path / "users_nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_nets", raising=False)
    return tmp_path


def import_(*words: str) -> int:
    parser = Parser(prog="archsearch import")
    command.arguments(parser)
    return command.run(parser.parse_args(words, Namespace(argv=["import", *words])))


def trained() -> nn.Module:
    """The user's network with weights of its own."""
    import users_nets

    torch.manual_seed(3)
    net: nn.Module = users_nets.small()
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor += torch.rand(tensor.shape)
    return net.eval()


def outputs(path: Path, x: Tensor) -> Tensor:
    net = load_network(path)[1].eval()
    with torch.no_grad():
        found: Tensor = net(x)
    return found


@pytest.mark.parametrize("kind", ["state", "checkpoint", "parallel", "safetensors"])
def test_a_run_with_the_users_weights(
    folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    net = trained()
    state, file = net.state_dict(), Path("weights.pt")
    if kind == "checkpoint":
        torch.save({"epoch": 3, "state_dict": state}, file)
    elif kind == "parallel":
        torch.save({f"module.{name}": tensor for name, tensor in state.items()}, file)
    elif kind == "safetensors":
        file = Path("weights.safetensors")
        save_file(state, file)
    else:
        torch.save(state, file)
    words = ["users_nets:small", "--input", "3x8x8", "--weights", str(file)]
    assert import_(*words, "--output", "runs/mine") == 0
    assert capsys.readouterr().out.endswith("runs/mine\n")
    run, x = Path("runs/mine"), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(outputs(run / "weights.safetensors", x), net(x), atol=1e-6)
    architecture = find_architecture("mine")
    assert load_network(run / "weights.safetensors")[0] == architecture
    record = json.loads((run / "import.json").read_text())
    assert record["names"]["head.classifier.weight"] == "5.weight"
    assert record["command"] == ["archsearch", "import", *words, "--output", "runs/mine"]
    assert main(["show", "runs/mine"]) == 0
    assert read_preprocessing(run / "weights.safetensors", 3) is None


def test_the_weights_the_function_gives_and_what_its_pictures_were(folder: Path) -> None:
    statistics = ["--mean", "0.5,0.4,0.3", "--deviation", "0.2,0.2,0.1"]
    import_("users_nets:Small", "--input", "3x8x8", "--quiet", *statistics)
    said = read_preprocessing(Path("runs/Small/weights.safetensors"), 3)
    assert said is not None
    assert (said.mean, said.deviation) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))


REFUSED = {
    "users_nets": "names no function",
    "users_nets:none": "has no function none",
    "no_such_file:net": "no module is named 'no_such_file'",
    "users_nets:nothing": "returned a int, not an nn.Module",
    "users_nets:broken": "users_nets.py, line",
    "users_nets:leaky": r"1: LeakyReLU \(no operator",
    "os;abort:net": "names no function",
}


@pytest.mark.parametrize("source", REFUSED)
def test_what_is_no_network_leaves_nothing(folder: Path, source: str) -> None:
    with pytest.raises(UserError, match=REFUSED[source]):
        import_(source, "--input", "3x8x8")
    assert not Path("runs").exists()


def test_options_that_cannot_be(folder: Path) -> None:
    words = ("users_nets:small", "--input", "3x8x8")
    Path("taken").mkdir()
    for more, message in {
        ("--mean", "0,0,0"): "--deviation is missing",
        ("--mean", "0,0", "--deviation", "1,1"): "2 numbers for 3 channels",
        ("--mean", "0,0,0", "--deviation", "1,0,1"): "not above zero",
        ("--mean", "a,b,c", "--deviation", "1,1,1"): "a number per channel",
        ("--output", "taken"): "it exists",
        ("--weights", "none.pt"): "no such weights file",
    }.items():
        with pytest.raises(UserError, match=message):
            import_(*words, *more)


def test_weights_that_are_not_the_networks(folder: Path) -> None:
    net = trained()
    state = net.state_dict()
    words = ("users_nets:small", "--input", "3x8x8", "--weights", "w.pt")
    other = dict(state) | {"5.weight": torch.zeros(3, 8)}
    for content, message in (
        (other, r"5.weight has the shape \(3, 8\), not \(4, 8\)"),
        ({n: t for n, t in state.items() if n != "5.bias"}, "has no 5.bias"),
        (dict(state) | {"more": torch.zeros(1)}, "'more', which the network has not"),
        ([1, 2], "no state dict"),
        (net, "not the tensors of a state dict alone"),
    ):
        torch.save(content, "w.pt")
        with pytest.raises(BadFile, match=message):
            import_(*words)
    Path("w.pt").write_bytes(b"nothing")
    with pytest.raises(BadFile, match="damaged"):
        import_(*words)


def test_pictures_are_normalised_as_they_were(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file lists no classes: what the data call them is taken."""
    Path("greys.py").write_text(
        "from torch import nn\ndef net():\n"
        "    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)\n"
        "    return nn.Sequential(*layers)\n"
    )
    words = ["greys:net", "--input", "1x8x8", "--mean", "0.3", "--deviation", "0.4"]
    assert import_(*words, "--output", "runs/greys") == 0
    assert main(["evaluate", "runs/greys", "--data", "digits"]) == 0
    assert "accuracy" in capsys.readouterr().out
