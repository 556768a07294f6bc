"""DeepMAD's released program, solved with a proof: value, bound and gap beside the best known.

    python benchmarks/certificate.py [--gap 0.001] [--time-limit 30] [--only R18]

Each case runs in a process of its own; the limit covers tables and solving together.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import MEBIBYTE, alone, print_table

from archsearch.explorers.program import space_program
from archsearch.loading import find_objective, find_space
from archsearch.models.deepmad import from_released
from archsearch.objectives import Entropy
from archsearch.solver import solve

STRUCTURES = Path(__file__).parents[2] / "shared" / "reference" / "deepmad_structures.json"


@dataclass(frozen=True)
class Case:
    """A configuration of the released code, and the best objective known before (an annealer's)."""

    name: str
    space: str
    params: float
    macs: float
    best_known: float
    objective_name: str = "deepmad-released"

    def objective(self) -> Entropy:
        found = find_objective(self.objective_name)
        assert isinstance(found, Entropy)
        return found


CASES = (
    Case("R18", "deepmad_resnet", 11.69e6, 1.82e9, 36_527.244),
    Case("R34", "deepmad_resnet", 21.80e6, 3.68e9, 48_557),
    Case("R50", "deepmad_resnet", 25.55e6, 4.13e9, 51_948),
    Case("5M/600M", "deepmad_mobile", 5e6, 600e6, 16_082.3, "deepmad-repaired"),
)


def solved(case: Case, gap: float, limit: float) -> dict[str, Any]:
    """Solve a case; ``check`` is the objective of the built network, straight from its layers."""
    start = time.perf_counter()
    objective, space = case.objective(), find_space(case.space)
    problem = space_program(space, objective, {"params": case.params, "macs": case.macs})
    tables = time.perf_counter() - start
    found = solve(problem.program, gap=gap, time_limit=limit - tables)
    result = {"value": found.value, "bound": found.bound, "gap": found.gap, "tables": tables}
    if found.assignment is None:
        return result
    network = space.build(problem.point(found.assignment))
    nodes = list(network.trace().nodes())
    assert objective.costs is not None
    used = {name: sum(map(count, nodes)) for name, count in objective.costs.items()}
    fits = used["params"] <= case.params and used["macs"] <= case.macs
    rho = objective.effectiveness(network)
    return result | {
        "check": objective.value(network),
        "fits": fits and rho <= space.effectiveness * (1 + 1e-9),
    }


def certificates(cases: tuple[Case, ...], gap: float, limit: float) -> None:
    rows = []
    for case in cases:
        run = alone(solved, case, gap, limit)
        result: Mapping[str, Any] = run.result
        network = "check" in result
        rows.append(
            (
                case.name,
                f"{case.best_known:,.1f}",
                f"{result['value']:,.1f}" if network else "none",
                f"{result['bound']:,.1f}",
                f"{result['gap']:.3%}" if network else "-",
                f"{run.wall:.1f}",
                f"{result['tables']:.1f}",
                f"{run.cpu:.1f}",
                f"{run.memory / MEBIBYTE:,.0f}",
                f"{abs(result['check'] - result['value']):.1e}" if network else "-",
                "yes" if result.get("fits") else "no",
            )
        )
    header = (
        "case", "best known", "value", "bound", "gap", "wall s", "of it tables s", "CPU s", "MiB",
        "off its network", "within budgets",
    )  # fmt: skip
    print_table(f"Certified optima of deepmad-released (asked for {gap:.2%})", header, rows)


def published(path: Path) -> None:
    """The released score of the ten published structures, beside what the released code gives."""
    objective = find_objective("deepmad-released")
    assert isinstance(objective, Entropy)
    rows = []
    for entry in json.loads(path.read_text())["published"]:
        network = from_released(entry["structure"], entry["resolution"])
        theirs, ours = entry["objective_released_code"], objective.value(network)
        off = abs(ours / theirs - 1)
        rows.append((entry["name"], f"{theirs:,.6f}", f"{ours:,.6f}", f"{off:.1e}"))
    header = ("structure", "released code", "archsearch", "relative difference")
    print_table("Score of the published structures", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gap", type=float, default=0.001, help="proven gap to stop at")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds per case")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one case")
    parser.add_argument("--structures", type=Path, default=STRUCTURES)
    args = parser.parse_args()
    cases = tuple(case for case in CASES if args.only in (None, case.name))
    certificates(cases, args.gap, args.time_limit)
    if args.structures.is_file():
        published(args.structures)
    else:
        print(f"\n{args.structures}: no published structures there; give --structures")


if __name__ == "__main__":
    main()
