"""Published networks: parameters, MACs and activations exactly as others count them.

Where the table's numbers come from, all counted on other people's code: models that timm 1.0.31
has under the same name, its module's parameters and ``torch.utils.flop_counter`` (FLOPs / 2, torch
2.13, meta device); RegNets left out by that, pycls' complexity table less the biases it counts;
vgg16 and convnext_base, torchvision's documented parameters; DeepMAD, its authors' counters (see
the test). Where the reference files lie beside the repository, the same is checked against them.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archsearch import models
from archsearch.architecture import Architecture
from archsearch.cost import cost
from archsearch.graph import Node, Scope
from archsearch.models.deepmad import from_released
from archsearch.operators.normalization import BatchNorm

PUBLISHED = {  # name: (parameters, MACs of one 224 x 224 image), 1000 classes
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnext50_32x4d": (25_028_904, 4_230_479_872),
    "mobilenetv1_100": (4_231_976, 568_740_352),
    "mobilenetv2_100": (3_504_872, 300_774_272),
    "mobilenetv3_large_100": (5_483_032, 216_589_760),
    "efficientnet_b0": (5_288_548, 385_814_752),
    "regnetx_002": (2_684_792, 199_039_872),
    "regnetx_004": (5_157_512, 397_677_568),
    "regnetx_006": (6_196_040, 600_890_112),
    "regnetx_008": (7_259_656, 799_699_712),
    "regnetx_016": (9_190_136, 1_602_849_792),
    "regnetx_032": (15_296_552, 3_176_621_952),
    "regnetx_040": (22_118_248, 3_964_498_816),
    "regnety_002": (3_162_996, 199_514_080),
    "regnety_004": (4_344_144, 401_842_848),
    "regnety_006": (6_055_160, 601_220_992),
    "regnety_008": (6_263_168, 797_176_832),
    "regnety_016": (11_202_430, 1_612_076_160),
    "regnety_032": (19_436_338, 3_176_482_752),
    "regnety_040": (20_646_656, 3_973_288_448),
    "convnext_tiny": (28_589_128, 4_455_531_264),
    "convnext_small": (50_223_688, 8_683_712_256),
    "convnext_base": (88_591_464, 15_354_729_472),
    "convnextv2_atto": (3_708_400, 547_332_480),
    "convnextv2_tiny": (28_635_496, 4_455_531_264),
    "vgg11": (132_863_336, 7_609_090_048),
    "vgg16_bn": (138_365_992, 15_470_264_320),
    "vgg16": (138_357_544, 15_470_264_320),
    "densenet121": (7_978_856, 2_834_161_664),
    "deepmad_r18": (11_826_088, 1_811_574_016),
    "deepmad_r34": (21_690_160, 3_634_913_856),
}

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
    counted = cost(models.get(name))
    assert (counted.params, counted.macs) == PUBLISHED[name]


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
