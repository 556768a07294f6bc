"""Published networks: parameters, MACs and activations exactly as others count them.

Each family's table is in ``rows``, for 1000 classes where it classifies. Where their numbers come
from, all counted on other people's code: models that timm 1.0.31 has under the same name, its
module's parameters and ``torch.utils.flop_counter`` (FLOPs / 2, torch 2.13, meta device); RegNets
left out by that, pycls' complexity table less the biases it counts; vgg16 and convnext_base,
torchvision's documented parameters; DeepMAD, its authors' counters (see the test). Where the
reference files lie beside the repository, the same is checked against them.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rows

from archsearch import models
from archsearch.architecture import Architecture
from archsearch.cost import cost
from archsearch.graph import Node, Scope
from archsearch.models.deepmad import from_released
from archsearch.operators.normalization import BatchNorm

PUBLISHED = rows.collect().PUBLISHED
"""Model to its parameters and the MACs of one input that the flop counter sees."""

SHARED = Path(__file__).parents[2] / "shared"
SIZES = {
    "002": "200MF", "004": "400MF", "006": "600MF", "008": "800MF", "016": "1.6GF",
    "032": "3.2GF", "040": "4.0GF",
}  # fmt: skip
PYCLS = {"resnet50": "R-50-1x64d", "resnext50_32x4d": "X-50-32x4d", "efficientnet_b0": "EN-B0"} | {
    f"regnet{family}_{timm}": f"RegNet{family.upper()}-{pycls}"
    for family in "xy"
    for timm, pycls in SIZES.items()
}
"""Models to pycls' names of them; both count the maps of convolutions, linear layers and pools."""


def shared(path: str) -> Path:
    if not (SHARED / path).is_file():
        pytest.skip(f"reference file {path} is not beside the repository")
    return SHARED / path


def nodes_of(architecture: Architecture, *but: str) -> Iterator[Node]:
    """Layers, those of the parts in ``but`` left out."""
    for part in architecture.trace().children:
        if isinstance(part, Scope) and part.name not in but:
            yield from part.nodes()


@pytest.mark.parametrize("name", models.MODELS)
def test_parameters_and_macs(name: str) -> None:
    network = models.get(name)
    counted = cost(network)
    unseen = sum(node.op.unseen_macs(*node.x) for node in network.trace().nodes())
    assert (counted.params, counted.macs - unseen) == PUBLISHED[name]


def test_table_agrees_with_the_reference() -> None:
    reference = json.loads(shared("reference/published_networks.json").read_text())
    rows = {k: (v["params"], v["macs"]) for k, v in reference.items() if k != "_meta"}
    assert len(rows) >= 20
    assert rows == {name: PUBLISHED[name] for name in rows}


@pytest.mark.parametrize("name", PYCLS)
def test_pycls_agrees(name: str) -> None:
    config = f"{PYCLS[name]}_dds_8gpu.yaml"
    with gzip.open(shared("data/pycls_complexity.csv.gz"), "rt") as file:
        row = next(r for r in csv.DictReader(file) if r["config"].endswith(f"/{config}"))
    network = models.get(name)
    counted = cost(network)
    assert counted.params == int(row["params"])
    assert counted.activations == int(row["acts"])
    assert counted.macs + bias_additions(network) == int(row["flops"])


def bias_additions(network: Architecture) -> int:
    """pycls counts adding a bias as one multiply-accumulate per output number."""
    total = 0
    for node in nodes_of(network):
        weights = node.op.weights(*node.x)
        if weights.get("bias") and weights["weight"].contracts:
            total += node.shape.numel
    return total


def released_structures() -> list[dict[str, Any]]:
    path = SHARED / "reference/deepmad_structures.json"
    return json.loads(path.read_text())["published"] if path.is_file() else []


def test_all_released_structures_are_checked() -> None:
    shared("reference/deepmad_structures.json")
    assert len(released_structures()) == 10


@pytest.mark.parametrize("row", released_structures(), ids=lambda row: row["name"])
def test_released_deepmad_structures(row: dict[str, Any]) -> None:
    """Parameters are those of the authors' modules. Their "MACs" also count batch norm (2 per
    number), the activation after each (1, also where there is none), the average pooling of strided
    shortcuts (1 per input), and neither squeeze-and-excitation nor the classifier."""
    network = from_released(row["structure"], row["resolution"])
    params = cost(network).params
    assert params == row["code_params_with_fc1000"]
    head = sum(n.op.params(*n.x) for n in nodes_of(network) if n.name.startswith("head."))
    assert params - head == row["code_params_backbone"]
    assert released_macs(network) == row["code_MACs"]


def released_macs(network: Architecture) -> int:
    total = 0
    for node in nodes_of(network, "head"):
        if ".se." in node.name:
            continue
        total += node.op.macs(*node.x)
        if isinstance(node.op, BatchNorm):
            total += 3 * node.shape.numel
        if node.name.endswith(".shortcut") and node.x[0].size != node.shape.size:
            total += node.x[0].numel
    return total


@pytest.mark.parametrize("name", ["deepmad_r18", "deepmad_r34"])
def test_deepmad_models_are_the_released_ones(name: str) -> None:
    shared("reference/deepmad_structures.json")
    released = {row["name"].lower().replace("-", "_"): row for row in released_structures()}
    row = released[name]
    assert models.get(name) == from_released(row["structure"], row["resolution"])


def test_unknown_model() -> None:
    with pytest.raises(KeyError):
        models.get("resnet19")
