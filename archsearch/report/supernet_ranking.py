"""What a supernet's report leaves: ``ranking.json``, ``ranking.csv`` and ``ranking.html``."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any

from ..files import write_atomically
from ..supernet.ranking import INHERITED, INHERITED_LOSS, LIVE_MACS, Ranking
from .supernet_page import ranking_page
from .supernet_text import verdict

JSON, CSV, PAGE = "ranking.json", "ranking.csv", "ranking.html"
"""The files ``write_ranking`` leaves."""


def write_ranking(folder: Path, about: Mapping[str, Any], ranking: Ranking) -> None:
    """Write a ranking into its run's folder; ``about`` says what was ranked: command, created,
    space, budgets, data, standalone, seed, versions."""
    record = {**about, **as_dict(ranking)}
    write_atomically(folder / CSV, as_csv(ranking))
    write_atomically(folder / PAGE, ranking_page(folder.name, record, ranking))
    write_atomically(folder / JSON, json.dumps(record, indent=2, allow_nan=False) + "\n")


def as_dict(ranking: Ranking) -> dict[str, Any]:
    """Plain data: tau-b, Spearman and 95 % intervals of every score, and what they come to."""
    return {
        "members": len(ranking.members),
        "verdict": verdict(ranking),
        "scores": {
            name: {
                "all": own.everything._asdict(),
                "better_half": own.better._asdict(),
                "pick": own.pick._asdict(),
            }
            for name, own in ranking.ranked.items()
        },
        "ahead_of_live_macs": {
            "all": ranking.lead(INHERITED, LIVE_MACS)._asdict(),
            "better_half": ranking.lead(INHERITED, LIVE_MACS, better=True)._asdict(),
        },
        "two_seeds": None
        if ranking.ceiling is None
        else {"seeds": ranking.ceiling.seeds, **ranking.ceiling.correlation._asdict()},
    }


def as_csv(ranking: Ranking) -> str:
    """A row for each training, with its member's choices: what ``archsearch fit`` reads, and
    another ``archsearch supernet report`` as its ledger. A score that there is not is empty."""
    choices = dict.fromkeys(name for member in ranking.members for name in member.choices)
    scores = {name.replace(" ", "_"): values for name, values in ranking.scores.items()}
    scores[INHERITED_LOSS.replace(" ", "_")] = -ranking.scores[INHERITED_LOSS]
    text = StringIO()
    writer = csv.DictWriter(
        text, ["key", "seed", "accuracy", *scores, *choices], lineterminator="\n"
    )
    writer.writeheader()
    for i, member in enumerate(ranking.members):
        own = {name: _text(float(values[i])) for name, values in scores.items()}
        for seed, accuracy in member.accuracies.items():
            row = {"key": member.key, "seed": seed, "accuracy": repr(accuracy)}
            writer.writerow({**row, **own, **member.choices})
    return text.getvalue()


def _text(value: float) -> str:
    return repr(value) if isfinite(value) else ""
