"""What a search leaves to read: tally, terminal, page, table; and picking one of its networks."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from random import Random
from time import perf_counter
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch.budget import parse_budgets
from archsearch.cli import main
from archsearch.cli.search_view import EVERY_LINE, SearchView
from archsearch.cost import cost
from archsearch.handmade import HANDMADE
from archsearch.ledger import NAME, Header, Ledger, choice_names, create, digest, record_of
from archsearch.loading import find_space
from archsearch.members import Members
from archsearch.members.within import SpaceMembers
from archsearch.report.importance import importances
from archsearch.report.search import front_csv, write_search_report
from archsearch.report.search_axes import Axis
from archsearch.report.search_cloud import Cloud, Reference
from archsearch.report.search_front import front_pictures
from archsearch.report.search_page import search_page
from archsearch.report.search_progress import hypervolumes
from archsearch.report.search_tally import Tally
from archsearch.report.search_text import SearchState, state_line, state_lines, summary_lines
from archsearch.search.setup import Setup, as_json, new_record
from archsearch.serialization import key, to_json, to_pretty_json
from archsearch.space import Choice, Pick, Point, SearchSpace
from archsearch.trials import Goal, History, State, Trial

ACCURACY = Goal("accuracy")
MACS = Goal("macs", higher_is_better=False, known=True)
SCORE = Goal("zen")
PAIR = (ACCURACY, MACS)
RECORD: dict[str, Any] = {
    "command": ["archsearch", "search", "--space", "tiny"],
    "created": "2030-01-01T00:00:00+00:00",
    "state": "running",
    "setup": {"trials": 500, "strategy": "nsga2", "budgets": ["100k-params"], "seed": 3},
    "versions": {"archsearch": "0.0"},
}


@cache
def members() -> Members:
    space = find_space("tiny").with_input((1, 8, 8)).with_classes(10)
    return SpaceMembers(space, parse_budgets("100k-params"))


@cache
def points(count: int) -> tuple[Point, ...]:
    return tuple(members().draw(Random(0), count))


def made(
    values: Sequence[Sequence[float]], states: Sequence[State] = (), reasons: Sequence[str] = ()
) -> list[Trial]:
    """Trials of different networks with these values; one without values has failed."""
    trials = []
    for i, own in enumerate(values):
        state: State = states[i] if states else "finished" if own else "failed"
        reason = "" if own else reasons[i] if reasons else "it broke"
        point = points(len(values))[i]
        name = members().key(point)
        trials.append(Trial(i, point, name, state, tuple(own), {}, reason, 2.0))
    return trials


def measured(count: int, goals: Sequence[Goal] = PAIR) -> list[Trial]:
    """Trials as a search gives them: accuracies that rise with the MACs, every tenth one failed."""
    costs = members().costs(points(count))
    noise = Random(1)
    trials = []
    for i, own in enumerate(made([()] * count)):
        accuracy = 1 - 3 / np.log(costs["macs"][i]) + noise.gauss(0, 0.01)
        known = {"accuracy": accuracy, "macs": costs["macs"][i], "zen": 100 * accuracy**2}
        values = tuple(float(known[goal.name]) for goal in goals)
        if i % 10 != 9:
            state: State = "stopped" if i % 7 == 3 else "finished"
            own = replace(own, values=values, state=state, reason="")
        trials.append(own)
    return trials


# -- the tally -----------------------------------------------------------------------------------
values_of_pairs = st.lists(
    st.one_of(st.just(()), st.tuples(st.integers(0, 6).map(float), st.integers(0, 6).map(float))),
    max_size=25,
)


@given(values_of_pairs)
def test_the_tally_keeps_what_nothing_dominates(values: list[tuple[float, ...]]) -> None:
    trials = made(values)
    tally = Tally(PAIR, trials)
    good = [trial for trial in trials if trial.values]

    def ahead(a: Trial, b: Trial) -> bool:
        (up, cheap), (other_up, other_cheap) = a.values, b.values
        return up >= other_up and cheap <= other_cheap and a.values != b.values

    expected = [b for b in good if not any(ahead(a, b) for a in good)]
    assert sorted(t.number for t in tally.front) == [t.number for t in expected]
    assert tally.counts["finished"] == len(good)
    assert tally.trials == len(trials)
    if good:
        best, cheapest = tally.best
        assert best.values[0] == max(t.values[0] for t in good)
        assert cheapest.values[1] == min(t.values[1] for t in good)
        front = tally.sorted_front()
        assert [t.values for t in front] == sorted((t.values for t in front), reverse=True)
    else:
        assert tally.best == ()


def test_what_was_stopped_early_is_neither_best_nor_in_the_front() -> None:
    """However good it looked: the tally is that of the others, but for the counts."""
    values = [(0.5, 4.0), (0.9, 1.0), (0.6, 6.0), (0.1, 0.0), (0.5, 4.0)]
    states: list[State] = ["finished", "stopped", "finished", "stopped", "stopped"]
    trials = made(values, states)
    for order in (trials, trials[::-1]):
        tally = Tally(PAIR, order)
        assert sorted(trial.number for trial in tally.front) == [0, 2]
        assert [trial.number for trial in tally.best] == [2, 0]
        assert tally.counts == {"finished": 2, "stopped": 3}
    alone = Tally(PAIR)
    assert not any(alone.add(trial) for trial in trials if trial.state == "stopped")
    assert (alone.front, alone.best, alone.trials, alone.reasons) == ([], (), 3, {})


def test_failures_that_differ_in_numbers_alone_are_one_reason() -> None:
    reasons = ["no number in epoch 3", "longer than 60.5 s", "no number in epoch 17"]
    tally = Tally(PAIR, made([()] * 3, reasons=reasons))
    often, once = tally.sorted_reasons()
    assert (often.text, often.numbers) == ("no number in epoch 3", [0, 2])
    assert (once.text, once.numbers) == ("longer than 60.5 s", [1])


# -- the terminal --------------------------------------------------------------------------------
def state(told: int = 30, seconds: float = 60.0, total: int | None = 100) -> SearchState:
    return SearchState(Tally(PAIR, measured(40)), total, 2, told, seconds)


def test_pace_and_time_left_are_those_of_this_session() -> None:
    own = state()
    assert own.per_minute == 30
    assert own.left == 120  # 60 more at 30 a minute
    assert state(told=0).left is None
    assert state(total=None).left is None


def test_one_line_and_a_few_say_the_same() -> None:
    own, tally = state(), state().tally
    line, lines = state_line(own), state_lines(own)
    best = f"{100 * tally.best[0].values[0]:.2f} %"
    for text in ("40/100 trials", "2 running", "4 failed", "stopped early", "30 a minute", best):
        assert text in line
        assert text in "\n".join(lines)
    assert f"front {len(tally.front)}" in line
    assert f"{len(tally.front)} networks" in "\n".join(lines)
    assert "\n" not in line
    assert f"({tally.best[0].number})" not in line
    assert lines[-1] == "last   trial 39 failed: it broke"


@given(values_of_pairs, st.integers(0, 3), st.floats(0, 1e7))
def test_any_state_can_be_told(values: list[Any], told: int, seconds: float) -> None:
    tally = Tally(PAIR, made(values))
    for total in (None, 0, 10):
        own = SearchState(tally, total, 0, told, seconds)
        assert all("\n" not in line for line in [state_line(own), *state_lines(own)])
    assert summary_lines("runs/a b", tally, members())


class Terminal(io.StringIO):
    """Lines as a terminal would show them after what was written, of the codes that are used."""

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        lines, row = [""], 0
        for piece in re.findall(r"\x1b\[\d*[AJ]|\n|[^\x1b\n]+", self.getvalue()):
            if piece == "\n":
                row += 1
                lines += [""] if row == len(lines) else []
            elif piece.endswith("A") and piece[0] == "\x1b":
                row -= int(piece[2:-1])
                assert row >= 0
            elif piece == "\x1b[J":
                lines = [*lines[:row], ""]
            else:
                assert lines[row] == "", "nothing may be written over a line that was not wiped"
                lines[row] = piece
        return lines[:-1] if lines[-1] == "" else lines


def test_a_terminal_shows_the_last_state_and_what_was_said_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("TERM", "xterm")
    stream, now = Terminal(), iter(range(100))
    with SearchView(stream=stream, clock=lambda: float(next(now))) as view:
        view.update(state(told=10))
        view.say("a note")
        view.update(state(told=30))
        assert stream.screen == ["a note", *(line[:69] for line in state_lines(state(told=30)))]
    assert stream.screen == ["a note"]


def test_elsewhere_a_line_comes_now_and_then() -> None:
    stream, now = io.StringIO(), [0.0]
    with SearchView(stream=stream, clock=lambda: now[0]) as view:
        for now[0] in np.arange(0, 3 * EVERY_LINE, EVERY_LINE / 4):
            view.update(state())
    assert stream.getvalue() == f"{state_line(state())}\n" * 3
    with SearchView(quiet=True, stream=stream) as view:
        view.update(state())
    assert stream.getvalue().count("\n") == 3


def test_a_view_follows_a_search_and_tells_of_its_end() -> None:
    """What was known when it began does not count for the pace; the end is told at once."""
    trials, stream = measured(40), io.StringIO()
    search: Any = SimpleNamespace(
        history=History(PAIR, trials[:10]), limit=40, started=perf_counter() - 60, done=False
    )
    with SearchView(stream=stream, clock=lambda: 0.0) as view:
        view(search)
        for trial in trials[10:]:
            search.history.tell(replace(trial, number=search.history.ask(trial.point, trial.key)))
            search.done = len(search.history.trials) == 40
            view(search)
    first, last = stream.getvalue().splitlines()
    assert first.startswith("10/40 trials")
    assert "a minute" not in first
    assert last.startswith("40/40 trials")
    assert re.search(r"  (29\.\d|30) a minute", last)


def test_the_summary_tells_front_failures_and_what_next() -> None:
    trials = measured(60)
    tally = Tally(PAIR, trials)
    text = "\n".join(summary_lines("runs/mine", tally, members(), 90.0))
    assert text.startswith("60 trials in 90 s: ")
    assert "archsearch export runs/mine --best;" in text
    inherited = summary_lines("runs/mine", tally, members(), inherit=True)
    assert "archsearch export runs/mine --best --weights;" in inherited[-1]
    assert "     6  it broke  (trials 9, 19, 29, 39, 49, 59)" in text
    best = tally.best[0]
    (row,) = re.findall(rf"^{best.number} +.*$", text, re.MULTILINE)
    params = int(members().costs([best.point])["params"][0])
    assert f"{params:,}" in row


# -- which choices matter ------------------------------------------------------------------------
def table_space(**options: tuple[int, ...]) -> SearchSpace:
    """A space of one part, with a choice for each of ``options``."""
    from dataclasses import make_dataclass

    from archsearch.block import Block

    names = [(name, Any) for name in options]
    head = make_dataclass("Row", names, bases=(Block,), frozen=True)
    Block.known.pop("Row")
    choices = {name: Choice(values) for name, values in options.items()}
    return SearchSpace("rows", None, (), head(**choices))


def rows_of(**options: tuple[int, ...]) -> list[Point]:
    each = product(*options.values())
    return [(Pick(tuple(zip(options, values, strict=True))),) for values in each]


OPTIONS = {"a": (0, 1, 2, 3), "b": (0, 1, 2), "c": (0, 1)}


def test_shares_are_those_of_the_analysis_of_variance() -> None:
    """Over a full factorial the variance of a sum is the sum of the variances of its terms."""
    effects = {"a": [0.0, 3.0, 1.0, 2.0], "b": [1.0, 0.0, 0.5], "c": [0.0, 0.0]}
    noise = np.random.default_rng(0)
    drawn = rows_of(**OPTIONS) * 20
    values = [sum(effects[n][v] for n, v in point[0].values) for point in drawn]
    values = (np.array(values) + 0.05 * noise.standard_normal(len(drawn))).tolist()
    found = importances(table_space(**OPTIONS), drawn, values, True)
    assert found is not None
    variances = {name: float(np.var(own)) for name, own in effects.items()}
    shares = {own.choice.removeprefix("head."): own.share for own in found.choices}
    for name, variance in variances.items():
        assert shares[name] == pytest.approx(variance / sum(variances.values()), abs=0.01)
    best = {own.choice: (own.best, own.worst, own.effect) for own in found.choices}
    assert best["head.a"] == ("1", "0", pytest.approx(3.0, abs=0.05))
    assert best["head.b"] == ("0", "1", pytest.approx(1.0, abs=0.05))
    assert found.predicted > 0.99
    turned = importances(table_space(**OPTIONS), drawn, [-v for v in values], False)
    assert turned is not None
    assert {(own.choice, own.best) for own in turned.choices if own.share > 0.01} == {
        ("head.a", "1"),
        ("head.b", "0"),
    }


def test_noise_is_not_taken_for_a_pattern() -> None:
    generator = Random(2)
    drawn = [generator.choice(rows_of(**OPTIONS)) for _ in range(20)]
    values = [generator.gauss(0, 1) for _ in drawn]
    found = importances(table_space(**OPTIONS), drawn, values, True)
    assert found is not None
    assert found.predicted < 0.1
    assert sum(own.share for own in found.choices) < 0.5


def test_what_is_foreseen_is_what_leaving_out_each_trial_gives() -> None:
    """The same with the trial truly left out, all that is learnt of the variances kept."""
    from archsearch.fit.model import Columns
    from archsearch.fit.ridge import ridge

    generator = Random(3)
    drawn = [generator.choice(rows_of(**OPTIONS)) for _ in range(30)]
    values = np.array([p[0].mapping["a"] + generator.gauss(0, 1) for p in drawn])
    space = table_space(**OPTIONS)
    found = importances(space, drawn, values.tolist(), True)
    assert found is not None
    rung = Columns.of(space, drawn, ((1, ()),)).rungs[0]
    whole = ridge(rung.matrix, values, rung.groups)
    prior = np.diag(whole.noise / whole.variances[rung.groups])
    errors = []
    for i in range(len(drawn)):
        kept = np.arange(len(drawn)) != i
        x, y = rung.matrix[kept], values[kept]
        centre = x.mean(axis=0)
        weights = np.linalg.solve((x - centre).T @ (x - centre) + prior, (x - centre).T @ y)
        errors.append(values[i] - y.mean() - (rung.matrix[i] - centre) @ weights)
    expected = 1 - np.square(errors).sum() / np.square(values - values.mean()).sum()
    assert found.predicted == pytest.approx(expected, abs=1e-9)


def test_values_over_decades_are_told_as_factors() -> None:
    drawn = rows_of(**OPTIONS) * 3
    values = [10.0 ** point[0].mapping["a"] for point in drawn]
    found = importances(table_space(**OPTIONS), drawn, values, False)
    assert found is not None
    assert found.logarithmic
    first = found.choices[0]
    assert (first.choice, first.best, first.worst) == ("head.a", "0", "3")
    assert first.effect == pytest.approx(1000, rel=0.02)


def test_nothing_is_said_of_few_trials_or_of_equal_ones() -> None:
    drawn = rows_of(**OPTIONS)
    assert importances(table_space(**OPTIONS), drawn[:9], list(range(9)), True) is None
    assert importances(table_space(**OPTIONS), drawn, [1.0] * len(drawn), True) is None


# -- pictures ------------------------------------------------------------------------------------
@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.lists(st.floats(0, 1), min_size=1),
)
def test_axes_keep_order_and_stay_inside(low: float, width: float, places: list[float]) -> None:
    axis = Axis("x", str, low, low + width, 300.0, 20.0)
    values = np.sort(low + width * np.array(places))
    pixels = axis.pixels(values)
    assert ((pixels >= 20) & (pixels <= 300)).all()
    assert (np.diff(pixels) <= 1e-9).all()
    assert axis.pixel(low - width) == 300
    assert all(low - 1e-9 * abs(low) <= tick <= low + width * (1 + 1e-9) for tick in axis.ticks())


def number(text: str) -> float:
    """What a label says: ``76.50 %``, ``212k``."""
    units = {"k": 1e3, "M": 1e6, "G": 1e9, "%": 0.01}
    digits = text.rstrip("kMG% ")
    return float(digits.replace(",", "")) * units.get(text[-1], 1.0)


def test_points_of_the_front_stand_at_their_values() -> None:
    """Read back by the labels of the axes, of which the lower one is logarithmic."""
    trials = measured(200)
    cloud = Cloud(PAIR, trials, members())
    (picture,) = front_pictures(cloud, (), {t.number for t in trials}, {})
    root = ElementTree.fromstring(picture)
    texts = [
        (t.attrib, t.text or "") for t in root.iter("text") if t.attrib.get("class") == "small"
    ]
    rows = [(float(a["y"]) - 4, number(t)) for a, t in texts if a["text-anchor"] == "end"]
    columns = [(float(a["x"]), number(t)) for a, t in texts if a["text-anchor"] == "middle"]
    assert columns[-1][1] > 20 * columns[0][1]
    found = {}
    for link in root.iter("a"):
        rect = next(link.iter("rect")).attrib
        middle = [float(rect[k]) + float(rect["width"]) / 2 for k in ("x", "y")]
        up = np.interp(-middle[1], [-y for y, _ in rows], [v for _, v in rows])
        across = np.interp(middle[0], [x for x, _ in columns], [np.log(v) for _, v in columns])
        found[int(link.attrib["href"].removeprefix("#trial-"))] = (up, np.exp(across))
    inside = [t for t in cloud.tally.front if columns[0][1] < t.values[1] < columns[-1][1]]
    assert set(found) == {t.number for t in cloud.tally.front}
    assert len(inside) > 3
    for trial in inside:
        assert found[trial.number][1] == pytest.approx(trial.values[1], rel=0.02)
        if rows[0][1] < trial.values[0] < rows[-1][1]:
            assert found[trial.number][0] == pytest.approx(trial.values[0], abs=1e-3)


def test_the_hypervolume_grows_to_what_counting_gives() -> None:
    trials = measured(150)
    cloud = Cloud(PAIR, trials, members())
    moments, shares = hypervolumes(cloud)
    assert moments == sorted(moments)
    assert (np.diff(shares) > 0).all()
    front = np.array([t.values for t in cloud.tally.front]) * [-1, 1]
    low, high = front.min(axis=0), front.max(axis=0)
    grid = (np.stack(np.meshgrid(*[(np.arange(800) + 0.5) / 800] * 2), -1)).reshape(-1, 2)
    places = low + grid * (high - low) * 1.1
    dominated = (front[:, None, :] <= places[None]).all(axis=2).any(axis=0).mean()
    assert shares[-1] == pytest.approx(dominated, abs=5e-3)


# -- the page ------------------------------------------------------------------------------------
class Checker(HTMLParser):
    """Collects elements, links and text; every element must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.names: set[str] = set()
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        for name, value in attrs:
            self.names.add(name)
            if name == "href":
                self.links.add(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(
    goals: Sequence[Goal],
    trials: Sequence[Trial],
    references: Sequence[Reference] = (),
    record: dict[str, Any] = RECORD,
    **changes: Any,
) -> Checker:
    text = search_page(
        changes.pop("folder", "runs/mine"),
        record,
        Cloud(goals, trials, members()),
        references,
        **changes,
    )
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & checker.seen
    assert not [name for name in checker.names if name.startswith("on") or name == "src"]
    assert "http" not in text
    assert len(set(checker.ids)) == len(checker.ids)
    assert checker.links <= {f"#{name}" for name in checker.ids}, "a link leads nowhere"
    text.encode()
    return checker


def test_a_click_leads_from_every_shown_point_to_its_stages() -> None:
    trials = measured(120)
    tally = Tally(PAIR, trials)
    page = checked(PAIR, trials)
    for trial in tally.front:
        assert f"#trial-{trial.number}" in page.links
        own = cost(members().space.build(trial.point))
        after = page.text.partition(f"Trial {trial.number} ")[2]
        table, _, command = after.partition("--pick ")
        assert f"{own.params:,}" in table
        assert f"{own.macs:,}" in table
        assert command.startswith(f"{trial.number}") and trial.key in table


def test_the_page_tells_what_a_reader_needs() -> None:
    network = HANDMADE["resnet"](parse_budgets("100k-params"), (1, 8, 8), 10)
    known = Reference("resnet", network, {"accuracy": 0.71})
    page = checked(PAIR, measured(120), [known], named={4: "designed"})
    for text in (
        "Pareto front", "Progress", "Which choices matter", "Failures", "it broke", "hypervolume",
        "How it was made", "nsga2", "100k-params", "resnet 71.00 %", "designed", "stopped early",
        "of 500 trials", "stages.1.width",
    ):  # fmt: skip
        assert text in page.text, text
    assert f"{cost(network).params:,}" in page.text


def test_a_single_goal_is_drawn_against_parameters() -> None:
    trials = measured(60, (ACCURACY,))
    page = checked((ACCURACY,), trials)
    assert "params, lower is better" in page.text
    assert "Best networks" in page.text
    cloud = Cloud((ACCURACY,), trials, members())
    costs = members().costs([t.point for t in trials])["params"]
    for trial in cloud.tally.front:
        assert trial.values[1] == costs[trial.number]


def test_costs_of_failed_trials_are_marked_where_they_are_known() -> None:
    trials = made([(), (0.5, 1e5), (0.6, 2e5)])
    cloud = Cloud(PAIR, trials, members())
    assert cloud.failed[0, 1] == members().costs([trials[0].point])["macs"][0]
    assert np.isnan(cloud.failed[0, 0])


def test_what_is_known_of_a_reference_by_one_axis_alone_is_a_line() -> None:
    network = HANDMADE["plain"](parse_budgets("100k-params"), (1, 8, 8), 10)
    unknown = Reference("plain", network)
    assert unknown.value("accuracy") is None
    assert unknown.value("macs") == cost(network).macs
    cloud = Cloud(PAIR, measured(40), members())
    (picture,) = front_pictures(cloud, [unknown], (), {})
    assert picture.count("reference-line") == 1
    (picture,) = front_pictures(cloud, [replace(unknown, values={"accuracy": 0.6})], (), {})
    assert 'class="reference"' in picture
    assert "reference-line" not in picture


goals_drawn = st.sampled_from([(ACCURACY,), PAIR, (ACCURACY, MACS, SCORE), (MACS,), (SCORE,)])
numbers = st.one_of(
    st.floats(-1e6, 1e6), st.floats(1e-9, 1e12), st.sampled_from([0.0, 1.0, -1.0, 0.5])
)


@settings(max_examples=20)
@given(goals_drawn, st.data())
def test_any_search_has_a_page_and_a_table(goals: tuple[Goal, ...], data: st.DataObject) -> None:
    one = st.one_of(st.just(()), st.tuples(*[numbers] * len(goals)))
    trials = made(data.draw(st.lists(one, max_size=14)))
    checked(goals, trials, record={})
    assert front_csv(Cloud(goals, trials, members()))


def test_texts_from_elsewhere_are_escaped() -> None:
    bad = "</script><b onclick=x>&\x1b[31m\udcff"
    trials = made([(0.5, 1.0), ()], reasons=["", bad])
    network = HANDMADE["plain"](parse_budgets("100k-params"), (1, 8, 8), 10)
    record = RECORD | {"command": [bad], "setup": {"data": {"text": bad}, bad: bad}, "state": bad}
    reference = Reference(bad, network, {"accuracy": 0.1, "macs": 3.0})
    page = checked(
        (Goal(bad), MACS), trials, [reference], record, folder=f"runs/{bad}", named={0: bad}
    )
    assert "\x1b" not in page.text
    assert page.text.count("<b onclick=x>") > 8


def test_ten_thousand_trials_stay_light() -> None:
    few = measured(200)
    trials = [
        replace(
            few[i % 200], number=i, values=tuple(v * (1 + i * 1e-7) for v in few[i % 200].values)
        )
        for i in range(10_000)
    ]
    page = search_page("runs/mine", RECORD, Cloud(PAIR, trials, members()))
    assert len(page.encode()) < 2_000_000


# -- files ---------------------------------------------------------------------------------------
def test_the_table_of_the_front_holds_it_in_full(tmp_path: Path) -> None:
    trials = measured(80)
    write_search_report(tmp_path, RECORD, PAIR, trials, members())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["front.csv", "report.html"]
    rows = list(csv.DictReader((tmp_path / "front.csv").open()))
    front = {trial.number: trial for trial in Tally(PAIR, trials).front}
    assert [int(row["trial"]) for row in rows] == sorted(front, key=lambda n: -front[n].values[0])
    for row in rows:
        trial = front[int(row["trial"])]
        network = members().space.build(trial.point)
        assert (float(row["accuracy"]), float(row["macs"])) == trial.values
        assert int(row["params"]) == cost(network).params
        assert (row["state"], row["key"]) == (trial.state, key(network))


def test_designed_networks_are_known_by_what_the_search_began_with(tmp_path: Path) -> None:
    trials = measured(20)
    setup = RECORD["setup"] | {"starts": [members().texts(trials[3].point), {"gone": "1"}]}
    write_search_report(tmp_path, RECORD | {"setup": setup}, PAIR, trials, members())
    assert "trial 3 (designed)" in (tmp_path / "report.html").read_text()


# -- picking a network ---------------------------------------------------------------------------
@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a search of 12 trials."""
    folder = tmp_path / "mine"
    folder.mkdir()
    space, trials = members().space, measured(12)
    setup = Setup(("accuracy", "macs"), "tiny", budgets=("100k-params",))
    (folder / "search.json").write_text(as_json(new_record(setup, [])))
    header = Header(PAIR, choice_names(space), {"digest": digest(space)})
    create(folder / NAME, header)
    with Ledger(folder / NAME) as ledger:
        ledger.append([record_of(trial, members(), header) for trial in trials])
    best = Tally(PAIR, trials).best[0]
    (folder / "architecture.json").write_text(to_pretty_json(space.build(best.point)))
    return folder


def test_any_trial_can_be_picked_by_number_or_key(run: Path) -> None:
    from archsearch.search.picked import picked

    for trial in measured(12)[:9]:
        expected = to_json(members().space.build(trial.point))
        for which in (str(trial.number), trial.key, trial.key[:10].upper()):
            network, record = picked(run, which)
            assert to_json(network) == expected
            assert (record.number, record.values) == (trial.number, trial.values)


def test_export_writes_the_network_that_was_picked(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parent)
    assert main(["export", "mine", "--pick", "5"]) == 0
    assert main(["export", "mine", "--best", "--output", "best.py"]) == 0
    capsys.readouterr()
    trials = measured(12)
    best = Tally(PAIR, trials).best[0]
    for file, trial in (("mine-5.py", trials[5]), ("best.py", best)):
        params = cost(members().space.build(trial.point)).params
        assert f"{params:,} parameters" in (run.parent / file).read_text()
    assert main(["show", "mine", "--pick", "5"]) == 0
    assert trials[5].key in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine", "--pick", "99"], "no trial of mine has this number or key"),
        (["mine", "--pick", "abcdefgh"], "no trial of mine has this number or key"),
        (["mine", "--pick", "9"], "that trial failed (it broke)"),
        (["mine", "--pick", "1", "--best"], "give one of them"),
        (["resnet18", "--pick", "1"], "not the run of a search"),
        (["resnet18", "--best"], "not the run of a search"),
    ],
)
def test_what_cannot_be_picked_is_refused(
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(run.parent)
    assert main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in run.parent.iterdir()] == ["mine"]


def test_a_space_that_changed_since_is_refused(run: Path) -> None:
    from archsearch.errors import UserError
    from archsearch.search.picked import picked

    record = (run / "search.json").read_text().replace('"tiny"', '"resnet"')
    (run / "search.json").write_text(record)
    with pytest.raises(UserError, match="not the one that .* searched"):
        picked(run, "1")
    (run / NAME).write_bytes((run / NAME).read_bytes().split(b"\n")[0] + b"\n")
    with pytest.raises(UserError, match="no trial has come back"):
        picked(run, "1")


# -- tables --------------------------------------------------------------------------------------
def test_rows_of_a_table_are_told_by_their_choices(tmp_path: Path) -> None:
    """They cannot be built, so that nobody is sent to export one."""
    from archsearch.tabular import read_benchmark

    codes = [f"{a}{b}" for a in "xyz" for b in "xyz"]
    lines = [f"{code},{50 + i},{1000 * (9 - i)}" for i, code in enumerate(codes)]
    (tmp_path / "table.csv").write_text("\n".join(["arch,top1,flops", *lines]))
    table = read_benchmark(tmp_path / "table.csv")
    rows = table.members({})
    drawn = list(rows.listed() or ())
    goals = (Goal("top1"), MACS)
    values = [(50.0 + i, 1000.0 * (9 - i)) for i in range(9)]
    trials = [
        Trial(i, point, rows.key(point), "finished", own)
        for i, (point, own) in enumerate(zip(drawn, values, strict=True))
    ]
    write_search_report(tmp_path, RECORD, goals, trials, rows)
    page = (tmp_path / "report.html").read_text()
    assert "archsearch export" not in page
    assert "<dt>head.x1</dt><dd><code>z</code></dd>" in page
    text = "\n".join(summary_lines(tmp_path, Tally(goals, trials), rows))
    assert "archsearch resume" in text
    assert "archsearch export" not in text
