"""Budgets as people write them: what is understood, and what each mistake is answered with."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.budget import UNITS, Budget, parse_budget, parse_budgets
from archsearch.cost import COST_NAMES
from archsearch.errors import ArchsearchError


@pytest.mark.parametrize(
    ("text", "cost", "limit"),
    [
        ("5M-params", "params", 5_000_000),
        ("5.5M-params", "params", 5_500_000),
        ("600M-macs", "macs", 600_000_000),
        ("1.82G-macs", "macs", 1_820_000_000),
        ("250k-activations", "activations", 250_000),
        ("4M-memory", "peak_memory", 4_000_000),
        ("2M-peak_memory", "peak_memory", 2_000_000),
        ("1G-traffic", "traffic", 1_000_000_000),
        ("20M-weight-bytes", "weight_bytes", 20_000_000),
        ("123456-params", "params", 123_456),
        ("5e6-params", "params", 5_000_000),
        (".5M-params", "params", 500_000),
        (" 5M-Params ", "params", 5_000_000),
        ("8000-images/s@a100", "throughput@a100", 8000),
        ("8k-throughput@A100", "throughput@a100", 8000),
        ("607.5-images/s@tpu-v2", "throughput@tpu-v2", 607.5),
        ("5ms-latency@zcu102", "latency@zcu102", 5),
        ("0.25s-latency@zcu102", "latency@zcu102", 250),
        ("500us-latency@zcu102", "latency@zcu102", 0.5),
    ],
)
def test_what_is_understood(text: str, cost: str, limit: int) -> None:
    assert parse_budget(text) == Budget(cost, limit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5Q-params", "--budget 5Q-params: unknown unit 'Q'; use k, M or G"),
        ("5m-params", "--budget 5m-params: unknown unit 'm'; use k, M or G"),
        ("5MB-memory", "--budget 5MB-memory: unknown unit 'MB'; use k, M or G"),
        ("", "--budget '': it is empty; write a number and a unit, such as 5M-params"),
        ("5M", "--budget 5M: say what it limits: 5M-params, 5M-macs, ..."),
        ("0-params", "it is zero; a budget must be above zero"),
        ("0M-params", "it is zero"),
        ("0.4-params", "it is less than one"),
        ("-5M-params", "--budget -5M-params: it is negative; a budget must be above zero"),
        ("nan-params", "it must be a finite number"),
        ("inf-params", "it must be a finite number"),
        ("-inf-macs", "it must be a finite number"),
        ("1e999999999-params", "no network is that large"),
        ("9" * 40 + "-params", "no network is that large"),
        ("60%-params", "a percentage is not understood"),
        ("1G-flops", "'flops' is ambiguous; use macs (multiply-accumulates, FLOPs / 2)"),
        ("8-latency@cpu", "--budget 8-latency@cpu: say in which unit of time: 8ms-latency@cpu"),
        ("8M-latency@cpu", "say in which unit of time: 8ms-latency@cpu; s, ms or us"),
        ("8ms-latency", "say on which device: latency@DEVICE"),
        ("9k-images/s", "say on which device: images/s@DEVICE, such as images/s@a100"),
        ("9k-images/s@", "say on which device"),
        ("9k-images/s@a b", "'a b' is no name of a device"),
        ("9k-image/s@a100", "unknown unit 'image/s@a100'; write images/s@a100"),
        ("9k-fps@a100", "unknown unit 'fps@a100'; write images/s@a100 or latency@a100"),
        ("9ms-images/s@a100", "unknown unit 'ms'; use k, M or G"),
        ("0-images/s@a100", "it is zero; a budget must be above zero"),
        ("-2ms-latency@cpu", "it is negative; a budget must be above zero"),
        ("nanms-latency@cpu", "it does not start with a number"),
        ("inf-images/s@a100", "it must be a finite number"),
        ("5M-params@a100", "params is the same on every device; leave out @a100"),
        ("1-energy", "energy budgets are not available yet"),
        ("1-energy@cpu", "energy budgets are not available yet"),
        ("5M-parms", "unknown unit 'parms'; did you mean 'params'?"),
        ("5M-xyzzy", "unknown unit 'xyzzy'; use params, macs"),
        ("5M-intensity", "unknown unit 'intensity'"),
        ("M-params", "'M' is not a number; write it as 5M-params"),
        ("five-params", "'five' is not a number"),
        ("params", "write it as 5M-params"),
        ("٥M-params", "is not a number"),
        ("5\nM-params", ""),
    ],
)
def test_mistakes_are_answered_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ArchsearchError) as caught:
        parse_budget(text, "--budget")
    assert message in str(caught.value)


def test_several() -> None:
    expected = (Budget("params", 5_000_000), Budget("macs", 600_000_000))
    assert parse_budgets(["5M-params", "600M-macs"]) == expected
    assert parse_budgets("params=5M,macs=600M") == expected
    assert parse_budgets("5M-params,macs=600M") == expected
    assert parse_budgets([]) == ()


@pytest.mark.parametrize(
    "texts", [["5M-params", "6M-params"], ["params=5M,params=5M"], ["4M-memory", "1M-peak_memory"]]
)
def test_two_budgets_on_one_cost_contradict(texts: list[str]) -> None:
    with pytest.raises(ArchsearchError, match="already has the budget .*; keep one"):
        parse_budgets(texts, "--budget")


@pytest.mark.parametrize("text", ["params=", "=5M", "5M-params,", "a=b=c"])
def test_broken_lists(text: str) -> None:
    with pytest.raises(ArchsearchError):
        parse_budgets(text)


@given(st.sampled_from(sorted(UNITS.values())), st.integers(1, 10**18))
def test_what_is_written_is_read_back(cost: str, limit: int) -> None:
    budget = Budget(cost, limit)
    assert parse_budget(str(budget)) == budget


@given(
    st.sampled_from(["throughput@a100", "latency@zcu102"]),
    st.one_of(st.integers(1, 10**9), st.floats(1e-6, 1e9)),
)
def test_what_is_written_of_a_device_is_read_back(cost: str, limit: float) -> None:
    assert parse_budget(str(Budget(cost, limit))) == Budget(cost, limit)


def test_a_throughput_is_a_floor_and_a_latency_a_ceiling() -> None:
    floor, ceiling = Budget("throughput@a100", 8000), Budget("latency@a100", 5)
    assert [floor.allows(value) for value in (7990, 8000, 9000)] == [False, True, True]
    assert [ceiling.allows(value) for value in (4, 5, 5.01)] == [True, True, False]
    assert (floor.share(16000), ceiling.share(4)) == (0.5, 0.8)
    assert floor.allows(8000 * (1 - 1e-12)), "sums of fractions are rounded"


@pytest.mark.parametrize("name", ["latency", "latency@", "energy@a100", "params@a100"])
def test_costs_that_no_budget_limits(name: str) -> None:
    with pytest.raises(ArchsearchError, match="a budget limits one of"):
        Budget(name, 1)


def test_two_budgets_on_two_devices() -> None:
    both = parse_budgets("8000-images/s@a100,latency@zcu102=5ms")
    assert both == (Budget("throughput@a100", 8000), Budget("latency@zcu102", 5))
    with pytest.raises(ArchsearchError, match="images/s@a100 already has the budget"):
        parse_budgets(["8000-images/s@a100", "9000-images/s@a100"])


@given(st.decimals(min_value="0.001", max_value=999, places=3), st.sampled_from("kMG"))
def test_fractions_are_exact(number: Decimal, prefix: str) -> None:
    factor = {"k": 10**3, "M": 10**6, "G": 10**9}[prefix]
    assert parse_budget(f"{number}{prefix}-macs").limit == number * factor


@given(st.text())
def test_any_text_is_a_budget_or_one_error(text: str) -> None:
    try:
        assert parse_budget(text).limit > 0
    except ArchsearchError as error:
        assert text.strip() in str(error) or repr(text) in str(error)


def test_units_are_costs() -> None:
    assert set(UNITS.values()) <= set(COST_NAMES)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_budget_object_is_checked_too(limit: float) -> None:
    with pytest.raises(ArchsearchError):
        Budget("params", limit)
