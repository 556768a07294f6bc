"""Networks as people write them, and that an imported one is the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.imported import Imported

TOLERANCE = 1e-12


# -- ResNet, as torchvision writes it ------------------------------------------------------------
class BasicBlock(nn.Module):
    expansion = 1

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(
        self, block: Any, layers: tuple[int, ...], num_classes: int = 10, width: int = 8
    ) -> None:
        super().__init__()
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._make_layer(block, width, layers[0])
        self.layer2 = self._make_layer(block, 2 * width, layers[1], 2)
        self.layer3 = self._make_layer(block, 4 * width, layers[2], 2)
        self.layer4 = self._make_layer(block, 8 * width, layers[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8 * width * block.expansion, num_classes)

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1) -> nn.Sequential:
        downsample = None
        width = planes * block.expansion
        if stride != 1 or self.inplanes != width:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        layers = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = width
        layers += [block(self.inplanes, planes) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x)


# -- others --------------------------------------------------------------------------------------
class ConvBNReLU(nn.Sequential):
    def __init__(self, inp: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1):
        conv = nn.Conv2d(inp, out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out), nn.ReLU6(inplace=True))


class MobileBlock(nn.Module):
    def __init__(self, inp: int, out: int, stride: int, ratio: int) -> None:
        super().__init__()
        hidden = inp * ratio
        self.use_res_connect = stride == 1 and inp == out
        layers: list[nn.Module] = [] if ratio == 1 else [ConvBNReLU(inp, hidden, 1)]
        layers += [
            ConvBNReLU(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.BatchNorm2d(out),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        features: list[nn.Module] = [ConvBNReLU(3, 8, stride=2)]
        inp = 8
        for ratio, out, depth, stride in ((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 3, 2)):
            for i in range(depth):
                features.append(MobileBlock(inp, out, stride if i == 0 else 1, ratio))
                inp = out
        features.append(ConvBNReLU(inp, 32, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class VGG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inp = 3
        for out in (8, 0, 16, 0, 16, 16, 0):
            if out == 0:
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
                continue
            layers += [nn.Conv2d(inp, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(True)]
            inp = out
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(64, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class SEBlock(nn.Module):
    """Functions instead of layers, and a gate of linear layers."""

    def __init__(self, inp: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inp, out, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(out)
        self.fc = nn.Sequential(
            nn.Linear(out, out // 4), nn.ReLU(), nn.Linear(out // 4, out), nn.Sigmoid()
        )
        self.short = nn.Conv2d(inp, out, 1, stride, bias=False) if inp != out else None

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn(self.conv(x)))
        batch, channels, _, _ = y.size()
        gate = functional.adaptive_avg_pool2d(y, 1).view(batch, channels)
        y = y * self.fc(gate).view(batch, channels, 1, 1).expand_as(y)
        return functional.relu(y + (x if self.short is None else self.short(x)), inplace=True)


class SENet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.blocks = nn.ModuleList([SEBlock(8, 8, 1), SEBlock(8, 16, 2), SEBlock(16, 16, 1)])
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        x = functional.avg_pool2d(x, x.size()[2:]).flatten(1)
        return self.head(functional.dropout(x, 0.3, self.training))


class DenseLayerModule(nn.Module):
    def __init__(self, inp: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inp)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(inp, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        y = self.conv1(self.relu1(self.norm1(torch.cat(inputs, 1))))
        return self.conv2(self.relu2(self.norm2(y)))


class DenseBlock(nn.ModuleDict):
    def __init__(self, depth: int, inp: int, growth: int) -> None:
        super().__init__()
        for i in range(depth):
            self.add_module(f"denselayer{i + 1}", DenseLayerModule(inp + i * growth, growth))

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, 16, 3, padding=1, bias=False),
                norm0=nn.BatchNorm2d(16),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, 2, 1),
                denseblock1=DenseBlock(3, 16, 8),
                transition1=nn.Sequential(
                    OrderedDict(
                        norm=nn.BatchNorm2d(40),
                        relu=nn.ReLU(inplace=True),
                        conv=nn.Conv2d(40, 20, 1, bias=False),
                        pool=nn.AvgPool2d(2, 2),
                    )
                ),
                denseblock2=DenseBlock(2, 20, 8),
                norm5=nn.BatchNorm2d(36),
            )
        )
        self.classifier = nn.Linear(36, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.features(x), inplace=True)
        x = torch.flatten(functional.adaptive_avg_pool2d(x, (1, 1)), 1)
        return self.classifier(x)


class ConvNeXtModule(nn.Module):
    """Channels last, and a factor per channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim, 1, 1), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.dwconv(x).permute(0, 2, 3, 1)
        y = self.pwconv2(self.act(self.pwconv1(self.norm(y))))
        return x + self.gamma * y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, 4)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(ConvNeXtModule(16), ConvNeXtModule(16)),
                nn.Sequential(nn.Conv2d(16, 24, 2, 2), ConvNeXtModule(24)),
            ]
        )
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(self.norm(x.mean([-2, -1])))


class Squeeze(nn.Module):
    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.relu(self.fc1(self.avgpool(x)))).sigmoid() * x


class RegNetBlock(nn.Module):
    """The projection comes first, and squeeze-and-excitation is a module inside."""

    def __init__(self, inp: int, out: int, stride: int) -> None:
        super().__init__()
        self.proj = None
        if stride > 1 or inp != out:
            conv = nn.Conv2d(inp, out, 1, stride, bias=False)
            self.proj = nn.Sequential(conv, nn.BatchNorm2d(out))
        self.f = nn.Sequential(
            OrderedDict(
                a=nn.Sequential(nn.Conv2d(inp, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()),
                b=nn.Sequential(
                    nn.Conv2d(out, out, 3, stride, 1, groups=out // 4, bias=False),
                    nn.BatchNorm2d(out),
                    nn.ReLU(),
                ),
                se=Squeeze(out, inp // 4),
                c=nn.Sequential(nn.Conv2d(out, out, 1, bias=False), nn.BatchNorm2d(out)),
            )
        )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.proj is None else self.proj(x)
        return self.activation(shortcut + self.f(x))


class RegNetStage(nn.Module):
    def __init__(self, inp: int, out: int, depth: int) -> None:
        super().__init__()
        widths = [inp, *[out] * (depth - 1)]
        blocks = [RegNetBlock(w, out, 2 if i == 0 else 1) for i, w in enumerate(widths)]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.stages = nn.ModuleList([RegNetStage(8, 16, 2), RegNetStage(16, 24, 1)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x


class RegNet(nn.Module):
    """Modules around modules: the body as one, its stages as others."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Backbone()
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Choosing(nn.Module):
    """What fx cannot trace, and torch.export can: loops and choices by sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.again = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)])
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % 2:
            x = functional.pad(x, (0, 1, 0, 1))
        x = functional.relu(self.bn(self.conv(x)), inplace=True)
        for i in range(x.shape[1] // 4):
            x = functional.gelu(self.again[i](x))
        x = functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.fc(functional.dropout(x, 0.2, self.training))


def sound() -> nn.Module:
    """One dimension, and norms that have no running statistics."""
    return nn.Sequential(
        nn.Conv1d(3, 8, 5, 2, dilation=2), nn.GroupNorm(2, 8), nn.SiLU(),
        nn.Conv1d(8, 8, 4, padding=1), nn.InstanceNorm1d(8, affine=True), nn.Tanh(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 4),
    )  # fmt: skip


def video() -> nn.Module:
    """Three dimensions, tuples, and a padding told by a word."""
    return nn.Sequential(
        nn.Conv3d(3, 8, (1, 3, 3), padding=(0, 1, 1)), nn.BatchNorm3d(8), nn.Hardswish(),
        nn.MaxPool3d((1, 2, 2)), nn.Conv3d(8, 8, 3, padding="same", groups=4), nn.Hardsigmoid(),
        nn.AvgPool3d(2), nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(),
        nn.Linear(6, 4),
    )  # fmt: skip


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet": (lambda: ResNet(BasicBlock, (2, 2, 1, 2)), (3, 64, 64)),
    "bottlenecks": (lambda: ResNet(Bottleneck, (1, 2, 1, 1), width=4), (3, 64, 64)),
    "mobilenet": (MobileNetV2, (3, 32, 32)),
    "vgg": (VGG, (3, 16, 16)),
    "se": (SENet, (3, 12, 12)),
    "dense": (DenseNet, (3, 16, 16)),
    "convnext": (ConvNeXt, (3, 32, 32)),
    "regnet": (RegNet, (3, 32, 32)),
    "choosing": (Choosing, (3, 8, 8)),
    "sound": (sound, (3, 32)),
    "video": (video, (3, 4, 8, 8)),
}


# -- that one is the same -------------------------------------------------------------------------
def assert_same(module: nn.Module, found: Imported, net: nn.Module) -> None:
    """Both compute the same, in evaluation and in training, and come to the same statistics."""
    net.load_state_dict(found.state)
    theirs, mine = deepcopy(module).double(), net.double()
    x = torch.randn(4, *found.architecture.input, dtype=torch.double)
    for train in (False, True):
        outputs = []
        for some in (theirs, mine):
            torch.manual_seed(1)  # for dropout
            with torch.no_grad():
                outputs.append(some.train(train)(x.clone()))
        assert_close(outputs[1], outputs[0])
    state = theirs.state_dict()
    for name, tensor in mine.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            assert_close(tensor, state[found.origins[name]])


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
