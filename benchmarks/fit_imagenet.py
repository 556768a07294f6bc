"""Fit the shipped objective of the mobile space to ImageNet results of 3,536 real networks.

The networks are those of Accel-NASBench (Ahmad et al., DAC 2024): the MnasNet space, trained on
ImageNet with a reduced recipe, one seed, and timed on GPUs, TPUs and FPGAs. Writes
``objectives/imagenet_mobile.json``. The source table is no part of the package:

    python benchmarks/fit_imagenet.py accel_nasbench_imagenet.csv.gz
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from archsearch.cli.commands import run

OUTPUT = Path(__file__).parents[1] / "objectives" / "imagenet_mobile.json"
TITLE = "ImageNet top-1, %"
ORIGIN = "Accel-NASBench (Ahmad et al., DAC 2024): trained with a reduced recipe, one seed each"

CHOICES = {"e": "expansion", "k": "conv.kernel_size", "l": "depth", "se": "squeeze_excitation"}
SQUEEZE = {"True": "SqueezeExcitation", "False": "none"}

MEASURED = {
    "val_top1": "top1",
    "throughput_a100_mean": "images/s@a100",
    "throughput_3090_mean": "images/s@rtx3090",
    "throughput_tpuv2_mean": "images/s@tpuv2",
    "throughput_tpuv3_mean": "images/s@tpuv3",
    "throughput_zcu102_mean": "images/s@zcu102",
    "throughput_vck190_mean": "images/s@vck190",
    "latency_zcu102_mean": "ms-latency@zcu102",
    "latency_vck190_mean": "ms-latency@vck190",
}


def converted(source: Path) -> Iterator[dict[str, str]]:
    """Rows of the source as ``archsearch fit`` reads them: choices of the mobile space."""
    with gzip.open(source, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            choices = {"stages.7.width": "1280"}
            for stage in range(7):
                for short, path in CHOICES.items():
                    text = row[f"block{stage}_{short}"]
                    choices[f"stages.{stage}.{path}"] = SQUEEZE.get(text, text)
            yield choices | {name: row[column] for column, name in MEASURED.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--table", type=Path, default=Path("imagenet_mobile.csv"))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    rows = list(converted(args.source))
    with args.table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    words = ["fit", str(args.table), "--space", "mobile", "--target", "top1"]
    words += ["--title", TITLE, "--origin", ORIGIN, "--output", str(args.output)]
    return run(words)


if __name__ == "__main__":
    raise SystemExit(main())
