"""``archsearch supernet`` and what resumes it: what they say, what they refuse, and Ctrl-C.

Every refusal is one line and status 2, and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command_line import ENVIRONMENT, refused, remains
from test_supernet_run import SPACE, same

from archsearch.cli import main
from archsearch.cli.commands import Parser
from archsearch.nets.weights import read_notes, read_tensors, tensors_file
from archsearch.report.training import epoch_line
from archsearch.supernet.files import read_supernet

torch.set_num_threads(1)

GROUPS = (
    SPACE.replace("kernel_size=choice(1, 3)", "kernel_size=3, group_size=choice(2, 3)")
    .replace("widths(4, 8, 4)", "12")
    .replace("ConvNormAct(8)", "ConvNormAct(12)")
)

SHORT = (
    "--epochs", "1", "--limit-train", "64", "--batch-size", "16", "--augment", "none",
    "--rule", "single-path",
)  # fmt: skip
SUPERNET = ("supernet", "--space", "./mine.py", *SHORT)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("supernets")
    (folder / "mine.py").write_text(SPACE)
    words = ["supernet", "--space", str(folder / "mine.py"), *SHORT]
    assert main([*words, "--output", str(folder), "--name", "done", "--quiet"]) == 0
    return folder


@pytest.fixture(autouse=True)
def here(own_folder: Path) -> Path:
    (own_folder / "mine.py").write_text(SPACE)
    (own_folder / "groups.py").write_text(GROUPS)
    return own_folder


@pytest.fixture
def cut(runs: Path) -> Path:
    """A run that was cut off before its end was written."""
    shutil.copytree(runs / "done", "runs/cut")
    Path("runs/cut/outcome.json").unlink()
    return Path("runs/cut")


# -- what is given -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--space", "mobil"), ("no space is named 'mobil'", "mobile")),
        (("--space", "./absent.py"), ("absent.py: no such space file",)),
        (("--space", "./groups.py"), ("2, 3 channels", "cannot share", "--separate-weights")),
        (("--rule", "sandwitch"), ("--rule sandwitch: unknown", "did you mean sandwich?")),
        (("--budget", "3-params"), ("budget 3-params", "the smallest params")),
        (("--budget", "3-apples"), ("apples",)),
        (("--validation", "0"), ("digits: no validation pictures", "--validation")),
        (("--data", "nothing"), ("no data source is named 'nothing'",)),
        (("--input", "3x9x9"), ("its pictures are 1x8x8 and 3x9x9 is asked for",)),
        (("--limit-train", "3"), ("3 training pictures", "10 or more")),
        (("--epochs", "0"), ("--epochs 0", "from 1")),
        (("--devices", "3", "--device", "cpu"), ("batch size 16", "3 equal parts")),
        (("--device", "tpu"), ("--device tpu", "cpu")),
        (("--seed", "-1"), ("--seed -1", "from 0")),
        (("--name", "a/b"), ("--name 'a/b'", "letters")),
        (("--compile",), ("no option is named --compile",)),
        (("--epoch", "2"), ("no option is named --epoch", "did you mean --epochs?")),
        (("rapport",), ("what is 'rapport' for?",)),
    ],
)  # fmt: skip
def test_what_is_refused(options: tuple[str, ...], words: tuple[str, ...], capsys: Capture) -> None:
    said = refused(capsys, *SUPERNET, *options)
    assert all(word in said for word in words), said
    assert remains(Path()) == ["groups.py", "mine.py"]


def test_separate_weights_are_the_way_out(capsys: Capture) -> None:
    words = ["supernet", "--space", "./groups.py", *SHORT, "--separate-weights", "--name", "apart"]
    assert main(words) == 0
    assert json.loads(Path("runs/apart/supernet.json").read_text())["supernet"]["separate"]
    assert "Convolution" in " ".join(read_tensors("runs/apart/supernet.safetensors"))


def test_kernels_may_have_transforms() -> None:
    words = ["supernet", *SHORT, "--kernel-transforms", "--name", "transformed"]
    assert main(words) == 0
    trained = read_supernet("runs/transformed")
    assert trained.layout.kernel_transforms
    assert trained.record["supernet"]["kernel_transforms"]


def test_a_run_says_where_it_is_and_what_came_of_it(capsys: Capture) -> None:
    assert main(list(SUPERNET)) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("runs/supernet-mine-digits: training; archsearch resume")
    assert re.search(r"epoch 1/1  loss .* validation +[0-9.]+ %  smallest +[0-9.]+ %", said.out)
    assert re.search(r"largest member +[0-9.]+ % of the validation pictures", said.out)
    assert "archsearch search --supernet runs/supernet-mine-digits" in said.out
    refused(capsys, *SUPERNET, "--name", "supernet-mine-digits")


# -- reports -----------------------------------------------------------------------------------
def test_the_report_is_a_command_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked: list[Namespace] = []

    def add(parser: Parser) -> None:
        parser.add_argument("run")
        parser.add_argument("--members")

    own = SimpleNamespace(
        add_report_options=add, run_report=lambda args: asked.append(args) or 3
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "archsearch.cli.supernet_report", own)
    assert main(["supernet", "report", "RUN", "--members", "4"]) == 3
    (args,) = asked
    assert (args.run, args.members) == ("RUN", "4")
    assert "did you mean --members?" in refused(
        capsys, "supernet", "report", "RUN", "--member", "4"
    )
    assert "no option is named --rule" in refused(capsys, "supernet", "report", "RUN", "--rule=x")
    assert main(["supernet", "report", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: archsearch supernet report")


# -- resume ------------------------------------------------------------------------------------
def changed(**changes: Any) -> Callable[[bytes], bytes]:
    """A record whose setup says something else."""

    def change(content: bytes) -> bytes:
        record = json.loads(content)
        return json.dumps(record | {"supernet": record["supernet"] | changes}).encode()

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:40], "supernet.json: cannot be read"),
        (lambda content: b"[]", "supernet.json: not of this version"),
        (lambda content: b'{"format": 2}', "supernet.json: not of this version"),
        (lambda content: b'{"format": 1}', "supernet.json: damaged"),
        (changed(digest="0"), "space mine has changed since"),
        (changed(input=[1, 8, 9]), "space mine has changed since"),
        (changed(input=3), "supernet.json: damaged"),
        (changed(classes="ten"), "supernet.json: damaged"),
        (changed(space="inputs/none.py"), "no such space file"),
        (changed(rule="none"), "--rule none: unknown"),
        (changed(budgets=["1-params"]), "the smallest params"),
    ],
)  # fmt: skip
def test_damaged_records(
    change: Callable[[bytes], bytes], words: str, cut: Path, capsys: Capture
) -> None:
    content = change((cut / "supernet.json").read_bytes())
    (cut / "supernet.json").write_bytes(content)
    assert words in refused(capsys, "resume", "cut", "--quiet")
    assert (cut / "supernet.json").read_bytes() == content


def test_a_checkpoint_of_another_space(cut: Path, capsys: Capture) -> None:
    path = cut / "checkpoint.safetensors"
    notes = read_notes(path) | {"space": "0" * 16}
    path.write_bytes(tensors_file(read_tensors(path), notes))
    assert "a checkpoint of another space than mine" in refused(capsys, "resume", "cut", "--quiet")


def test_a_supernet_has_no_trials(cut: Path, capsys: Capture) -> None:
    assert "leave it out" in refused(capsys, "resume", "cut", "--trials", "3")


def test_an_interrupt_stops_between_steps_and_resume_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupting(*args: Any) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return epoch_line(*args)

    words = [*SUPERNET, "--epochs", "3"]
    with monkeypatch.context() as patched:
        patched.setattr("archsearch.report.training.epoch_line", interrupting)
        assert main([*words, "--name", "cut"]) == 130
    said = capsys.readouterr()
    assert "stopped; go on with: archsearch resume runs/cut" in said.out
    assert "epoch 1/3" in said.out and "epoch 2/3" not in said.out
    assert said.err == ""
    assert json.loads(Path("runs/cut/supernet.json").read_text())["state"] == "stopped"
    assert main(["resume", "cut"]) == 0
    said = capsys.readouterr()
    assert "epoch 2/3" in said.out and "epoch 1/3" not in said.out
    assert main([*words, "--name", "whole"]) == 0
    assert same(Path("runs/cut"), Path("runs/whole"))


# -- help --------------------------------------------------------------------------------------
def test_the_page_has_every_option(capsys: Capture) -> None:
    page = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
    section = page.partition("\n## supernet\n")[2].partition("\n## ")[0]
    assert main(["supernet", "--help"]) == 0
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert options and options == set(re.findall(r"--[a-z][a-z-]+", section))


@pytest.mark.parametrize("words", [["supernet"], ["supernet", "report"]])
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
    assert not loaded & {"torch", "numpy", "PIL", "safetensors", "scipy", "matplotlib", "ray"}
