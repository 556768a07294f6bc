"""Tables and the report page: right numbers, well-formed, self-contained, nothing unescaped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from representatives import REPRESENTATIVES

from archsearch.cost import cost
from archsearch.models import MODELS, get
from archsearch.report import svg
from archsearch.report.compare import comparison, comparison_tables
from archsearch.report.numbers import exact, percent, percent_up, short
from archsearch.report.page import page
from archsearch.report.picture import block_pictures
from archsearch.report.stages import stage_rows
from archsearch.report.table import stage_table, table
from archsearch.report.words import (
    budget_table,
    certificate,
    defaults_line,
    prices_line,
    ranges_table,
)
from archsearch.save import Request, design_record

if TYPE_CHECKING:
    from archsearch.design import Design

Finished = Callable[..., "Design"]
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Checker(HTMLParser):
    """Collects elements and attributes; every element must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(design: Design) -> tuple[str, Checker]:
    text = page(design, design_record(design, Request(["archsearch", "design", "--budget", "a b"])))
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return text, checker


# -- the page ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_the_page_of_any_network_is_well_formed(finished: Finished, name: str) -> None:
    text, checker = checked(finished(name))
    assert checker.seen.count("svg") >= 4
    assert "NaN" not in text
    assert "inf" not in re.sub(r"[a-z]*inf[a-z]+", "", text)


def test_the_page_needs_nothing_from_outside(finished: Finished) -> None:
    text, checker = checked(finished("resnet50", "resnet18"))
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(checker.seen)
    assert not {"src", "href", "xlink:href", "onload", "onclick"} & {
        n for n, _ in checker.attributes
    }
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert re.findall(r"url\(([^)]*)\)", text) == ["#tip"]


def test_the_page_tells_what_a_reader_needs(finished: Finished) -> None:
    _, checker = checked(finished("efficientnet_b0", "mobilenetv3_large_100"))
    for fact in (
        "6M-params", "5,288,548", "385,814,752", "1,239.4", "gap reached", "0.40 %",
        "--budget 400M-macs", "archsearch design --budget 'a b'", "numpy", "model-2.py",
        "it is not an accuracy",
    ):  # fmt: skip
        assert fact in checker.text, fact


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><b>', "&amp;", "</style><x>"])
def test_texts_from_elsewhere_are_escaped(finished: Finished, text: str) -> None:
    design = finished(space_name=text, objective_name=text, status=text)
    before = checked(finished())[1].seen
    assert checked(design)[1].seen == before


def test_a_stage_is_pictured_by_the_block_it_has_most_of() -> None:
    found = [(p.kind, p.names) for p in block_pictures(get("densenet121"))]
    layers = ["stages.0", "stages.1", "stages.2", "stages.3"]
    assert found == [("ConvNormAct", ["stem"]), ("DenseLayer", layers), ("Classifier", ["head"])]


def test_texts_in_pictures_are_escaped() -> None:
    assert svg.text(0, 0, "<a>&").endswith(">&lt;a&gt;&amp;</text>")
    assert "<a>" not in svg.rect(0, 0, 1, 1, '"<a>', title="<a>") + svg.drawing(1, 1, [], '"<a>')


@pytest.mark.parametrize(
    "changes",
    [
        {"bound": inf, "trace": ()},
        {"trace": ((0.0, 5.0, 5.0),)},
        {"trace": ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))},
        {"trace": ((0.0, -5.0, inf), (1.0, -4.0, -3.0), (2.0, -4.0, -4.0))},
        {"ranges": {}, "shadow_prices": {}, "default_budgets": ()},
        {"budgets": (), "default_budgets": ()},
        {"seconds": 0.0},
    ],
)
def test_the_page_of_any_outcome_is_well_formed(
    finished: Finished, changes: dict[str, Any]
) -> None:
    text, _ = checked(finished(**changes))
    assert "NaN" not in text


def test_networks_of_one_and_three_dimensions_have_pages(finished: Finished) -> None:
    design = finished("resnet18")
    for size in ((1, 4096), (2, 32, 32, 32)):
        network = replace(design.networks[0].architecture, input=size)
        checked(replace(design, networks=(replace(design.networks[0], architecture=network),)))


# -- stages ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(MODELS))
def test_stages_add_up_to_the_network(name: str) -> None:
    rows, total = stage_rows(get(name)), cost(get(name))
    assert sum(row.cost.params for row in rows) == total.params
    assert sum(row.cost.macs for row in rows) == total.macs
    assert rows[-1].width == get(name).trace().output.shape.channels


def test_the_stages_of_mobilenetv3_are_those_of_its_paper() -> None:
    rows = stage_rows(get("mobilenetv3_large_100"))
    stages = [r for r in rows if r.block == "InvertedResidual"]
    assert [r.width for r in stages] == [16, 24, 40, 80, 112, 160]
    assert [r.depth for r in stages] == [1, 2, 3, 4, 2, 3]
    assert [r.kernel_text for r in stages] == ["3", "3", "5", "3", "3", "5"]
    assert [r.stride for r in stages] == [1, 2, 2, 2, 1, 2]
    assert [r.size_text for r in stages] == ["112x112", "56x56", "28x28", "14x14", "14x14", "7x7"]
    assert stages[1].expansion_text == "4,3"
    assert stages[3].expansion_text == "2.3..6"


def test_the_stage_table_shows_exact_totals() -> None:
    text = stage_table(stage_rows(get("resnet50")))
    assert text.splitlines()[-1].split() == ["total", "25,557,032", "4,089,184,256"]
    assert len({len(line.rstrip()) for line in text.splitlines()}) <= 2


def test_stages_are_plain_data() -> None:
    for row in stage_rows(get("mobilenetv3_large_100")):
        assert json.loads(json.dumps(row.as_dict())) == row.as_dict()


# -- comparison --------------------------------------------------------------------------------
def test_ratios_are_to_the_first() -> None:
    found = comparison([("a", get("resnet18")), ("b", get("resnet50"))])["networks"]
    assert set(found[0]["ratios"].values()) == {1.0}
    assert found[1]["ratios"]["params"] == pytest.approx(25_557_032 / 11_689_512)


def test_stages_of_equal_resolution_share_a_line() -> None:
    text = comparison_tables([("a", get("mobilenetv3_large_100")), ("b", get("efficientnet_b0"))])
    line = next(line for line in text.splitlines() if line.startswith("56x56"))
    assert "InvertedResidual 24 x2 k3 e4,3" in line
    assert "InvertedResidual 24 x2 k3 e6" in line


# -- words and numbers -------------------------------------------------------------------------
def test_the_certificate_is_never_better_than_what_was_proved() -> None:
    assert "more than 0.40 % above this one" in certificate(0.003961)
    assert "more than 1.00 %" in certificate(0.00991)
    assert certificate(0.0).endswith("scores higher.")
    assert "No bound" in certificate(inf)


@given(st.floats(1e-9, 10))
def test_percentages_are_rounded_up(ratio: float) -> None:
    shown = float(percent_up(ratio).rstrip(" %"))
    assert 100 * ratio <= shown * (1 + 1e-12)
    assert shown <= max(100 * ratio * 1.1, 1.1e-4)


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_a_share_is_a_hundred_percent_only_where_it_is(used: int, limit: int) -> None:
    assert used == limit or percent(used / limit) != "100 %" or used / limit >= 1


def test_budgets_are_told_with_their_origin(finished: Finished) -> None:
    lines = budget_table(finished()).splitlines()
    assert lines[2].split() == ["params", "5,288,548", "6,000,000", "88.1", "%", "as", "given"]
    assert lines[3].split()[:3] == ["MACs", "385,814,752", "400,000,000"]
    assert lines[3].endswith("default of the space")
    assert "--budget 400M-macs" in defaults_line(finished())
    assert defaults_line(finished(default_budgets=())) == ""


def test_what_more_budget_is_worth(finished: Finished) -> None:
    # 2e-4 a parameter, 1 % of 6 M parameters: 12 of a score of 1234.5
    assert "params 0.972 %, MACs nothing" in prices_line(finished())


def test_a_budget_out_of_reach_is_seen_before_the_search(finished: Finished) -> None:
    from archsearch.budget import Budget

    budgets = [Budget("params", 999), Budget("macs", 10**12), Budget("peak_memory", 5)]
    text = ranges_table(finished().ranges, {"macs": 400_000_000}, budgets)
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert rows["params"].endswith("  no")
    assert rows["MACs"].endswith("yes, by every network")
    assert "400,000,000" in rows["MACs"]
    assert rows["peak memory (bytes)"].endswith("not known yet")


def test_numbers() -> None:
    assert [short(n) for n in (0, 999, 1000, 4_994_000, 1.82e9)] == [
        "0",
        "999",
        "1k",
        "4.99M",
        "1.82G",
    ]
    assert short(12 * 10**400).endswith("e+401")
    assert exact(1234567) == "1,234,567"


def test_tables_have_no_trailing_spaces() -> None:
    text = table(("a", "b"), [("x", "1"), ("long", ""), ("y",)])
    assert text.splitlines() == ["a     b", "----  -", "x     1", "long", "y"]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_lie_in_range(low: float, length: float) -> None:
    high = low + length
    marks = svg.ticks(low, high)
    assert all(low - 1e-6 * length <= mark <= high + 1e-6 * length for mark in marks)
    assert len(marks) <= 12
