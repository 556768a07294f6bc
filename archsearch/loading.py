"""What a name or path on the command line stands for: a space, an objective, an architecture.

Spaces and objectives are Python files that assign ``space`` or ``objective``; an objective fitted
to measured networks is a JSON file. The shipped ones are found by name (in a checkout at its top
level, in an installed wheel inside the package), a user's own by path.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import decode_source, module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from .errors import BadFile, UserError, suggestion

if TYPE_CHECKING:
    from .architecture import Architecture
    from .objectives import AnyObjective
    from .space import SearchSpace

FOLDERS = {"space": "search_spaces", "objective": "objectives"}
"""What a file assigns to the shipped folder such files lie in."""

ENDINGS = {"space": (".py",), "objective": (".py", ".json")}
"""How the names of such files end."""


@dataclass(frozen=True)
class SourceFile:
    """A Python file of a kind ("space" or "objective") as it was loaded: what another process,
    which may not see the file itself, needs to load it too."""

    kind: str
    place: str
    text: str

    @property
    def module(self) -> str:
        """Name of the module it becomes, the same in every process."""
        return f"_archsearch_{self.kind}_{sha256(self.place.encode()).hexdigest()[:12]}"


_loaded: dict[str, SourceFile] = {}
"""Files that were loaded, by the names of their modules; an error raised later inside one can be
told as its own."""

_assigned: dict[int, tuple[object, SourceFile]] = {}
"""What files assigned to their kind, by its identity, and the file."""


@dataclass(frozen=True)
class Entry:
    """One line of a listing: a shipped file's name, its first line, what it holds or why not."""

    name: str
    summary: str
    value: Any = None
    problem: str = ""


def find_space(name: str) -> SearchSpace:
    """The shipped space of that name, or the one in the file of that path.

    Raises ``UserError`` for an unknown name and ``BadFile`` for a file that cannot be used.
    """
    from .space import SearchSpace

    return cast(SearchSpace, _find("space", name))


def find_objective(name: str) -> AnyObjective:
    """The shipped objective of that name, or the one in the file of that path; raises like
    ``find_space``. One that is no ``Objective`` is for searches, not for designs."""
    found: AnyObjective = _find("objective", name)
    return found


def find_architecture(name: str, runs: str | Path = "runs") -> Architecture:
    """An architecture file (or weights file, which holds one), a run's folder, a run's name under
    ``runs`` or a published model's name, looked for in this order. Raises ``UserError``, or
    ``BadFile`` for a file that holds none."""
    from . import models
    from .nets.weights import read_metadata
    from .serialization import read_architecture

    given = _path(name)
    for path in (given, given / "architecture.json", _path(runs) / name / "architecture.json"):
        if _is_file(path):
            holds_weights = path.suffix == ".safetensors"
            return read_metadata(path) if holds_weights else read_architecture(path)
    if name in models.MODELS:
        return models.get(name)
    if _is_path(name):
        raise UserError(f"{_short(name)}: no such architecture file or run")
    hint = suggestion(name, [*models.MODELS, *run_names(runs)])
    way_out = hint if len(hint) < 80 else "see archsearch list models"
    raise UserError(f"no run or published model is named {_short(name)!r}; {way_out}")


def run_names(runs: str | Path = "runs") -> list[str]:
    """Names of the runs in a folder."""
    return sorted(path.parent.name for path in Path(runs).glob("[!.]*/architecture.json"))


def shipped_names(kind: str) -> list[str]:
    """Names of the shipped files of a kind ("space" or "objective"), written with dashes."""
    paths = (p for ending in ENDINGS[kind] for p in _folder(kind).glob(f"[!_]*{ending}"))
    return sorted({path.stem.replace("_", "-") for path in paths})


def entries(kind: str) -> Iterator[Entry]:
    """Every shipped file of a kind; one that is broken is listed with its problem."""
    for name in shipped_names(kind):
        try:
            value, told = _load(kind, _shipped(kind, name))
        except UserError as error:
            yield Entry(name, "", problem=str(error))
        else:
            yield Entry(name, told, value)


def summary(documented: object) -> str:
    """The first sentence of a docstring, without its markup."""
    text = (getattr(documented, "__doc__", None) or "").strip().partition("\n\n")[0]
    sentence = re.split(r"(?<=\.) (?=[A-Z`])", " ".join(text.split()), maxsplit=1)[0]
    return sentence.replace("`", "")


def source_file(name: str) -> Path | None:
    """The user's own file a name stands for; None for a shipped one."""
    return Path(name) if _is_path(name) else None


def told_by_file(error: BaseException) -> str | None:
    """One line for an error that was raised inside a loaded file: file, line and exception."""
    places = {file.place for file in _loaded.values()}
    for frame in reversed(extract_tb(error.__traceback__)):
        if frame.filename in places:
            return f"{frame.filename}, line {frame.lineno}: {_describe(error)}"
    return None


def loaded_file(module: str) -> SourceFile | None:
    """The file that became the module of that name; None for any other module."""
    return _loaded.get(module)


def assigning_file(value: object) -> SourceFile | None:
    """The Python file that assigned this very space or objective; None where none did."""
    found = _assigned.get(id(value))
    return found[1] if found is not None and found[0] is value else None


def load(file: SourceFile) -> ModuleType:
    """Run a file's text, whether or not the file is there; raises ``BadFile``."""
    return _run(file, file.place)


def _find(kind: str, name: str) -> Any:
    if _is_path(name):
        return _load(kind, Path(name))[0]
    known = shipped_names(kind)
    if name.replace("_", "-") in known:
        return _load(kind, _shipped(kind, name))[0]
    for ending in ENDINGS[kind]:
        if _is_file(_path(f"{name}{ending}")):
            raise UserError(f"no {kind} is named {name!r}; for the file write ./{name}{ending}")
    raise UserError(f"no {kind} is named {_short(name)!r}; {suggestion(name, known)}")


def _load(kind: str, path: Path) -> tuple[Any, str]:
    """What the file assigns to ``kind``, or holds as data, and what it is in a sentence."""
    if not _is_file(path):
        raise BadFile(f"{_short(str(path))}: no such {kind} file")
    if path.suffix not in ENDINGS[kind]:
        data = ", or one that archsearch fit wrote" if ".json" in ENDINGS[kind] else ""
        raise BadFile(f"{path}: a {kind} file is a Python file whose name ends in .py{data}")
    if path.suffix == ".json":
        return _read(path)
    file = _source(kind, path)
    module = _run(file, str(path))
    value = getattr(module, kind, None)
    expected = _expected(kind)
    if not isinstance(value, expected):
        words = " or ".join(cls.__name__ for cls in expected)
        found = f"{kind} is {_article(value)}" if hasattr(module, kind) else f"it assigns no {kind}"
        raise BadFile(f"{path}: {found}; a {kind} file says {kind} = {words}(...)")
    _assigned[id(value)] = value, file
    return value, summary(module)


def _read(path: Path) -> tuple[Any, str]:
    """An objective that was fitted to measured networks, and what it is in a sentence."""
    from .fitted import read_fitted

    fitted = read_fitted(path)
    networks = f"{fitted.evidence.networks:,} networks of space {fitted.space}"
    return fitted, f"{fitted.target}, predicted: fitted to {networks}."


def _source(kind: str, path: Path) -> SourceFile:
    try:
        return SourceFile(kind, str(path.resolve()), decode_source(path.read_bytes()))
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: {_describe(error)}") from None


def _run(file: SourceFile, shown: str) -> ModuleType:
    """The module of a file, which messages call ``shown``."""
    name = file.module
    spec = spec_from_file_location(name, file.place)
    assert spec is not None  # as the suffix is .py
    module = module_from_spec(spec)
    _loaded[name] = file
    sys.modules[name] = module  # dataclasses look their own module up
    try:
        exec(compile(file.text, file.place, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise BadFile(f"{shown}{_line(error, file.place)}: {_describe(error)}") from error
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _line(error: BaseException, place: str) -> str:
    """``, line 3`` where the error was raised in, or on the way through, the file."""
    if isinstance(error, SyntaxError) and error.filename == place:
        return f", line {error.lineno}"
    lines = [f.lineno for f in extract_tb(error.__traceback__) if f.filename == place]
    return f", line {lines[-1]}" if lines else ""


def _describe(error: BaseException) -> str:
    """Exception and message on one line of bounded length."""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    text = " ".join(f"{type(error).__name__}: {message}".split()).removesuffix(":")
    return text if len(text) <= 300 else text[:297] + "..."


def _expected(kind: str) -> tuple[type, ...]:
    if kind == "space":
        from .space import SearchSpace

        return (SearchSpace,)
    from .fitted import Fitted
    from .objectives import Additive, Combination, Entropy, Trained
    from .scores import Score

    return (Entropy, Additive, Fitted, Score, Trained, Combination)


def _shipped(kind: str, name: str) -> Path:
    plain = _folder(kind) / name.replace("-", "_")
    paths = [plain.with_suffix(ending) for ending in ENDINGS[kind]]
    return next((path for path in paths if _is_file(path)), paths[0])


def _folder(kind: str) -> Path:
    """Where the shipped files of a kind lie: in the wheel inside the package, else beside it."""
    package = Path(__file__).parent
    inside = package / "_data" / FOLDERS[kind]
    return inside if inside.is_dir() else package.parent / FOLDERS[kind]


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.endswith((".py", ".json", ".safetensors"))


def _path(name: str | Path) -> Path:
    return Path(name)


def _is_file(path: Path) -> bool:
    """Whether there is one; a text that cannot be a path (too long, with a zero byte) is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _article(value: object) -> str:
    name = type(value).__name__
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


def _short(text: str) -> str:
    plain = text if text.isprintable() else repr(text)[1:-1]
    return plain if len(plain) <= 80 else plain[:77] + "..."
