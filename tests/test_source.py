"""The exported file: it needs torch alone, is the module that is built, and reads as if written.

Proof by other means than the exporter's own: a clean interpreter, Python's parser, ruff, and the
module transformations of PyTorch.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from drawn import architectures
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from modules import assert_alike, randomise, without_weights
from representatives import REPRESENTATIVES
from torch import nn

from archsearch import models
from archsearch.architecture import Architecture, Run, Stage
from archsearch.blocks.basic import BasicBlock
from archsearch.blocks.bottleneck import Bottleneck
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.conv_stem import ConvStem
from archsearch.blocks.convnext import ConvNeXtBlock, ConvNeXtV2Block, NormDownsample, PatchStem
from archsearch.blocks.dense import DenseLayer, DenseTransition
from archsearch.blocks.inverted_residual import InvertedResidual
from archsearch.blocks.plain import ConvNormAct
from archsearch.cost import cost
from archsearch.graph import Tracer, Value
from archsearch.nets.build import build
from archsearch.nets.source import source
from archsearch.operator import IllegalArchitecture, Operator
from archsearch.operators.activation import Hardswish, ReLU
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.merge import Concat, LayerScale, Split
from archsearch.operators.normalization import BatchNorm
from archsearch.recipes.squeeze_excitation import SqueezeExcitation

NUMERIC = (
    "mobilenetv3_large_100",
    "efficientnet_b0",
    "regnety_002",
    "convnextv2_atto",
    "densenet121",
)
"""Published networks small enough to move their weights between processes."""

SMALL = {
    "residual": Architecture(
        ConvNormAct(8, 2),
        (Stage.of(BasicBlock(8), 2), Stage.of(Bottleneck(16), 3, stride=2, projects=True)),
        Classifier(10),
        (3, 32, 32),
    ),
    "inverted": Architecture(
        ConvNormAct(8, 2),
        tuple(
            Stage.of(
                InvertedResidual(w, conv=depthwise(k), squeeze_excitation=SqueezeExcitation()),
                2, stride=2, projects=True,
            )
            for w, k in ((16, 3), (24, 5))
        ),
        Classifier(10, (20,), Hardswish()),
        (3, 32, 32),
    ),
    "convnext": Architecture(
        PatchStem(8, 2),
        (
            Stage.of(ConvNeXtBlock(8), 2),
            Stage((Run(NormDownsample(16)), Run(ConvNeXtV2Block(16), 2))),
        ),
        Classifier(10),
        (3, 32, 32),
    ),
    "dense": Architecture(
        ConvNormAct(8),
        (Stage((Run(DenseLayer(4), 3), Run(DenseTransition(12)))), Stage.of(DenseLayer(4), 2)),
        Classifier(10, pre_norm=True),
        (3, 32, 32),
    ),
    "plain": Architecture(
        None, (Stage.of(ConvNormAct(8), 2), Stage.of(ConvNormAct(16), stride=2)),
        Classifier(10, pool=False), (3, 16, 16),
    ),
}  # fmt: skip


def logits(net: nn.Module, architecture: Architecture, batch: int = 2) -> torch.Tensor:
    with torch.no_grad():
        return net(images(architecture, batch))


def images(architecture: Architecture, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, *architecture.input, generator=generator)


@pytest.fixture(params=SMALL, scope="module")
def small(request: pytest.FixtureRequest) -> tuple[Architecture, nn.Module]:
    architecture = SMALL[request.param]
    return architecture, randomise(build(architecture))


# -- the text ----------------------------------------------------------------------------------
@cache
def text_of(name: str, deployed: bool = False) -> str:
    """That of a published network."""
    return source(models.get(name), deployed=deployed)


@pytest.mark.parametrize("name", models.MODELS)
def test_text_of_published_networks(name: str) -> None:
    """No class is a second one of its name, and no parameter either."""
    texts = [text_of(name), *([text_of(name, True)] if name in REPRESENTATIVES else [])]
    for text in texts:
        check_text(text)
        found = parameters_of(text)
        for kind, parameters in found.items():
            assert not (kind[-1].isdigit() and kind.rstrip("0123456789") in found)
            assert not any(parameter[-1].isdigit() for parameter in parameters)
            assert len(kind) <= 40


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(architectures())
def test_text_of_drawn_networks(architecture: Architecture) -> None:
    check_text(source(architecture))


def check_text(text: str) -> None:
    """It imports torch alone, and its lines fit a screen."""
    tree = ast.parse(text)
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(n) for n in imports] == ["import torch", "from torch import Tensor, nn"]
    assert max(map(len, text.splitlines())) <= 100
    classes = [n.name for n in tree.body if isinstance(n, ast.ClassDef)]
    assert len(classes) == len(set(classes))
    assert classes[-1] == "Net"


@pytest.mark.skipif(find_spec("ruff") is None, reason="ruff is not installed")
def test_text_is_formatted_and_clean(tmp_path: Path) -> None:
    for name in models.MODELS:
        (tmp_path / f"{name}.py").write_text(text_of(name))
    for name in REPRESENTATIVES:
        (tmp_path / f"{name}_deployed.py").write_text(text_of(name, True))
    for name, architecture in SMALL.items():
        (tmp_path / f"{name}.py").write_text(source(architecture))
    options = ["--isolated", "--no-cache", "--line-length", "100", str(tmp_path)]
    for command in (["format", "--diff"], ["check", "--select", "E,W,F,I,B,N,UP,RET,SIM"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout


def test_equal_blocks_are_one_class_and_runs_are_short() -> None:
    text = source(models.get("resnet50"))
    tree = ast.parse(text)
    classes = [n.name for n in tree.body if isinstance(n, ast.ClassDef)]
    assert classes == ["ConvNormAct", "BottleneckProjection", "Bottleneck", "Classifier", "Net"]
    assert "*[Bottleneck(1024) for _ in range(5)]," in text
    assert "hidden_channels = out_channels // 4" in text
    assert "DenseLayer(channels) for channels in range(64, 256, 32)" in source(
        models.get("densenet121")
    )


# -- channels that part and meet ------------------------------------------------------------------
@dataclass(frozen=True)
class Parts(ConvNormAct, abstract=True):
    """Parts of the channels through convolutions of their own, side by side again, in a nested
    scope; ``sizes`` are eighths of the channels, a rest stays out."""

    sizes: tuple[int, ...] = (4, 4)
    nested: bool = False

    def expand(self, g: Tracer, x: Value) -> Value:
        if not self.nested:
            return g.scope(
                "parts", replace(self, nested=True), g("conv", Convolution(self.width), x)
            )
        start, ends = 0, []
        for i, size in enumerate(self.sizes):
            stop = start + self.width * size // 8
            part = g(f"part{i}", Split(start, stop), x)
            ends.append(g(f"conv{i}", Convolution(kernel_size=3, group_size=1), part))
            start = stop
        return g("concat", Concat(), *ends)


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ((4, 4), "part0, part1 = x.chunk(2, dim=1)"),
        ((2, 2, 2, 2), "part0, part1, part2, part3 = x.chunk(4, dim=1)"),
        ((4, 2, 2), "part0, part1, part2 = x.split(self.split_sizes, dim=1)"),
        ((5, 3), "part0, part1 = x.split(self.split_sizes, dim=1)"),
        ((3, 3), "x.narrow(1, 0, self."),
        ((1,), "x.narrow(1, 0, self."),
    ],
)
def test_one_class_splits_channels_of_every_width(sizes: tuple[int, ...], line: str) -> None:
    stages = tuple(Stage.of(Parts(w, sizes=sizes), 2) for w in (16, 24, 40))
    architecture = Architecture(None, stages, Classifier(10), (3, 12, 12))
    text = source(architecture)
    assert text.count("class Parts") == 2  # the block and the part inside
    assert line in text
    check_text(text)
    net: Any = randomise(build(architecture))
    assert cost(architecture).params == sum(p.numel() for p in net.parameters())
    block, x = net.stages[1][1], torch.randn(2, 24, 12, 12)
    with torch.no_grad():
        chunks = x.split([24 * n // 8 for n in (*sizes, *[8 - sum(sizes)] * (sum(sizes) < 8))], 1)
        convs = [getattr(block.parts, f"conv{i}") for i in range(len(sizes))]
        parts = [conv(chunk) for conv, chunk in zip(convs, chunks, strict=False)]
        torch.testing.assert_close(block.parts(x), torch.cat(parts, dim=1))


def test_uneven_parts_are_what_the_others_leave() -> None:
    stages = tuple(Stage.of(Parts(w, sizes=(5, 3))) for w in (16, 24, 40))
    text = source(Architecture(None, stages, Classifier(10), (3, 12, 12)))
    assert "part0_channels = 5 * channels // 8" in text
    assert "part1_channels = channels - part0_channels" in text


# -- what a class takes ------------------------------------------------------------------------
def parameters_of(text: str) -> dict[str, list[str]]:
    """What the constructors take, by class."""
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    return {
        node.name: [argument.arg for argument in method.args.args[1:]]
        for node in classes
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "__init__"
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hornet_tiny_7x7", {"RecursiveGatedOrder5": ["channels"]}),
        ("hornet_tiny_gf", {"MetaFormerBlock": ["channels", "conv"]}),
        ("lsnet_t", {"LSConvolution": ["channels"], "OffsetAttention": ["channels"]}),
        ("lsnet_t", {"LSNetBlock": ["channels", "conv"], "LSNetPair": ["channels", "conv"]}),
        ("p3d63", {"Pseudo3dBottleneck": ["channels", "conv"], "Pseudo3dA": ["channels"]}),
        ("inceptionnext_tiny", {"InceptionDepthwise": ["channels"]}),
        ("deeplabv3_resnet50", {"AtrousPyramid": ["in_channels", "out_channels"]}),
        ("espcn_x2", {"SubPixel": ["in_channels", "out_channels"]}),
        ("van_b0", {"VisualAttention": ["channels"]}),
    ],
)
def test_inner_widths_follow_from_the_channels(name: str, expected: dict[str, list[str]]) -> None:
    assert parameters_of(source(models.get(name))).items() >= expected.items()


def test_classes_that_differ_in_a_part_take_it() -> None:
    text = source(models.get("p3d63"))
    assert "self.conv2 = conv(hidden_channels)" in text
    assert "Pseudo3dBottleneck(1024, conv=Pseudo3dC)" in text
    text = source(models.get("emov2_1m"))
    assert "self.norm = norm(in_channels, eps=1e-6)" in text
    assert "norm=ChannelLayerNorm, activation=nn.GELU" in " ".join(text.split())


def test_layers_of_equal_names_are_told_apart() -> None:
    blocks = [
        ConvNormAct(8, norm=None),
        ConvNormAct(8, norm=None, activation=None),
        ConvNormAct(8, activation=None),
        ConvNormAct(8),
    ]
    text = source(net_of(*blocks))
    assert len(parameters_of(text)) == 6  # four of them, classifier, network


def test_stem_does_not_follow_from_the_image() -> None:
    """Six inner channels are no twice the three of an image: images of five leave them six."""
    stem = ConvStem(16, inner=6)
    architecture = Architecture(stem, (Stage.of(ConvNormAct(8)),), Classifier(10), (3, 16, 16))
    net: Any = build(architecture, in_chans=5)
    assert net.stem.conv1.weight.shape[:2] == (6, 5)
    assert net.stem.conv2.weight.shape[:2] == (16, 6)


def test_docstring_tells_the_costs() -> None:
    architecture = models.get("resnet18")
    text = ast.get_docstring(ast.parse(source(architecture, docstring_extra="By hand.\n\nTwice.")))
    assert text is not None
    total = cost(architecture)
    assert f"{total.params:,} parameters" in " ".join(text.split())
    assert f"{total.macs:,} multiply-accumulates" in " ".join(text.split())
    assert text.endswith("By hand.\n\nTwice.")


def test_writing_does_not_import_torch() -> None:
    script = """
        import sys
        from archsearch import models
        from archsearch.nets.source import source
        source(models.get("convnextv2_atto"))
        assert "torch" not in sys.modules
    """
    root = str(Path(models.__file__).parents[2])
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, cwd=root)


# -- the file in an interpreter that has never heard of archsearch ------------------------------
CLEAN = """
    import importlib.util, json, sys
    sys.modules["archsearch"] = None
    import torch

    torch.set_num_threads(1)
    for start in ("normal_", "uniform_"):  # weights are loaded, or none are wanted
        setattr(torch.Tensor, start, lambda tensor, *_, **__: tensor.zero_())
    found = {}
    for name, shape in json.loads(sys.argv[1]).items():
        spec = importlib.util.spec_from_file_location(name, f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with torch.device("meta"):
            state = module.Net().state_dict()
        found[name] = {key: list(tensor.shape) for key, tensor in state.items()}
        if shape:
            net = module.Net().eval()
            net.load_state_dict(torch.load(f"{name}.pt", weights_only=True), strict=True)
            with torch.no_grad():
                x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
                torch.save(net(x), f"{name}.out")
    json.dump(found, sys.stdout)
"""


def run_clean(folder: Path, nets: dict[str, tuple[Architecture, bool]]) -> None:
    """Write networks (with their weights where told so), run them apart, and compare."""
    states, outputs = {}, {}
    for name, (architecture, numeric) in nets.items():
        (folder / f"{name}.py").write_text(source(architecture))
        net = build(architecture) if numeric else without_weights(architecture)
        states[name] = {k: list(t.shape) for k, t in net.state_dict().items()}
        if numeric:
            torch.save(randomise(net).state_dict(), folder / f"{name}.pt")
            outputs[name] = logits(net, architecture)
    shapes = {name: a.input if numeric else () for name, (a, numeric) in nets.items()}
    command = [sys.executable, "-I", "-c", textwrap.dedent(CLEAN), json.dumps(shapes)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == states
    for name, expected in outputs.items():
        assert_alike(torch.load(folder / f"{name}.out"), expected)


def test_published_networks_in_a_clean_interpreter(tmp_path: Path) -> None:
    names = [*REPRESENTATIVES, *NUMERIC]
    nets = {name: (small_input(models.get(name)), name in NUMERIC) for name in names}
    run_clean(tmp_path, nets)


def small_input(architecture: Architecture) -> Architecture:
    channels, *sizes = architecture.input
    return replace(architecture, input=(channels, *(min(size, 64) for size in sizes)))


def test_drawn_networks_in_a_clean_interpreter(tmp_path: Path) -> None:
    drawn: list[Architecture] = []

    @settings(max_examples=15, database=None, suppress_health_check=list(HealthCheck))
    @given(architectures())
    def collect(architecture: Architecture) -> None:
        drawn.append(architecture)

    collect()
    everything = [*drawn, *SMALL.values()]
    run_clean(tmp_path, {f"net{i}": (a, True) for i, a in enumerate(everything)})


def test_main_prints_parameters_and_output(tmp_path: Path) -> None:
    architecture = SMALL["inverted"]
    path = tmp_path / "model.py"
    path.write_text(source(architecture))
    result = subprocess.run([sys.executable, "-I", path], capture_output=True, text=True)
    assert result.stdout == f"{cost(architecture).params:,} parameters\noutput (1, 10)\n"


# -- what PyTorch and its users do with a module ------------------------------------------------
def test_survives_compile(small: tuple[Architecture, nn.Module]) -> None:
    architecture, net = small
    torch.compiler.reset()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(logits(compiled, architecture), logits(net, architecture))


def test_survives_export(small: tuple[Architecture, nn.Module]) -> None:
    architecture, net = small
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.export.export(net, (images(architecture),), dynamic_shapes=shapes)
    expected = logits(net, architecture, 5)
    torch.testing.assert_close(logits(program.module(), architecture, 5), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_survives_trace(small: tuple[Architecture, nn.Module]) -> None:
    architecture, net = small
    traced = torch.jit.trace(net, images(architecture))
    expected = logits(net, architecture, 3)
    torch.testing.assert_close(logits(traced, architecture, 3), expected)


def test_survives_channels_last(small: tuple[Architecture, nn.Module]) -> None:
    architecture, net = small
    expected = logits(net, architecture)
    with torch.no_grad():
        last = net.to(memory_format=torch.channels_last)
        scores = last(images(architecture).to(memory_format=torch.channels_last))
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)


def test_survives_autocast(small: tuple[Architecture, nn.Module]) -> None:
    architecture, net = small
    expected = logits(net, architecture)
    with torch.autocast("cpu", torch.bfloat16):
        scores = logits(net, architecture)
    assert scores.dtype == torch.bfloat16
    error = (scores.float() - expected).abs().max() / expected.abs().max()
    assert error < 0.1


def test_trains(small: tuple[Architecture, nn.Module]) -> None:
    architecture, _ = small
    net = build(architecture)
    net(images(architecture)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_features(name: str) -> None:
    architecture = SMALL[name]
    net: Any = randomise(build(architecture))
    x = images(architecture)
    last, maps = net.forward_intermediates(x)
    torch.testing.assert_close(last, net.forward_features(x))
    torch.testing.assert_close(net.forward_head(last), net(x))
    assert len(maps) == len(architecture.stages) == len(net.feature_info)
    for i, (info, features) in enumerate(zip(net.feature_info, maps, strict=True)):
        assert info["num_chs"] == features.shape[1]
        assert info["reduction"] == x.shape[2] // features.shape[2]
        assert net.get_submodule(info["module"]) is net.stages[i]
    assert net.num_features == last.shape[1]
    torch.testing.assert_close(net.features(x), maps)
    torch.testing.assert_close(net.forward_intermediates(x, 1)[1], maps[-1:])
    torch.testing.assert_close(net.forward_intermediates(x, [0, -1])[1], [maps[0], maps[-1]])
    features_only: Any = build(architecture, features_only=True).eval()
    weights = {k: v for k, v in net.state_dict().items() if not k.startswith("head.")}
    features_only.load_state_dict(weights, strict=True)
    torch.testing.assert_close(features_only(x), maps)


@pytest.mark.parametrize("name", SMALL)
def test_classifier_can_be_replaced(name: str) -> None:
    architecture = SMALL[name]
    net: Any = randomise(build(architecture))
    x = images(architecture)
    before = net.forward_head(net.forward_features(x), pre_logits=True)
    assert before.shape == (2, net.head_hidden_size)
    torch.testing.assert_close(net.get_classifier()(before), net(x))
    net.reset_classifier(7)
    assert (net.num_classes, net(x).shape) == (7, (2, 7))
    net.reset_classifier(0)
    assert net.num_classes == 0
    torch.testing.assert_close(net(x), before)
    net.double().reset_classifier(3)
    assert net(x.double()).dtype == torch.double
    assert build(architecture, num_classes=0)(x).shape == before.shape


@pytest.mark.parametrize("name", SMALL)
def test_other_input_channels(name: str) -> None:
    architecture = SMALL[name]
    expected = build(replace(architecture, input=(5, *architecture.input[1:])))
    state = build(architecture, in_chans=5).state_dict()
    assert {k: t.shape for k, t in state.items()} == {
        k: t.shape for k, t in expected.state_dict().items()
    }


def test_input_channels_that_cannot_change() -> None:
    stage = Stage.of(ConvNeXtBlock(3))
    net = Architecture(None, (stage,), Classifier(10), (3, 8, 8))
    assert build(net)(torch.zeros(1, 3, 8, 8)).shape == (1, 10)
    with pytest.raises(ValueError, match="1 input channels; it takes 3"):
        build(net, in_chans=1)


def test_weights_start_well() -> None:
    """By fan-out per group, truncated normal, and branches beside a shortcut at zero."""
    net: Any = build(models.get("resnet50")).requires_grad_(False)
    assert net.stages[0][0].conv3_norm.weight.abs().max() == 0
    assert net.stages[3][1].conv3_norm.weight.abs().max() == 0
    convolution = build(models.get("mobilenetv2_100")).requires_grad_(False).stages[1][0].conv
    assert convolution.weight.std() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert net.head.classifier.weight.std() == pytest.approx(0.02, rel=0.05)
    assert net.head.classifier.bias.abs().max() == 0
    scales = build(models.get("convnextv2_atto")).stages[0][0].response_norm
    assert scales.weight.abs().max() == 0


# -- nothing of a stranger's file gets into the text ---------------------------------------------
EVIL = "1)\nraise SystemExit('broken in')\n#"


class EvilInt(int):
    def __repr__(self) -> str:
        return EVIL

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return EVIL


class EvilFloat(float):
    def __repr__(self) -> str:
        return EVIL


@dataclass(frozen=True)
class Renamed(ConvNormAct, abstract=True):
    """A block whose layer, or class, bears a name that is none."""

    layer: str = "conv"
    called: str = "Renamed"

    @property
    def kind(self) -> str:
        return self.called

    def expand(self, g: Tracer, x: Value) -> Value:
        return g(self.layer, Convolution(8), x)


def net_of(*blocks: Any, input: Any = (3, 8, 8)) -> Architecture:
    return Architecture(ConvNormAct(8), tuple(map(Stage.of, blocks)), Classifier(10), input)


class Unknown(ReLU):
    """An operator that took the place of another of its name."""


Unknown.__name__ = "ReLU"


@pytest.mark.parametrize(
    "architecture",
    [
        lambda: net_of(ConvNormAct(8, norm=BatchNorm(eps=EVIL))),
        lambda: net_of(ConvNormAct(8, norm=BatchNorm(eps=EvilFloat(1e-5)))),
        lambda: net_of(ConvNormAct(8, norm=BatchNorm(eps=float("nan")))),
        lambda: net_of(ConvNormAct(EvilInt(8))),
        lambda: net_of(ConvNormAct(8, EvilInt(1))),
        lambda: net_of(ConvNormAct(8, conv=Convolution(kernel_size=(EvilInt(3), 3)))),
        lambda: net_of(ConvNormAct(8, conv=Convolution(kernel_size=3, dilation=EvilInt(1)))),
        lambda: net_of(ConvNormAct(8, pool=LayerScale(EVIL))),
        lambda: net_of(ConvNormAct(8, pool=Split(EvilInt(0), 8))),
        lambda: net_of(ConvNormAct(8, activation=Unknown())),
        lambda: net_of(Renamed(8, layer="a.b")),
        lambda: net_of(Renamed(8, layer="class")),
        lambda: net_of(Renamed(8, layer="x")),
        lambda: net_of(Renamed(8, layer="train")),
        lambda: net_of(Renamed(8, layer=EVIL)),
        lambda: net_of(Renamed(8, called=EVIL)),
        lambda: net_of(ConvNormAct(8), input=(3, EvilInt(8), 8)),
        lambda: net_of(ConvNormAct(8), input=(EvilInt(3), 8, 8)),
    ],
)
def test_hostile_values_are_refused(architecture: Any) -> None:
    with pytest.raises(IllegalArchitecture):
        source(architecture())


@pytest.mark.parametrize(
    "name",
    ["", "1", "a b", "class", "None", "torch", "nn", "Tensor", "int", "ＮＮ", "x:\n pass", "é"],
)
def test_hostile_class_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        source(SMALL["residual"], name)


def test_a_network_may_bear_the_name_of_its_blocks() -> None:
    text = source(SMALL["residual"], "BasicBlock")
    scope: dict[str, Any] = {"__name__": "model"}
    exec(text, scope)
    assert scope["BasicBlock"]()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@example('"""\nraise SystemExit\n"""')
@example('a"')
@example("\\")
@example("\\x \\N{ \\u")
@example('\\"""\nraise SystemExit #')
@given(
    st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\"'\\\n\r{}#\x00")), max_size=200)
)
@settings(max_examples=100)
def test_hostile_docstrings_stay_docstrings(extra: str) -> None:
    plain = ast.parse(source(SMALL["plain"])).body
    tree = ast.parse(source(SMALL["plain"], docstring_extra=extra)).body
    assert [ast.dump(node) for node in tree[1:]] == [ast.dump(node) for node in plain[1:]]
    assert isinstance(tree[0], ast.Expr)
    assert isinstance(tree[0].value, ast.Constant)


def test_every_operator_refuses_strings() -> None:
    """No field of any operator takes a text that is more than a word."""
    from dataclasses import fields

    for cls in Operator.known.values():
        for field in fields(cls):
            op = object.__new__(cls)
            for other in fields(cls):
                object.__setattr__(op, other.name, EVIL if other.name == field.name else 1)
            from archsearch.nets.checks import check_operator

            with pytest.raises(IllegalArchitecture):
                check_operator(op, "conv")
