"""Exporting a network of a search over a supernet with the weights it was judged with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import refused
from inheriting import here, trained_supernet
from safetensors.torch import load_file

from archsearch.cli import main
from archsearch.data import find_data
from archsearch.ledger import NAME, read
from archsearch.search import run, search


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a search over a supernet, started from the command line."""
    place = tmp_path_factory.mktemp("runs")
    supernet = trained_supernet(place, budgets="60k-params")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "workers_for", here())
        words = ["--budget", "100k-params", "--trials", "4", "--strategy", "random"]
        argv = ["search", "--supernet", str(supernet), *words]
        assert main([*argv, "--output", str(place), "--name", "found"]) == 0
    return place / "found"


def exported(folder: Path) -> Any:
    """The network of an exported file, with the weights beside it."""
    scope: dict[str, Any] = {"__name__": "model"}
    exec((folder / "model.py").read_text(), scope)
    net = scope["Net"]()
    net.load_state_dict(load_file(folder / "model.safetensors"))
    return net.eval()


def accuracy(net: torch.nn.Module) -> float:
    """Share of the validation digits that are told rightly."""
    data = find_data("digits")
    pixels = data.validation.images.batch(np.arange(len(data.validation)))
    shape = (1, -1, 1, 1)
    mean, deviation = (torch.tensor(own).view(shape) for own in (data.mean, data.deviation))
    with torch.no_grad():
        answers = net((torch.from_numpy(pixels).float() / 255 - mean) / deviation).argmax(1)
    return float((answers.numpy() == data.validation.labels).mean())


def test_the_file_answers_as_the_ledger_says(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    records = read(searched / NAME).records
    best = max(record.metrics["accuracy"] for record in records)
    assert main(["export", str(searched), "--best", "--weights", "--output", "model.py"]) == 0
    assert accuracy(exported(tmp_path)) == best
    for record in records[:2]:
        pick = ["--pick", str(record.number), "--output", "model.py"]
        assert main(["export", str(searched), *pick, "--weights"]) == 0
        assert accuracy(exported(tmp_path)) == record.metrics["accuracy"]


def test_the_deployed_form_has_the_same_weights(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--weights", "--output", "model.py"]
    assert main(["export", str(searched), *words]) == 0
    plain = exported(tmp_path)
    assert main(["export", str(searched), *words, "--deploy"]) == 0
    deployed = exported(tmp_path)
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(deployed(x), plain(x), rtol=1e-4, atol=1e-5)
    assert len(deployed.state_dict()) < len(plain.state_dict())


def test_inherited_weights_are_trained_further(
    searched: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["export", str(searched), "--weights", "--output", "model.py"]
    assert main(argv) == 0
    inherited = load_file(tmp_path / "model.safetensors")
    assert main([*argv, "--finetune-epochs", "1"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert str(folder.relative_to(tmp_path)) in capsys.readouterr().out
    start, end = load_file(folder / "start.safetensors"), load_file(folder / "weights.safetensors")
    product = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(start[name], own) for name, own in inherited.items())
    assert all(torch.equal(end[name], own) for name, own in product.items())
    assert any(not torch.equal(start[name], own) for name, own in end.items())


def test_what_has_no_weights_is_refused(
    searched: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    search("tiny", "params", trials=2, start=None, compare=(), name="plain")
    told = refused(capsys, "export", "plain", "--best", "--weights")
    assert "archsearch train" in told and "not a search over a supernet" in told
    assert "name a weights file" in refused(capsys, "export", "resnet18", "--weights")
    assert "a file beside" in refused(capsys, "export", str(searched), "--weights", "--output", "-")
    assert "--finetune-epochs" in refused(capsys, "export", str(searched), "--finetune-epochs", "1")
    sizes = ["--input", "1x16x16"]
    assert "leave them out" in refused(capsys, "export", str(searched), *sizes, "--weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
