"""What the report of a training tells of the networks that it grew through."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any
from xml.etree import ElementTree

from archsearch.models import get
from archsearch.report.curves import curves
from archsearch.report.generations import expansion_line, generations
from archsearch.report.training_page import SeedResult, TrainingRecord, training_page

SVG = "{http://www.w3.org/2000/svg}"


def generation(epoch: int, params: int, accuracy: float = 0.5, **more: Any) -> dict[str, Any]:
    """A growth after so many epochs, which doubles what there was."""
    return {
        "key": f"{params:016x}",
        "changes": ["stage1: width 8 to 16", "stage2: depth 1 to <2>"],
        "difference": {"evaluation": 2.4e-16, "as kept": 1e-8},
        "before": {"params": params // 2, "macs": 5 * params},
        "after": {"params": params, "macs": 10 * params},
        "accuracy": {"before": accuracy, "after": accuracy + 0.25},
        "split": "validation",
        "found_by": "program",
        "epochs": [epoch, epoch + 2],
        **more,
    }


def look(epoch: int, present: float, larger: float) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "changes": [f"stage{epoch}: depth 1 to 2"],
        "score": {"present": present, "larger": larger},
    }


def rows(page: str) -> list[list[str]]:
    body = re.findall(r"<tr><td.*?</tr>", page)
    return [[unescape(c) for c in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in body]


def history(epochs: int) -> list[dict[str, Any]]:
    return [
        {"epoch": e, "seconds": 1.0, "learning_rate": 1e-3, "train_loss": 1 / e}
        for e in range(1, epochs + 1)
    ]


def marked(picture: str) -> list[float]:
    """Where lines mark a growth, of the first panel."""
    lines = list(ElementTree.fromstring(picture).iter(f"{SVG}line"))
    places = [float(e.get("x1", "")) for e in lines if e.get("class") == "mark"]
    assert all(e.get("x1") == e.get("x2") for e in lines if e.get("class") == "mark")
    return [x for x in places if x < 400]


def test_every_growth_is_a_row() -> None:
    planned = {"key": "x", "changes": ["never made"], "epochs": [6, 8]}
    page = generations({"generations": [generation(0, 2000), generation(3, 4000), planned]})
    first, *others = rows(page)
    assert first[1:4] == ["the network that there was", "1,000", "10,000"]
    words = "stage1: width 8 to 16; stage2: depth 1 to <2>"
    assert others == [
        ["0", words, "2,000", "20,000", "50.00 %", "75.00 %", "2e-16", "program"],
        ["3", words, "4,000", "40,000", "50.00 %", "75.00 %", "2e-16", "program"],
    ]
    assert "never made" not in page and escape("<2>") in page


def test_what_a_growth_was_scored_stands_beside_it() -> None:
    own = generation(3, 4000, found_by="score", score={"present": 2.0, "larger": 5.0})
    own["difference"] = {"evaluation": 0.0}
    assert rows(generations({"generations": [own]}))[1][-2:] == ["0", "score, 2.50 times"]


def test_a_network_that_did_not_grow_tells_nothing() -> None:
    assert generations({}) == generations({"generations": []}) == ""


def test_an_expansion_is_told_with_its_best_candidate() -> None:
    looks = [look(1, 10.0, 15.0), look(2, 10.0, 18.5), look(3, 0.0, 1.0), look(4, 20.0, 30.0)]
    record = {"expansion": {"threshold": 2.0, "looks": looks}, "generations": []}
    line = expansion_line(record)
    assert line.startswith("It never expanded: more than 2 times its own score was asked for")
    assert "of 4 epochs had 1.85 times (stage2: depth 1 to 2, after epoch 2)" in line
    page = generations(record)
    assert escape(line) in page
    picture = page[page.index("<svg") : page.index("</svg>") + 6]
    heights = [float(e.get("y", "")) for e in ElementTree.fromstring(picture).iter("rect")]
    (asked,) = [
        e for e in ElementTree.fromstring(picture).iter("line") if e.get("class") == "ideal"
    ]
    assert len(heights) == 3  # what was scored 0 has no ratio
    assert float(asked.get("y1", "")) < heights[1] < heights[0] == heights[2]
    looks[0]["score"]["larger"] = 1e4
    assert ">100<" in generations(record)  # the axis is logarithmic, and has its decades
    record["generations"] = [generation(2, 400)]
    assert expansion_line(record).startswith("It expanded 1 time: ")
    record["expansion"]["looks"] = []
    assert "no larger network" in expansion_line(record | {"generations": []})


def test_curves_are_marked_where_it_grew() -> None:
    """A growth before the first epoch, or one after the last, is on no curve."""
    assert marked(curves([history(5)])) == []
    places = marked(curves([history(5)], [0, 1, 3, 5, 6]))
    assert places == [62, 62 + 290 / 2, 62 + 290]


def test_a_page_has_both() -> None:
    own = {"generations": [generation(3, 4000)]}
    words: Any = ("grown", get("resnet18"), {"source": "digits"}, {}, [SeedResult(0, history(5))])
    page = training_page(TrainingRecord(*words, growth=own))
    assert page.index("<h2>Training</h2>") < page.index("How it grew") < page.index("<h2>Data</h2>")
    assert page.count('class="mark"') == 3 and "grew where a line is dotted" in page
    page = training_page(TrainingRecord(*words))
    assert "How it grew" not in page and "dotted" not in page
