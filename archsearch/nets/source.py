"""An architecture as a stand-alone PyTorch file: what is exported is what is built and trained.

The text imports torch and nothing else; writing it does not import torch at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..architecture import Architecture
from ..cost import scope_cost
from ..graph import Recipe, trace
from ..merge import deployed as deployed_form
from ..operator import Shape
from .checks import check_network_name, docstring_text, literal
from .classes import Classes, own_layers
from .layout import INDENT, WIDTH, bracketed
from .network import Network, network_lines, read_network
from .structure import Part, read_part

TAKEN = {"torch", "nn", "Tensor", "initialise", "main", "Features"}

IMPORTS = ["import torch", "from torch import Tensor, nn"]


def source(
    architecture: Architecture,
    name: str = "Net",
    docstring_extra: str = "",
    deployed: bool = False,
) -> str:
    """The text of a module whose class ``name`` is the network, or its deployed form.

    ``docstring_extra`` (any text, such as where the network comes from) is added to the docstring.
    Raises ``ValueError`` for a name that no class can have, ``IllegalArchitecture`` for an
    architecture with values that cannot stand in a program.
    """
    for size in architecture.input:
        literal(size)
    scope = architecture.trace()
    network = read_network(deployed_form(scope).scope if deployed else scope)
    head = network.head if network.classifier is not None else None
    layers, own = own_layers(network.parts)
    classes = Classes(network.parts, TAKEN | own | {name}, head, network.parts[0])
    check_network_name(name, TAKEN | own)
    docstring = _docstring(network, name, docstring_extra, deployed)
    blocks = [
        *layers,
        *classes.texts(),
        network_lines(network, classes, name),
        _initialise(network.parts, classes),
        _main(architecture, name),
    ]
    text = "\n\n\n".join("\n".join(block) for block in blocks)
    call = f'if __name__ == "__main__":\n{INDENT}main()\n'
    return "\n".join([*docstring, "", *IMPORTS, "", "", text, "", "", call])


def recipe_source(recipe: Recipe, x: Shape) -> tuple[str, str, list[str]]:
    """The text of a module with the class of one block, its name, and the arguments for ``x``; in
    it is the function ``initialise`` as in that of a network."""
    part = read_part(trace(recipe, x))
    layers, own = own_layers([part])
    classes = Classes([part], TAKEN | own)
    blocks = [*layers, *classes.texts(), _initialise([part], classes)]
    text = "\n\n\n".join("\n".join(block) for block in blocks)
    name, arguments = classes.call(part)
    return "\n".join([*IMPORTS, "", "", text, ""]), name, arguments


def _docstring(network: Network, name: str, extra: str, deployed: bool) -> list[str]:
    (x,), total = network.scope.inputs, scope_cost(network.scope)
    form = [
        "The deployed form: norms and parallel branches that a convolution can take in are part of"
        " its weights. It computes what the trained network does, and is not for training."
    ]
    facts = (
        f"For an input of {x.shape}: {total.params:,} parameters, {total.macs:,} "
        f"multiply-accumulates, {total.activations:,} activations, "
        f"{total.weight_bytes / 1e6:.1f} MB of float32 weights."
    )
    title = f'"""{name}: a network written by archsearch; it needs PyTorch alone.'
    paragraphs = [*(form if deployed else []), facts, *([extra] if extra.strip() else [])]
    lines = [line for text in paragraphs for line in ("", *docstring_text(text, 98))]
    return [title, *lines, '"""']


def _initialise(parts: Sequence[Part], classes: Classes) -> list[str]:
    """How weights start: one function for every layer; a block's own wishes come last."""
    names = {
        child.call.name
        for part in parts
        for inner in part.parts()
        for child in inner.children
        if child.call is not None
    }
    convolutions = sorted(name for name in names if name.startswith("nn.Conv"))
    lines = ["def initialise(module: nn.Module) -> None:"]
    lines.append(
        f'{INDENT}"""Start the weights of one layer or block; use it as net.apply(initialise)."""'
    )
    word = "if"
    if convolutions:
        lines += CONVOLUTION.replace("KINDS", _either(convolutions)).splitlines()
        word = "elif"
    if "nn.Linear" in names:
        lines += LINEAR.replace("WORD", word).splitlines()
        word = "elif"
    for kinds, inside in classes.initial():
        test = f"{INDENT}{word} isinstance(module, {_either(kinds)}):"
        lines += [test] if len(test) <= WIDTH else _long_test(word, kinds)
        lines += [f"{INDENT * 2}{line}" for line in inside]
        word = "elif"
    return lines


def _either(kinds: Sequence[str]) -> str:
    return kinds[0] if len(kinds) == 1 else f"({', '.join(kinds)})"


def _long_test(word: str, kinds: Sequence[str]) -> list[str]:
    either = bracketed(2, "(", kinds, "),")
    return [f"{INDENT}{word} isinstance(", f"{INDENT * 2}module,", *either, f"{INDENT}):"]


CONVOLUTION = """\
    if isinstance(module, KINDS):
        fan_out = module.weight[:, 0].numel() // module.groups
        nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
"""
LINEAR = """\
    WORD isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
"""


def _main(architecture: Architecture, name: str) -> list[str]:
    shape = ", ".join(map(str, (1, *architecture.input)))
    return [
        "def main() -> None:",
        f'{INDENT}"""Print the number of parameters and the shape of the output."""',
        f"{INDENT}net = {name}().eval()",
        f"{INDENT}with torch.no_grad():",
        f"{INDENT * 2}output = net(torch.randn({shape}))",
        f'{INDENT}print(f"{{sum(p.numel() for p in net.parameters()):,}} parameters")',
        f'{INDENT}print(f"output {{tuple(output.shape)}}")',
    ]
