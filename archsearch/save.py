"""What a design leaves behind: the files of a run, and the record it can be re-derived from."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .report.words import numbered, proof, quantity, value
from .runs import create_run, default_name

if TYPE_CHECKING:
    from .design import Design, Designed

FORMAT = 1
"""Version of design.json."""

LIBRARIES = ("numpy", "scipy")
"""What a result may depend on."""


@dataclass(frozen=True)
class Request:
    """How a design was asked for, as far as the design itself does not know: the command's words,
    its settings by name, and the user's own space and objective files (name to content)."""

    command: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


def save_design(
    design: Design,
    output: str | Path = "runs",
    name: str | None = None,
    request: Request | None = None,
) -> Path:
    """Write the run of a design and return its folder: ``architecture.json``, ``model.py`` (both
    with ``-2``, ``-3``, ... for further networks), ``report.html`` and ``design.json``.

    Raises ``UserError`` where it cannot be written or ``name`` is taken; then nothing is left.
    """
    from .nets.source import source
    from .report.page import page
    from .serialization import to_pretty_json

    request = request or Request()
    record = design_record(design, request)
    files: dict[str, str | bytes] = {}
    for network, own in zip(design.networks, record["networks"], strict=True):
        files[own["architecture"]] = to_pretty_json(network.architecture)
        files[own["model"]] = source(network.architecture, docstring_extra=_origin(design, network))
    files["report.html"] = page(design, record)
    files["design.json"] = json.dumps(record, indent=2, allow_nan=False) + "\n"
    words = [design.space_name, *map(str, (b for b in design.budgets if _asked(design, b.cost)))]
    return create_run(output, files | dict(request.files), name, default_name(*words))


def design_record(design: Design, request: Request) -> dict[str, Any]:
    """Everything about a design but the networks themselves, as plain JSON data."""
    from .cost import cost
    from .serialization import key

    networks = []
    for number, network in enumerate(design.networks, 1):
        networks.append(
            {
                "architecture": numbered("architecture.json", number),
                "model": numbered("model.py", number),
                "key": key(network.architecture),
                "value": _finite(network.value),
                "gap": _finite(network.gap),
                "costs": cost(network.architecture).as_dict(),
            }
        )
    return {
        "format": FORMAT,
        "command": list(request.command),
        "settings": dict(request.settings),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "space": design.space_name,
        "objective": design.objective_name,
        "predicts": None if design.prediction is None else asdict(design.prediction),
        "notes": list(design.notes),
        "input": list(design.networks[0].architecture.input) if design.networks else None,
        "seed": design.seed,
        "status": design.status,
        "seconds": round(design.seconds, 3),
        "value": _finite(design.value),
        "bound": _finite(design.bound),
        "gap": _finite(design.gap),
        "budgets": {
            budget.cost: {
                "limit": budget.limit,
                "used": design.networks[0].uses(budget.cost) if design.networks else None,
                "default": not _asked(design, budget.cost),
            }
            for budget in design.budgets
        },
        "ranges": {name: [_finite(v) for v in values] for name, values in design.ranges.items()},
        "shadow_prices": {name: _finite(v) for name, v in design.shadow_prices.items()},
        "networks": networks,
        "trace": [[_finite(v) for v in point] for point in design.trace],
        "versions": versions(),
    }


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Versions of archsearch, Python and the libraries, and the machine's kind."""
    found = {"archsearch": __version__, "python": platform.python_version()}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found | {"platform": platform.platform(), "implementation": sys.implementation.name}


def _origin(design: Design, network: Designed) -> str:
    """Where a network comes from, for the docstring of its code."""
    budgets = ", ".join(map(str, design.budgets))
    return (
        f"Designed by archsearch {__version__}: space {design.space_name}, objective "
        f"{design.objective_name}, budgets {budgets}. {_valued(design, network)}. "
        f"{proof(design, network)}"
    )


def _valued(design: Design, network: Designed) -> str:
    told = value(design, network.value)
    if design.prediction is None:
        return f"It scores {told}"
    return f"Predicted {quantity(design)}: {told}"


def _asked(design: Design, cost: str) -> bool:
    """Whether the budget was given, not the space's default."""
    return cost not in design.default_budgets


def _finite(value: Any) -> Any:
    """JSON knows no infinity: a bound not proved yet is null. numpy's numbers become Python's."""
    plain = value.item() if hasattr(value, "item") else value
    return plain if plain is None or isfinite(plain) else None
