"""What cannot be imported is named, all of it at once; nothing is approximated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from users_networks import assert_same

from archsearch.errors import UserError
from archsearch.imported import import_network
from archsearch.imported.calls import Mode
from archsearch.imported.functions import FUNCTIONS
from archsearch.nets.build import build
from archsearch.operators.pooling import MaxPool

Middle = Callable[[Any, Tensor], Tensor]


class Net(nn.Module):
    """A small network with something in the middle, which has the layer ``layer``."""

    def __init__(self, middle: Middle | None, layer: nn.Module | None) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.layer = layer
        self.factor = nn.Parameter(torch.ones(8, 1, 1))
        self.last = nn.Linear(8, 4)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) * self.factor
        x = self.layer(x) if self.middle is None else self.middle(self, x)
        return self.last(x.mean((2, 3)))


def layer(module: nn.Module) -> Callable[[], nn.Module]:
    return lambda: Net(None, module)


def middle(function: Middle, module: nn.Module | None = None) -> Callable[[], nn.Module]:
    return lambda: Net(function, module)


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight, self.bias)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.rnn = nn.LSTM(8, 7, batch_first=True)
        self.fc = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(self.conv(x).flatten(2).transpose(1, 2))
        return self.fc(y.mean(1))


class OtherInTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x + x if self.training else x)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(x), x


class ByNumbers(Pair):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if x.sum() > 0:
            x = -x
        return self.conv(x)


class InPlace(nn.Module):
    """The sum is written over what is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        y += self.conv(x)
        return functional.relu(y) + x


class Blur(nn.Module):
    """A kernel that is given."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(8, 8, 3, 3))


def tied() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.Flatten())
    net[2].weight = net[0].weight
    return net.append(nn.Linear(48, 2))


def flipped(x: Tensor) -> Tensor:
    return x.flip(2)


torch.fx.wrap("flipped")

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "recurrent": (Recurrent, r"rnn: LSTM \(no operator"),
    "transposed": (layer(nn.ConvTranspose2d(8, 8, 2)), "layer: ConvTranspose2d"),
    "leaky": (layer(nn.LeakyReLU()), "layer: LeakyReLU"),
    "own function": (middle(lambda net, x: flipped(x)), "forward: .*flipped"),
    "shuffle": (
        middle(lambda net, x: x.view(-1, 2, 4, 8, 8).transpose(1, 2).reshape(-1, 8, 8, 8)),
        "forward: view .*Nx8x8x8 numbers out as Nx2x4x8x8",
    ),
    "nearest": (
        middle(lambda net, x: functional.interpolate(x, scale_factor=2)),
        "forward: interpolate .*nearest",
    ),
    "constant": (middle(lambda net, x: x * 0.5), "multiplied by the constant 0.5"),
    "position": (
        middle(lambda net, x: x + net.layer.weight, nn.LayerNorm((8, 8, 8))),
        r"layer.weight is added",
    ),
    "softmax": (middle(lambda net, x: x.softmax(1)), "forward: softmax"),
    "standardised": (layer(Standardised(8, 8, 3)), "layer: conv2d .*weights are computed"),
    "weight norm": (
        lambda: Net(None, nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3))),
        "layer: .*parametrizations",
    ),
    "spectral norm": (
        lambda: Net(None, nn.utils.spectral_norm(nn.Conv2d(8, 8, 3))),
        "layer: Conv2d .*hooks",
    ),
    "reflect": (layer(nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")), "'reflect'"),
    "even same": (layer(nn.Conv2d(8, 8, 2, padding="same")), "'same' of an even kernel"),
    "ceil": (layer(nn.MaxPool2d(3, 2, ceil_mode=True)), "ceil_mode=True"),
    "dilated pool": (layer(nn.MaxPool2d(3, 2, dilation=2)), "layer: MaxPool2d .*dilation"),
    "padding left out": (
        layer(nn.AvgPool2d(3, 1, 1, count_include_pad=False)), "count_include_pad=False"
    ),
    "divisor": (layer(nn.AvgPool2d(3, divisor_override=4)), "layer: AvgPool2d .*divisor_override"),
    "aligned": (
        middle(lambda net, x: functional.interpolate(x, None, 2, "bilinear", align_corners=True)),
        "align_corners=True",
    ),
    "every other": (
        middle(lambda net, x: torch.cat([x[:, ::2]] * 2, 1)), "forward: getitem .*every other"
    ),
    "turned": (middle(lambda net, x: x.transpose(2, 3)), "transpose .*exchanges positions"),
    "twice the second": (middle(lambda net, x: torch.add(x, x, alpha=2)), "alpha=2"),
    "nearly GELU": (layer(nn.GELU("tanh")), "layer: GELU .*approximate='tanh'"),
    "held, not learnt": (
        middle(lambda net, x: functional.conv2d(x, net.layer.weight), Blur()),
        "its weight is no parameter",
    ),
    "unequal windows": (layer(nn.AdaptiveAvgPool2d(3)), "windows of unequal size"),
    "cumulative": (layer(nn.BatchNorm2d(8, momentum=None)), "momentum=None"),
    "no statistics": (
        layer(nn.BatchNorm2d(8, track_running_stats=False)), "track_running_stats=False"
    ),
    "tracked": (
        layer(nn.InstanceNorm2d(8, affine=True, track_running_stats=True)), "tracked statistics"
    ),
    "no scale": (layer(nn.BatchNorm2d(8, affine=False)), "has no bias and no weight"),
    "frozen": (
        middle(
            lambda net, x: functional.batch_norm(
                x, net.layer.running_mean, net.layer.running_var, net.layer.weight, net.layer.bias
            ),
            nn.BatchNorm2d(8),
        ),
        "statistics that are the same",
    ),
    "whole map": (layer(nn.LayerNorm((8, 8, 8))), "layer: LayerNorm .*positions"),
    "always dropping": (middle(lambda net, x: functional.dropout(x)), "dropout in evaluation too"),
    "channel dropout": (layer(nn.Dropout2d()), "layer: Dropout2d"),
    "twice": (
        middle(lambda net, x: net.layer(net.layer(x)), nn.Conv2d(8, 8, 3)),
        "layer.weight: weights used 2 times",
    ),
    "tied": (tied, "0.weight and 2.weight: one tensor"),
    "in place": (middle(lambda net, x: net.layer(x), InPlace()), "differs in evaluation"),
    "other in training": (OtherInTraining, "other things in training than in evaluation"),
    "two outputs": (Pair, "returns a tuple"),
    "by numbers": (ByNumbers, r"ByNumbers cannot be traced: .*test_import_refusals.py, line \d+"),
    "one layer": (lambda: nn.Conv2d(3, 4, 3), "one block from input to output"),
    "not finite": (
        layer(nn.Conv2d(8, 8, 1).requires_grad_(False).apply(lambda m: m.weight.fill_(torch.nan))),
        "not finite",
    ),
    "other size": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(7, 7)), "input of 3x8x8"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_by_name(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises(UserError, match=words) as caught:
        import_network(make(), (3, 8, 8))
    assert "\n" not in str(caught.value)


def test_all_are_named_at_once() -> None:
    def several(net: Any, x: Tensor) -> Tensor:
        return functional.leaky_relu(net.layer[1](flipped(net.layer[0](x))))

    net = Net(several, nn.Sequential(nn.PReLU(), nn.ConvTranspose2d(8, 8, 2)))
    with pytest.raises(UserError) as caught:
        import_network(net, (3, 8, 8))
    for place in ("layer.0: PReLU", "flipped", "layer.1: ConvTranspose2d", "leaky_relu"):
        assert place in str(caught.value)


def test_what_follows_is_blamed_for_itself_only() -> None:
    """Behind what is unknown, layouts are guessed, so only settings are told."""
    first, last = nn.Conv2d(3, 8, 3), nn.Linear(288, 2)
    layers = (first, nn.LeakyReLU(), nn.Dropout2d(), nn.Softmax(1), nn.Flatten(), last)
    with pytest.raises(UserError) as caught:
        import_network(nn.Sequential(*layers), (3, 8, 8))
    words = str(caught.value)
    assert all(place in words for place in ("1: LeakyReLU", "2: Dropout2d", "3: Softmax"))
    assert "Flatten" not in words
    assert "Linear" not in words
    with pytest.raises(UserError) as caught:  # which gives channels last, and is read so
        import_network(Recurrent(), (3, 8, 8))
    assert "rnn: LSTM" in str(caught.value)
    assert "mean" not in str(caught.value)


def test_many_are_counted() -> None:
    net = nn.Sequential(*(nn.LeakyReLU() for _ in range(40)), nn.Flatten(), nn.Linear(192, 2))
    with pytest.raises(UserError, match="and 28 more"):
        import_network(net, (3, 8, 8))


@pytest.mark.parametrize("shape", [(3,), (3, 8, 0), (1, 2, 3, 4, 5)])
def test_an_input_has_channels_and_sizes(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="channels and 1 to 3 sizes"):
        import_network(tied(), shape)


# -- what looks like that, and is exact ----------------------------------------------------------
EXACT: dict[str, Callable[[], nn.Module]] = {
    "ceil that changes nothing": layer(nn.MaxPool2d(2, 2, ceil_mode=True)),
    "valid": layer(nn.Conv2d(8, 8, 3, padding="valid")),
    "same": layer(nn.Conv2d(8, 8, 3, padding="same", dilation=2)),
    "reflecting nothing": layer(nn.Conv2d(8, 8, 1, padding_mode="reflect")),
    "equal windows": layer(nn.AdaptiveAvgPool2d(4)),
    "no windows": layer(nn.AdaptiveAvgPool2d((None, 8))),
    "other numbers": layer(nn.BatchNorm2d(8, eps=1e-3, momentum=0.03)),
    "a subclass": layer(type("Mine", (nn.Conv2d,), {})(8, 8, 3)),
    "no dropout": layer(nn.Dropout2d(0.0)),
    "a stateless layer twice": middle(lambda net, x: net.layer(net.layer(x) + x), nn.ReLU()),
    "an in-place layer on what is read later": middle(
        lambda net, x: net.layer(functional.relu(x, inplace=True)) + x, nn.Conv2d(8, 8, 1)
    ),
    "hard swish by hand": middle(lambda net, x: x * functional.relu6(x + 3) / 6),
    "swish by hand": middle(lambda net, x: x * torch.sigmoid(x)),
    "a sum of a list": middle(lambda net, x: sum([x, net.layer(x), x]), nn.Conv2d(8, 8, 1)),
    "channels by slices": middle(lambda net, x: torch.cat([x[:, :3], x[:, 3:]], dim=1)),
    "pooling by hand": middle(
        lambda net, x: x.view(x.size(0), x.size(1), -1).mean(-1).unsqueeze(-1).unsqueeze(-1) * x
    ),
    "functional batch norm": middle(
        lambda net, x: functional.batch_norm(
            x, net.layer.running_mean, net.layer.running_var, net.layer.weight, net.layer.bias,
            net.training, 0.1,
        ),
        nn.BatchNorm2d(8),
    ),
}  # fmt: skip


FORMS: list[Middle] = [
    lambda net, x: functional.max_pool2d(x, 2),
    lambda net, x: functional.max_pool2d(x, kernel_size=3, stride=2, padding=1),
    lambda net, x: torch.max_pool2d(x, 2, 2),
    lambda net, x: functional.avg_pool2d(x, 3, 1, 1),
    lambda net, x: functional.adaptive_max_pool2d(x, 1) * torch.relu(x),
    lambda net, x: torch.mean(x, (2, 3), keepdim=True).expand(-1, -1, 8, 8) * x,
    lambda net, x: x.relu().clamp(0, 6).sigmoid().tanh(),
    lambda net, x: functional.hardtanh(functional.hardsigmoid(x), 0, 6),
    lambda net, x: functional.silu(functional.hardswish(functional.gelu(x))),
    lambda net, x: x.add(x.relu_()).mul(torch.tanh(x)),
    lambda net, x: torch.add(x, x) * torch.mul(x, x),
    lambda net, x: torch.cat(torch.split(x, [3, 5], dim=1)[::-1], dim=1),
    lambda net, x: torch.concat([x.narrow(1, 2, 4), *x.split(2, dim=1)[:2]], 1),
    lambda net, x: torch.cat([torch.narrow(x, 1, 0, 3), x[:, 3:, ...]], dim=-3),
    lambda net, x: torch.cat(x.chunk(3, 1), 1),
    lambda net, x: x.flatten(2).transpose(1, 2).contiguous().transpose(2, 1).view(-1, 8, 8, 8),
    lambda net, x: x.movedim(1, -1).permute(0, 3, 1, 2).squeeze().flatten(2).view(-1, 8, 8, 8),
    lambda net, x: functional.interpolate(x, scale_factor=2, mode="bilinear"),
    lambda net, x: functional.interpolate(x, size=(5, 7), mode="bilinear", align_corners=False),
    lambda net, x: torch.cat([functional.pixel_shuffle(x, 2)] * 4, 1),
    lambda net, x: functional.conv2d(x, net.layer.weight, net.layer.bias, padding=1, stride=2),
    lambda net, x: functional.conv2d(
        functional.dropout(x, 0.0, net.training), net.layer.weight, net.layer.bias
    ),
]


@pytest.mark.parametrize("place", range(len(FORMS)))
def test_functions_and_methods_are_read_alike(place: int) -> None:
    torch.manual_seed(0)
    assert_exact(Net(FORMS[place], nn.Conv2d(8, 8, 3)))


@pytest.mark.parametrize("name", EXACT)
def test_is_exact(name: str) -> None:
    assert_exact(EXACT[name]())


def assert_exact(module: nn.Module) -> None:
    found = import_network(module, (3, 8, 8))
    assert_same(module, found, build(found.architecture))


def test_what_is_not_used_is_told() -> None:
    net = Net(lambda net, x: x, nn.Linear(3, 3))
    assert import_network(net, (3, 8, 8)).unused == ("layer.bias", "layer.weight")


WRONG: dict[str, tuple[Middle, Callable[..., Any], nn.Module, str]] = {
    "avg_pool2d": (
        lambda net, x: net.layer(functional.avg_pool2d(x, 3, 1, 1)),
        lambda reader, x, *settings: reader.on(x, MaxPool(3, 1, 1)),
        nn.Conv2d(8, 8, 1).apply(lambda own: nn.init.zeros_(own.weight)),  # which would hide it
        "differs in evaluation",
    ),
    "dropout": (
        lambda net, x: functional.dropout(x, 0.5, net.training),
        lambda reader, x, **settings: x,
        nn.Identity(),
        "differs in training",
    ),
    "layer_batch_norm": (
        lambda net, x: net.layer(x),
        lambda reader, x, **settings: FUNCTIONS["batch_norm"](
            reader, x, training=Mode(), **settings | {"momentum": 0.2}
        ),
        nn.BatchNorm2d(8),
        "differs in the statistics of layer",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_reading_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check at the end is real: a mapping that is off by one setting is refused by it."""
    function, wrong, module, words = WRONG[name]
    monkeypatch.setitem(FUNCTIONS, name, wrong)
    with pytest.raises(UserError, match=words):
        import_network(Net(function, module), (3, 8, 8))
