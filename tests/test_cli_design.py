"""``archsearch design``: what it leaves and tells, what it refuses, and Ctrl-C at any moment."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command_line import ENVIRONMENT, SPACE, refused, remains

from archsearch.cli import main
from archsearch.errors import InfeasibleBudget
from archsearch.models import get
from archsearch.serialization import read_architecture

if TYPE_CHECKING:
    from archsearch.design import Design

Finished = Callable[..., "Design"]

pytestmark = pytest.mark.usefixtures("own_folder")


# -- design: what it leaves and tells ----------------------------------------------------------
def test_a_design_leaves_a_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, designs: dict[str, Any]
) -> None:
    assert main(["design", "--budget", "6M-params"]) == 0
    out = capsys.readouterr().out
    folder = tmp_path / "runs" / "mobile-6M-params"
    assert remains(tmp_path) == [
        "runs", "runs/mobile-6M-params", "runs/mobile-6M-params/architecture.json",
        "runs/mobile-6M-params/design.json", "runs/mobile-6M-params/model.py",
        "runs/mobile-6M-params/report.html",
    ]  # fmt: skip
    assert read_architecture(folder / "architecture.json") == get("efficientnet_b0")
    for fact in (
        "smallest", "5,288,548", "385,814,752", "88.1 %", "default of the space",
        "Proved: no network of this space within these budgets scores more than 0.40 % above this",
        "runs/mobile-6M-params: architecture.json, design.json, model.py, report.html",
    ):  # fmt: skip
        assert fact in out, fact
    assert out.index("can be met") < out.index("Proved")


def test_the_record_tells_how_to_do_it_again(tmp_path: Path, designs: dict[str, Any]) -> None:
    argv = ["design", "--budget", "6M-params", "--seed", "7", "--quiet", "--gap", "0.5%"]
    assert main(argv) == 0
    record = json.loads((tmp_path / "runs/mobile-6M-params/design.json").read_text())
    assert record["command"] == ["archsearch", *argv]
    assert record["settings"]["seed"] == 7
    assert record["settings"]["gap"] == 0.005
    assert record["budgets"]["params"] == {"limit": 6_000_000, "used": 5_288_548, "default": False}
    assert record["budgets"]["macs"]["default"] is True
    assert record["trace"][0] == [0.1, None, 5000.0]
    assert {"archsearch", "python", "numpy", "platform"} <= set(record["versions"])
    assert record["networks"][0]["costs"]["macs"] == 385_814_752


def test_the_code_it_leaves_runs_by_itself(tmp_path: Path, designs: dict[str, Any]) -> None:
    assert main(["design", "--budget", "6M-params", "--name", "mine", "--quiet"]) == 0
    code = (tmp_path / "runs/mine/model.py").read_text()
    assert "archsearch" not in "".join(line for line in code.splitlines() if "import" in line)
    assert "6M-params" in code
    compile(code, "model.py", "exec")


def test_json_and_quiet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, designs: dict[str, Any]
) -> None:
    assert main(["design", "--budget", "6M-params", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["run"] == "runs/mobile-6M-params"
    assert captured.err == ""
    assert main(["design", "--budget", "6M-params", "--quiet", "--output", "there"]) == 0
    assert capsys.readouterr().out == "there/mobile-6M-params\n"


def test_the_options_reach_the_design(designs: dict[str, Any]) -> None:
    argv = "design --budget params=5M,macs=400M --budget 4M-memory --input 1x64x64 --classes 10"
    more = "--kernel-sizes 3,5 --gap 2% --time-limit 2m --count 3 --seed 4 --quiet"
    assert main([*argv.split(), *more.split()]) == 0
    asked = designs["asked"]
    assert [str(b) for b in asked["budgets"]] == ["5M-params", "400M-macs", "4M-memory"]
    assert (asked["input"], asked["classes"], asked["kernel_sizes"]) == ((1, 64, 64), 10, (3, 5))
    assert (asked["gap"], asked["time_limit"], asked["count"]) == (0.02, 120.0, 3)
    assert asked["seed"] == 4
    assert (asked["space"].name, asked["objective"].name) == ("mobile", "imagenet-mobile")


def test_several_networks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, designs: dict[str, Any], finished: Finished
) -> None:
    designs["outcome"] = finished("efficientnet_b0", "resnet18", "vgg11")
    assert main(["design", "--budget", "6M-params", "--count", "3", "--name", "three"]) == 0
    names = {path.name for path in (tmp_path / "runs/three").iterdir()}
    assert {"architecture.json", "architecture-2.json", "architecture-3.json"} <= names
    assert {"model.py", "model-2.py", "model-3.py"} <= names
    assert read_architecture(tmp_path / "runs/three/architecture-2.json") == get("resnet18")


def test_a_file_of_ones_own(tmp_path: Path, designs: dict[str, Any]) -> None:
    (tmp_path / "mine.py").write_text(SPACE)
    argv = ["design", "--budget", "6M-params", "--space", "mine.py", "--quiet", "--name", "own"]
    assert main(argv) == 0
    asked = designs["asked"]
    assert (asked["space"].name, asked["input"], asked["classes"]) == ("mine", (3, 32, 32), 10)
    assert (tmp_path / "runs/own/space.py").read_text() == SPACE  # it can be done again


def test_the_progress_line(
    capsys: pytest.CaptureFixture[str], designs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsearch.cli import progress

    monkeypatch.setattr(progress, "EVERY", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["design", "--budget", "6M-params"]) == 0
    shown = capsys.readouterr().err.split("\r")
    assert "best -  bound 5,000.0" in shown[1]
    assert "best 1,000.0  bound 2,000.0  gap 100 %  10 nodes" in shown[2]
    assert shown[-2].strip() == shown[-1] == ""


# -- design: mistakes --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--budget is missing"),
        (["--budget", "5Q-params"], "--budget 5Q-params: unknown unit 'Q'; use k, M or G"),
        (["--budget", "-5M-params"], "--budget -5M-params: it is negative"),
        (["--budget", "0-params"], "it is zero"),
        (["--budget", ""], "it is empty"),
        (["--budget", "nan-params"], "it must be a finite number"),
        (["--budget", "-inf-params"], "it must be a finite number"),
        (["--budget", "5M-params", "--budget", "6M-params"], "params already has the budget"),
        (["--budget", "1G-flops"], "'flops' is ambiguous"),
        (["--budget", "8-energy"], "not available yet"),
        (["--budget", "8-latency"], "say on which device: latency@DEVICE"),
        (["--budget", "5M-params", "--space", "moble"], "did you mean mobile?"),
        (["--budget", "5M-params", "--objective", "deepmat"], "did you mean deepmad?"),
        (["--budget", "5M-params", "--gap", "-1%"], "--gap -1%"),
        (["--budget", "5M-params", "--gap", "1"], "--gap 1: write a percentage"),
        (["--budget", "5M-params", "--gap", "nan"], "--gap nan"),
        (["--budget", "5M-params", "--time-limit", "0"], "--time-limit 0"),
        (["--budget", "5M-params", "--time-limit", "5d"], "--time-limit 5d"),
        (["--budget", "5M-params", "--count", "0"], "--count 0"),
        (["--budget", "5M-params", "--seed", "-1"], "--seed -1"),
        (["--budget", "5M-params", "--kernel-sizes", "4"], "--kernel-sizes 4: write odd sizes"),
        (["--budget", "5M-params", "--kernel-sizes", "3,,5"], "--kernel-sizes 3,,5"),
        (["--budget", "5M-params", "--name", "../up"], "--name '../up'"),
        (["--budget", "5M-params", "--name", ""], "--name ''"),
    ],
)
def test_what_cannot_be_designed(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    designs: dict[str, Any],
    argv: list[str],
    message: str,
) -> None:
    assert message in refused(capsys, "design", *argv)
    assert remains(tmp_path) == []
    assert "asked" not in designs


def test_a_budget_nothing_can_meet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, designs: dict[str, Any]
) -> None:
    designs["outcome"] = InfeasibleBudget("budget 9-params: the smallest reachable is 1,000,000")
    line = refused(capsys, "design", "--budget", "9-params", quiet=False)
    assert line == "budget 9-params: the smallest reachable is 1,000,000"
    assert remains(tmp_path) == []


BROKEN = {
    "x = 1\n1 / 0\n": "bad.py, line 2: ZeroDivisionError: division by zero",
    "def f():\n    return gone\nspace = f()\n": "bad.py, line 2: NameError: name 'gone' is not",
    "space = (\n": "bad.py, line 1: SyntaxError: '(' was never closed",
    "import nothing_of_that_name\n": "line 1: ModuleNotFoundError: No module named",
    "raise SystemExit(0)\n": "bad.py, line 1: SystemExit: 0",
    "raise ValueError('a\\nb')\n": "bad.py, line 1: ValueError: a b",
    "": "it assigns no space; a space file says space = SearchSpace(...)",
    "space = 5\n": "space is an int; a space file says space = SearchSpace(...)",
    "from archsearch.operators.linear import Linear\nLinear(8, colour=1)\n": "line 2: TypeError",
    "def f(): f()\nf()\n": "RecursionError",
}


@pytest.mark.parametrize("text", BROKEN)
def test_broken_space_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, designs: dict[str, Any], text: str
) -> None:
    (tmp_path / "bad.py").write_text(text)
    line = refused(capsys, "design", "--budget", "5M-params", "--space", "./bad.py")
    assert BROKEN[text] in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.py", "gone.py: no such space file"),
        ("./folder", "folder: no such space file"),
        ("./notes.txt", "a space file is a Python file whose name ends in .py"),
        ("notes", "no space is named 'notes'; known: "),
        ("own", "no space is named 'own'; for the file write ./own.py"),
    ],
)
def test_space_files_that_are_none(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    designs: dict[str, Any],
    name: str,
    message: str,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "own.py").write_text(SPACE)
    line = refused(capsys, "design", "--budget", "5M-params", "--space", name)
    assert message in line


def test_a_users_code_that_fails_later_is_named(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    designs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "mine.py").write_text(
        "from archsearch.objectives import Additive\n\ndef score(i, pick):\n    return {}['gone']\n"
        "objective = Additive('mine', score)\n"
    )

    def design(budgets: Any, space: Any, objective: Any, **settings: Any) -> None:
        objective.stage_score(0, None)

    monkeypatch.setattr(sys.modules["archsearch.design"], "design", design)
    argv = ["design", "--budget", "5M-params", "--objective", "mine.py", "--quiet"]
    assert refused(capsys, *argv).endswith("mine.py, line 4: KeyError: 'gone'")


def test_a_defect_of_our_own_keeps_its_trace(designs: dict[str, Any]) -> None:
    designs["outcome"] = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError, match="ours"):
        main(["design", "--budget", "5M-params", "--quiet"])


def test_an_existing_run_is_found_out_before_the_search(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, designs: dict[str, Any]
) -> None:
    argv = ["design", "--budget", "6M-params", "--name", "mine", "--quiet"]
    assert main(argv) == 0
    capsys.readouterr()
    before = remains(tmp_path)
    del designs["asked"]
    assert "--name mine: runs/mine exists; choose another name" in refused(capsys, *argv)
    assert remains(tmp_path) == before
    assert "asked" not in designs


def test_an_output_that_is_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, designs: dict[str, Any]
) -> None:
    (tmp_path / "file").write_text("")
    argv = ["design", "--budget", "6M-params", "--output", "file/runs"]
    assert "is not a folder" in refused(capsys, *argv)
    assert remains(tmp_path) == ["file"]
    assert "asked" not in designs


def test_a_full_disk(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    designs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    argv = ["design", "--budget", "6M-params", "--quiet"]
    assert "No space left on device" in refused(capsys, *argv)
    assert remains(tmp_path) == []


# -- Ctrl-C ------------------------------------------------------------------------------------
def test_an_interrupted_search_keeps_its_best(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, designs: dict[str, Any], finished: Finished
) -> None:
    designs["outcome"] = finished(status="interrupted")
    assert main(["design", "--budget", "6M-params", "--name", "mine"]) == 130
    captured = capsys.readouterr()
    assert "interrupted after 2.1 s" in captured.out
    assert captured.err == ""
    assert (tmp_path / "runs/mine/model.py").exists()


@pytest.mark.parametrize("networks", [None, ()])
def test_nothing_found_yet(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    designs: dict[str, Any],
    finished: Finished,
    networks: tuple[()] | None,
) -> None:
    empty = finished(networks=(), status="interrupted")
    designs["outcome"] = KeyboardInterrupt() if networks is None else empty
    argv = ["design", "--budget", "6M-params", "--quiet"]
    assert refused(capsys, *argv, status=130) == "interrupted"
    assert remains(tmp_path) == []


def test_ctrl_c_while_the_run_is_written(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    designs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    argv = ["design", "--budget", "6M-params", "--quiet"]
    assert refused(capsys, *argv, status=130) == "interrupted"
    assert remains(tmp_path) == []


def test_no_network_in_time(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, designs: dict[str, Any], finished: Finished
) -> None:
    designs["outcome"] = finished(networks=(), status="time limit")
    line = refused(capsys, "design", "--budget", "6M-params", "--quiet")
    assert line == "no network found after 2 s; give a longer --time-limit"
    assert remains(tmp_path) == []


@pytest.fixture
def slow_start(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A real process that waits inside a space file."""
    (tmp_path / "slow.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(600)\n")
    argv = ["design", "--budget", "5M-params", "--space", "./slow.py"]
    process = subprocess.Popen(
        [sys.executable, "-m", "archsearch", *argv],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONDONTWRITEBYTECODE": "1"},
        # where the tests run in the background, the shell has them ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    yield process
    process.kill()
    process.communicate()


def test_ctrl_c_on_a_real_process(tmp_path: Path, slow_start: subprocess.Popen[str]) -> None:
    assert slow_start.stdout is not None
    assert slow_start.stdout.readline() == "here\n"
    slow_start.send_signal(signal.SIGINT)
    _, err = slow_start.communicate(timeout=120)
    assert slow_start.returncode == 130
    assert err == "archsearch: interrupted\n"
    assert remains(tmp_path) == ["slow.py"]
