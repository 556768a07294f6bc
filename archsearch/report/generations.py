"""Which networks a training grew through: what changed, when, what it cost, and whether it answered
as before; of one that expands by itself, how its candidates scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from . import svg
from .curves import WIDE
from .html import printable, section, table, wide
from .numbers import exact
from .panel import Panel
from .picture import WIDTH
from .training_text import share

HEIGHT = 300.0


def generations(record: Mapping[str, Any]) -> str:
    """The section of a record (growth.json) that tells of generations or of an expansion; nothing
    where it tells of neither."""
    grown = made(record)
    parts = []
    if grown:
        parts.append(wide(_table(grown)))
    if "expansion" in record:
        rule = record["expansion"]
        parts.append(f'<p class="note">{escape(expansion_line(record))}</p>')
        parts.append(wide(_scores(rule, grown)) if rule["looks"] else "")
    elif not grown:
        return ""
    return section(
        "How it grew",
        "".join(parts),
        "A network that grew began by answering as the one before: accuracies before and after "
        "differ by the pictures that rounding decides. The difference is the largest of the "
        "outputs in double precision, relative to the largest output."
        if grown
        else "",
    )


def made(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The growths that were made, of those that a record tells of."""
    return [own for own in record.get("generations", ()) if "after" in own]


def marks(record: Mapping[str, Any]) -> list[int]:
    """After which epochs it grew."""
    return [own["epochs"][0] for own in made(record) if "epochs" in own]


def expansion_line(record: Mapping[str, Any]) -> str:
    """How often a network expanded, and how its best candidates scored, in words."""
    rule, grown = record["expansion"], made(record)
    asked = f"more than {rule['threshold']:g} times its own score"
    looks = [look for look in rule["looks"] if look["score"]["present"] > 0]
    times = f"{len(grown)} time{'s' * (len(grown) != 1)}"
    line = f"It expanded {times}" if grown else "It never expanded"
    if not looks:
        return f"{line}: no larger network within the budgets was scored."
    best = max(looks, key=_ratio)
    return (
        f"{line}: {asked} was asked for, and the best candidate of {len(rule['looks'])} epochs had "
        f"{_ratio(best):.2f} times ({printable('; '.join(best['changes']))}, after epoch "
        f"{best['epoch']})."
    )


def _ratio(scored: Mapping[str, Any]) -> float:
    """By which factor a larger network's score was higher."""
    return float(scored["score"]["larger"] / scored["score"]["present"])


def _table(grown: Sequence[Mapping[str, Any]]) -> str:
    """A row for the first network, and one for every growth."""
    first = grown[0]["before"]
    rows = [["", "the network that there was", *_costs(first), "", "", "", ""]]
    for own in grown:
        accuracy, difference = own.get("accuracy", {}), own["difference"]["evaluation"]
        rows.append(
            [
                str(own["epochs"][0]) if "epochs" in own else "",
                printable("; ".join(own["changes"])),
                *_costs(own["after"]),
                *(share(accuracy[when]) if accuracy else "" for when in ("before", "after")),
                f"{difference:.0e}" if difference else "0",
                printable(_found_by(own)),
            ]
        )
    split = grown[-1].get("split", "")
    header = (
        "after epoch", "what was changed", "params", "MACs", f"{split} accuracy before".strip(),
        "after", "difference", "found by",
    )  # fmt: skip
    return table(header, [[escape(cell) for cell in row] for row in rows], left=2)


def _found_by(own: Mapping[str, Any]) -> str:
    score = own.get("score")
    if score and score["present"] > 0:
        return f"score, {_ratio(own):.2f} times"
    return str(own.get("found_by", ""))


def _costs(cost: Mapping[str, Any]) -> list[str]:
    return [exact(cost["params"]), exact(cost["macs"])]


def _scores(rule: Mapping[str, Any], grown: Sequence[Mapping[str, Any]]) -> str:
    """By how much the best candidate's score was higher, after every epoch that was looked at."""
    values = [(look["epoch"], _ratio(look)) for look in rule["looks"] if look["score"]["present"]]
    threshold = float(rule["threshold"])
    heights = [y for y in (threshold, 1.0, *(y for _, y in values)) if y > 0]
    low, high = min(heights) / 1.05, max(heights) * 1.05
    epochs = [x for x, _ in values] or [1]
    panel = Panel(
        "score of the best candidate / score of the network", 62, WIDTH - 180,
        (min(epochs), low), (max(epochs), high), high / low > WIDE,
    )  # fmt: skip
    columns = [x for x in svg.ticks(min(epochs), max(epochs)) if x == round(x)]
    line = panel.y(threshold)
    parts = [
        '<g class="curves">',
        *panel.axes(columns, lambda y: f"{y:.3g}", "epoch"),
        svg.line(panel.left, line, panel.left + panel.width, line, "ideal"),
        svg.text(panel.left + panel.width + 6, line + 4, "asked for", "small", "start"),
        *(svg.rect(panel.x(x) - 3, panel.y(y) - 3, 6, 6, "validation dot", 3) for x, y in values),
        *panel.marks(marks({"generations": grown})),
        "</g>",
    ]
    return svg.drawing(WIDTH, HEIGHT, parts, "scores of the best candidates over epochs")
