"""What a training leaves to read: curves, page, lines, tables and TensorBoard files."""

from __future__ import annotations

import csv
import json
import math
import struct
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from archsearch.models import get
from archsearch.report import training_page as page_module
from archsearch.report.curves import curves
from archsearch.report.training import run_lines, write_report
from archsearch.report.training_page import SeedResult, TrainingRecord, training_page
from archsearch.report.training_text import (
    duration,
    epoch_line,
    per_class_csv,
    per_class_table,
    share,
    summary_lines,
)
from archsearch.training.metrics import Judgement, judge
from archsearch.training.tensorboard import TensorBoardLog

Row = dict[str, Any]
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "link", "br", "hr", "img", "input"}


def history(epochs: int, seed: int = 0, validation: bool = True) -> list[Row]:
    rows = []
    for epoch in range(1, epochs + 1):
        loss = 0.3 + 2 / (epoch + seed)
        row: Row = {
            "epoch": epoch,
            "step": 10 * epoch,
            "seconds": 3.0 * epoch,
            "learning_rate": 0.004 * (1 - epoch / epochs),
            "train_loss": loss,
            "train_accuracy": 1 - loss / 4,
            "pictures_per_second": 1840.4,
        }
        if validation:
            row |= {"validation_loss": 0.9 * loss, "validation_accuracy": 1 - loss / 5}
        rows.append(row)
    return rows


def judgement(classes: Sequence[str], seed: int = 0, n: int = 400) -> Judgement:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, len(classes), (n,), generator=generator)
    logits = torch.randn(n, len(classes), generator=generator)
    logits[torch.arange(n), labels] += 2
    return judge(logits, labels, classes)


# -- curves --------------------------------------------------------------------------------------
def lines_of(picture: str) -> dict[str, list[list[tuple[float, float]]]]:
    """The curves of a picture by their classes, as lists of points."""
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for line in ElementTree.fromstring(picture).iter(f"{SVG}polyline"):
        points = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
        found.setdefault(line.attrib["class"], []).append(points)  # type: ignore[arg-type]
    return found


def dots_of(picture: str) -> list[str]:
    root = ElementTree.fromstring(picture)
    css = [rect.attrib.get("class", "") for rect in root.iter(f"{SVG}rect")]
    return sorted(name for name in css if "dot" in name)


def texts_of(picture: str) -> set[str]:
    return {text.text or "" for text in ElementTree.fromstring(picture).iter(f"{SVG}text")}


def test_every_epoch_is_a_point_and_better_is_where_it_should_be() -> None:
    picture = curves([history(30)])
    found = lines_of(picture)
    assert set(found) == {"curve train", "curve validation", "curve rate"}
    assert [[len(line) for line in own] for own in found.values()] == [[30, 30], [30, 30], [30]]
    loss, accuracy = found["curve train"]
    across = [x for x, _ in loss]
    assert across == sorted(across)
    # the loss falls (pixels grow downwards), the accuracy rises
    assert [y for _, y in loss] == sorted(y for _, y in loss)
    assert [y for _, y in accuracy] == sorted((y for _, y in accuracy), reverse=True)
    said = {"loss", "accuracy", "learning rate", "epoch", "train", "validation"}
    assert said | {"10", "20", "30"} <= texts_of(picture)


def test_ticks_stand_at_their_values() -> None:
    """A curve's heights are read back by the labelled rows of the grid."""
    rows = history(12)
    root = ElementTree.fromstring(curves([rows]))
    labels = [
        (float(t.attrib["y"]) - 4, float(t.text.removesuffix(" %")) / 100)
        for t in root.iter(f"{SVG}text")
        if t.text and t.text.endswith(" %")
    ]
    (low_y, low), (high_y, high) = labels[0], labels[-1]
    points = lines_of(curves([rows]))["curve train"][1]
    read = [low + (y - low_y) / (high_y - low_y) * (high - low) for _, y in points]
    assert read == pytest.approx([row["train_accuracy"] for row in rows], abs=1e-3)


def test_several_seeds_are_thin_lines_below_their_mean() -> None:
    histories = [history(8, seed) for seed in range(3)]
    found = lines_of(curves(histories))
    for name in ("train", "validation"):
        thin, thick = found[f"curve {name} thin"], found[f"curve {name}"]
        assert (len(thin), len(thick)) == (6, 2)
        heights = [sum(line[4][1] for line in thin[:3]) / 3, thick[0][4][1]]
        assert heights[0] == pytest.approx(heights[1], abs=0.02)


def test_the_mean_is_drawn_only_where_all_seeds_are() -> None:
    found = lines_of(curves([history(8), history(5)]))
    assert [len(line) for line in found["curve train"]] == [5, 5]
    assert sorted(len(line) for line in found["curve train thin"]) == [5, 5, 8, 8]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_a_missing_value_is_a_gap(bad: float | None) -> None:
    rows = history(9, validation=False)
    rows[4]["train_loss"] = bad
    rows[6]["train_loss"] = bad
    picture = curves([rows])
    assert [len(line) for line in lines_of(picture)["curve train"]] == [4, 2, 9]
    assert dots_of(picture) == ["dot train"]
    assert "validation" not in texts_of(picture)
    several = curves([rows, history(9, 1, validation=False)])
    assert [len(line) for line in lines_of(several)["curve train thin"]] == [4, 2, 9, 9, 9]
    for drawn in (picture, several):
        body = drawn[drawn.index("</style>") :].lower()
        assert "nan" not in body
        assert "inf" not in body


def test_one_epoch_is_dots() -> None:
    picture = curves([history(1)])
    assert lines_of(picture) == {}
    assert dots_of(picture) == ["dot rate", *["dot train"] * 2, *["dot validation"] * 2]


def test_a_loss_that_explodes_leaves_the_rest_readable() -> None:
    rows = history(10, validation=False)
    rows[5]["train_loss"] = 1e30
    rows[6]["train_loss"] = 0.0
    line = lines_of(curves([rows]))["curve train"][0]
    heights = [y for _, y in line]
    assert heights[5] < 60
    assert all(34 <= y <= 250 for y in heights)
    assert len(set(heights[:5])) == 5


@pytest.mark.parametrize("histories", [[], [[]], [[], history(3)], [history(2000)]])
def test_any_history_has_a_picture(histories: list[list[Row]]) -> None:
    assert ElementTree.fromstring(curves(histories)).tag == f"{SVG}svg"


def test_the_picture_needs_nothing_from_outside() -> None:
    picture = curves([history(3)])
    assert picture.count("http") == 1
    assert 'xmlns="http://www.w3.org/2000/svg"' in picture
    assert not {"url(", "@import", "href", "<script", "var("} & set(picture.split())
    assert "var(" not in picture


# -- the page ------------------------------------------------------------------------------------
class Checker(HTMLParser):
    """Collects elements, attributes and text; every element must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.names: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.names |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.names |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(record: TrainingRecord) -> Checker:
    text = training_page(record)
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(checker.seen)
    assert not {"src", "href", "onload", "onclick"} & checker.names
    assert "http" not in text
    text.encode()
    return checker


def record_of(*seeds: SeedResult, **changes: Any) -> TrainingRecord:
    given: dict[str, Any] = {
        "name": "A network trained on digits",
        "architecture": get("mobilenetv3_large_100"),
        "data": {"source": "digits", "sizes": {"train": 1300}},
        "recipe": {"epochs": 8, "optimizer": "adamw", "augment": {"crop": 2}},
        "seeds": seeds,
        "origin": {"command": "archsearch train a.json --data 'my photos'"},
    }
    return TrainingRecord(**given | changes)


def test_the_page_tells_what_a_reader_needs() -> None:
    found = judgement("abcdefg")
    checker = checked(record_of(SeedResult(0, history(8), test=found, validation=found)))
    low, high = found.interval
    assert found.calibration is not None
    for fact in (
        share(found.accuracy), f"{share(low)} to {share(high)}", share(found.top5),
        share(found.calibration.ece), f"{found.correct} of the 400", "the test split",
        "5.48M", "params", "8 epochs, 1 seed", "adamw", '{"crop": 2}', "--data 'my photos'",
        "learning rate", "stages.0", "24 s",
    ):  # fmt: skip
        assert fact in checker.text, fact
    assert checker.seen.count("svg") == 4  # arrow, curves, reliability, network
    assert "Seeds" not in checker.text


def test_the_confusion_matrix_is_a_table_of_its_counts() -> None:
    found = judgement("abc", n=100)
    text = training_page(record_of(SeedResult(0, history(2), test=found)))
    for row in found.confusion:
        for count in row:
            assert f">{count or '·'}</span>" in text
    assert text.count('class="heat"') == 9
    assert text.count("background:rgba(47, 111, 222") == 3


def test_many_classes_are_told_by_their_worst() -> None:
    classes = [f"class-{i}" for i in range(100)]
    found = judgement(classes, n=3000)
    text = training_page(record_of(SeedResult(0, history(2), test=found)))
    assert 'class="heat"' not in text
    worst = max(n for i, row in enumerate(found.confusion) for j, n in enumerate(row) if i != j)
    i, j = next(
        (i, j)
        for i, row in enumerate(found.confusion)
        for j, n in enumerate(row)
        if i != j and n == worst
    )
    first = text.index("taken for<")
    cells = text[first:].split("<tr>")[1].replace("</td>", "").replace("</tr>", "").split("<td")
    assert [cell.partition(">")[2] for cell in cells[1:4]] == [classes[i], classes[j], str(worst)]
    lowest = min(found.per_class, key=lambda own: own.f1 or 0.0)
    table = text[text.index(">Classes<") : first]
    assert f">{lowest.name}<" in table
    assert table.count("<tr>") == 20 + 2  # with the headers of both tables
    assert "lowest F1 of 100" in text


def test_several_seeds_have_a_mean_and_the_median_is_shown() -> None:
    judged = [judgement("abcdef", seed) for seed in range(3)]
    seeds = [SeedResult(i, history(4, i), test=own) for i, own in enumerate(judged)]
    seeds.append(SeedResult(3, history(2), "diverged", "the loss became nan in epoch 3"))
    checker = checked(record_of(*seeds))
    accuracies = sorted((own.accuracy, i) for i, own in enumerate(judged))
    mean = sum(accuracy for accuracy, _ in accuracies) / 3
    deviation = math.sqrt(sum((a - mean) ** 2 for a, _ in accuracies) / 2)
    assert f"tables show seed {accuracies[1][1]}, the median" in checker.text
    assert share(mean) in checker.text
    assert f"deviate by {share(deviation)}" in checker.text
    assert "Seed 3 diverged: the loss became nan in epoch 3." in checker.text


@pytest.mark.parametrize(
    "seeds",
    [
        [],
        [SeedResult(0, [], "diverged", "the loss became nan in epoch 1")],
        [SeedResult(0, history(3, validation=False), "stopped")],
        [SeedResult(0, history(1), validation=judgement("ab"))],
        [SeedResult(0, history(1), test=judge(torch.full((4, 2), math.nan), torch.ones(4), "ab"))],
    ],
)
def test_the_page_of_any_outcome_is_well_formed(seeds: list[SeedResult]) -> None:
    checker = checked(record_of(*seeds))
    for own in seeds:
        if own.state != "finished":
            assert f"Seed 0 {own.state}" in checker.text
        if own.test is not None:
            assert "4 answers are not finite numbers" in checker.text


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><b>', "&amp;", "</style><x>", "a\x1b[31m", "\udce9"]
)
def test_texts_from_elsewhere_are_escaped(text: str) -> None:
    plain = checked(record_of(SeedResult(0, history(2), test=judgement("ab"))))
    found = SeedResult(0, history(2), "finished", "", None, judgement(["a", text]))
    told = {"data": {text: text}, "recipe": {"a": {text: [text]}}, "origin": {"x": text}}
    odd = checked(record_of(found, name=text, **told))
    assert set(odd.seen) == set(plain.seen)
    assert odd.names == plain.names
    assert "\x1b" not in odd.text
    many = judgement([text, *map(str, range(40))], n=200)
    checked(record_of(SeedResult(0, history(2), test=many)))


def test_the_pages_limits_are_those_of_the_tables() -> None:
    classes = [str(i) for i in range(page_module.MOST_CELLS)]
    text = training_page(record_of(SeedResult(0, history(1), test=judgement(classes))))
    assert text.count('class="heat"') == len(classes) ** 2


# -- lines on the terminal -----------------------------------------------------------------------
def test_the_line_of_an_epoch() -> None:
    row = history(12)[-1] | {"train_accuracy": 0.881, "validation_accuracy": 0.8932}
    row |= {"train_loss": 0.4123, "learning_rate": 0.00213}
    assert epoch_line(row, 300, 125) == (
        "epoch  12/300  loss 0.412  train 88.10 %  validation 89.32 %  lr 0.0021"
        "  1,840 pictures/s  2 min left"
    )
    assert "left" not in epoch_line(row | {"epoch": 300}, 300, 0)
    plain = history(1, validation=False)[0] | {"train_loss": math.nan}
    assert "loss -  train" in epoch_line(plain, 1)
    assert "validation" not in epoch_line(plain | {"validation_accuracy": None}, 1)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"), (99.4, "99 s"), (100, "2 min"), (5940, "99 min"), (6000, "1 h 40 min"),
        (11100, "3 h 05 min"), (math.inf, "-"),
    ],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(0.99421, "99.42 %"), (1.0, "100.00 %"), (0.999999, "99.99 %"), (0.0, "0.00 %"), (None, "-")],
)
def test_shares_are_never_rounded_to_a_hundred(ratio: float | None, said: str) -> None:
    assert share(ratio) == said


def test_a_judgement_in_lines() -> None:
    # 8 of 10 right, 6 classes; one answer is no number
    labels = torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 2, 3])
    logits = torch.nn.functional.one_hot(labels, 6).float() * 9
    logits[0] = logits[1]
    logits[9, 0] = math.nan
    lines = summary_lines(judge(logits, labels, "abcdef"), "validation")
    text = "\n".join(lines)
    assert lines[0] == (
        "validation accuracy  80.00 %  (95 % interval 49.02 % to 94.33 %, 10 pictures)"
    )
    for fact in ("top-5 accuracy", "balanced accuracy", "nats", "Brier", "1 answers, counted as"):
        assert fact in text


def outcome(seed: int, test: Judgement | None, **changes: Any) -> Any:
    found = {
        "seed": seed,
        "state": "finished",
        "reason": "",
        "history": history(3, seed),
        "seconds": 9.0,
        "validation": None,
        "test": None if test is None else test.as_dict(),
    }
    return SimpleNamespace(**found | changes)


def test_the_last_lines_of_a_run() -> None:
    one = judgement("ab")
    assert run_lines([outcome(0, one)]) == summary_lines(one)
    diverged = outcome(1, None, state="diverged", reason="the loss became inf in epoch 1")
    assert run_lines([diverged]) == ["diverged: the loss became inf in epoch 1"]
    judged = [judgement("ab", seed) for seed in range(3)]
    lines = run_lines([*(outcome(i, own) for i, own in enumerate(judged)), diverged])
    assert [line[:6] for line in lines] == ["seed 0", "seed 1", "seed 2", "seed 1", "test a"]
    mean = sum(own.accuracy for own in judged) / 3
    assert lines[-1].startswith(f"test accuracy  {share(mean)} +- ")
    assert lines[-1].endswith("of 3 seeds)")
    assert run_lines([]) == []


# -- tables and files ----------------------------------------------------------------------------
def test_the_per_class_table() -> None:
    found = judgement(["cat", "dog\x1b[2J", "d" * 99])
    text = per_class_table(found)
    header, _, *rows = text.splitlines()
    assert header.split() == ["class", "pictures", "answered", "precision", "recall", "F1"]
    assert [row.split()[0] for row in rows] == ["cat", r"dog\x1b[2J", "d" * 37 + "..."]
    assert share(found.per_class[0].recall) in rows[0]
    worst = per_class_table(judgement([f"c{i}" for i in range(30)]), 5).splitlines()
    assert len(worst) == 2 + 5 + 1
    assert worst[-1] == "25 classes with a higher F1 are not shown"


def test_the_per_class_csv_is_read_back() -> None:
    odd = judge(torch.eye(3)[[0, 1, 0]], torch.tensor([0, 1, 1]), ['a, "b"', "x\ny", "never"])
    rows = list(csv.DictReader(StringIO(per_class_csv({4: odd, 7: odd}))))
    assert [row["seed"] for row in rows] == ["4"] * 3 + ["7"] * 3
    assert [row["class"] for row in rows[:3]] == ['a, "b"', "x\ny", "never"]
    assert [row["recall"] for row in rows[:3]] == ["1.0", "0.5", ""]
    assert [row["f1"] for row in rows[:3]] == [str(2 / 3), str(2 / 3), ""]


def test_the_files_of_a_run(tmp_path: Path) -> None:
    record = {
        "command": ["archsearch", "train", "a b"],
        "created": "2026-01-01T00:00:00+00:00",
        "architecture": "0123456789abcdef",
        "data": {"text": "digits", "shape": None, "name": "digits", "record": {"train": 1300}},
        "recipe": {"epochs": 3},
        "seeds": [0, 1],
        "device": "cpu",
        "versions": {"torch": "2.x"},
    }
    judged = [judgement("ab", seed) for seed in range(2)]
    outcomes = [outcome(i, own) for i, own in enumerate(judged)]
    write_report(tmp_path, record, get("mobilenetv3_large_100"), outcomes)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    mean = sum(own.accuracy for own in judged) / 2
    half = abs(judged[0].accuracy - judged[1].accuracy) / math.sqrt(2)
    assert metrics["test"]["accuracy"] == {
        "mean": pytest.approx(mean), "deviation": pytest.approx(half), "n": 2,
    }  # fmt: skip
    assert metrics["validation"] == {}
    assert "archsearch train 'a b'".replace("'", "&#x27;") in (tmp_path / "report.html").read_text()
    assert ElementTree.parse(tmp_path / "curves.svg").getroot().tag == f"{SVG}svg"
    assert (tmp_path / "per_class.csv").read_text().count("\n") == 5
    write_report(tmp_path / ".", record, get("mobilenetv3_large_100"), [])
    assert json.loads((tmp_path / "metrics.json").read_text())["seeds"] == []


# -- TensorBoard ---------------------------------------------------------------------------------
def crc32c(data: bytes) -> int:
    """Castagnoli's cyclic redundancy check, bit by bit (RFC 3720, appendix B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events_of(folder: Path) -> Iterator[Any]:
    """The events of all files in the order of their names, by the TFRecord format: length, its
    masked check, data, their masked check."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.iterdir()):
        content, place = file.read_bytes(), 0
        while place < len(content):
            length, check = struct.unpack_from("<QI", content, place)
            assert check == masked(content[place : place + 8])
            data = content[place + 12 : place + 12 + length]
            assert struct.unpack_from("<I", content, place + 12 + length) == (masked(data),)
            yield Event.FromString(data)
            place += 16 + length


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: every start of a session but the first forgets from its step on."""
    from tensorboardX.proto.event_pb2 import SessionLog

    scalars: dict[str, list[tuple[int, float]]] = {}
    began = False
    for event in events_of(folder):
        if event.session_log.status == SessionLog.START:
            if began:
                for name, points in scalars.items():
                    scalars[name] = [point for point in points if point[0] < event.step]
            began = True
        for value in event.summary.value:
            scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    return scalars


def test_the_check_sum_of_the_reader() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720


def test_scalars_are_read_back(tmp_path: Path) -> None:
    rows = history(3)
    log = TensorBoardLog(tmp_path / "board")
    for row in rows:
        log.epoch(row)
        assert len(shown(tmp_path / "board")["train/loss"]) == row["epoch"]  # on disk at once
    log.close()
    names = {
        "train/loss": "train_loss",
        "train/accuracy": "train_accuracy",
        "validation/loss": "validation_loss",
        "validation/accuracy": "validation_accuracy",
        "learning_rate": "learning_rate",
    }
    found = shown(tmp_path / "board")
    assert set(found) == set(names)
    for tag, name in names.items():
        assert found[tag] == [(row["epoch"], pytest.approx(row[name])) for row in rows]


def test_a_resumed_training_shows_no_epoch_twice(tmp_path: Path) -> None:
    rows = history(5)
    cut = TensorBoardLog(tmp_path)
    for row in rows[:4]:
        cut.epoch(row)
    resumed = TensorBoardLog(tmp_path, 2)  # the checkpoint is older than the kill
    for row in rows[2:]:
        resumed.epoch(row | {"train_loss": 7.0})
    resumed.close()
    assert len(list(tmp_path.iterdir())) == 2
    expected = [rows[0]["train_loss"], rows[1]["train_loss"], 7.0, 7.0, 7.0]
    assert shown(tmp_path)["train/loss"] == [
        (epoch, pytest.approx(value)) for epoch, value in enumerate(expected, 1)
    ]


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path)
    log.epoch(history(1, validation=False)[0] | {"train_loss": math.nan, "validation_loss": None})
    log.close()
    assert set(shown(tmp_path)) == {"train/accuracy", "learning_rate"}
