"""Data from the user's own code: ``module:function``, called without arguments."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from traceback import extract_tb

import numpy as np

from ..errors import BadFile, UserError, suggestion
from .dataset import Data, Split
from .npz import from_arrays
from .parts import Parts

RETURNS = "Data, or the arrays x_train, y_train, x_test, y_test"


def is_own(source: str) -> bool:
    """Whether the text may name a function: two names of Python with a colon between."""
    module, colon, function = source.partition(":")
    return bool(colon) and function.isidentifier() and all(map(str.isidentifier, module.split(".")))


def read(source: str, known: tuple[str, ...]) -> Parts:
    """What the function returns. The module is found as by ``python -m``: the current folder first.

    Of ``Data`` the mean and deviation are measured anew.

    Raises ``UserError`` where there is no such module (``known`` are the sources it may have been
    meant for) or function, and ``BadFile`` with file and line for an error inside it.
    """
    name, _, attribute = source.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        top_is_there = find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        top_is_there = False
    if not top_is_there:
        raise UserError(f"no data source or module is named {name!r}; {suggestion(name, known)}")
    try:
        function = getattr(import_module(name), attribute, None)
    except (Exception, SystemExit) as error:
        raise BadFile(_told(error, source)) from error
    if not callable(function):
        raise UserError(f"{source}: the module {name} has no function {attribute}")
    try:
        returned = function()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise BadFile(_told(error, source)) from error
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
        raise BadFile(_told(error, source)) from error
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
            told = (len(first), *split.images.shape)
        except Exception as error:  # the user's own Images may raise anything
            raise BadFile(_told(error, source)) from error
        if first.dtype != np.uint8 or first.shape != told:
            raise BadFile(
                f"{source}: a batch of {name} is {first.dtype} {first.shape}, not uint8 {told}"
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


def _told(error: BaseException, source: str) -> str:
    """One line for an error in the user's code: the file and line nearest to where it arose."""
    place = source
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{source}: {error.filename}, line {error.lineno}"
    for frame in extract_tb(error.__traceback__):
        if _is_users(frame.filename):
            place = f"{source}: {frame.filename}, line {frame.lineno}"
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    text = " ".join(f"{type(error).__name__}: {message}".split()).removesuffix(":")
    return f"{place}: {text if len(text) <= 300 else text[:297] + '...'}"


def _is_users(file: str) -> bool:
    """Whether a file is neither this package's nor an installed one's nor the interpreter's."""
    package = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
    foreign = ("site-packages", "dist-packages", os.path.dirname(os.__file__))
    return not file.startswith(("<", package)) and not any(part in file for part in foreign)
