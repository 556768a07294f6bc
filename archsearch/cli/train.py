"""``archsearch train ARCH``: train a network on data and judge it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .commands import Parser
from .options import (
    ARCH_HELP,
    add_network_options,
    add_option,
    architecture,
    number,
    ratio,
    whole,
)

if TYPE_CHECKING:
    from argparse import _ArgumentGroup as ArgumentGroup

    from ..architecture import Architecture
    from ..train import Trained
    from ..training.job import Source
    from ..training.recipe import Recipe

DATA_HELP = (
    "digits, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, imagefolder:DIR, npz:FILE or "
    "MODULE:FUNCTION (default: digits)"
)


def arguments(parser: Parser) -> None:
    parser.add_argument("architecture", metavar="ARCH", help=ARCH_HELP)
    parser.add_argument("--data", default="digits", metavar="SOURCE", help=DATA_HELP)
    add_network_options(parser)
    recipe = recipe_arguments(parser)
    recipe.add_argument("--compile", action="store_true", help="compile the network first")
    recipe.add_argument("--teacher", metavar="RUN", help="a trained network to be taught by")
    recipe.add_argument("--weights", metavar="RUN", help="trained weights to start from")
    add_option(
        parser, "--seeds", partial(whole, most=1000), 1, metavar="N",
        help="train so often, from --seed on, and give mean and deviation (default: 1)",
    )  # fmt: skip
    run_arguments(parser)


def recipe_arguments(parser: Parser) -> ArgumentGroup:
    """How something is trained; the group of these options, for more."""
    recipe = parser.add_argument_group("recipe")
    add_option(recipe, "--epochs", whole, metavar="N", help="epochs (default: 30)")
    add_option(recipe, "--batch-size", whole, metavar="N", help="pictures a step (128)")
    recipe.add_argument("--optimizer", metavar="NAME", help="adamw or sgd (default: adamw)")
    add_option(
        recipe, "--learning-rate", number, metavar="X", help="its peak (default: the optimizer's)"
    )
    add_option(recipe, "--weight-decay", number, metavar="X", help="(default: the optimizer's)")
    add_option(recipe, "--warmup", ratio, metavar="10%", help="share of steps (10%%)")
    add_option(recipe, "--label-smoothing", ratio, metavar="X", help="(default: 0.1)")
    add_option(recipe, "--mixup", number, metavar="ALPHA", help="(default: 0, off)")
    add_option(recipe, "--cutmix", number, metavar="ALPHA", help="(default: 0, off)")
    recipe.add_argument(
        "--augment", default="standard", metavar="NAME",
        help="none, standard (for this kind of data) or strong (default: standard)",
    )  # fmt: skip
    add_option(recipe, "--ema", ratio, metavar="X", help="decay of the weights' mean; 0: off")
    add_option(recipe, "--clip", number, metavar="X", help="gradient norm; 0: off (1)")
    add_option(recipe, "--accumulate", whole, metavar="N", help="parts a batch is cut into (1)")
    recipe.add_argument(
        "--precision", metavar="NAME",
        help="auto, float32, bfloat16 or float16 (auto: mixed on a GPU)",
    )  # fmt: skip
    return recipe


def run_arguments(parser: Parser) -> None:
    """Seed, data and device of a training, and where its run goes."""
    add_option(parser, "--seed", partial(whole, least=0), 0, metavar="N", help="(default: 0)")
    add_option(
        parser, "--validation", ratio, metavar="10%",
        help="share of the training pictures to watch by (default: 10%% where there are none)",
    )  # fmt: skip
    add_option(parser, "--limit-train", whole, metavar="N", help="train on so many pictures only")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:N (a GPU if any)")
    add_option(
        parser, "--devices", partial(whole, most=1024), 1, metavar="N",
        help="GPUs that share every batch (default: 1)",
    )  # fmt: skip
    parser.add_argument("--name", metavar="RUN", help="the run's name (default: from the data)")
    parser.add_argument("--output", default="runs", metavar="DIR", help="(default: runs)")
    parser.add_argument("--quiet", action="store_true", help="print only where the run is")


def run(args: Namespace) -> int:
    from ..runs import check_output
    from ..train import train

    check_output(args.output, args.name)
    network, source, note = fitted(args)
    if note and not args.quiet:
        print(note)
    trained = train(
        network,
        source,
        recipe_of(args, source, compile=args.compile),
        seeds=range(args.seed, args.seed + args.seeds),
        device=args.device,
        devices=args.devices,
        teacher=args.teacher,
        weights=args.weights,
        output=args.output,
        name=args.name,
        command=["archsearch", *args.argv],
        **talk(args.quiet),
    )
    return end(trained, args.quiet)


def fitted(args: Namespace) -> tuple[Architecture, Source, str]:
    """The network and the data, made to fit each other as far as a person would expect, and a note
    of what was changed: the classifier to the data's classes, pictures of a folder to the size the
    network takes, a published network to the size of the pictures."""
    from dataclasses import replace
    from typing import cast

    from .. import models
    from ..training.job import Source

    network = architecture(args.architecture, args)
    source = Source(args.data, None, args.validation, 0, args.limit_train)
    data = source.open()
    if data.resized:
        source = replace(source, shape=cast("tuple[int, int, int]", network.input))
        data = source.open()
    changes = []
    if args.architecture in models.MODELS and args.input is None and network.input != data.shape:
        network = replace(network, input=data.shape)
        changes.append(f"input {'x'.join(map(str, data.shape))}")
    classes = len(data.classes)
    output = network.trace().output.shape
    if args.classes is None and not output.size and output.channels != classes:
        network = network.with_classes(classes)
        changes.append(f"{classes} classes")
    return network, source, f"{' and '.join(changes)}, as {data.name} has" if changes else ""


def recipe_of(args: Namespace, source: Source, **more: Any) -> Recipe:
    """The recipe with what was given changed; the defaults are its own."""
    from ..training.recipe import Recipe

    names = (
        "epochs", "batch_size", "optimizer", "learning_rate", "weight_decay", "warmup",
        "label_smoothing", "mixup", "cutmix", "ema", "clip", "accumulate", "precision",
    )  # fmt: skip
    given = more | {name: value for name in names if (value := getattr(args, name)) is not None}
    if given.get("clip") == 0:
        given["clip"] = None
    return Recipe(**given, augment=_augment(args.augment, source))


def _augment(name: str, source: Source) -> Any:
    from ..training.augment import Augment

    if name == "standard":
        return None
    if name == "none":
        return Augment()
    if name == "strong":
        data = source.open()
        return Augment.strong(data.shape, data.mirrored, data.resized)
    raise UserError(f"--augment {name[:40]}: unknown; use none, standard or strong")


def talk(quiet: bool) -> dict[str, Any]:
    """What a training says while it runs."""
    if quiet:
        return {}
    return {"on_start": _say_where, "on_epoch": _say_epoch}


def _say_where(folder: Path) -> None:
    print(f"{folder}: training; archsearch resume {folder} goes on if it is cut off", flush=True)


def _say_epoch(seed: int, row: dict[str, Any], epochs: int, left: float) -> None:
    from ..report.training import epoch_line

    print(epoch_line(row, epochs, left), flush=True)


def end(trained: Trained, quiet: bool) -> int:
    """Say what came of it, and return the exit status."""
    from ..report.training import run_lines

    return say_end(trained, [] if quiet else run_lines(trained.outcomes), quiet)


def say_end(trained: Trained, lines: Sequence[str], quiet: bool) -> int:
    """Say these lines of a run and where it is, or the latter alone; the exit status."""
    if quiet:
        print(trained.folder)
    else:
        files = sorted(path.name for path in trained.folder.iterdir() if path.name[0] != ".")
        print("", *lines, sep="\n")
        print(f"\n{trained.folder}: {', '.join(files)}")
    if trained.state == "stopped":
        print(f"stopped; go on with: archsearch resume {trained.folder}")
        return 130
    return 1 if trained.state == "diverged" else 0
