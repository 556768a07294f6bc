"""Data from the user's own code: ``module:function``, called without arguments."""

from __future__ import annotations

import numpy as np

from ..errors import BadFile, suggestion
from ..own import call_own, told
from .dataset import Data, Split
from .npz import from_arrays
from .parts import Parts

RETURNS = "Data, or the arrays x_train, y_train, x_test, y_test"


def read(source: str, known: tuple[str, ...]) -> Parts:
    """What the function returns, as data. Of ``Data`` the mean and deviation are measured anew.

    Raises ``UserError`` where there is no such module (``known`` are the sources it may have been
    meant for) or function, and ``BadFile`` with file and line for an error inside it.
    """
    name, _, attribute = source.partition(":")
    absent = f"no data source or module is named {name!r}; {suggestion(name, known)}"
    returned = call_own(source, absent)
    if isinstance(returned, Data):
        return _from_data(returned, source)
    if not isinstance(returned, tuple | list) or len(returned) != 4:
        kind = type(returned).__name__
        if isinstance(returned, tuple | list):
            kind += f" of {len(returned)}"
        raise BadFile(f"{source}: returned {kind}; it is to return {RETURNS}")
    try:
        arrays = [np.asarray(array) for array in returned]
    except Exception as error:  # whatever the user's own objects do
        raise BadFile(told(error, source)) from error
    names = ("x_train", "y_train", "x_test", "y_test")
    return from_arrays(dict(zip(names, arrays, strict=True)), attribute, source)


def _from_data(data: Data, source: str) -> Parts:
    for name in ("train", "validation", "test"):
        split = getattr(data, name)
        if not isinstance(split, Split):
            raise BadFile(f"{source}: {name} of its Data is a {type(split).__name__}, not a Split")
        labels = split.labels
        if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.ndim != 1:
            raise BadFile(f"{source}: the {name} labels of its Data are not an int64 array (n,)")
        try:
            first = split.images.batch(np.arange(min(1, len(split))))
            expected = (len(first), *split.images.shape)
        except Exception as error:  # the user's own Images may raise anything
            raise BadFile(told(error, source)) from error
        if first.dtype != np.uint8 or first.shape != expected:
            raise BadFile(
                f"{source}: a batch of {name} is {first.dtype} {first.shape}, not uint8 {expected}"
            )
    return Parts(
        data.name,
        data.train,
        data.test,
        tuple(data.classes),
        data.mirrored,
        data.validation if len(data.validation) else None,
        data.resized,
    )
