"""Real data by name and place: labelled pictures in training, validation and test splits."""

from __future__ import annotations

from pathlib import Path

from ..errors import BadFile, UserError, suggestion
from ..own import is_own
from . import cifar, digits, folder, idx, npz, own
from .dataset import Arrays, Data, Images, Selection, Shape, Split
from .parts import Parts, assemble, subset

__all__ = ["Arrays", "Data", "Images", "Selection", "Split", "find_data", "subset"]

KNOWN = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "imagefolder", "npz")


def find_data(
    source: str, *, shape: Shape | None = None, validation: float | None = None, seed: int = 0
) -> Data:
    """The data set that a source names.

    ``source`` is ``digits``, ``mnist:DIR``, ``fashion-mnist:DIR``, ``cifar10:DIR``,
    ``cifar100:DIR``, ``imagefolder:DIR``, ``npz:FILE`` or ``module:function``. Picture files are
    brought to ``shape`` (channels, height, width); other pictures must have it, or be grey where
    more channels are asked for. ``validation`` is the part of the training split that ``seed``
    holds back for validation: a tenth and at most 10,000 pictures where None, and nothing where
    the source has a validation split of its own. Neither touches the test split.

    Raises ``UserError`` for a source, a shape or a part that cannot be used and ``BadFile`` for
    files that are not what they should be.
    """
    if seed < 0:
        raise UserError(f"a seed is 0 or more, not {seed}")
    try:
        return assemble(_read(source, shape), source, shape, validation, seed)
    except OSError as error:
        raise BadFile(f"{error.filename or source}: {error.strerror or error}") from None
    except MemoryError:
        raise UserError(f"{source}: does not fit into this machine's memory") from None


def _read(source: str, shape: Shape | None) -> Parts:
    kind, _, place = source.partition(":")
    if kind == "digits":
        if place:
            raise UserError(f"{source}: digits come with archsearch and have no place")
        return digits.read()
    if kind in KNOWN:
        return _read_place(kind, place, shape)
    if is_own(source):
        return own.read(source, KNOWN)
    raise UserError(f"no data source is named {source[:80]!r}; {_way_out(source)}")


def _read_place(kind: str, place: str, shape: Shape | None) -> Parts:
    if not place:
        raise UserError(
            f"{kind}: say where the data lie: {kind}:{'FILE' if kind == 'npz' else 'DIR'}"
        )
    if kind == "npz":
        return npz.read(Path(place), shape)
    if not Path(place).is_dir():
        raise UserError(f"{kind}:{place}: no such folder")
    if kind == "imagefolder":
        return folder.read(Path(place), shape)
    if kind in cifar.LAYOUTS:
        return cifar.read(kind, Path(place))
    return idx.read(kind, Path(place))


def _way_out(source: str) -> str:
    """For a path alone, the kind that reads it; else the nearest name."""
    if source and Path(source).is_dir():
        return f"for a folder of pictures write imagefolder:{source}"
    if source.endswith(".npz"):
        return f"for the file write npz:{source}"
    return suggestion(source.partition(":")[0], KNOWN)
