"""The generated network class: stem, stages, head, and what users of timm expect of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..cost import scope_windows
from ..graph import Scope
from ..operator import IllegalArchitecture
from .classes import CLASSES, Classes
from .layout import INDENT, WIDTH, bracketed, conditional, exploded
from .structure import Part, is_sequence, read_part

BODY = INDENT * 2


@dataclass(frozen=True)
class Network:
    """A traced network taken apart: the blocks in every top-level part, and the feature maps."""

    scope: Scope
    stem: Part | None
    stages: tuple[tuple[Part, ...], ...]
    head: Part
    reductions: tuple[int, ...]

    @property
    def parts(self) -> list[Part]:
        stem = [self.stem] if self.stem is not None else []
        return [*stem, *(block for stage in self.stages for block in stage), self.head]

    @property
    def widths(self) -> list[int]:
        return [stage[-1].output_shape.channels for stage in self.stages]

    @property
    def classifier(self) -> str | None:
        """The name of the head's last layer, where it is linear."""
        last = next((c for c in self.head.children if c.name == self.head.output), None)
        if last is None or last.call is None or last.call.name != "nn.Linear" or not last.is_plain:
            return None
        return last.name

    @property
    def takes_any_channels(self) -> bool:
        """Whether another number of input channels changes the first part only."""
        first = self.parts[0]
        children = {child.name: child for child in first.children}
        name = first.output
        while name in children and children[name].keeps_channels and len(children[name].reads) == 1:
            name = children[name].reads[0]
        return name in children and (op := children[name].op) is not None and op.channels == "new"


def read_network(scope: Scope) -> Network:
    """A traced architecture as stem, stages and head. Raises ``IllegalArchitecture``."""
    stem, head = None, None
    steps = [1] * scope.inputs[0].shape.dimensions
    stages: list[tuple[Part, ...]] = []
    reductions: list[int] = []
    for child in scope.children:
        if not isinstance(child, Scope):
            raise IllegalArchitecture(f"{child.name}: a layer outside stem, stages and head")
        if windows := scope_windows(child):  # a feature vector has none
            steps = [n * w.stride for n, w in zip(steps, windows, strict=True)]
        if child.name == f"stages.{len(stages)}" and is_sequence(child):
            stages.append(tuple(read_part(c) for c in child.children if isinstance(c, Scope)))
            reductions.append(max(steps))
        elif child.name == "stem" and not stages:
            stem = read_part(child)
        elif child.name == "head":
            head = read_part(child)
        else:
            raise IllegalArchitecture(f"{child.name}: not a stem, stage or head in its place")
    if head is None or not stages:
        raise IllegalArchitecture("a network needs at least one stage and a head")
    return Network(scope, stem, tuple(stages), head, tuple(reductions))


def network_lines(network: Network, classes: Classes, name: str) -> list[str]:
    """The class of the whole network."""
    scores = network.head.output_shape.channels
    channels = network.scope.inputs[0].shape.channels
    words = ["self", f"{CLASSES}: int = {scores}", f"in_chans: int = {channels}",
             "features_only: bool = False"]  # fmt: skip
    if network.classifier is None:
        words.remove(f"{CLASSES}: int = {scores}")
    lines = [f"class {name}(nn.Module):"]
    lines += bracketed(1, "def __init__(", words, ") -> None:")
    lines += [f"{BODY}super().__init__()", *_facts(network)]
    if not network.takes_any_channels:
        lines += [
            f"{BODY}if in_chans != {channels}:",
            f'{BODY}{INDENT}raise ValueError(f"{{in_chans}} input channels; it takes {channels}")',
        ]
    lines += _constructors(network, classes)
    lines += [f"{BODY}self.apply(initialise)", "", *_methods(network)]
    return lines


def _facts(network: Network) -> list[str]:
    info = [
        f'{INDENT * 3}{{"num_chs": {width}, "reduction": {step}, "module": "stages.{i}"}},'
        for i, (width, step) in enumerate(zip(network.widths, network.reductions, strict=True))
    ]
    lines = exploded(2, "self.feature_info = [", [info], "]")
    lines.append(f"{BODY}self.features_only = features_only")
    if network.classifier is not None:
        lines.append(f"{BODY}self.{CLASSES} = {CLASSES}")
    lines.append(f"{BODY}self.num_features = {network.widths[-1]}")
    if network.classifier is not None:
        child = next(c for c in network.head.children if c.name == network.classifier)
        lines.append(f"{BODY}self.head_hidden_size = {dict(child.arguments)['in_features']}")
    return lines


def _constructors(network: Network, classes: Classes) -> list[str]:
    lines = []
    first = network.parts[0]
    any_channels = {"in_channels": "in_chans"} if network.takes_any_channels else {}
    if network.stem is not None:
        kind, words = classes.call(first, **any_channels)
        lines += bracketed(2, f"self.stem = {kind}(", words, ")")
    calls = [
        [classes.call(b, **(any_channels if b is first else {})) for b in stage]
        for stage in network.stages
    ]
    blocks = [_sequential(stage) for stage in calls]
    lines += exploded(2, "self.stages = nn.Sequential(", blocks, ")")
    for tie in _ties(network):
        lines += [f"{BODY}for stage in self.stages:", f"{BODY}{INDENT}{tie}(stage)"]
    kind, words = classes.call(network.head, **({CLASSES: CLASSES} if network.classifier else {}))
    call = f"{kind}({', '.join(words)})"
    return lines + conditional(2, "self.head", "nn.Identity()", "features_only", call)


def _ties(network: Network) -> list[str]:
    """Functions of operators' own layers that let layers of a stage use another's weights.

    Raises ``IllegalArchitecture`` where no such operator before it in the stage has its own.
    """
    found: dict[str, None] = {}
    for stage in network.stages:
        owners: set[type] = set()
        inside = [(inner, child) for b in stage for inner in b.parts() for child in inner.children]
        for inner, child in inside:
            if child.op is None:
                continue
            tie, kind = child.op.tie, type(child.op)
            if not tie:
                owners.add(kind)
            elif kind not in owners:
                raise IllegalArchitecture(
                    f"{inner.name}.{child.name}: {kind.__name__} uses the weights of one before it,"
                    " and none is in its stage; give the first its own"
                )
            else:
                found[tie] = None
    return list(found)


@dataclass(frozen=True)
class Item:
    """One or more blocks in a row: a call, and the loop of a comprehension around it."""

    kind: str
    words: list[str]
    loop: str = ""

    def lines(self, indent: int) -> list[str]:
        """The item as an argument, with a comma behind."""
        call = f"{self.kind}({', '.join(self.words)})"
        line = f"*[{call} for {self.loop}]" if self.loop else call
        pad = INDENT * indent
        if len(f"{pad}{line},") <= WIDTH:
            return [f"{pad}{line},"]
        if not self.loop:
            return bracketed(indent, f"{self.kind}(", self.words, "),")
        inside = bracketed(indent + 1, f"{self.kind}(", self.words, ")")
        return [f"{pad}*[", *inside, f"{pad}{INDENT}for {self.loop}", f"{pad}],"]


def _sequential(calls: Sequence[tuple[str, list[str]]]) -> list[str]:
    """One stage: its blocks in a row, runs of equal or evenly growing blocks as comprehensions."""
    items = _runs(calls)
    first = items[0].lines(0)
    if len(items) == len(first) == 1:
        line = f"{INDENT * 3}nn.Sequential({first[0][:-1]}),"
        if len(line) <= WIDTH:
            return [line]
    return exploded(3, "nn.Sequential(", [item.lines(4) for item in items], "),")


def _runs(calls: Sequence[tuple[str, list[str]]]) -> list[Item]:
    items, i = [], 0
    while i < len(calls):
        kind, words = calls[i]
        equal = _length(calls, i, None)
        growing = [(_length(calls, i, k), k) for k, word in enumerate(words) if word.isdigit()]
        length, k = max(growing, default=(1, 0))
        if equal == 1 and length >= 3:
            start, step = int(words[k]), int(calls[i + 1][1][k]) - int(words[k])
            loop = f"channels in range({start}, {start + step * length}, {step})"
            items.append(Item(kind, [*words[:k], "channels", *words[k + 1 :]], loop))
            i += length
        else:
            items.append(Item(kind, words, f"_ in range({equal})" if equal > 1 else ""))
            i += equal
    return items


def _length(calls: Sequence[tuple[str, list[str]]], i: int, k: int | None) -> int:
    """How many calls from the i-th are equal, or equal but for an evenly growing k-th argument."""
    kind, words = calls[i]
    step, length = None, 1
    for other, values in calls[i + 1 :]:
        if other != kind or len(values) != len(words):
            break
        if [v for j, v in enumerate(values) if j != k] != [
            v for j, v in enumerate(words) if j != k
        ]:
            break
        if k is not None:
            if not values[k].isdigit():
                break
            grown = int(values[k]) - int(calls[i + length - 1][1][k])
            if grown == 0 or step not in (None, grown):
                break
            step = grown
        length += 1
    return length


def _methods(network: Network) -> list[str]:
    stem = "self.stem(x)" if network.stem is not None else "x"
    start = ["        x = self.stem(x)"] if network.stem is not None else []
    is_classifier = network.classifier is not None
    result = "Scores of the classes" if is_classifier else "What the head gives"
    text = METHODS.replace("STEM", stem).replace("RESULT", result)
    head = HEAD if is_classifier else PLAIN_HEAD
    lines = text.splitlines()
    at = lines.index("        START")
    lines[at : at + 1] = start
    return [*lines, *head.replace("CLASSIFIER", network.classifier or "").splitlines()]


METHODS = '''\
    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """RESULT, or with ``features_only`` the output of every stage."""
        if self.features_only:
            return self.features(x)
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature map."""
        return self.stages(STEM)

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of every stage."""
        START
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward_intermediates(
        self, x: Tensor, indices: int | list[int] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The last feature map, and the outputs of all stages, of the last n, or of a list."""
        maps = self.features(x)
        if isinstance(indices, int):
            indices = list(range(-indices, 0))
        return maps[-1], maps if indices is None else [maps[i] for i in indices]

'''
HEAD = '''\
    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Scores of the classes, or with ``pre_logits`` what they are computed from."""
        return self.head(x, pre_logits=pre_logits)

    def get_classifier(self) -> nn.Module:
        """The layer that computes the scores."""
        return self.get_submodule("head.CLASSIFIER")

    def reset_classifier(self, num_classes: int) -> None:
        """Start a new classifier for ``num_classes``; 0 leaves its input as the output."""
        self.num_classes = num_classes
        self.head.CLASSIFIER = nn.Identity()
        if num_classes:
            like = next(self.parameters())
            linear = nn.Linear(self.head_hidden_size, num_classes).to(like)
            self.head.CLASSIFIER = linear.apply(initialise)
'''
PLAIN_HEAD = '''\
    def forward_head(self, x: Tensor) -> Tensor:
        """What the head makes of the last feature map."""
        return self.head(x)
'''
