"""`archsearch design --budget 5M-params` as a whole process, and `archsearch --help`.

python benchmarks/design.py [--runs 5] [--budget 5M-params] [-- further options of design]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from measure import MEBIBYTE, cpu_seconds, peak_memory, print_table

COMMAND = (sys.executable, "-m", "archsearch")


def timed(words: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command; raises ``CalledProcessError`` where it fails."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    subprocess.run([*COMMAND, *words], check=True, capture_output=True)
    return time.perf_counter() - wall, cpu_seconds() - cpu


def imported(words: Sequence[str]) -> list[str]:
    """Heavy packages that a command imports."""
    report = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "archsearch", *words],
        check=True, capture_output=True, text=True,
    ).stderr  # fmt: skip
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in report.splitlines()}
    return sorted(names & {"torch", "ray", "cvxpy", "matplotlib", "onnx", "networkx", "scipy"})


def designs(budget: str, runs: int, options: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Times of whole processes, and what the last one recorded."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(runs):
            words = ["design", "--budget", budget, "--output", folder, "--name", f"run{i}"]
            times.append(timed([*words, *options]))
        record = json.loads(Path(folder, f"run{runs - 1}", "design.json").read_text())
    return times, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--budget", default="5M-params")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    helps = [timed(["--help"]) for _ in range(args.runs)]
    times, record = designs(args.budget, args.runs, args.options)
    memory = peak_memory(resource.RUSAGE_CHILDREN)
    design = ["design", "--budget", args.budget, *args.options]
    with tempfile.TemporaryDirectory() as folder:
        heavy = imported([*design, "--output", folder])
    rows = [
        line("archsearch --help", helps, "-", "-", imported(["--help"])),
        line(
            f"archsearch {' '.join(design)}", times, f"{record['gap']:.3%}",
            f"{memory / MEBIBYTE:,.0f}", heavy,
        ),
    ]  # fmt: skip
    header = ("command", "wall s (median)", "most", "CPU s", "proven gap", "peak MiB", "imports")
    print_table(f"Whole processes, {args.runs} runs each", header, rows)
    network = record["networks"][0]
    used = ", ".join(f"{network['costs'][name]:,} {name}" for name in record["budgets"])
    digits = 1 if record["predicts"] is None else 2
    value, bound = f"{record['value']:,.{digits}f}", f"{record['bound']:,.{digits}f}"
    print(f"\nvalue {value}, bound {bound}, {used}")


def line(
    name: str, times: Sequence[tuple[float, float]], gap: str, memory: str, heavy: Sequence[str]
) -> Sequence[str]:
    wall, cpu = zip(*times, strict=True)
    return (
        name, f"{median(wall):.2f}", f"{max(wall):.2f}", f"{median(cpu):.2f}", gap, memory,
        ", ".join(heavy) or "none heavy",
    )  # fmt: skip


if __name__ == "__main__":
    main()
