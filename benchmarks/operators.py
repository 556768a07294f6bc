"""Time of every convolution variant beside the plain convolutions of the same reach, and beside the
public modules that compute the same.

    python benchmarks/operators.py [--seconds 0.2] [--only DCLS] [--rivals-only] [--channels-last]

Every variant is taken as it is by default (DCLS depthwise, as published). Its plain counterparts
look just as far: a depthwise and a dense convolution of the same receptive field, left out where a
call would take seconds. All are timed turn by turn in one process on one thread, so that whatever
else the machine does hits them alike; the figure is the least CPU time. A public module gets our
weights and must give our outputs before it is timed. They need ``pip install timm DCLS torchvision
mmpretrain`` and are left out where they are missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch
from measure import print_table
from torch import Tensor, nn

from archsearch import convolutions  # noqa: F401  (imported, its variants are known)
from archsearch.blocks.convnext import ConvNeXtBlock, ConvNeXtV2Block
from archsearch.convolutions.atrous_pyramid import AtrousPyramid
from archsearch.convolutions.dcls import DCLS
from archsearch.convolutions.factorised import Factorised
from archsearch.convolutions.inception import InceptionDepthwise
from archsearch.convolutions.large_kernel_attention import LargeKernelAttention
from archsearch.convolutions.recursive_gated import GlobalLocalFilter, RecursiveGated
from archsearch.cost import scope_cost, scope_window
from archsearch.graph import Recipe, Tracer, Value, trace
from archsearch.legality import IllegalArchitecture
from archsearch.nets.build import build_recipe
from archsearch.operator import Operator, Shape
from archsearch.operators.convolution import Convolution
from archsearch.spatial import CompositeConvolution, Spatial

INPUTS = {
    2: (Shape(64, (56, 56)), Shape(128, (28, 28)), Shape(256, (14, 14))),
    3: (Shape(64, (8, 28, 28)),),
}
"""What is measured, by the number of spatial dimensions."""
BATCH = 4
AT_MOST = {"own": 3e9, "depthwise": 0.5e9, "dense": 3e9}
"""MACs of a call: more would take seconds. Large depthwise kernels are slow for their MACs."""
ROUNDS = 5
"""Calls of each that are timed at least."""


@dataclass(frozen=True)
class Alone(Recipe):
    """One convolution as a recipe of its own."""

    conv: Spatial

    def expand(self, g: Tracer, x: Value) -> Value:
        return g("conv", self.conv, x)


def variants() -> dict[str, Spatial]:
    """Every convolution of archsearch/convolutions/ with its default settings."""
    known: dict[str, Any] = Operator.known | CompositeConvolution.known
    made = {
        name: cls()
        for name, cls in sorted(known.items())
        if cls.__module__.startswith("archsearch.convolutions.")
        and "out_channels" in cls.__dataclass_fields__
    }
    return made | {"DCLS": DCLS(group_size=1)}


def inputs_of(conv: Spatial) -> tuple[Shape, ...]:
    """The images or videos the variant takes, without those on which a call would take seconds."""
    for inputs in INPUTS.values():
        with suppress(IllegalArchitecture):
            return tuple(x for x in inputs if macs(conv, x) <= AT_MOST["own"])
    return ()


def macs(conv: Spatial, x: Shape) -> int:
    """Multiply-accumulates of one call."""
    return BATCH * int(scope_cost(trace(Alone(conv), x)).macs)


def counterparts(conv: Spatial, x: Shape) -> tuple[int, dict[str, Convolution]]:
    """How far the variant looks, and the plain convolutions that look as far."""
    reach = scope_window(trace(Alone(conv), x)).reach
    plain = Convolution(kernel_size=reach | 1, bias=True)
    kinds = {"depthwise": replace(plain, group_size=1), "dense": plain}
    return reach, {name: op for name, op in kinds.items() if macs(op, x) <= AT_MOST[name]}


@dataclass(frozen=True)
class Clock:
    """How long modules take on one thread: least CPU seconds of a call, taken in turns."""

    seconds: float
    channels_last: bool = False

    def __call__(self, nets: dict[str, nn.Module], x: Shape) -> dict[str, tuple[float, float]]:
        """Of every module the time of a forward pass, and that of a forward and a backward pass."""
        own = (torch.contiguous_format,) * 4
        last = (*own[:2], torch.channels_last, torch.channels_last_3d)
        layout = (last if self.channels_last else own)[x.dimensions]
        inputs = torch.randn(BATCH, x.channels, *x.size).to(memory_format=layout)
        for net in nets.values():
            net.to(memory_format=layout)  # type: ignore[call-overload]
        forward, both = (
            self._least({name: make(net, inputs) for name, net in nets.items()})
            for make in (_forward, _with_backward)
        )
        return {name: (forward[name], both[name]) for name in nets}

    def _least(self, calls: dict[str, Callable[[], object]]) -> dict[str, float]:
        times: dict[str, list[float]] = {name: [] for name in calls}
        for call in calls.values():
            call()
        end, rounds = time.perf_counter() + self.seconds * len(calls), 0
        while time.perf_counter() < end or rounds < ROUNDS:
            rounds += 1
            for name, call in calls.items():
                start = time.process_time()
                call()
                times[name].append(time.process_time() - start)
        return {name: min(own) for name, own in times.items()}


def _forward(net: nn.Module, x: Tensor) -> Callable[[], object]:
    def call() -> None:
        with torch.no_grad():
            net(x)

    net.eval()
    return call


def _with_backward(net: nn.Module, x: Tensor) -> Callable[[], object]:
    def call() -> None:
        net(x.detach().requires_grad_()).backward(gradient)
        net.zero_grad()

    net.train()
    gradient = torch.randn_like(net(x))
    return call


def compare_with_plain(only: str, clock: Clock) -> list[tuple[str, ...]]:
    """Rows of the table that has every variant beside plain convolutions."""
    rows = []
    for name, conv in variants().items():
        if only.lower() not in name.lower():
            continue
        for x in inputs_of(conv):
            reach, plain = counterparts(conv, x)
            kinds = {"own": conv, **plain}
            times = clock({kind: built(op, x) for kind, op in kinds.items()}, x)
            words = [name, str(x), str(reach)]
            for way in (0, 1):
                own = times["own"][way]
                words.append(f"{own * 1e3:.1f}")
                words += [
                    f"{own / times[kind][way]:.2f}x" if kind in times else "-"
                    for kind in ("depthwise", "dense")
                ]
            rows.append(tuple(words))
    return rows


def built(conv: Spatial, x: Shape) -> nn.Module:
    return build_recipe(Alone(conv), x)


@dataclass(frozen=True)
class Rival:
    """A public module and our recipe of the same function.

    ``order`` are the places of its weights in the order of ours; ``reversed_axes`` names those that
    hold numbers per axis, last axis first.
    """

    name: str
    package: str
    module: str
    theirs: Callable[[Any, Shape], Any]
    own: Callable[[Shape], Recipe]
    order: tuple[str, ...] = ("",)
    reversed_axes: tuple[str, ...] = ()
    dimensions: int = 2

    def pair(self, x: Shape) -> dict[str, nn.Module]:
        """Ours and theirs with the same weights; raises ``ImportError`` where it is missing and
        ``RuntimeError`` where they compute something else."""
        theirs = self.theirs(import_module(self.module), x)
        own = build_recipe(self.own(x), x)
        self._copy_weights(own, theirs)
        inputs = torch.randn(2, x.channels, *x.size)
        with torch.no_grad():
            found, expected = own.eval()(inputs), theirs.eval()(inputs)
        error = float((found - expected).abs().max() / expected.abs().max())
        if not error < 1e-4:
            raise RuntimeError(f"{self.name}: outputs differ by {error:.1e} of the largest")
        return {"own": own, "theirs": theirs}

    @torch.no_grad()
    def _copy_weights(self, own: nn.Module, theirs: nn.Module) -> None:
        """Ours to theirs; drawn anew where they start at a value that hides a difference."""
        names = dict(theirs.named_parameters())
        placed = [n for place in self.order for n in names if n.startswith(place)]
        for name, parameter in zip(placed, own.parameters(), strict=True):
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5)
            mine = parameter.flip(0) if name in self.reversed_axes else parameter
            names[name].copy_(mine.reshape(names[name].shape))


def _dcls(interpolation: Any, version: str) -> Rival:
    def theirs(module: Any, x: Shape) -> Any:
        return module.Dcls2d(
            x.channels, x.channels, kernel_count=34, dilated_kernel_size=17, padding=8,
            groups=x.channels, version=version,
        )  # fmt: skip

    conv = DCLS(interpolation=interpolation, group_size=1, bias=True)
    return Rival(
        f"DCLS, {interpolation}",
        "DCLS",
        "DCLS.construct.modules",
        theirs,
        lambda x: Alone(conv),
        ("weight", "bias", "P", "SIG"),
        () if version == "v0" else ("P", "SIG"),
    )


CONVNEXT = ("conv_dw", "norm", "mlp", "gamma")
RIVALS = (
    _dcls("bilinear", "v0"),
    _dcls("triangle", "v1"),
    _dcls("max", "max"),
    _dcls("gauss", "gauss"),
    Rival(
        "InceptionDepthwise",
        "timm",
        "timm.models.inception_next",
        lambda module, x: module.InceptionDWConv2d(x.channels),
        lambda x: Alone(InceptionDepthwise()),
    ),
    Rival(
        "ConvNeXtBlock",
        "timm",
        "timm.models.convnext",
        lambda module, x: module.ConvNeXtBlock(x.channels),
        lambda x: ConvNeXtBlock(x.channels),
        CONVNEXT,
    ),
    Rival(
        "ConvNeXtV2Block",
        "timm",
        "timm.models.convnext",
        lambda module, x: module.ConvNeXtBlock(x.channels, use_grn=True, ls_init_value=None),
        lambda x: ConvNeXtV2Block(x.channels),
        ("conv_dw", "norm", "mlp.fc1", "mlp.grn.weight", "mlp.grn.bias", "mlp.fc2"),
    ),
    Rival(
        "AtrousPyramid",
        "torchvision",
        "torchvision.models.segmentation.deeplabv3",
        lambda module, x: module.ASPP(x.channels, [12, 24, 36], x.channels),
        lambda x: Alone(AtrousPyramid()),
    ),
    Rival(
        "Factorised",
        "torchvision",
        "torchvision.models.video.resnet",
        lambda module, x: module.Conv2Plus1D(x.channels, x.channels, 144),
        lambda x: Alone(Factorised(middle=144)),
        dimensions=3,
    ),
    Rival(
        "LargeKernelAttention",
        "mmpretrain",
        "mmpretrain.models.backbones.van",
        lambda module, x: module.LKA(x.channels),
        lambda x: Alone(LargeKernelAttention()),
    ),
    Rival(
        "RecursiveGated",
        "mmpretrain",
        "mmpretrain.models.backbones.hornet",
        lambda module, x: module.gnConv(x.channels, scale=1 / 3),
        lambda x: Alone(RecursiveGated()),
        ("proj_in", "dwconv", "projs", "proj_out"),
    ),
    Rival(
        "GlobalLocalFilter",
        "mmpretrain",
        "mmpretrain.models.backbones.hornet",
        lambda module, x: module.GlobalLocalFilter(x.channels, x.size[0], x.size[1] // 2 + 1),
        lambda x: Alone(GlobalLocalFilter()),
        ("pre_norm", "dw", "complex_weight", "post_norm"),
    ),
)


def compare_with_rivals(only: str, clock: Clock) -> list[tuple[str, ...]]:
    """Rows of the table that has our modules beside public ones."""
    rows, missing = [], set()
    for rival in RIVALS:
        if only.lower() not in rival.name.lower():
            continue
        for x in INPUTS[rival.dimensions]:
            try:
                times = clock(rival.pair(x), x)
            except ImportError:
                missing.add(rival.package)
                break
            words = [f"{rival.name} ({rival.package})", str(x)]
            for own, theirs in zip(times["own"], times["theirs"], strict=True):
                words += [f"{own * 1e3:.1f}", f"{theirs * 1e3:.1f}", f"{own / theirs:.2f}x"]
            rows.append(tuple(words))
    for package in sorted(missing):
        print(f"{package} is not installed: not compared with it")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=0.2, help="of each measurement")
    parser.add_argument("--only", default="", help="variants whose name holds this")
    parser.add_argument("--rivals-only", action="store_true", help="public modules only")
    parser.add_argument("--channels-last", action="store_true", help="in this memory format")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    clock = Clock(args.seconds, args.channels_last)
    where = f"batch {BATCH}, CPU milliseconds of a call"
    if args.channels_last:
        where += ", channels last"
    ways = ("forward", "with backward")
    if not args.rivals_only and (rows := compare_with_plain(args.only, clock)):
        header = [f"{way}{word}" for way in ways for word in ("", " / depthwise", " / dense")]
        print_table(
            f"Beside plain convolutions, {where}", ["variant", "input", "reach", *header], rows
        )
    if rows := compare_with_rivals(args.only, clock):
        header = [f"{way}{word}" for way in ways for word in ("", ", theirs", ", ratio")]
        print_table(f"Beside public modules, {where}", ["module", "input", *header], rows)


if __name__ == "__main__":
    main()
