"""Operators and networks of the literature: parameters and MACs exactly as their authors' modules
count them.

The reference file holds what was measured on the authors' own code: trainable parameters, and half
of what ``torch.utils.flop_counter`` counts for one input. The rows say which operator or model of
ours each entry is (``GROUND_TRUTH_CHECKS``, ``GROUND_TRUTH_MODELS``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
import rows
from rows import Alone
from test_published import SHARED, shared

from archsearch import models
from archsearch.architecture import Architecture
from archsearch.cost import scope_cost
from archsearch.graph import Recipe, Scope, trace
from archsearch.merge import deployed
from archsearch.operator import Operator, Shape

ALL = rows.collect()
PATH = "reference/operators_ground_truth.json"
UNSEEN = {"SmallKernelAggregation", "GlobalFilter"}
"""Operators with work that the flop counter cannot see: products number by number in LSNet's
aggregation, a Fourier transform in the global filter."""


def reference(part: str) -> list[dict[str, Any]]:
    path = SHARED / PATH
    return json.loads(path.read_text())[part] if path.is_file() else []


def missing(found: Iterable[str], mapped: Iterable[str]) -> list[str]:
    return sorted(set(found) - set(mapped))


def test_every_entry_is_mapped() -> None:
    shared(PATH)
    found, checks = reference("models"), reference("operator_checks")
    assert len(found) == 56 and len(checks) == 74
    assert not missing([row["model"] for row in found], ALL.GROUND_TRUTH_MODELS)
    assert not missing([row["op"] for row in checks], ALL.GROUND_TRUTH_CHECKS)


def test_no_entry_is_mapped_that_there_is_not() -> None:
    shared(PATH)
    assert not missing(ALL.GROUND_TRUTH_MODELS, [row["model"] for row in reference("models")])
    assert not missing(ALL.GROUND_TRUTH_CHECKS, [row["op"] for row in reference("operator_checks")])


@pytest.mark.parametrize("row", reference("models"), ids=lambda row: row["model"])
def test_model(row: dict[str, Any]) -> None:
    ours, form = in_form(ALL.GROUND_TRUTH_MODELS[row["model"]])
    architecture = models.get(ours) if isinstance(ours, str) else ours()
    assert [1, *architecture.input] == row["input"]
    scope = lowered(architecture, Shape(architecture.input[0], architecture.input[1:]), form)
    assert counted(scope) == (row["params_trainable"], row["macs_flop_counter"])
    assert unseen(scope) == row.get("ska_macs_not_in_flop_counter", unseen(scope))


@pytest.mark.parametrize(
    "row", reference("operator_checks"), ids=lambda row: f"{row['op']}-{row['config']}"
)
def test_operator(row: dict[str, Any]) -> None:
    _, channels, *size = row["input"]
    give = ALL.GROUND_TRUTH_CHECKS[row["op"]]
    ours, form = in_form(give(row["config"], (channels, *size)))
    scope = lowered(ours, Shape(channels, tuple(size)), form)
    assert counted(scope) == (row["params"], row["macs"])
    output = scope.output.shape
    assert [1, output.channels, *output.size] == row["output"]


def in_form(ours: Any) -> tuple[Any, str]:
    """What a row gives for an entry, and in which form it is meant."""
    return ours if isinstance(ours, tuple) else (ours, "trained")


def lowered(ours: Operator | Recipe, x: Shape, form: str) -> Scope:
    """An operator, recipe or architecture, traced and maybe deployed."""
    if isinstance(ours, Architecture):
        scope = ours.trace()
    else:
        scope = trace(Alone(ours) if isinstance(ours, Operator) else ours, x)
    return deployed(scope).scope if form == "deploy" else scope


def counted(scope: Scope) -> tuple[int, int]:
    """Parameters, and the MACs that the flop counter sees."""
    return scope_cost(scope).params, scope_cost(scope).macs - unseen(scope)


def unseen(scope: Scope) -> int:
    """MACs that the flop counter cannot see; only operators that are known for it have some."""
    found = [(type(node.op).__name__, node.op.unseen_macs(*node.x)) for node in scope.nodes()]
    assert {name for name, macs in found if macs} <= UNSEEN
    return sum(macs for _, macs in found)
