"""Fitting objectives: regression against closed forms, known truths found again, tables, refusals.

Where the reference table lies beside the repository, the mobile space is held against it.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, multivariate_normal

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.cli import main
from archsearch.cost import cost
from archsearch.errors import BadFile, UserError
from archsearch.fit.coding import choices_of, code
from archsearch.fit.evidence import cross_validate, rank_of
from archsearch.fit.fitting import fit
from archsearch.fit.model import Warp
from archsearch.fit.ridge import _few_columns, _few_rows, ridge
from archsearch.fit.table import Table, read_table
from archsearch.fitted import read_fitted, to_json
from archsearch.graph import Node
from archsearch.loading import find_architecture, find_space
from archsearch.operators.convolution import Convolution, depthwise
from archsearch.operators.linear import Linear
from archsearch.operators.normalization import BatchNorm
from archsearch.operators.pooling import GlobalPool
from archsearch.points import part_names, texts_of
from archsearch.serialization import to_json as architecture_json
from archsearch.space import Point, SearchSpace, StageSpace, choice

ACCEL = "data/accel_nasbench_imagenet.csv.gz"
SHARED = Path(__file__).parents[2] / "shared"

SPACE = SearchSpace(
    "small",
    ConvNormAct(8),
    tuple(
        StageSpace(
            ConvNormAct(width, conv=choice(Convolution(kernel_size=choice(3, 5)), depthwise(3))),
            (1, 2, 3),
            2,
        )
        for width in (choice(8, 16, 24, 32), choice(32, 40, 48))
    ),
    Classifier(10),
    (3, 32, 32),
    nondecreasing=False,
)


def accel_row(row: dict[str, str]) -> dict[str, str]:
    """The choices of the mobile space that a row of the reference table names."""
    squeeze = {"True": "SqueezeExcitation", "False": "none"}
    names = {"e": "expansion", "k": "conv.kernel_size", "l": "depth", "se": "squeeze_excitation"}
    return {"stages.7.width": "1280"} | {
        f"stages.{i}.{path}": squeeze.get(text := row[f"block{i}_{short}"], text)
        for i in range(7)
        for short, path in names.items()
    }


def accel() -> list[dict[str, str]]:
    if not (SHARED / ACCEL).is_file():
        pytest.skip(f"reference file {ACCEL} is not beside the repository")
    with gzip.open(SHARED / ACCEL, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def written(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def choices_row(space: SearchSpace, point: Point) -> dict[str, str]:
    """The columns that name a network by its choices; those it does not have are empty."""
    row: dict[str, str] = {}
    for name, part, pick in zip(part_names(space), space.parts, point, strict=True):
        texts = texts_of(pick)
        row |= {f"{name}.{path}": texts.get(path, "") for path in choices_of(part)}
    return row


def quality(point: Point) -> float:
    """A made-up accuracy: what widths and depths add saturates at 80."""
    use = 0.0
    for i, pick in enumerate(point):
        width = pick.mapping.get("width")
        if width is not None:
            use += (i + 1) * np.log(width) * pick.depth**0.5
    return float(80 - 60 * np.exp(-use / 12))


def drawn_points(count: int, seed: int = 0) -> list[Point]:
    rng = random.Random(seed)
    return [SPACE.sample(rng) for _ in range(count)]


def table_of(points: Sequence[Point], **columns: Sequence[Any]) -> Table:
    text = {name.replace("_at_", "@"): tuple(map(str, own)) for name, own in columns.items()}
    return Table(SPACE, tuple(points), text, "made-up.csv", "0" * 64)


# -- the mobile space and the published table --------------------------------------------------
def thop_macs(node: Node) -> float:
    """What the table's authors counted (thop): 4 per normalised element, poolings, no bias."""
    if isinstance(node.op, BatchNorm):
        return 4 * float(node.shape.numel)
    if isinstance(node.op, GlobalPool):
        return float(node.x[0].numel + node.x[0].channels)
    counts = isinstance(node.op, Convolution | Linear)
    return float(node.op.macs(*node.x)) if counts else 0.0


def test_the_mobile_space_is_the_one_that_was_trained(tmp_path: Path) -> None:
    rows = accel()[::60]
    path = written(tmp_path / "t.csv", [accel_row(row) for row in rows])
    space = find_space("mobile")
    table = read_table(path, space, find_architecture)
    for row, point in zip(rows, table.points, strict=True):
        root = space.build(point).trace()
        assert cost(space.build(point)).params == round(float(row["params_m"]) * 1e6)
        counted = sum(thop_macs(node) for node in root.nodes())
        assert counted == pytest.approx(float(row["macs_m"]) * 1e6, abs=1)


def test_a_few_published_results_predict_the_others(tmp_path: Path) -> None:
    """80 of the table's rows rank 400 others better than their parameters do (0.62)."""
    rows = accel()
    random.Random(0).shuffle(rows)
    measured = [accel_row(row) | {"top1": row["val_top1"]} for row in rows[:480]]
    table = read_table(written(tmp_path / "t.csv", measured), find_space("mobile"), lambda n: None)  # type: ignore[arg-type,return-value]
    some = replace(table, points=table.points[:80], columns={"top1": table.columns["top1"][:80]})
    fitted = fit(some, "top1", name="some", folds=5)
    predicted = [fitted.predict(point) for point in table.points[80:]]
    tau = kendalltau(predicted, table.numbers("top1")[80:]).statistic
    assert tau > 0.75
    assert abs(tau - fitted.evidence.rank.kendall) < 0.1
    assert fitted.evidence.beats_baselines


# -- the regression ----------------------------------------------------------------------------
def test_the_regression_is_the_posterior_mean_and_its_evidence_the_marginal() -> None:
    rng = np.random.default_rng(1)
    x, groups = rng.normal(size=(40, 9)), np.repeat(np.arange(3), 3)
    y = x[:, :3] @ rng.normal(size=3) + 0.2 * rng.normal(size=40) + 5
    found = ridge(x, y, groups)
    prior = np.diag(found.variances[groups])
    centre = x - x.mean(axis=0)
    covariance = centre @ prior @ centre.T + found.noise * np.eye(40)
    weights = prior @ centre.T @ np.linalg.solve(covariance, y - y.mean())
    assert found.weights == pytest.approx(weights, abs=1e-8)
    assert found.intercept == pytest.approx(y.mean() - x.mean(axis=0) @ weights)
    # the mean is free: what is left of 40 rows is 39 directions
    basis = np.linalg.svd(np.eye(40) - 1 / 40)[0][:, :39]
    marginal = multivariate_normal(np.zeros(39), basis.T @ covariance @ basis)
    assert found.evidence == pytest.approx(marginal.logpdf(basis.T @ y), abs=1e-6)


def test_the_regression_weighs_rows_by_their_precision() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    precision = rng.integers(1, 4, size=30).astype(float)
    found = ridge(x, y, np.zeros(4, np.int64), precision)
    weight = precision / precision.mean()
    one = np.column_stack([np.ones(30), x])
    penalty = np.diag([0.0, *[found.noise / found.variances[0]] * 4])
    solved = np.linalg.solve((one * weight[:, None]).T @ one + penalty, one.T @ (weight * y))
    assert [found.intercept, *found.weights] == pytest.approx(solved, abs=1e-8)


def test_both_ways_to_the_posterior_are_that_of_the_normal_equations() -> None:
    rng = np.random.default_rng(4)
    for rows, columns in ((9, 5), (5, 9)):
        x, y = rng.normal(size=(rows, columns)), rng.normal(size=rows)
        scale, noise = rng.uniform(0.1, 2, size=columns), 0.3
        scaled = x * scale
        precision = scaled.T @ scaled / noise + np.eye(columns)
        covariance = np.linalg.inv(precision)
        for way in (_few_columns, _few_rows):
            white, determined, volume = way(x, y)(scale, noise)
            assert white == pytest.approx(covariance @ scaled.T @ y / noise)
            assert determined == pytest.approx(1 - np.diag(covariance))
            assert volume == pytest.approx(np.linalg.slogdet(precision)[1])


def test_groups_that_explain_nothing_are_shrunk() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 20))
    y = x[:, :10] @ rng.normal(size=10) + rng.normal(size=300)
    found = ridge(x, y, np.repeat([0, 1], 10))
    assert found.variances[1] < 0.05 * found.variances[0]


def test_scores_of_a_choice_sum_to_zero_and_numbers_walk() -> None:
    columns = code(("none", "a", "b"), (None, None, None))
    assert columns.sum(axis=0) == pytest.approx(0, abs=1e-12)
    assert columns @ columns.T == pytest.approx(1.5 * (np.eye(3) - 1 / 3))
    numbers = (8.0, 16.0, 24.0, 64.0)
    covariance = code(tuple("abcd"), numbers)
    covariance = covariance @ covariance.T
    apart = [
        covariance[i, i] + covariance[i + 1, i + 1] - 2 * covariance[i, i + 1] for i in range(3)
    ]
    steps = np.diff(np.log(numbers))
    assert apart / apart[0] == pytest.approx(steps / steps[0])
    assert np.trace(covariance) / 4 == pytest.approx(1)
    assert (code(("a", "-", "b"), (None, None, None))[1] == 0).all()


@pytest.mark.parametrize("warp", [Warp(1), Warp(-1), Warp(1, 9.0), Warp(-1, 2.0)])
def test_warps_rise_with_quality_and_go_back(warp: Warp) -> None:
    values = np.linspace(-1, 8, 20)
    sums = warp(values)
    assert (np.diff(sums) * warp.sign > 0).all()
    assert warp.back(sums) == pytest.approx(values)
    slope = (warp(values + 1e-6) - warp(values - 1e-6)) / 2e-6
    assert warp.log_slope(values) == pytest.approx(np.log(np.abs(slope)).sum(), abs=1e-5)


# -- whole fits --------------------------------------------------------------------------------
def test_a_known_truth_is_found_again() -> None:
    points = drawn_points(150)
    fitted = fit(table_of(points, top1=list(map(quality, points))), "top1", name="truth", folds=5)
    assert fitted.evidence.rank.kendall > 0.95
    others = drawn_points(200, seed=1)
    predicted = [fitted.predict(point) for point in others]
    assert kendalltau(predicted, list(map(quality, others))).statistic > 0.95
    assert all(abs(p - quality(o)) < 2.5 for p, o in zip(predicted, others, strict=True))


def test_numbers_between_those_measured_are_known() -> None:
    points = [p for p in drawn_points(200) if p[1].mapping["width"] != 16]
    fitted = fit(table_of(points, top1=list(map(quality, points))), "top1", name="gap", folds=5)
    assert fitted.score.known[1]["width"] == ("8", "16", "24", "32")
    ends = [p for p in points if p[1].mapping["width"] != 32]
    narrower = fit(table_of(ends, top1=list(map(quality, ends))), "top1", name="gap", folds=5)
    assert narrower.score.known[1]["width"] == ("8", "16", "24")
    changed = [
        tuple(
            replace(
                pick, values=tuple((k, w if i == 1 and k == "width" else v) for k, v in pick.values)
            )
            for i, pick in enumerate(points[0])
        )
        for w in (8, 16, 24)
    ]
    low, middle, high = map(fitted.predict, changed)
    assert low < middle < high


def test_where_lower_is_better_the_link_falls() -> None:
    points = drawn_points(80)
    error = [100 - quality(point) for point in points]
    table = table_of(points, error=error)
    fitted = fit(table, "error", name="error", higher_is_better=False, folds=5)
    assert fitted.link.values[0] > fitted.link.values[-1]
    best = max(points, key=fitted.value_of)
    assert fitted.predict(best) == min(map(fitted.predict, points))
    assert 100 - quality(best) < np.quantile(error, 0.05)


def seconds(point: Point) -> float:
    return 1e-5 * (
        3 + sum(p.depth * p.mapping.get("width", 0) * (1 + i) / 16 for i, p in enumerate(point))
    )


def test_times_of_devices_are_sums() -> None:
    points = drawn_points(120)
    speed = [1 / seconds(point) for point in points]
    late = [1e3 * seconds(point) if i else "" for i, point in enumerate(points)]
    table = table_of(
        points,
        top1=list(map(quality, points)),
        **{"images/s_at_gpu": speed, "ms-latency_at_gpu": late},
    )
    fitted = fit(table, "top1", name="timed", folds=5)
    throughput, latency = fitted.measure("gpu", "throughput"), fitted.measure("gpu", "latency")
    assert throughput is not None and latency is not None
    assert throughput.evidence.networks == len(set(points))
    assert latency.evidence.networks == len(set(points[1:]))
    for point in drawn_points(50, seed=1):
        assert throughput.predict(point) == pytest.approx(1 / seconds(point), rel=0.03)
        assert latency.predict(point) == pytest.approx(seconds(point), rel=0.03)
    assert throughput.evidence.error < 2


def test_the_same_seed_gives_the_same_file() -> None:
    points = drawn_points(40)
    table = table_of(points, top1=list(map(quality, points)))
    one, two = (to_json(fit(table, "top1", name="x", folds=4, seed=3)) for _ in range(2))
    assert one == two
    assert one != to_json(fit(table, "top1", name="x", folds=4, seed=4))


def test_a_network_is_never_in_two_folds() -> None:
    networks = np.repeat(np.arange(12), 3)
    values = np.arange(36.0)

    def spy(kept: np.ndarray) -> np.ndarray:
        assert not set(networks[kept]) & set(networks[~kept])
        assert len(set(networks[~kept])) == 3
        return values[~kept] + 2

    found = cross_validate(spy, values, networks, folds=4, seed=0)
    assert (found.rank.kendall, found.error, found.error_90) == (1.0, 2.0, 2.0)


def test_ranks_are_counted_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 60).astype(float), rng.normal(size=60)
    signs = [(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]), a[i] != a[j])
             for i in range(60) for j in range(i)]  # fmt: skip
    tau = sum(s for s, _ in signs) / np.sqrt(sum(differ for _, differ in signs) * len(signs))
    assert rank_of(a, b).kendall == pytest.approx(tau, abs=1e-4)
    assert rank_of(np.zeros(5), b[:5]).kendall == 0


# -- tables ------------------------------------------------------------------------------------
def test_networks_are_named_by_choices_or_as_a_whole(tmp_path: Path) -> None:
    points = drawn_points(12)
    rows = [choices_row(SPACE, p) | {"top1": f"{quality(p)}"} for p in points]
    chosen = read_table(written(tmp_path / "a.csv", rows), SPACE, find_architecture)
    whole = []
    for i, point in enumerate(points):
        text = architecture_json(SPACE.build(point))
        (tmp_path / f"{i}.json").write_text(text)
        whole.append({"architecture": text if i % 2 else f"{i}.json", "top1": quality(point)})
    (tmp_path / "run").mkdir()
    described = read_table(written(tmp_path / "b.csv", whole), SPACE, find_architecture)
    for table in (chosen, described):
        assert [SPACE.build(p) for p in table.points] == [SPACE.build(p) for p in points]
        assert table.numbers("top1") == pytest.approx(list(map(quality, points)))
        assert list(table.columns) == ["top1"]
    packed = tmp_path / "c.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    assert read_table(packed, SPACE, find_architecture).points == chosen.points
    written(tmp_path / "run" / "results.csv", rows)
    assert read_table(tmp_path / "run", SPACE, find_architecture).points == chosen.points


def one_row() -> dict[str, str]:
    return choices_row(SPACE, drawn_points(1)[0]) | {"top1": "1"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages.0.width": "9"}, "row 1, stages.0: width is '9'; it may be 8, 16, 24, 32"),
        ({"stages.0.depth": "many"}, "depth is 'many'"),
        ({"stages.0.conv": "Conv"}, "conv is 'Conv'"),
        ({"stages.0.taps": "9"}, "no choice taps"),
        ({"stages.0.width": None}, "there is no column for its choice width"),
    ],
)
def test_a_row_outside_the_space_is_refused(
    tmp_path: Path, changes: dict[str, str | None], said: str
) -> None:
    row = {k: v for k, v in (one_row() | changes).items() if v is not None}
    with pytest.raises(BadFile, match="t.csv") as refused:
        read_table(written(tmp_path / "t.csv", [row]), SPACE, find_architecture)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no rows"),
        (b"a,b\n", "no rows"),
        (b"a,a\n1,2\n", "two columns 'a'"),
        (b"a,b\n1\n", "row 1 has 1 entries"),
        (b"\xff\xfe\x00", "not a table"),
        (b"architecture,top1\nnowhere/none.json,1\n", "row 1: nowhere/none.json"),
        (b'architecture,top1\n"{""format"": 1}",1\n', "row 1"),
        (b"architecture,top1\nresnet50,1\n", "row 1: the network has a stem and 4 stages"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(BadFile) as refused:
        read_table(tmp_path / "t.csv", SPACE, find_architecture)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_measured_columns_are_numbers_or_empty() -> None:
    table = table_of(drawn_points(3), top1=["1", "", "nan"], word=["1", "two", "3"])
    assert np.isnan(table.numbers("top1")).tolist() == [False, True, True]
    with pytest.raises(UserError, match="row 2, word is 'two'"):
        table.numbers("word")
    with pytest.raises(UserError, match="did you mean top1"):
        table.numbers("top")


@pytest.mark.parametrize(
    ("count", "values", "folds", "said"),
    [
        (5, range(5), 3, "5 different networks; a fit needs 10"),
        (40, [7] * 40, 3, "top1 is 7 in every row"),
        (12, range(12), 13, "13 folds: give from 2 to 12"),
    ],
)
def test_too_little_is_refused(count: int, values: Any, folds: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        fit(table_of(drawn_points(count), top1=list(values)), "top1", name="x", folds=folds)


# -- the command -------------------------------------------------------------------------------
SMALL = """
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.space import SearchSpace, StageSpace, choice

stages = tuple(StageSpace(ConvNormAct(choice(w, 2 * w)), (1, 2, 3), 2) for w in (16, 32, 64))
space = SearchSpace("small", None, stages, Classifier())
"""


def test_the_command_writes_what_is_useful_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.py").write_text(SMALL)
    name = str(tmp_path / "small.py")
    space = find_space(name).with_input((3, 32, 32)).with_classes(10)
    rng, noise = random.Random(0), random.Random(1)
    points = [space.sample(rng) for _ in range(60)]
    rows = [
        choices_row(space, p) | {"good": sum(pick.depth for pick in p[:3]), "bad": noise.random()}
        for p in points
    ]
    table = str(written(tmp_path / "t.csv", rows))
    words = ["fit", table, "--space", name, "--input", "3x32x32", "--classes", "10"]
    words += ["--folds", "4"]
    output = tmp_path / "my_fit.json"
    assert main([*words, "--target", "bad", "--output", str(output)]) == 1
    shown = capsys.readouterr()
    assert "not rank unseen networks better than their costs" in shown.err
    assert "params" in shown.out and not output.exists()
    assert main([*words, "--target", "bad", "--output", str(output), "--force"]) == 0
    assert output.exists()
    capsys.readouterr()
    assert main([*words, "--target", "good", "--output", str(output), "--json"]) == 0
    shown = capsys.readouterr()
    fitted = read_fitted(output)
    assert (fitted.name, fitted.input, fitted.classes) == ("my-fit", (3, 32, 32), 10)
    assert (
        json.loads(shown.out)["evidence"]["rank"]["kendall"] == fitted.evidence.rank.kendall > 0.9
    )


def test_the_command_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", str(tmp_path / "none.csv"), "--space", "mobile", "--target", "top1"]
    assert main([*words, "--output", "x.txt"]) == 2
    assert "ends in .json" in capsys.readouterr().err
    assert main([*words, "--output", "x.json"]) == 2
    assert "cannot be read" in capsys.readouterr().err
