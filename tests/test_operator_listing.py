"""The list of operators: its formulas against PyTorch, its properties, and the page made of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from rows import Alone
from torch.utils.flop_counter import FlopCounterMode

from archsearch import convolutions
from archsearch.cli import main
from archsearch.graph import trace
from archsearch.nets.build import build_recipe
from archsearch.operator import Operator, Shape
from archsearch.operators.convolution import Convolution
from archsearch.report.operators import OperatorRow, operator_page, operator_rows
from archsearch.spatial import CompositeConvolution

assert convolutions  # importing the package makes them known
ROOT = Path(__file__).parents[1]
ROWS = {row.name: row for row in operator_rows()}
ALONE = sorted(
    name
    for name, row in ROWS.items()
    if row.composite or (Operator.known[name].inputs == 1 and "kernel_size" in row.fields)
)
"""Those that stand alone on a map at their defaults."""


def evaluated(formula: str, **numbers: int) -> float:
    """A formula of the listing; other words than its symbols end it."""
    plain = re.split(r" per position| once| on a map| at C=", formula)[0].replace(",", "")
    return float(eval(plain.replace("^", "**"), numbers))


def macs(formula: str, positions: int, **numbers: int) -> float:
    """All terms: those of every position, and those done once."""
    if "per position" not in formula:
        return evaluated(formula, **numbers)
    everywhere, _, once = formula.partition(" per position")
    return evaluated(everywhere, **numbers) * positions + evaluated(once[3:] or "0", **numbers)


@pytest.mark.parametrize("name", ALONE)
def test_formulas_are_what_pytorch_counts(name: str) -> None:
    row = ROWS[name]
    kind = (Operator.known | CompositeConvolution.known)[name]
    channels = 64 if "at C=64" in row.parameters else 128
    x = Shape(channels, (14,) * row.dimensions)
    numbers = {"C": channels, "N": channels}
    for field, default in row.fields.items():
        symbol = field.removesuffix("kernel_size").rstrip("_")
        if field.endswith("kernel_size"):
            numbers[f"k_{symbol}" if symbol else "k"] = int(default)
        elif field == "taps":
            numbers["taps"] = int(default)
    numbers |= dict.fromkeys("DHW", 14)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net = build_recipe(Alone(kind()), x).eval()
        net(torch.empty(1, x.channels, *x.size))
    assert evaluated(row.parameters, **numbers) == sum(p.numel() for p in net.parameters())
    unseen = sum(node.op.unseen_macs(*node.x) for node in trace(Alone(kind()), x).nodes())
    counted = macs(row.macs, x.positions, **numbers) - unseen
    assert 2 * counted == counter.get_total_flops()


def test_formulas_leave_open_what_they_can() -> None:
    assert ROWS["Convolution"].parameters == "C*N*k^2"
    assert ROWS["Convolution"].macs == "C*N*k^2 per position"
    assert ROWS["LargeKernelAttention"].parameters == "C^2 + 77*C"
    assert ROWS["LargeKernelAttention"].macs == "C^2 + 74*C per position"
    assert ROWS["Linear"].parameters == "C*N + N"
    assert ROWS["GlobalFilter"].parameters == "224*C on a map of 14x14"


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("Convolution", {"shift-equivariant"}),
        ("BatchNorm", {"mergeable", "shift-equivariant"}),
        ("LSConvolution", {"input-conditioned", "mergeable", "shift-equivariant"}),
        ("GlobalLocalFilter", {"fixed resolution", "shift-equivariant"}),
        ("DilatedReparam", {"mergeable", "shift-equivariant"}),
        ("LargeKernelAttention", {"input-conditioned", "shift-equivariant"}),
        ("WindowAttention", {"input-conditioned"}),
    ],
)
def test_properties_are_those_of_the_parts(name: str, properties: set[str]) -> None:
    assert set(ROWS[name].properties) == properties


def test_transformations() -> None:
    assert ROWS["Convolution"].preserved_by == ["wider", "larger kernel", "fewer groups"]
    assert ROWS["LargeKernelAttention"].preserved_by == ["wider", "larger kernel"]
    assert ROWS["LayerNorm"].preserved_by == ["wider"]
    assert "alternate" in ROWS["GlobalLocalFilter"].refusals["wider"]
    for row in ROWS.values():
        assert all(reason.count("\n") == 0 for reason in row.refusals.values())


def test_every_shipped_one_is_listed() -> None:
    known = {**Operator.known, **CompositeConvolution.known}
    shipped = {name for name, kind in known.items() if kind.__module__.startswith("archsearch.")}
    assert shipped == set(ROWS)
    assert all(row.summary for row in ROWS.values())


def test_settings_are_written_as_one_would() -> None:
    assert ROWS["VisualAttention"].fields["conv"] == "LargeKernelAttention()"
    assert ROWS["InceptionDepthwise"].fields["branch_ratio"] == "1/8"
    assert ROWS["RecursiveGated"].fields["conv"] == "Convolution(kernel_size=7, group_size=1)"
    assert ROWS["Split"].fields["start"] == ""
    assert set(ROWS["Convolution"].fields) == {field.name for field in fields(Convolution)}


def test_the_page_is_current() -> None:
    page = (ROOT / "docs/operators.md").read_text()
    now = operator_page(list(ROWS.values())) + "\n"
    assert page == now, "run: archsearch list operators --markdown > docs/operators.md"


def test_listing_is_quick_and_needs_no_torch() -> None:
    code = (
        "import sys; from archsearch.cli import main; main(['list', 'operators']);"
        "print(*({'torch', 'scipy', 'networkx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=300,
    )
    assert done.stdout.splitlines()[-1] == ""


# -- the command ---------------------------------------------------------------------------------
def test_one_operator(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "operator", "GlobalLocalFilter"]) == 0
    text = capsys.readouterr().out
    for words in ("HorNet-GF", "kernel_size=3", "not wider", "alternate", "fixed resolution"):
        assert words in text


def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "operators", "Convolution", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["fields"]["kernel_size"] == "1"
    assert row["preserved_by"] == ["wider", "larger kernel", "fewer groups"]
    assert set(row) == {field.name for field in fields(OperatorRow)} | {"preserved_by"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["operators", "Convolutio"],
            "no operator is named 'Convolutio'; did you mean Convolution?",
        ),
        (["operators", "Convolutio", "--json"], "did you mean Convolution?"),
        (["models", "resnet18"], "for operators"),
        (["models", "--markdown"], "for operators"),
    ],
)
def test_refusals(capsys: pytest.CaptureFixture[str], argv: list[str], message: str) -> None:
    assert main(["list", *argv]) == 2
    assert message in capsys.readouterr().err
