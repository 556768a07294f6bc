"""How good a trained network is, on pictures of any source.

from archsearch import evaluate
print(evaluate("runs/photos-1a2b3c4d", "imagefolder:photos").accuracy)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .data.fits import check_fits
from .errors import BadFile, UserError
from .train import weights_path
from .train.genealogy import read_genealogy
from .train.record import RECORD, read_record
from .train.seed import GENEALOGY

if TYPE_CHECKING:
    from .data.dataset import Data, Split
    from .training.job import Source
    from .training.metrics import Judgement

SPLITS = ("test", "validation", "train")


def evaluate(
    network: str | Path,
    source: str | Source | None = None,
    *,
    split: str = "test",
    device: str | None = None,
) -> Judgement:
    """Judge a weights file, or the one in a run, on one split of some data.

    A run's own data are taken where no ``source`` is given. Pictures are normalised as they were in
    training. Raises ``UserError`` for what cannot be used, and for a file that holds other weights.
    """
    import torch

    from .nets.weights import load_network
    from .training.augment import Augment, Augmenter
    from .training.devices import find_device, layout, on
    from .training.evaluation import predict
    from .training.feed import Feed
    from .training.initial import read_preprocessing
    from .training.metrics import judge

    if split not in SPLITS:
        raise UserError(f"--split {split[:40]}: unknown; use {', '.join(SPLITS)}")
    path = weights_path(network)
    place = find_device(device)
    architecture, net = load_network(path)
    said = read_preprocessing(path, architecture.input[0])
    given = _source(path, source)
    shape = cast("tuple[int, int, int]", architecture.input)
    data = replace(given, shape=shape, limit=None).open()
    mean, deviation = data.mean, data.deviation
    if said is not None:
        _check_classes(path, said.classes, data)
        mean, deviation = said.mean, said.deviation
    check_fits(architecture, data)
    pictures: Split = getattr(data, split)
    if not len(pictures):
        raise UserError(f"{given.text}: its {split} split is empty; use another --split")
    memory = layout(place, net)
    normaliser = Augmenter(Augment(), mean, deviation, place, torch.float32, memory)
    return judge(*predict(on(place, net, memory), Feed(pictures, place), normaliser), data.classes)


def _source(path: Path, source: str | Source | None) -> Source:
    """What was asked for, or the data of the run that the weights lie in."""
    from .training.job import Source

    if source is not None:
        return Source(source) if isinstance(source, str) else source
    for folder in (path.parent, path.parent.parent):
        if (folder / RECORD).is_file():
            try:
                return Source.from_dict(read_record(folder)["data"])
            except (KeyError, TypeError, ValueError) as error:
                raise BadFile(f"{folder / RECORD}: {type(error).__name__} {error}") from None
    if (path.parent / GENEALOGY).is_file():
        said = read_genealogy(path.parent)
        if "data" in said:  # grown on them; a transformed network has seen none itself
            return Source.from_dict(said["data"])
    raise UserError(f"{path}: which data? give --data, such as --data digits")


def _check_classes(path: Path, classes: Sequence[str] | None, data: Data) -> None:
    """Raise ``UserError`` where the same number stands for other classes; a file may name none."""
    if classes is not None and data.classes != classes:
        mine, theirs = json.dumps(classes)[:60], json.dumps(list(data.classes))[:60]
        raise UserError(f"{path} tells apart {mine}, and {data.name} has {theirs}; give other data")
