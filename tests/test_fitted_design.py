"""Designs for fitted objectives and device budgets against brute force, and what is refused."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import TINY

from archsearch.architecture import Architecture
from archsearch.budget import Budget
from archsearch.cli import main
from archsearch.cost import Cost, cost
from archsearch.design import design, goal_of, reachable
from archsearch.devices import Timed
from archsearch.errors import BadFile, InfeasibleBudget, UserError
from archsearch.fitted import (
    ABSENT,
    Evidence,
    Fitted,
    Link,
    Measure,
    Rank,
    Sum,
    Term,
    read_fitted,
    to_json,
)
from archsearch.loading import entries, find_objective
from archsearch.objectives import Additive, Entropy
from archsearch.points import part_names, texts_of
from archsearch.report.words import proof, ranges_table
from archsearch.scores import Score
from archsearch.space import Point, SearchSpace

DEEPMAD = find_objective("deepmad")
assert isinstance(DEEPMAD, Entropy)
SPACES = {name: replace(TINY[name](), effectiveness=3.0) for name in ("mobile", "resnet")}
EVIDENCE = Evidence(40, 5, 1, 0, Rank(0.8, 0.9), 0.5, 1.5, {"params": Rank(0.5, 0.6)})


@cache
def points_of(name: str) -> list[Point]:
    return list(SPACES[name].points())


@cache
def networks_of(name: str) -> list[Architecture]:
    return [SPACES[name].build(point) for point in points_of(name)]


@cache
def costs_of(name: str) -> list[Cost]:
    return [cost(network) for network in networks_of(name)]


@cache
def entropies_of(name: str) -> list[float]:
    return [DEEPMAD.value(network) for network in networks_of(name)]


def drawn_known(rng: random.Random, points: list[Point]) -> tuple[dict[str, tuple[str, ...]], ...]:
    """Every choice of the parts with the values that are seen: now and then one of them is not."""
    known = []
    for part in range(len(points[0])):
        texts = [texts_of(point[part]) for point in points]
        values = {path: {t.get(path, ABSENT) for t in texts} for t in texts for path in t}
        own = {path: sorted(seen) for path, seen in sorted(values.items())}
        for path, seen in own.items():
            if len(seen) > 1 and rng.random() < 0.15:
                own[path] = seen[:-1]
        known.append({path: tuple(seen) for path, seen in own.items()})
    return tuple(known)


def drawn_sum(
    rng: random.Random,
    known: tuple[dict[str, tuple[str, ...]], ...],
    pairs: bool,
    low: float,
    high: float,
) -> Sum:
    """Terms over some choices of every part, and of neighbours, with scores from low to high."""

    def term(part: int, choices: list[str], before: list[str]) -> Term:
        shape = [len(known[part - 1][c]) for c in before] + [len(known[part][c]) for c in choices]
        numbers = [rng.uniform(low, high) for _ in range(math.prod(shape))]
        return Term(part, tuple(choices), np.array(numbers).reshape(shape), tuple(before))

    def some(part: int) -> list[str]:
        return sorted(rng.sample(sorted(known[part]), rng.randint(1, len(known[part]))))

    parts = range(len(known))
    terms = [term(part, some(part), []) for part in parts for _ in range(2)]
    terms += [term(part, some(part), some(part - 1)) for part in parts[1:] if pairs]
    return Sum(known, tuple(terms), rng.uniform(low, high))


def drawn(name: str, seed: int, pairs: bool = False, rising: bool = True) -> Fitted:
    """A fitted objective with made-up numbers, as its file would be read."""
    rng, space = random.Random(seed), SPACES[name]
    known = drawn_known(rng, points_of(name))
    sums = sorted(rng.uniform(-9, 9) for _ in range(4))
    values = sorted(rng.uniform(20, 70) for _ in range(4))
    fast = drawn_sum(rng, known, pairs, 1e-6, 2e-5)
    slow = drawn_sum(rng, known, False, 1e-4, 2e-3)
    return Fitted(
        "drawn",
        space.name,
        "top-1, %" if rising else "error, %",
        rising,
        part_names(space),
        drawn_sum(rng, known, pairs, -1, 1),
        Link(tuple(sums), tuple(values if rising else values[::-1])),
        EVIDENCE,
        space.input,
        10,
        (
            Measure("chip", "throughput", fast, EVIDENCE),
            Measure("board", "latency", slow, EVIDENCE),
        ),
    )


def added_up(terms: Sum, point: Point) -> float | None:
    """The sum written out term by term; None for a network with a value nobody has seen."""
    texts = [texts_of(pick) for pick in point]
    for known, text in zip(terms.known, texts, strict=True):
        if any(text.get(path, ABSENT) not in seen for path, seen in known.items()):
            return None
    total = terms.intercept
    for part, (before, own) in enumerate(pairwise([{}, *texts])):
        for term in terms.terms:
            if term.part == part:
                score = term.scores
                for path in term.before:
                    score = score[terms.known[part - 1][path].index(before.get(path, ABSENT))]
                for path in term.choices:
                    score = score[terms.known[part][path].index(own.get(path, ABSENT))]
                total += float(score)
    return total


def straight(link: Link, total: float) -> float:
    """The piecewise linear link, the outer pieces carried on, by numpy's own interpolation."""
    sums, values = np.array(link.sums), np.array(link.values)
    if total < sums[0] or total > sums[-1]:
        a, b = (0, 1) if total < sums[0] else (-2, -1)
        return float(values[a] + (total - sums[a]) * (values[b] - values[a]) / (sums[b] - sums[a]))
    return float(np.interp(total, sums, values))


def speeds(fitted: Fitted, point: Point) -> tuple[float, float] | None:
    """Images per second on the chip and milliseconds on the board, from the terms."""
    fast, slow = (added_up(measure.seconds, point) for measure in fitted.measures)
    return None if fast is None or slow is None else (1 / fast, 1000 * slow)


def quantile(numbers: list[float], share: float) -> float:
    return sorted(numbers)[int(share * (len(numbers) - 1))]


@settings(max_examples=12)
@given(
    name=st.sampled_from(sorted(SPACES)),
    seed=st.integers(0, 10_000),
    pairs=st.booleans(),
    rising=st.booleans(),
    shares=st.fixed_dictionaries(
        {"params": st.floats(0.05, 1)},
        optional={k: st.floats(0.05, 1) for k in ("throughput@chip", "latency@board")},
    ),
)
def test_the_best_prediction_within_budgets_is_brute_forces(name, seed, pairs, rising, shares):
    fitted = drawn(name, seed, pairs, rising)
    values = [added_up(fitted.score, point) for point in points_of(name)]
    predicted = [None if v is None else straight(fitted.link, v) for v in values]
    check(name, fitted, fitted, shares, predicted)


@settings(max_examples=4)
@given(
    name=st.sampled_from(sorted(SPACES)),
    seed=st.integers(0, 10_000),
    pairs=st.booleans(),
    throughput=st.floats(0.1, 1),
)
def test_device_budgets_hold_for_the_entropy_too(name, seed, pairs, throughput, tmp_path_factory):
    path = tmp_path_factory.mktemp("objective") / "drawn.json"
    path.write_text(to_json(drawn(name, seed, pairs)))
    shares = {"params": 1.0, "throughput@chip": throughput}
    known = entropies_of(name)
    check(name, DEEPMAD, read_fitted(path), shares, known, own=str(path))


def check(name, objective, fitted, shares, values, own="deepmad"):
    """A design's value, budgets and ranges are those of going through all networks."""
    space = replace(SPACES[name], objective=own)
    speed = [speeds(fitted, point) for point in points_of(name)]
    costs = {
        "params": [float(c.params) for c in costs_of(name)],
        "throughput@chip": [s and s[0] for s in speed],
        "latency@board": [s and s[1] for s in speed],
    }
    known = [i for i, v in enumerate(values) if v is not None and speed[i] is not None]
    assert known
    budgets = []
    for cost_name, share in shares.items():
        own_costs = [costs[cost_name][i] for i in known]
        floor = cost_name.startswith("throughput")
        budgets.append(Budget(cost_name, quantile(own_costs, 1 - share if floor else share)))
    fits = [i for i in known if all(b.allows(costs[b.cost][i]) for b in budgets)]
    if isinstance(objective, Entropy):
        fits = [
            i for i in fits if objective.effectiveness(networks_of(name)[i]) <= space.effectiveness
        ]
    if not fits:
        with pytest.raises(InfeasibleBudget):
            design(budgets, space, objective, gap=0, time_limit=600)
        return
    rising = not isinstance(objective, Fitted) or objective.higher_is_better
    best = (max if rising else min)(values[i] for i in fits)
    found = design(budgets, space, objective, gap=0, time_limit=600)
    assert found.value == pytest.approx(best, rel=1e-7)
    assert found.bound == pytest.approx(best, rel=1e-6)
    assert found.bound >= best - 1e-9 * abs(best) if rising else found.bound <= best + 1e-9
    at = points_of(name).index(found.best.point)
    for budget in budgets:
        assert found.best.uses(budget.cost) == pytest.approx(costs[budget.cost][at], rel=1e-9)
        assert budget.allows(found.best.uses(budget.cost))
        low, high = found.ranges[budget.cost]
        own_costs = [costs[budget.cost][i] for i in known]
        assert (low, high) == pytest.approx((min(own_costs), max(own_costs)), rel=1e-9)


def test_a_gap_is_one_of_the_prediction_not_of_the_sum():
    """A steep link: a relative gap of a half in the prediction is far less in the sum."""
    fitted = replace(drawn("mobile", 3), link=Link((-1.0, 1.0), (1.0, 1000.0)))
    exact = design("9k-params", SPACES["mobile"], fitted)
    loose = design("9k-params", SPACES["mobile"], fitted, gap=0.5)
    assert exact.gap < 1e-5
    assert loose.gap <= 0.5 + 1e-9
    assert exact.value <= loose.bound
    assert loose.best.gap == pytest.approx((loose.bound - loose.value) / loose.value)


@pytest.mark.parametrize("place", [0, 1])
def test_a_shadow_price_is_per_unit_people_write(place):
    """The price of a limit against the difference quotient of what the program has in its place."""
    timed = Timed("", drawn("mobile", 11).measures[place])
    limit, step, per_microsecond = 250.0, 1e-3, 0.07
    more, less = timed.microseconds(limit + step), timed.microseconds(limit - step)
    expected = per_microsecond * (more - less) / (2 * step)
    assert timed.price(per_microsecond, limit) == pytest.approx(expected, rel=1e-6)
    assert timed.told(timed.microseconds(limit)) == pytest.approx(limit)


@pytest.mark.parametrize(
    ("cost_name", "share", "seed", "sign"),
    [("params", 0.1, 12, 1), ("throughput@chip", 0.8, 11, -1)],
)
def test_less_throughput_and_more_parameters_are_worth_something(cost_name, share, seed, sign):
    space, fitted = SPACES["mobile"], drawn("mobile", seed)
    low, high = reachable(space, fitted, [Budget(cost_name, 1)])[cost_name]
    tight = Budget(cost_name, low + share * (high - low))
    loose = Budget(cost_name, low + (share + sign * 0.2) * (high - low))
    found, more = design([tight], space, fitted), design([loose], space, fitted)
    assert more.value > found.value
    assert sign * found.shadow_prices[cost_name] > 0


def mobile(path: Path) -> tuple[SearchSpace, Fitted]:
    path.write_text(to_json(drawn("mobile", 5)))
    return replace(SPACES["mobile"], objective=str(path)), read_fitted(path)


@pytest.fixture
def own(tmp_path: Path) -> tuple[SearchSpace, Fitted]:
    return mobile(tmp_path / "own.json")


def test_a_design_takes_the_spaces_own_objective(own):
    space, fitted = own
    assert design("20k-params", space).objective_name == "drawn"
    assert design("20k-params", space, "deepmad").objective_name == "deepmad"
    assert design("20k-params", SPACES["mobile"]).objective_name == "deepmad"
    assert goal_of(space).name == fitted.name


def test_what_a_program_cannot_maximise_is_refused(own):
    space, fitted = own
    score = Score("sum of squares", lambda network, seed: 0.0)
    with pytest.raises(UserError, match="objective sum of squares .* cannot maximise it; use"):
        design("9k-params", space, score)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="fitted to networks of space tiny_mobile, not of"):
        design("9k-params", SPACES["resnet"], fitted)
    shorter = replace(space, stages=space.stages[:-1])
    with pytest.raises(UserError, match="of 5 parts, those of space tiny_mobile have 4"):
        design("9k-params", shorter, fitted)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("9-images/s@chop", "throughput on 'chop' was not measured; did you mean chip?"),
        ("9-images/s@board", "of board only latency@board is known"),
        ("5ms-latency@phone", "known: board"),
        ("9999999-images/s@chip", "the largest images/s@chip this space can reach is"),
        ("1us-latency@board", "the smallest latency@board this space can reach is"),
    ],
)
def test_device_budgets_nothing_can_meet(own, budget, message):
    for objective in (None, "deepmad"):
        with pytest.raises(UserError, match=message) as caught:
            design(budget, own[0], objective)
        assert str(caught.value).startswith(f"budget {budget.replace('1us', '0.001ms')}")


def test_devices_are_those_of_the_space_at_the_input_they_were_measured_at(own):
    space, _ = own
    with pytest.raises(UserError, match="measured with inputs of 3x32x32, which says nothing of"):
        design("9-images/s@chip", space, input=(3, 64, 64))
    with pytest.raises(UserError, match="nothing was measured on a device for space tiny_resnet"):
        design("9-images/s@chip", SPACES["resnet"])


def test_budgets_that_contradict_are_told_in_their_own_units(own):
    space, fitted = own
    found = reachable(space, fitted, [Budget("throughput@chip", 1), Budget("latency@board", 1)])
    fastest, quickest = found["throughput@chip"][1], found["latency@board"][0]
    budgets = [Budget("throughput@chip", fastest), Budget("latency@board", quickest)]
    with pytest.raises(InfeasibleBudget) as caught:
        design(budgets, space)
    first, second = map(str, budgets)
    assert f"within {second} the largest images/s@chip is " in str(caught.value)
    assert f"within {first} the smallest latency@board is " in str(caught.value)


def known_widths(space: SearchSpace, fitted: Fitted) -> Fitted:
    """The objective with the smallest width of the second stage never seen."""
    known = [dict(choices) for choices in fitted.score.known]
    known[2]["width"] = ("24",)
    return replace(fitted, score=replace(fitted.score, known=tuple(known)))


def test_what_the_objective_has_not_seen_is_left_out_and_told(own):
    space, fitted = own
    fitted = known_widths(space, replace(fitted, score=Sum(fitted.score.known, ())))
    narrow = min(c.params for c in costs_of("mobile"))
    answer = design("1M-params", space, fitted)
    assert {pick.mapping.get("width") for pick in answer.best.point[2:3]} == {24}
    assert any(
        "has not seen are left out; --objective deepmad knows all" in n for n in answer.notes
    )
    with pytest.raises(
        InfeasibleBudget, match=r"objective drawn knows networks of .* deepmad knows"
    ):
        design(f"{narrow}-params", space, fitted)
    assert design(f"{narrow}-params", space, "deepmad").best.uses("params") == narrow


def test_another_input_or_number_of_classes_is_noted(own):
    space, _ = own
    words = "was fitted at 3x32x32 and 10 classes: that it ranks networks alike at others is an"
    assert not any(words in note for note in design("20k-params", space).notes)
    for changes in ({"input": (3, 64, 64)}, {"classes": 7}):
        assert any(words in note for note in design("1M-params", space, **changes).notes)


def told(value: float, bound: float, rising: bool = True) -> str:
    prediction = SimpleNamespace(target="top-1, %", higher_is_better=rising)
    found = SimpleNamespace(bound=bound, prediction=prediction)
    return proof(found, SimpleNamespace(value=value))  # type: ignore[arg-type]


def test_the_proof_stays_true_when_it_is_rounded():
    within = "Proved: no network of this space within these budgets is predicted"
    assert told(65.2, 65.2) == f"{within} higher than this one, 65.20 %."
    assert told(65.2, 65.201) == f"{within} above 65.21 %; this one: 65.20 %."
    assert told(34.8, 34.799, rising=False) == f"{within} below 34.79 %; this one: 34.80 %."
    assert told(34.8, 34.8, rising=False) == f"{within} lower than this one, 34.80 %."
    assert "No bound was proved" in told(65.2, math.inf)


def test_the_table_of_ranges_turns_round_for_a_throughput():
    ranges = {"throughput@chip": (100.0, 900.0)}
    verdicts = [
        ranges_table(ranges, {}, [Budget("throughput@chip", limit)]).rpartition("  ")[2]
        for limit in (50, 500, 1000)
    ]
    assert [text.strip() for text in verdicts] == ["yes, by every network", "yes", "no"]


# -- the command line --------------------------------------------------------------------------
USERS_SPACE = """
from dataclasses import replace
from spaces import tiny_mobile
space = replace(tiny_mobile(), objective="own.json")
"""


@pytest.fixture
def users(own_folder: Path) -> Path:
    mobile(own_folder / "own.json")
    (own_folder / "mine.py").write_text(USERS_SPACE)
    return own_folder


def test_the_command_tells_what_is_predicted(
    users: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["design", "--space", "mine.py", "--budget", "20k-params"]
    assert main([*argv, "--budget", "2000-images/s@chip", "--name", "run"]) == 0
    out = capsys.readouterr().out
    for words in (
        "objective drawn",
        "images/s on chip",
        "as given, at least",
        "is predicted higher than this one",
        "top-1 is predicted from 40 measured networks",
        "it was not measured",
    ):
        assert words in out, words
    record = json.loads((users / "runs/run/design.json").read_text())
    assert record["objective"] == "drawn"
    assert record["predicts"]["target"] == "top-1, %"
    assert record["budgets"]["throughput@chip"]["limit"] == 2000
    assert record["budgets"]["throughput@chip"]["used"] >= 2000 * (1 - 1e-8)
    assert "Predicted top-1: " in (users / "runs/run/model.py").read_text()
    page = (users / "runs/run/report.html").read_text()
    assert "images/s on chip" in page
    assert "it is not an accuracy" not in page


def test_a_fitted_file_is_an_objective_and_kept_with_the_run(
    users: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["design", "--space", "mine.py", "--budget", "20k-params", "--quiet"]
    assert main([*argv, "--objective", "own.json", "--name", "run"]) == 0
    capsys.readouterr()
    assert (users / "runs/run/objective.json").read_text() == (users / "own.json").read_text()
    (users / "bad.json").write_text('{"format": 1}')
    assert "bad.json" in refused(capsys, *argv, "--objective", "bad.json")
    assert "for the file write ./own.json" in refused(capsys, *argv, "--objective", "own")


def test_fitted_objectives_are_found_and_listed(tmp_path: Path, monkeypatch) -> None:
    from archsearch import loading

    mobile(tmp_path / "own_one.json")
    (tmp_path / "cut_short.json").write_text("{")
    folder: Callable[[str], Path] = lambda kind: tmp_path  # noqa: E731
    monkeypatch.setattr(loading, "_folder", folder)
    assert loading.shipped_names("objective") == ["cut-short", "own-one"]
    found = {entry.name: entry for entry in entries("objective")}
    assert "top-1, %" in found["own-one"].summary
    assert found["cut-short"].problem
    assert isinstance(find_objective("own-one"), Fitted)
    with pytest.raises(BadFile, match="JSON"):
        find_objective("cut-short")


def test_nan_leaves_a_pick_out_of_an_additive_objective():
    def score(part, pick):
        return math.nan if pick.mapping.get("width") == 24 else float(pick.depth)

    answer = design("1M-params", SPACES["mobile"], Additive("some", score))
    widest = max(values.get("width", 0) for values in (p.mapping for p in answer.best.point[:-1]))
    assert widest < 24
