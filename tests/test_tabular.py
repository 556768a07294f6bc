"""Benchmark tables as spaces: a small one made by hand, and NAS-Bench-Macro."""

from __future__ import annotations

import gzip
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest

from archsearch.errors import BadFile, InfeasibleBudget, UserError
from archsearch.objectives import Additive
from archsearch.space import Pick, Point
from archsearch.tabular import Benchmark, read_benchmark
from tests.test_published import shared

HAND = """arch,acc,seconds,params
00,10,1.0,5
01,20,2.0,6
02,30,3.0,7
10,20,2.0,6
11,40,4.0,9
20,50,,8
"""
"""01 and 10 are one network; 12, 21 and 22 are missing."""


def written(folder: Path, text: str, name: str = "hand.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def code(point: Point) -> str:
    return "".join(str(value) for _, value in point[0].values)


@pytest.fixture
def hand(tmp_path: Path) -> Benchmark:
    return read_benchmark(written(tmp_path, HAND))


def test_rows_that_agree_in_all_that_was_measured_are_one_network(hand: Benchmark) -> None:
    members = hand.members()
    listed = members.listed()
    assert [code(point) for point in listed] == ["00", "01", "02", "11", "20"]
    other = (Pick((("x0", "1"), ("x1", "0"))),)
    assert other in members
    assert members.key(other) == members.key(listed[1])
    assert len({members.key(point) for point in listed}) == 5
    assert hand.values("acc", [other, *listed]).tolist() == [20, 10, 20, 30, 40, 50]
    assert np.isnan(hand.values("seconds", listed[-1:])).all()
    assert hand.columns == ("acc", "seconds", "params")
    assert members.costs(listed)["params"].tolist() == [5, 6, 7, 9, 8]
    missing = (Pick((("x0", "2"), ("x1", "2"))),)
    assert missing not in members
    with pytest.raises(UserError, match="no row"):
        hand.values("acc", [missing])


def test_neighbours_differ_in_one_symbol(hand: Benchmark) -> None:
    members = hand.members()
    by_code = {code(point): point for point in members.listed()}
    near = {code(p): {code(o) for o in members.neighbours(p)} for p in by_code.values()}
    assert near == {
        "00": {"01", "02", "20"},
        "01": {"00", "02", "11"},
        "02": {"00", "01"},
        "11": {"01"},  # and 10, which is the same
        "20": {"00", "01"},  # 10 again
    }
    rng = Random(0)
    for own, others in near.items():
        mutants = {code(members.mutated(by_code[own], rng)) for _ in range(80)}
        assert mutants == others


def test_every_way_to_a_point_keeps_the_budget(hand: Benchmark) -> None:
    members = hand.members({"params": 7})
    rng = Random(1)
    allowed = {"00", "01", "02"}
    assert {code(point) for point in members.listed()} == allowed
    assert {code(point) for point in members.draw(rng, 100)} == allowed
    every = [(Pick((("x0", a), ("x1", b))),) for a, b in product("012", repeat=2)]
    for point in every:
        found = members.repaired(point, rng)
        assert found in members
        assert found == point or point not in members
    assert code(members.repaired(every[8], rng)) == "02"  # the nearest to 22
    for a, b in product(members.listed(), repeat=2):
        assert code(members.crossed(a, b, rng)) in allowed
        assert all(code(p) in allowed for p in members.neighbours(a))
    with pytest.raises(InfeasibleBudget, match="smallest in .* is 5"):
        hand.members({"params": 4})
    with pytest.raises(InfeasibleBudget, match="no network of .* meets 5 params and 20 level"):
        Benchmark(
            hand.name,
            hand.space,
            hand.rows,
            hand.network,
            {**hand.texts, "level": ("30", "20", "20", "20", "20", "20")},
            hand.costs,
        ).members({"params": 5, "level": 20})


def test_texts_lead_back(hand: Benchmark) -> None:
    members = hand.members()
    for point in members.listed():
        assert members.point(members.texts(point)) == point
    texts = members.texts(members.listed()[0])
    assert texts == {"head.x0": "0", "head.x1": "0", "head.depth": "1"}
    for change in ({"head.x0": "7"}, {"head.x9": "0"}, {"head.x0": "2", "head.x1": "2"}):
        with pytest.raises(UserError, match="no network of hand"):
            members.point(texts | change)


def test_the_best_are_those_with_the_largest_sums(hand: Benchmark) -> None:
    score = {("x0", "0"): 1.0, ("x0", "1"): 3.0, ("x0", "2"): 0.0, ("x1", "1"): 1.5}
    total = Additive("s", lambda part, pick: sum(score.get(item, 0.0) for item in pick.values))
    members = hand.members()
    assert [code(p) for p in members.best(total, 3)] == ["11", "01", "00"]
    assert [code(p) for p in members.best(total, 1, {"params": 8})] == ["01"]
    assert members.best(total, 1, {"params": 1}) == []


@pytest.mark.parametrize(
    ("cells", "symbols"),
    [
        (("ab", "cd"), ("a", "b")),
        (("|conv_3x3~0|+|none~0|skip~1|", "|none~0|+|none~0|none~1|"), ("conv_3x3~0", "none~0")),
        (("conv3-pool-skip", "skip-skip-skip"), ("conv3", "pool")),
        (('"[1, 0, 12]"', '"[0, 0, 3]"'), ("1", "0")),
        (("skip-connect;conv-3", "none;conv-1"), ("skip-connect", "conv-3")),
    ],
)
def test_encodings_are_split_into_symbols(
    cells: tuple[str, str], symbols: tuple[str, str], tmp_path: Path
) -> None:
    text = f"score,net\n1,{cells[0]}\n2,{cells[1]}\n"
    benchmark = read_benchmark(written(tmp_path, text, "cells.csv.gz"))
    first = dict(benchmark.members().listed()[0][0].values)
    assert (first["x0"], first["x1"]) == symbols


def test_several_columns_are_an_encoding_and_numbers_stay_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "e,k,se,acc,flops\n6,3,True,1,100\n4,5,False,2,50\n4,3,True,1,100\n")
    benchmark = read_benchmark(path, ["e", "k", "se"])
    values = [dict(point[0].values) for point in benchmark.rows]
    assert values[0] == {"x0": 6, "x1": 3, "x2": "True"}
    assert len(benchmark.members().listed()) == 2  # the last row is the first network
    assert benchmark.members({"macs": 60}).listed() == [benchmark.rows[1]]
    assert benchmark.members({"flops": 60}).listed() == [benchmark.rows[1]]
    assert read_benchmark(path, "e", costs=["acc"]).costs == {"acc": "acc"}


def test_one_number_may_be_equal_by_chance(tmp_path: Path) -> None:
    benchmark = read_benchmark(written(tmp_path, "arch,acc\nab,90.1\nba,90.1\n"))
    assert len(benchmark.members().listed()) == 2


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("arch,acc\nab,1\nabc,2\n", None, "row 2: arch 'abc' has 3 symbols, 'ab' has 2"),
        ("arch,acc\nab,1\n,2\n", None, "row 2: arch '' has 0 symbols"),
        ("net,acc\n01,1\n10,2\n", None, "say which column holds the encodings"),
        ("arch,acc\nab,1\n", "code", "no column 'code'"),
        ("arch\nab\n", None, "nothing measured"),
        ("arch,acc\nab,1,7\n", None, "row 1 has 3 entries"),
        ("arch,arch\nab,1\n", None, "two columns 'arch'"),
        ("arch,acc\n", None, "no rows"),
    ],
)
def test_what_is_no_benchmark_is_refused(
    text: str, encoding: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        read_benchmark(written(tmp_path, text), encoding)
    with pytest.raises(BadFile, match="cannot be read"):
        read_benchmark(tmp_path / "none.csv")


def test_a_column_that_holds_no_numbers_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    benchmark = read_benchmark(written(tmp_path, "arch,acc,note\nab,1,good\nba,2,bad\n"))
    with pytest.raises(UserError, match="row 1, note is 'good'"):
        benchmark.numbers("note")
    with pytest.raises(UserError, match="no column 'accuracy'"):
        benchmark.numbers("accuracy")


def test_nas_bench_macro_is_3969_networks() -> None:
    """The figures are those of search.md and of the table's own authors: one best network,
    93.127 %; the tenth best has 93.01, the hundredth 92.72 (one point for each network)."""
    benchmark = read_benchmark(shared("data/nas_bench_macro_cifar10.csv.gz"))
    members = benchmark.members()
    listed = members.listed()
    assert len(benchmark.rows) == 3**8
    assert len(listed) == 3969
    assert benchmark.costs == {"params": "params", "macs": "flops"}
    values = benchmark.values("mean_acc", listed)
    assert code(listed[int(values.argmax())]) == "22212202"
    assert values.max() == pytest.approx(93.127, abs=1e-3)
    assert (values == values.max()).sum() == 1
    # a 0 that is not the first of its stage (of 2, 3 and 3 layers) may stand anywhere in it
    for point in benchmark.rows[::7]:
        layers = code(point)
        stages = layers[:2], layers[2:5], layers[5:]
        canonical = "".join(s[0] + s[1:].replace("0", "").ljust(len(s) - 1, "0") for s in stages)
        same = (Pick(tuple((f"x{i}", c) for i, c in enumerate(canonical))),)
        assert members.key(point) == members.key(same)
    within = benchmark.members({"macs": 50e6, "params": 1.5e6})
    kept = [p for p in listed if (members.costs([p])["macs"] <= 50e6).all()]
    kept = [p for p in kept if (members.costs([p])["params"] <= 1.5e6).all()]
    assert within.listed() == kept
