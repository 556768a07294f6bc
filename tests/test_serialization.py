"""Architecture files: exact round trips, keys that never change, and files made to do harm."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import architectures
from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch import models
from archsearch.architecture import Architecture, Run, Stage
from archsearch.block import Block
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, ConvNeXtV2Block
from archsearch.blocks.layers import Layer, Layers
from archsearch.blocks.plain import ConvNormAct
from archsearch.blocks.resized import Resized
from archsearch.errors import BadFile
from archsearch.operator import Operator
from archsearch.operators.activation import ReLU
from archsearch.operators.convolution import Convolution
from archsearch.serialization import (
    LARGEST,
    MOST_BYTES,
    from_json,
    key,
    read_architecture,
    to_json,
    to_pretty_json,
)

GOLDEN = {
    "resnet18": "e7ce109152883f47",
    "mobilenetv3_large_100": "4d62d30a979330ca",
    "efficientnet_b0": "4601cd5a0f960847",
    "regnety_016": "6e69ebd81c843c7a",
    "convnextv2_atto": "a75dd144796873fc",
    "densenet121": "4ef7cdad7709612f",
    "deepmad_r18": "43eaf3a33a30ccd2",
}
"""Keys name architectures in ledgers and file names: a change here is a change of the format."""


# -- round trips and keys ------------------------------------------------------------------------
@pytest.mark.parametrize("name", models.MODELS)
def test_published_models_survive_the_round_trip(name: str) -> None:
    architecture = models.get(name)
    for text in (to_json(architecture), to_pretty_json(architecture)):
        assert from_json(text) == architecture
    assert to_json(from_json(to_json(architecture))) == to_json(architecture)


@given(architectures())
def test_drawn_architectures_survive_the_round_trip(architecture: Architecture) -> None:
    again = from_json(to_json(architecture))
    assert again == architecture
    assert key(again) == key(architecture)
    assert from_json(to_pretty_json(architecture)) == architecture


@pytest.mark.parametrize("name", GOLDEN)
def test_keys_do_not_change(name: str) -> None:
    assert key(models.get(name)) == GOLDEN[name]


def test_canonical_text() -> None:
    block = Bottleneck(64, expansion=Fraction(5, 8), conv=Convolution(kernel_size=5, group_size=8))
    stage = Stage((Run(replace(block, stride=2, projects=True)), Run(block, 3)))
    assert to_json(Architecture(None, (stage,), Classifier(10), (1, 28, 28))) == (
        '{"format":1,"head":{"classes":10,"is":"Classifier"},"input":[1,28,28],"stages":[[{"block":'
        '{"conv":{"group_size":8,"is":"Convolution","kernel_size":5},"expansion":"5/8",'
        '"is":"Bottleneck","projects":true,"stride":2,"width":64}},{"block":{"conv":{"group_size":8,'
        '"is":"Convolution","kernel_size":5},"expansion":"5/8","is":"Bottleneck","width":64},'
        '"repeats":3}]],"stem":null}'
    )


def test_equal_architectures_have_equal_keys() -> None:
    def network(**settings: Any) -> Architecture:
        block = ConvNeXtBlock(16, **settings)
        return Architecture(ConvNormAct(16), (Stage((Run(block),)),), Classifier(10), (3, 32, 32))

    for left, right in (
        ({"expansion": 2}, {"expansion": Fraction(2, 1)}),
        ({"layer_scale": 1.0}, {"layer_scale": 1}),
        ({"layer_scale": 0.0}, {"layer_scale": -0.0}),
        ({"expansion": 4}, {}),
    ):
        assert network(**left) == network(**right)
        assert key(network(**left)) == key(network(**right))
    split = Stage((Run(BasicBlock(16), 2), Run(BasicBlock(16))))
    assert split == Stage((Run(BasicBlock(16), 3),))


def test_different_classes_with_equal_fields_differ() -> None:
    v1, v2 = ConvNeXtBlock(16, response_norm=True, layer_scale=None), ConvNeXtV2Block(16)
    stem, head = ConvNormAct(16), Classifier(10)
    networks = [Architecture(stem, (Stage((Run(block),)),), head) for block in (v1, v2)]
    assert key(networks[0]) != key(networks[1])


@pytest.mark.parametrize(
    ("block", "field"),
    [
        (BasicBlock(np.int64(16)), "architecture.stages[0][0].block.width"),
        (BasicBlock(16, projects=1), "architecture.stages[0][0].block.projects"),
        (BasicBlock(16, expansion=0.5), "architecture.stages[0][0].block.expansion"),
        (ConvNeXtBlock(16, layer_scale=float("nan")), "block.layer_scale is nan"),
        (BasicBlock(16, conv="Convolution"), "architecture.stages[0][0].block.conv"),
    ],
)
def test_wrongly_typed_values_are_not_written(block: Block, field: str) -> None:
    network = Architecture(ConvNormAct(16), (Stage((Run(block),)),), Classifier(10))
    with pytest.raises(TypeError, match=re.escape(field)):
        to_json(network)


# -- what is refused, and in which words ---------------------------------------------------------
def document(block: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    """A small valid file, with one block or its top level changed."""
    plain = {"is": "ConvNormAct", "width": 16}
    return {
        "format": 1,
        "input": [3, 32, 32],
        "stem": plain,
        "stages": [[{"block": plain if block is None else plain | block, "repeats": 2}]],
        "head": {"is": "Classifier", "classes": 10},
    } | top


REFUSED: list[tuple[Any, str]] = [
    # classes
    (document({"is": "ConvNormActt"}), 'stages[0][0].block: no Block is named "ConvNormActt"; did'),
    (document({"is": "ConvNormActt"}), "did you mean ConvNormAct?"),
    (document({"is": "__import__"}), 'no Block is named "__import__"; known: '),
    (document({"is": "ReLU"}), 'no Block is named "ReLU"'),
    (document({"is": ["ConvNormAct"]}), "no Block is named a list of 1"),
    (document({"is": None}), "no Block is named null"),
    (document({"conv": {"is": "_Pool"}}), 'block.conv: no Operator is named "_Pool"'),
    (document({"conv": {"is": "Activation"}}), 'no Operator is named "Activation"'),
    (document({"conv": {"is": "Operator"}}), 'no Operator is named "Operator"'),
    (document({"conv": {"kernel_size": 3}}), 'conv does not say which Operator it "is"'),
    (
        document({"is": "Bottleneck", "squeeze_excitation": {"is": "_Squeeze", "squeezed": 4}}),
        'squeeze_excitation: no SqueezeExcitation is named "_Squeeze"; known: SqueezeExcitation',
    ),
    (document({"is": "StagedBlock"}), 'no Block is named "StagedBlock"'),
    # fields
    (
        document({"widht": 8}),
        "stages[0][0].block.widht is not a field of ConvNormAct; did you mean",
    ),
    (document({"__class__": 8}), "block.__class__ is not a field of ConvNormAct; known: "),
    (document({"a\nb'\"": 8}), 'block."a\\nb\'\\"" is not a field'),
    (document(stage=[]), "stage is not a field of Architecture; did you mean stages?"),
    (document(head={"is": "Classifier", "known": {}}), "head.known is not a field of Classifier"),
    ({k: v for k, v in document().items() if k != "stem"}, "stem is missing"),
    (document(stages=[[{"block": {"is": "ConvNormAct"}}]]), "block.width is missing; ConvNormAct"),
    (document(stages=[[{"repeats": 2}]]), "stages[0][0].block is missing; Run needs a block there"),
    # types
    (document({"width": "16"}), 'block.width is "16"; it must be an integer'),
    (document({"width": True}), "block.width is true; it must be an integer"),
    (document({"width": 16.0}), "block.width is 16.0; it must be an integer"),
    (document({"width": None}), "block.width is null; it must be an integer"),
    (document({"width": {}}), "block.width is an object; it must be an integer"),
    (document({"bias": 1}), "block.bias is 1; it must be true or false"),
    (document({"conv": "Convolution"}), 'block.conv is "Convolution"; it must be an operator'),
    (document({"conv": []}), "block.conv is a list of 0; it must be an operator"),
    (document({"norm": 0}), "block.norm is 0; it must be an operator or null"),
    (
        document({"conv": {"is": "Convolution", "kernel_size": "__import__('os')"}}),
        "stages[0][0].block.conv.kernel_size is \"__import__('os')\"; it must be an integer or a",
    ),
    (
        document({"conv": {"is": "Convolution", "kernel_size": [3, "3"]}}),
        'block.conv.kernel_size[1] is "3"; it must be an integer',
    ),
    (document(stages={}), "stages is an object; it must be a list, each entry a list of runs"),
    (document(stages=[{}]), "stages[0] is an object; it must be a list of runs of blocks"),
    (document(stages=[[[]]]), "stages[0][0] is a list of 0; it must be a Run"),
    (document(head=None), "head is null; it must be a block"),
    (document(input="3x32x32"), 'input is "3x32x32"; it must be a list of integers'),
    ([document()], "it holds a list of 1, not the object of an architecture"),
    (None, "it holds null, not the object of an architecture"),
    # values
    (document({"width": -16}), "block: width of ConvNormAct is -16; it must be at least 1"),
    (document({"width": LARGEST + 1}), f"it must be at most {LARGEST}"),
    (
        document({"width": 0}),
        "stages[0][0].block: width of ConvNormAct is 0; it must be at least 1",
    ),
    (document({"stride": 0}), "stride of ConvNormAct is 0"),
    (
        document({"conv": {"is": "Convolution", "group_size": 0}}),
        "block.conv: group_size of Convolution is 0",
    ),
    (document({"norm": {"is": "BatchNorm", "eps": -1e-5}}), "block.norm.eps is -1e-05; it must be"),
    (document({"norm": {"is": "BatchNorm", "eps": 1e30}}), "block.norm.eps is 1e+30; it must be"),
    (document({"norm": {"is": "BatchNorm", "eps": float("nan")}}), "block.norm.eps is NaN"),
    (document({"norm": {"is": "BatchNorm", "eps": float("inf")}}), "block.norm.eps is Infinity"),
    *[
        (
            document({"is": "BasicBlock", "expansion": ratio}),
            f"block.expansion is {json.dumps(ratio)}",
        )
        for ratio in ("1/0", "1/-2", "-1/2", "1", "0.5", "1e9/3", " 1/2", "1/2\n", "¹/₂", 0.5)
    ],
    (
        document({"is": "BasicBlock", "expansion": "0/3"}),
        "expansion of BasicBlock is 0; it must be",
    ),
    (document(stages=[[]]), "stages[0]: a stage has no blocks"),
    (document(stages=[[{"block": document()["stem"], "repeats": 0}]]), "[0][0]: repeats is 0"),
    (
        document(stages=[[{"block": document()["stem"], "repeats": 10_001}]]),
        "10001 blocks are more than 10000",
    ),
    (document(input=[1] * 10_001), "input has 10001 entries, more than 10000"),
    (document(input=[3]), "input (3,) is not channels and 1 to 3 sizes"),
    (document(input=[3, 0, 32]), "input (3, 0, 32) is not channels and 1 to 3 sizes"),
    # the format
    (document(format=2), "format is 2; this version of archsearch reads 1"),
    (document(format="1"), 'one "format": 1 is missing at its top'),
    (document(format=True), 'one "format": 1 is missing at its top'),
    ({}, 'one "format": 1 is missing at its top'),
    # what cannot be a network, by the name of its layer
    (
        document({"conv": {"is": "Convolution", "kernel_size": 4}}),
        "block.conv: Convolution: kernel_size 4 is even; 3 or 5 keep the size",
    ),
    (document({"conv": {"is": "ReLU"}}), "stages.0.0: ReLU has no out_channels: it cannot stand"),
    (document({"activation": {"is": "Add"}}), "stages.0.0.conv_act: Add has 2 inputs, not 1"),
    (
        document({"pool": {"is": "MaxPool", "kernel_size": 99}}),
        "stages.0.0.pool: MaxPool: a window of 99 is larger than the map 16x32x32; at most 32",
    ),
    (
        document({"is": "BasicBlock", "width": 24}),
        "stages.0.0: 16 channels in and 24 out",
    ),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BadFile) as refusal:
        read_architecture(path)
    text = str(refusal.value)
    assert message in text
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert text.isascii()
    assert len(text) < 700


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "net is not JSON (line 1, column 1: Expecting value): it is damaged or cut short"),
        (to_json(models.get("resnet18"))[:-20], "it is damaged or cut short"),
        ("[" * 100_000, "net is nested deeper than any architecture"),
        ('{"a":' * 100_000, "net is nested deeper than any architecture"),
        ("9" * 5000, "net holds a number of thousands of digits"),
        (" " * (MOST_BYTES + 1), "net: it is larger than 8 MB"),
        ('{"format":1,"format":1}', 'net: one "format": 1 is missing'),
        (
            json.dumps(document()).replace('"repeats": 2', '"repeats": 2, "repeats": 2'),
            "net: stages[0][0].repeats is given twice; keep one",
        ),
        (
            json.dumps(document()).replace('"classes"', '"is": "Classifier", "classes"'),
            "net: head.is is given twice; keep one",
        ),
        (
            json.dumps(document()).replace("10}", "1e999}"),
            "net: head.classes is Infinity; it must be",
        ),
        (json.dumps(document()) + "{}", "Extra data"),
    ],
)
def test_refused_texts(text: str, message: str) -> None:
    with pytest.raises(BadFile) as refusal:
        from_json(text, "net")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_unreadable_files(tmp_path: Path) -> None:
    binary, large = tmp_path / "model.safetensors", tmp_path / "large.json"
    binary.write_bytes(b"\x08\x00\xff\xfe\x80")
    with large.open("wb") as file:
        file.truncate(2**30)
    tracemalloc.start()
    for path, message in (
        (tmp_path / "none.json", f"no file {tmp_path / 'none.json'}"),
        (tmp_path, f"{tmp_path} is not a file"),
        (binary, f"{binary} is not text"),
        (large, f"{large}: it is larger than 8 MB"),
    ):
        with pytest.raises(BadFile, match=re.escape(message)):
            read_architecture(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * MOST_BYTES


def test_byte_order_mark_and_missing_input_are_understood(tmp_path: Path) -> None:
    content = document()
    del content["input"]
    path = tmp_path / "net.json"
    path.write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert read_architecture(path).input == (3, 224, 224)


def test_private_classes_cannot_be_named() -> None:
    class _Hidden(ReLU):
        pass

    try:
        assert "_Hidden" in Operator.known
        with pytest.raises(BadFile, match='no Operator is named "_Hidden"'):
            from_json(json.dumps(document({"activation": {"is": "_Hidden"}})))
        network = Architecture(
            ConvNormAct(8), (Stage.of(ConvNormAct(8, activation=_Hidden())),), Classifier(10)
        )
        with pytest.raises(TypeError, match="which no file can name"):
            to_json(network)
    finally:
        del Operator.known["_Hidden"]


# -- files made to do harm -----------------------------------------------------------------------
def leaf_types(value: Any) -> set[type]:
    """The types of everything that is no description: what could end up in generated code."""
    if isinstance(value, tuple):
        return {t for item in value for t in leaf_types(item)}
    if isinstance(value, Architecture | Stage | Run | Block | Operator) or hasattr(value, "expand"):
        return {t for item in vars(value).values() for t in leaf_types(item)}
    return {type(value)}


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    found = [here]
    if isinstance(value, dict | list):
        for k, v in value.items() if isinstance(value, dict) else enumerate(value):
            found += paths(v, (*here, k))
    return found


def changed(content: Any, path: tuple[Any, ...], change: Any) -> Any:
    """A copy of a document with ``change`` applied to what stands at a place."""
    if not path:
        return change(content)
    copy = content.copy()
    copy[path[0]] = changed(content[path[0]], path[1:], change)
    return copy


def renamed(content: Any, path: tuple[Any, ...], name: str) -> Any:
    """A copy of a document with a field's name changed."""
    *parents, old = path
    return changed(
        content, tuple(parents), lambda o: {name if k == old else k: v for k, v in o.items()}
    )


RICH = json.loads(to_json(models.get("mobilenetv3_large_100")))
HARMFUL = ("__import__('os').system('true')", "');x=('", '"""', "{module}", "\\", "nn.ReLU()", "")


@pytest.mark.parametrize("text", HARMFUL)
def test_no_string_of_a_file_gets_through(text: str) -> None:
    """Put into every place of a rich file, a string is refused there."""
    for path in paths(RICH):
        with pytest.raises(BadFile):
            from_json(json.dumps(changed(RICH, path, lambda _: text)))
        if path and isinstance(path[-1], str):  # as the name of a field
            with pytest.raises(BadFile):
                from_json(json.dumps(renamed(RICH, path, text)))


@given(architectures())
def test_only_numbers_come_out_of_the_reader(architecture: Architecture) -> None:
    allowed = {int, float, bool, Fraction, type(None)}
    assert leaf_types(from_json(to_json(architecture))) <= allowed


VALUES: list[Any] = [
    None, True, False, 0, 1, 2, 3, 7, 8, -1, 255, LARGEST, 10**30, 0.0, 0.5, -1.5, 1e300,
    "", "1/2", "9/7", "3/0", "ReLU", "Convolution", "Add", "Flatten", "Linear", "Split", "Concat",
    [], [3], [3, 3], [3, 3, 3], {}, {"is": "ReLU"}, {"is": "GlobalPool"}, {"is": "Flatten"},
    {"is": "Split", "start": 0, "stop": 4}, {"is": "Linear", "out_features": 5},
    {"is": "BasicBlock", "width": 16}, {"is": "DenseLayer"}, {"is": "PatchStem", "width": 8},
    {"block": {"is": "DenseLayer"}, "repeats": 3}, [{"block": {"is": "DenseLayer"}}],
]  # fmt: skip


def mutate(rng: random.Random, content: Any) -> Any:
    """A document with one place deleted, renamed, repeated or given another value."""
    path = rng.choice(paths(content))
    if path and rng.random() < 0.4:
        name, kind = path[-1], rng.choice(("delete", "rename", "repeat"))

        def edit(parent: Any) -> Any:
            if isinstance(parent, list):
                return parent[:name] + parent[name + 1 :] if kind == "delete" else parent * 2
            rest = {k: v for k, v in parent.items() if k != name}
            return rest if kind == "delete" else rest | {f"{name}s": parent[name]}

        return changed(content, path[:-1], edit)
    return changed(content, path, lambda _: rng.choice(VALUES))


SEEDS = ("mobilenetv3_large_100", "densenet121", "convnextv2_atto", "regnety_002", "vgg11")


@settings(max_examples=400)
@given(st.sampled_from(SEEDS), st.integers(0, 2**32), st.integers(1, 4))
def test_edited_files_are_read_or_refused(name: str, seed: int, edits: int) -> None:
    rng, content = random.Random(seed), json.loads(to_json(models.get(name)))
    for _ in range(edits):
        content = mutate(rng, content)
    read_or_refuse(json.dumps(content))


@settings(max_examples=300)
@given(st.sampled_from(SEEDS), st.integers(0, 2**32), st.integers(1, 5))
def test_damaged_files_are_read_or_refused(name: str, seed: int, flips: int) -> None:
    rng, data = random.Random(seed), bytearray(to_json(models.get(name)).encode())
    for _ in range(flips):
        data[rng.randrange(len(data))] = rng.choice(b'0123456789{}[]",:eE.-truefalsn"/ \x00\xff')
    data = data[: rng.randrange(len(data))] if rng.random() < 0.3 else data
    read_or_refuse(data.decode(errors="replace"))


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
))  # fmt: skip
def test_any_json_is_read_or_refused(content: Any) -> None:
    read_or_refuse(json.dumps(content))


def read_or_refuse(text: str) -> None:
    try:
        architecture = from_json(text)
    except BadFile:
        return
    architecture.trace()
    assert from_json(to_json(architecture)) == architecture


# -- the format covers the description -----------------------------------------------------------
@pytest.mark.parametrize("family", [Operator, Block])
def test_every_known_class_can_be_stored(family: Any) -> None:
    """Each class, made with its defaults (and a number where it has none), is written and read."""
    from archsearch.serialization import _decode, _encode

    for cls in family.known.values():
        if not cls.__module__.startswith("archsearch."):
            continue  # another test's own
        needed = [n for n, f in cls.__dataclass_fields__.items() if not hasattr(cls, n)]
        if cls is Layers:
            value, needed = Layers((Layer("act", ReLU()),)), []
        elif cls is Resized:
            value, needed = Resized(8, 9, ConvNormAct(8)), []
        else:
            value = cls(**{name: index + 8 for index, name in enumerate(needed)})
        text = json.dumps(_encode(family, value, "value"))
        assert _decode(family, json.loads(text, object_pairs_hook=tuple), "value") == value
        assert needed == [n for n in needed if cls.__dataclass_fields__[n].type == "int"]
