"""Files for others: ONNX against onnxruntime, exported programs, weights checked when read."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from modules import assert_alike, randomise
from safetensors.torch import load_file, save_file
from torch import nn

from archsearch.architecture import Architecture, Run, Stage
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtV2Block, NormDownsample, PatchStem
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.cli import main
from archsearch.errors import BadFile, UserError
from archsearch.nets import export as export_module
from archsearch.nets.build import build
from archsearch.nets.export import FORMATS, SUFFIXES, RuntimesDiffer, export
from archsearch.nets.source import source
from archsearch.nets.weights import load_network, load_weights, read_metadata, save_weights
from archsearch.operators.activation import Hardswish
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.serialization import to_json

MIXED = Architecture(
    ConvNormAct(8, 2, activation=Hardswish()),
    (
        Stage.of(InvertedResidual(16, squeeze_excitation=SqueezeExcitation()), 2, projects=True),
        Stage.of(Bottleneck(16), 2, stride=2, projects=True),
        Stage((Run(NormDownsample(24)), Run(ConvNeXtV2Block(24)))),
    ),
    Classifier(10),
    (3, 32, 32),
)
SOUND = Architecture(PatchStem(8), (Stage.of(ConvNeXtV2Block(8)),), Classifier(4), (2, 64))
NETS = {"image": MIXED, "sound": SOUND}

has_onnx = all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
needs_onnx = pytest.mark.skipif(
    not has_onnx,
    reason="the optional packages are missing: pip install 'archsearch[onnx]'",
)


def random_net(architecture: Architecture) -> nn.Module:
    return randomise(build(architecture))


def scores(net: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return net(x)


# -- formats -----------------------------------------------------------------------------------
@needs_onnx
@pytest.mark.parametrize("name", NETS)
def test_onnx_computes_what_pytorch_computes(name: str, tmp_path: Path) -> None:
    import onnxruntime

    architecture, path = NETS[name], tmp_path / "net.onnx"
    net = random_net(architecture)
    export(architecture, path, "onnx", net)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 2, 5):
        x = torch.randn(batch, *architecture.input)
        (found,) = session.run(["scores"], {"x": x.numpy()})
        assert_alike(torch.from_numpy(found), scores(net, x))


@pytest.mark.parametrize("name", NETS)
def test_exported_program_runs_without_archsearch(name: str, tmp_path: Path) -> None:
    architecture, path = NETS[name], tmp_path / "net.pt2"
    net = random_net(architecture)
    export(architecture, path, "torch-export", net)
    x = torch.randn(3, *architecture.input)
    torch.save(x, tmp_path / "x.pt")
    script = (
        "import sys; sys.modules['archsearch'] = None; import torch;"
        "net = torch.export.load('net.pt2').module();"
        "torch.save(net(torch.load('x.pt')), 'y.pt')"
    )
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True)
    assert_alike(torch.load(tmp_path / "y.pt"), scores(net, x))


def test_pytorch_format_is_the_source(tmp_path: Path) -> None:
    export(MIXED, tmp_path / "model.py")
    assert (tmp_path / "model.py").read_text() == source(MIXED)


def test_export_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    net = random_net(SOUND).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    random_state = torch.get_rng_state()
    export(SOUND, tmp_path / "net.pt2", "torch-export", net)
    assert net.training
    assert all(torch.equal(before[n], t) for n, t in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_every_format_has_a_suffix() -> None:
    assert FORMATS.keys() == SUFFIXES.keys()


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean onnx"):
        export(MIXED, tmp_path / "net", "onx")


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_missing_packages_are_named(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = find_spec
    monkeypatch.setattr(
        export_module, "find_spec", lambda name: None if name == missing else there("json")
    )
    with pytest.raises(UserError, match=rf"needs {missing}: pip install 'archsearch\[onnx\]'"):
        export(MIXED, tmp_path / "net.onnx", "onnx")


@needs_onnx
@pytest.mark.parametrize("wrong", [0.01, float("nan")])
def test_a_wrong_onnx_file_is_not_written(
    wrong: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = export_module._onnx_runner

    def runner(data: bytes) -> Any:
        run = right(data)
        return lambda x: run(x) + wrong * run(x).abs().max()

    monkeypatch.setattr(export_module, "_onnx_runner", runner)
    with pytest.raises(RuntimesDiffer, match="onnxruntime differs"):
        export(SOUND, tmp_path / "net.onnx", "onnx", random_net(SOUND))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["no/such/folder/model.py", "."])
def test_a_place_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        export(MIXED, tmp_path / place)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    path = tmp_path / "model.py"
    path.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        export(MIXED, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# -- the deployed form ---------------------------------------------------------------------------
@pytest.mark.parametrize("format", ["pytorch", "torch-export", *(["onnx"] if has_onnx else [])])
def test_deployed_files_compute_what_the_trained_network_does(format: str, tmp_path: Path) -> None:
    net, x = random_net(MIXED), torch.randn(3, *MIXED.input)
    path = tmp_path / f"net{SUFFIXES[format]}"
    export(MIXED, path, format, net, deployed=True)
    if format == "pytorch":
        assert path.read_text() == source(MIXED, deployed=True)
        architecture, merged = load_network(tmp_path / "net.safetensors")
        assert architecture == MIXED
        assert not any(isinstance(m, nn.BatchNorm2d) for m in merged.modules())
        found = scores(merged.eval(), x)
    elif format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = torch.from_numpy(session.run(["scores"], {"x": x.numpy()})[0])
    else:
        found = torch.export.load(path).module()(x)
    assert_alike(found, scores(net, x))


def test_a_wrong_merge_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from archsearch.nets import deploy as deploy_module

    right = deploy_module._followed
    monkeypatch.setattr(
        deploy_module, "_followed", lambda weights, f, s: right(weights, f * 1.01, s)
    )
    with pytest.raises(RuntimesDiffer, match="the deployed form differs from the network"):
        export(MIXED, tmp_path / "net.py", "pytorch", random_net(MIXED), deployed=True)
    assert not list(tmp_path.iterdir())


def test_deployed_weights_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arch.json").write_text(to_json(MIXED))
    save_weights("net.safetensors", random_net(MIXED), MIXED)
    export_it = ["export", "arch.json", "--deploy", "--weights", "net.safetensors"]
    assert main([*export_it, "--output", "net.py"]) == 2
    assert "would replace net.safetensors; name another" in capsys.readouterr().err
    assert main([*export_it, "--output", "-"]) == 2
    assert main([*export_it, "--output", "net.safetensors"]) == 2
    assert main(export_it) == 0
    assert capsys.readouterr().out == "arch.py\narch.safetensors\n"
    (tmp_path / "arch.py").unlink()
    assert main(export_it) == 2
    assert "arch.safetensors exists; say --output arch.py" in capsys.readouterr().err
    with pytest.raises(BadFile, match="it is of a deployed form"):
        load_weights("arch.safetensors", build(MIXED))
    assert main(["export", "arch.json", "--deploy", "--output", "-"]) == 0
    assert capsys.readouterr().out == source(MIXED, deployed=True)


@pytest.mark.parametrize("command", ["cost", "show"])
def test_costs_of_both_forms_are_told(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "resnet50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["costs"]["params"], found["deployed"]["params"]) == (25_557_032, 25_530_472)
    assert main([command, "resnet50"]) == 0
    text = capsys.readouterr().out
    assert "as trained" in text
    assert "25,530,472" in text
    assert main([command, "vgg16"]) == 0
    assert "deployed" not in capsys.readouterr().out


# -- weights -----------------------------------------------------------------------------------
@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, random_net(SOUND), SOUND)
    return path


def test_weights_come_back(tmp_path: Path) -> None:
    path, net = tmp_path / "weights.safetensors", random_net(MIXED)
    save_weights(path, net, MIXED)
    architecture, other = load_network(path)
    assert architecture == MIXED
    x = torch.randn(2, *MIXED.input)
    assert torch.equal(scores(other.eval(), x), scores(net, x))
    again = build(MIXED)
    load_weights(path, again)
    for name, tensor in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_weights_survive_channels_last(tmp_path: Path) -> None:
    path, net = tmp_path / "weights.safetensors", random_net(MIXED)
    save_weights(path, net.to(memory_format=torch.channels_last), MIXED)
    assert torch.equal(load_file(path)["stem.conv.weight"], net.state_dict()["stem.conv.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("stem.conv.weight"), "no stem.conv.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "'extra', which the network has not"),
        (
            lambda s: s.update({"stem.conv.weight": torch.zeros(8, 2, 5)}),
            r"stem.conv.weight has the shape \(8, 2, 5\), not \(8, 2, 4\)",
        ),
        (
            lambda s: s.update({"stem.conv.weight": s["stem.conv.weight"].double()}),
            "stem.conv.weight is torch.float64, not torch.float32",
        ),
    ],
)
def test_weights_that_do_not_fit(change: Any, message: str, saved: Path) -> None:
    state = load_file(saved)
    change(state)
    save_file(state, saved)
    net = random_net(SOUND)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(BadFile, match=message):
        load_weights(saved, net)
    assert all(torch.equal(before[n], t) for n, t in net.state_dict().items())


@pytest.mark.parametrize("size", [0, 5, 100, -10])
def test_truncated_weights(size: int, saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:size])
    for read in (load_network, lambda path: load_weights(path, build(SOUND))):
        with pytest.raises(BadFile, match="damaged"):
            read(saved)


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"none.safetensors"):
        load_network(tmp_path / "none.safetensors")


def test_weights_of_strangers(saved: Path) -> None:
    state = load_file(saved)
    save_file(state, saved)
    with pytest.raises(BadFile, match="does not say its architecture"):
        read_metadata(saved)
    evil = {"format": 1, "head": {"is": "__import__('os').abort()"}, "stages": []}
    save_file(state, saved, {"architecture": json.dumps(evil)})
    with pytest.raises(BadFile):
        load_network(saved)


def test_weights_of_another_architecture(saved: Path) -> None:
    wider = replace(SOUND, stem=PatchStem(16), stages=(Stage.of(ConvNeXtV2Block(16)),))
    with pytest.raises(BadFile, match="another architecture"):
        load_weights(saved, build(wider))
