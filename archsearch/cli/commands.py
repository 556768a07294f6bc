"""The commands and how arguments are read; a command's own module is loaded when it is run."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from .. import __version__
from ..errors import UserError, suggestion

COMMANDS = {
    "design": "find the best network for a budget, with a proof, and write its PyTorch code",
    "train": "train a network on data, and judge it on pictures it has not seen",
    "evaluate": "judge a trained network on data",
    "search": "try candidates side by side, and keep the best: evolution, samplers, Ray",
    "supernet": "train one network that holds the weights of a whole space",
    "import": "read a PyTorch network of your own, with its weights",
    "transform": "make a trained network larger without changing what it computes",
    "grow": "train a network on while it grows, step by step, up to a budget",
    "resume": "go on with a training, a supernet, a growth or a search that was cut off",
    "show": "show a network, stage by stage",
    "cost": "show what a network costs, by stage, block or layer",
    "compare": "put networks side by side",
    "score": "say what training-free objectives make of networks",
    "export": "write a network as PyTorch code, ONNX or a torch.export program",
    "fit": "fit an objective to measured networks, with the evidence for it",
    "list": "list spaces, objectives, operators, blocks or published models",
}
"""Command to what it does; each is a module of this package of the same name."""

KEYWORDS = {"import": "import_network"}
"""The modules of commands that no module can be named after."""


class Parser(argparse.ArgumentParser):
    """Complains in one line, as an exception, and knows its options by name.

    ``words`` are what a command is going to parse: its options may depend on the first.
    """

    words: Sequence[str] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs | {"allow_abbrev": False})

    @property
    def options(self) -> list[str]:
        """The options it knows, those in groups included."""
        return [name for name in self._option_string_actions if name.startswith("--")]

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message.removeprefix('argument ')}; see {self.prog} --help")


def run(argv: Sequence[str]) -> int:
    """Run the command that ``argv`` asks for and return its exit status."""
    words = _with_negative_values(argv)
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and words[0] == name and name not in COMMANDS:
        raise UserError(f"no command is named {name[:40]!r}; {suggestion(name, COMMANDS)}")
    module = command_module(name) if name in COMMANDS else None
    parser, chosen = _parser(name, module, words[1:])
    try:
        args, unknown = parser.parse_known_args(words, argparse.Namespace(argv=list(argv)))
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    if unknown:
        raise _unknown_option(unknown[0], chosen)
    if module is None:
        parser.print_help()
        return 0
    status: int = module.run(args)
    return status


def command_module(name: str) -> ModuleType:
    """The module of a command."""
    return import_module(f".{KEYWORDS.get(name, name)}", __package__)


def _parser(
    name: str | None, module: ModuleType | None, words: Sequence[str]
) -> tuple[Parser, Parser]:
    """The whole parser, and that of the command; the other commands are there by name alone."""
    parser = Parser(
        prog="archsearch",
        description="Designs ConvNets from a budget, with a proof of how good they are.",
        epilog="archsearch COMMAND --help tells a command's options.",
    )
    parser.add_argument("--version", action="version", version=f"archsearch {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", parser_class=Parser)
    chosen = parser
    for command, summary in COMMANDS.items():
        own = commands.add_parser(command, help=summary, description=_sentence(summary))
        if command == name and module is not None:
            own.words = words
            module.arguments(own)
            chosen = own
    return parser, chosen


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _unknown_option(word: str, parser: Parser) -> UserError:
    if not word.startswith("-"):
        return UserError(f"what is {word[:60]!r} for? see {parser.prog} --help")
    option = word.partition("=")[0][:60]
    return UserError(f"no option is named {option}; {suggestion(option, parser.options)}")


def _with_negative_values(argv: Sequence[str]) -> list[str]:
    """``--budget -5M-params`` as one word: argparse would take the value for an option."""
    words: list[str] = []
    for word in argv:
        takes_value = words and re.fullmatch(r"--[a-z-]+", words[-1])
        if takes_value and re.match(r"-(?:[0-9.]|inf|nan)", word, re.IGNORECASE):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words
