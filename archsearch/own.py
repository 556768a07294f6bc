"""A function of the user's own, named ``module:function``: found, called, its errors told.

The module is found as by ``python -m``: the current folder first.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from traceback import extract_tb
from typing import Any

from .errors import BadFile, UserError


def is_own(source: str) -> bool:
    """Whether the text may name a function: two names of Python with a colon between."""
    module, colon, function = source.partition(":")
    return bool(colon) and function.isidentifier() and all(map(str.isidentifier, module.split(".")))


def call_own(source: str, absent: str) -> Any:
    """What the function returns, called without arguments; a class will do.

    Raises ``UserError`` where there is no such module (``absent`` says so) or function, and
    ``BadFile`` with file and line for an error inside it.
    """
    name, _, attribute = source.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        top_is_there = find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        top_is_there = False
    if not top_is_there:
        raise UserError(absent)
    try:
        function = getattr(import_module(name), attribute, None)
    except (Exception, SystemExit) as error:
        raise BadFile(told(error, source)) from error
    if not callable(function):
        raise UserError(f"{source}: the module {name} has no function {attribute}")
    try:
        return function()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise BadFile(told(error, source)) from error


def told(error: BaseException, source: str) -> str:
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
    package = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
    foreign = ("site-packages", "dist-packages", os.path.dirname(os.__file__))
    return not file.startswith(("<", package)) and not any(part in file for part in foreign)
