"""The command line: what it shows, and that every mistake is answered in one line and status 2."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, SPACE, refused, remains

from archsearch.cli import main
from archsearch.models import MODELS, get
from archsearch.serialization import to_json

pytestmark = pytest.mark.usefixtures("own_folder")


# -- the program itself ------------------------------------------------------------------------
def loaded_by(*argv: str) -> set[str]:
    """Top-level modules that a command imports."""
    code = (
        "import sys\nfrom archsearch.cli import main\n"
        f"status = main({argv!r})\nassert status == 0, status\n"
        "print('\\0' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=True,
    )  # fmt: skip
    return set(done.stdout.rpartition("\0")[2].split())


def test_help_imports_no_library() -> None:
    heavy = {"torch", "ray", "cvxpy", "matplotlib", "scipy", "numpy", "networkx", "onnx"}
    assert loaded_by("--help") & heavy == set()


@pytest.mark.parametrize(
    "argv",
    [
        ("show", "resnet50"),
        ("cost", "resnet50", "--level", "layer"),
        ("compare", "resnet18", "resnet50"),
        ("list", "models"),
        ("list", "spaces"),
        ("export", "resnet18", "--output", "-"),
    ],
)
def test_looking_imports_no_torch(argv: tuple[str, ...]) -> None:
    assert loaded_by(*argv) & {"torch", "ray", "cvxpy", "matplotlib", "networkx", "onnx"} == set()


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    import archsearch

    assert main([]) == 0
    assert main(["--help"]) == 0
    assert main(["design", "--help"]) == 0
    assert "--time-limit" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"archsearch {archsearch.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["desing"], "no command is named 'desing'; did you mean design?"),
        (
            ["design", "--bugdet", "5M-params"],
            "no option is named --bugdet; did you mean --budget?",
        ),
        (["show"], "the following arguments are required: ARCH; see archsearch show --help"),
        (["show", "resnet18", "resnet34"], "what is 'resnet34' for? see archsearch show --help"),
        (["cost", "resnet18", "--level", "atom"], "--level: invalid choice: 'atom'"),
        (["list", "spices"], "no list is named 'spices'; did you mean spaces?"),
        (["design", "--budget"], "--budget: expected one argument"),
        (["--nonsense"], "no option is named --nonsense"),
    ],
)
def test_misspelled_commands(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert message in refused(capsys, *argv)


def test_a_reader_that_goes_away_is_no_error() -> None:
    pipe = f"{sys.executable} -m archsearch cost vgg16 --level layer | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {pipe}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.startswith("layer")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_standard_output_on_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "archsearch", "show", "resnet18"],
            stdout=full, stderr=subprocess.PIPE, text=True,
            env=ENVIRONMENT, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "archsearch: cannot write the output: No space left on device\n"


# -- looking -----------------------------------------------------------------------------------
def test_show_and_cost_tell_the_same_totals(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("show", "cost"):
        assert main([command, "resnet50", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["costs"]["params"] == 25_557_032
        assert sum(stage["macs"] for stage in found["stages"]) == 4_089_184_256
        assert main([command, "resnet50"]) == 0
        assert "25,557,032" in capsys.readouterr().out


@pytest.mark.parametrize("level", ["block", "layer"])
def test_cost_by_block_and_layer_adds_up(capsys: pytest.CaptureFixture[str], level: str) -> None:
    assert main(["cost", "mobilenetv2_100", "--level", level, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        sum(part["params"] for part in found[f"{level}s"]) == found["costs"]["params"] == 3_504_872
    )


def test_input_and_classes(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["show", "resnet18", "--input", "1x64x64", "--classes", "10", "--json"]
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["input"] == [1, 64, 64]
    # two input channels less in the stem, 990 classes less in the head
    assert found["costs"]["params"] == 11_689_512 - 2 * 64 * 49 - 990 * 513


def test_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "resnet18", "resnet50", "vgg16", "--json"]) == 0
    names = [n["name"] for n in json.loads(capsys.readouterr().out)["networks"]]
    assert names == ["resnet18", "resnet50", "vgg16"]
    assert main(["compare", "resnet18", "resnet50"]) == 0
    assert "x2.19" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["spaces", "objectives", "operators", "blocks", "models", "model"])
def test_lists(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert main(["list", kind, "--json"]) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert captured.err == ""
    assert all(row["name"] for row in rows)
    assert main(["list", kind]) == 0
    text = capsys.readouterr().out
    assert all(row["name"] in text for row in rows)


def test_what_is_listed_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "models", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(MODELS)
    assert main(["list", "operators", "--json"]) == 0
    by_name = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert "group_size" in by_name["Convolution"]["fields"]
    assert all(row["summary"] for row in by_name.values())


def test_one_broken_file_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsearch import loading

    (tmp_path / "good.py").write_text(f'"""A good one."""\n{SPACE}')
    (tmp_path / "bad.py").write_text("1 / 0\n")
    monkeypatch.setattr(loading, "_folder", lambda kind: tmp_path)
    assert main(["list", "spaces", "--json"]) == 0
    captured = capsys.readouterr()
    summaries = {row["name"]: row["summary"] for row in json.loads(captured.out)}
    assert summaries == {"bad": "cannot be loaded", "good": "A good one."}
    assert "bad.py, line 1: ZeroDivisionError: division by zero" in captured.err


# -- architectures by name ---------------------------------------------------------------------
@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "architecture.json").write_text(to_json(get("resnet18")))
    return folder


@pytest.mark.parametrize("name", ["mine", "runs/mine", "runs/mine/architecture.json", "resnet18"])
def test_a_network_is_found_by(
    capsys: pytest.CaptureFixture[str], run_folder: Path, name: str
) -> None:
    assert main(["show", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["costs"]["params"] == 11_689_512


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "no run or published model is named 'resnet81'; did you mean resnet18?"),
        ("mien", "did you mean mine?"),
        ("runs/gone", "runs/gone: no such architecture file or run"),
        ("gone.json", "gone.json: no such architecture file or run"),
        ("x" * 5000, "no run or published model is named"),
        ("a\nb\x1b[31m", "no run or published model is named"),
        ("", "no run or published model is named ''"),
        ("runs", "no run or published model is named 'runs'"),
    ],
)
def test_unknown_networks(
    capsys: pytest.CaptureFixture[str], run_folder: Path, name: str, message: str
) -> None:
    line = refused(capsys, "show", name)
    assert message in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "damaged or cut short"),
        (lambda text: "", "is not JSON"),
        (lambda text: "[" * 100_000, "nested deeper than any architecture"),
        (lambda text: text.replace("BasicBlock", "os.system"), "BasicBlock"),
        (lambda text: text.replace('"width"', '"wdith"', 1), "wdith"),
        (lambda text: text.replace('"width":64', '"width":-64', 1), "width of BasicBlock is -64"),
        (lambda text: text.replace('"width":64', '"width":"64"', 1), "width"),
        (lambda text: text.replace('"format":1', '"format":99'), "format is 99"),
        (lambda text: "\0\1\2", "is not JSON"),
    ],
)
def test_damaged_files(
    capsys: pytest.CaptureFixture[str], run_folder: Path, damage: Callable[[str], str], message: str
) -> None:
    path = run_folder / "architecture.json"
    damaged = damage(path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    line = refused(capsys, "show", "mine")
    assert message in line
    assert "architecture.json" in line


def test_a_huge_file_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    with open(run_folder / "architecture.json", "r+b") as file:
        file.truncate(2**30)  # sparse
    start = time.monotonic()
    assert "MB" in refused(capsys, "cost", "mine")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--input", "224"], "--input 224: write channels and sizes"),
        (["--input", "3x0x4"], "--input 3x0x4"),
        (["--input", "3x999999999x999999999"], "--input 3x999999999x999999999"),
        (["--input", "3x1x1x1x1"], "such as 3x224x224"),
        (["--classes", "0"], "--classes 0: give a whole number from 1"),
        (["--classes", "-3"], "--classes -3: give a whole number"),
        (["--classes", "many"], "--classes many"),
    ],
)
def test_bad_inputs_and_classes(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert message.replace("such as", "as in") in refused(capsys, "show", "resnet18", *argv)


# -- export ------------------------------------------------------------------------------------
def test_export_writes_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["export", "resnet18"]) == 0
    assert capsys.readouterr().out == "resnet18.py\n"
    text = (tmp_path / "resnet18.py").read_text()
    assert main(["export", "resnet18", "--output", "-"]) == 0
    assert capsys.readouterr().out == text
    line = refused(capsys, "export", "resnet18")
    assert line.startswith("resnet18.py exists; say --output resnet18.py to replace it")
    assert main(["export", "resnet18", "--output", "resnet18.py", "--classes", "10"]) == 0
    assert (tmp_path / "resnet18.py").read_text() != text


def test_export_of_a_run_is_named_after_it(run_folder: Path, tmp_path: Path) -> None:
    assert main(["export", "mine"]) == 0
    assert main(["export", "runs/mine/architecture.json", "--output", "other.py"]) == 0
    assert (tmp_path / "mine.py").read_text() == (tmp_path / "other.py").read_text()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--format", "onx"], "--format onx: unknown; did you mean onnx?"),
        (["--output", "gone/model.py"], "gone/model.py: cannot be written"),
        (["--output", "."], "cannot be written"),
        (["--format", "onnx", "--output", "-"], "only pytorch is text"),
        (["--weights", "gone.safetensors"], "gone.safetensors"),
    ],
)
def test_what_cannot_be_exported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, argv: list[str], message: str
) -> None:
    assert message in refused(capsys, "export", "resnet18", *argv)
    assert remains(tmp_path) == []


# -- the package -------------------------------------------------------------------------------
def test_the_public_names_are_there() -> None:
    code = (
        "import archsearch.design\nimport archsearch, inspect\n"
        "assert inspect.isfunction(archsearch.design), archsearch.design\n"
        "from archsearch.design import Design\nfrom archsearch import design, save_design, Budget\n"
        "assert design is archsearch.design\n"
        "assert all(hasattr(archsearch, name) for name in dir(archsearch))\n"
        "assert archsearch.models.get('resnet18').stages\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=ENVIRONMENT, timeout=60)


def test_importing_the_package_is_free() -> None:
    code = (
        "import sys, archsearch\nassert 'numpy' not in sys.modules\nassert archsearch.__version__"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=ENVIRONMENT, timeout=60)
