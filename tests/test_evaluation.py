"""How a search judges its candidates: many at once as one by one, here as on a worker, and what
fails is told."""

from __future__ import annotations

import json
import math
import pickle
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ENVIRONMENT
from spaces import tiny_mobile

from archsearch.architecture import Architecture
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.budget import UNITS
from archsearch.cost import cost
from archsearch.data.dataset import Arrays, Data, Repeated, Selection, Split
from archsearch.data.pictures import Paths, Pictures
from archsearch.data.ship import without_test
from archsearch.errors import UserError
from archsearch.evaluation.plan import for_data, kind_of, plan
from archsearch.evaluation.table import table_plan
from archsearch.loading import find_objective, find_space
from archsearch.objectives import Additive, Combination, LowCost, Trained
from archsearch.points import point_of
from archsearch.scores import Score
from archsearch.serialization import to_json
from archsearch.space import Point, SearchSpace, StageSpace, choice
from archsearch.training.job import Source
from archsearch.trials import Goal

SPACE = tiny_mobile()

SMALL = SearchSpace(
    "small",
    ConvNormAct(choice(8, 16), 2),
    (StageSpace(ConvNormAct(choice(16, 24)), (1, 2)),),
    Classifier(10),
    (1, 8, 8),
)
"""For digits: trained in no time."""


class CostsOf:
    """What an evaluation asks of members: exact costs, here straight from the networks."""

    def __init__(self, space: SearchSpace, *names: str) -> None:
        self.space, self.names = space, names

    def costs(self, points: Sequence[Point]) -> dict[str, Any]:
        totals = [cost(self.space.build(point)) for point in points]
        return {name: np.array([getattr(t, name) for t in totals]) for name in self.names}


def drawn(space: SearchSpace, count: int, seed: int = 0) -> list[Point]:
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


def go_on(row: Mapping[str, float]) -> bool:
    return True


def evaluated(made: Any, network: Architecture, seed: int = 0) -> Mapping[str, float]:
    return made.evaluation.prepare()(network, seed, go_on)


# -- goals ---------------------------------------------------------------------------------------
def test_goals_and_what_they_take() -> None:
    assert kind_of(["macs", "deepmad"]) == "vectorised"
    assert kind_of(["receptive-field"]) == "vectorised"
    assert kind_of(["macs", "zen"]) == "scored"
    assert kind_of(["zen", "accuracy"]) == "trained"
    weighed = Combination("weighed", ("accuracy", "macs"), lambda accuracy, macs: accuracy)
    assert kind_of([weighed]) == "trained"
    made = plan(["zen", "macs", "zen"], SPACE)
    assert made.goals == (Goal("zen"), Goal("macs", higher_is_better=False, known=True))
    assert made.values({"macs": 3, "params": 1, "zen": 2}) == (2.0, 3.0)
    assert made.epochs is None and made.watched is None


def test_every_budget_is_a_goal_by_its_name() -> None:
    """A cost is made small, though the shipped scores of the same names rank by size."""
    network = SPACE.build(drawn(SPACE, 1)[0])
    for unit, name in UNITS.items():
        made = plan([unit], SPACE)
        assert made.goals == (Goal(name, higher_is_better=False, known=True),)
        assert made.costs == (name,)
        assert evaluated(made, network)[name] == getattr(cost(network), name)
    assert find_objective("macs").higher_is_better  # type: ignore[union-attr]


def test_what_does_not_go_together_is_refused() -> None:
    other = Score("macs", lambda network, seed: 1.0)
    itself: Any = Combination("loop", ("params",), max)
    object.__setattr__(itself, "of", (itself,))
    cases: list[tuple[list[Any], str]] = [
        ([], "no objective: give at least one"),
        (["zem"], "no objective is named 'zem'; did you mean zen"),
        (["macs", other], "two different objectives are named macs; rename one"),
        ([Score("epoch", lambda network, seed: 1.0)], "cannot be named 'epoch'"),
        ([3], "a int is no objective: 3"),
        (["imagenet-mobile"], "fitted to networks of space mobile, not of tiny_mobile"),
        ([Combination("twice", (other, "macs"), max)], "two different objectives are named macs"),
        ([itself], "made of itself"),
    ]
    for objectives, words in cases:
        with pytest.raises(UserError, match=words):
            plan(objectives, SPACE)


# -- many at once --------------------------------------------------------------------------------
def test_batches_equal_one_by_one() -> None:
    """Costs, sums with and without pairs, entropy, counted scores and what is made of them."""

    def own(part: int, pick: Any) -> float:
        return len(str(pick.values)) + 0.1 * part + 0.01 * pick.depth

    def pair(part: int, before: Any, pick: Any) -> float:
        return before.depth * pick.depth + 0.5 * part

    sums = [Additive("lone", own), Additive("paired", own, pair)]
    weighed = Combination("weighed", ("deepmad", "macs"), lambda d, m: d - m / 1e5)
    made = plan(["params", *sums, "deepmad", "receptive-field", weighed], SPACE)
    points = drawn(SPACE, 40)
    batch = made.values_of(CostsOf(SPACE, "params", "macs"), points)  # type: ignore[arg-type]
    assert made.kind == "vectorised" and not batch.reasons
    deepmad: Any = find_objective("deepmad")
    for place, point in enumerate(points):
        network = SPACE.build(point)
        field = cost(network).receptive_field
        entropy = deepmad.value(network)
        alone = sum(own(i, pick) for i, pick in enumerate(point))
        pairs = sum(pair(i, point[i - 1], point[i]) for i in range(1, len(point)))
        params, macs = cost(network).params, cost(network).macs
        expected = [params, alone, alone + pairs, entropy, field, entropy - macs / 1e5]
        assert batch.values[place] == pytest.approx(expected, rel=1e-12)
        assert batch.metrics(place)["macs"] == macs
    assert made.values_of(CostsOf(SPACE, "params", "macs"), []).values.shape == (0, 6)  # type: ignore[arg-type]
    again = made.values_of(CostsOf(SPACE, "params", "macs"), points[::-1])  # type: ignore[arg-type]
    assert np.array_equal(again.values, batch.values[::-1])


@pytest.mark.parametrize("name", ["deepmad", "deepmad-released", "deepmad-repaired"])
@pytest.mark.parametrize("space", ["resnet", "mobile"])
def test_entropies_at_once(space: str, name: str) -> None:
    """Also where the space counts differently from choice to choice, and none is had at once."""
    chosen, objective = find_space(space), find_objective(name)
    points = drawn(chosen, 4)
    batch = plan([name], chosen).values_of(CostsOf(chosen), points)  # type: ignore[arg-type]
    expected = [objective.value(chosen.build(point)) for point in points]  # type: ignore[union-attr]
    assert batch.values[:, 0] == pytest.approx(expected, rel=1e-12)


def test_predictions_at_once() -> None:
    """A network with a choice that the objective has not seen has no value, and is told."""
    space, fitted = find_space("mobile"), find_objective("imagenet-mobile")
    points = drawn(space, 60)
    batch = plan([fitted], space).values_of(CostsOf(space), points)  # type: ignore[arg-type]
    expected = [fitted.predict(point) for point in points]  # type: ignore[union-attr]
    assert batch.values[:, 0] == pytest.approx(expected, rel=1e-12, nan_ok=True)
    unknown = {place for place, value in enumerate(expected) if math.isnan(value)}
    assert set(batch.reasons) == unknown and 0 < len(unknown) < 60
    assert "knows no network with such a choice" in batch.reasons[min(unknown)]


def bad(answer: Any) -> Score:
    return Score("own", lambda network, seed: answer, built=False)


BAD = [
    (None, "objective own returned nothing"),
    (math.nan, "objective own gave NaN: it cannot judge this network"),
    (-math.inf, "objective own gave minus infinity"),
    ("0.9", "objective own returned '0.9', which is no number"),
    ([1, 2], "objective own returned [1, 2], which is no number"),
]


@pytest.mark.parametrize(("answer", "words"), BAD)
def test_what_is_no_value_fails_its_candidate(answer: Any, words: str) -> None:
    points = drawn(SPACE, 3)
    made = plan([bad(answer), "macs"], SPACE)
    batch = made.values_of(CostsOf(SPACE, "macs"), points)  # type: ignore[arg-type]
    assert np.isnan(batch.values).all() and batch.metrics(1) == {}
    assert all(batch.reasons[place].startswith(words) for place in range(3))
    combined = plan([Combination("own", ("macs",), lambda macs: answer)], SPACE)
    batch = combined.values_of(CostsOf(SPACE, "macs"), points)  # type: ignore[arg-type]
    assert all(batch.reasons[place].startswith(words) for place in range(3))


def test_one_bad_candidate_leaves_the_others() -> None:
    """Of a sum whose function raises for some picks, too."""
    points = drawn(SPACE, 30)

    def deep(part: int, pick: Any) -> float:
        if part == 1 and pick.depth == 2:
            raise ValueError("too deep")
        return 1.0

    batch = plan([Additive("own", deep)], SPACE).values_of(CostsOf(SPACE), points)  # type: ignore[arg-type]
    deep_ones = {place for place, point in enumerate(points) if point[1].depth == 2}
    assert set(batch.reasons) == deep_ones and 0 < len(deep_ones) < 30
    assert batch.reasons[min(deep_ones)] == "objective own failed: ValueError: too deep"
    kept = [place for place in range(30) if place not in deep_ones]
    assert (batch.values[kept, 0] == len(points[0])).all()


class Benchmark:
    """A table of two networks."""

    def __init__(self) -> None:
        self.columns = ("acc", "latency", "FLOPs")
        self.costs = {"macs": "FLOPs"}

    def values(self, column: str, points: Sequence[Point]) -> Any:
        if column not in (*self.columns, *self.costs):
            raise UserError(f"no column is named {column}")
        return np.array(
            [math.nan if column == "acc" and i else i + 0.5 for i in range(len(points))]
        )


def test_columns_of_a_table_are_goals() -> None:
    """What its costs and times are is to be small; a network without an entry failed."""
    made = table_plan(Benchmark(), ["acc", "latency", "macs"])
    assert made.goals == (Goal("acc"), Goal("latency", False), Goal("macs", False, known=True))
    points = drawn(SPACE, 2)
    batch = made.values_of(CostsOf(SPACE), points)  # type: ignore[arg-type]
    assert batch.values[0].tolist() == [0.5, 0.5, 0.5] and np.isnan(batch.values[1]).all()
    assert batch.reasons == {1: "the table has no acc of this network"}
    assert made.values(batch.metrics(0)) == (0.5, 0.5, 0.5)
    assert made.kind == "vectorised" and made.epochs is None and made.watched is None
    with pytest.raises(UserError, match="no column is named top5"):
        table_plan(Benchmark(), ["top5"])


# -- on a worker ---------------------------------------------------------------------------------
OWN = """
from archsearch.objectives import Combination
from archsearch.scores import Score

def widest(network, seed):
    return max(node.shape.channels for node in network.trace().nodes()) + seed

objective = Combination(
    "own", (Score("widest", widest, built=False), "macs"), lambda widest, macs: widest / macs
)
"""

WORKER = """
import json, pickle, sys
from archsearch.serialization import from_json
evaluate = pickle.load(sys.stdin.buffer).prepare()
answer = evaluate(from_json(sys.argv[1]), int(sys.argv[2]), lambda row: True)
print(json.dumps(answer))
"""


def elsewhere(packed: bytes, network: Architecture, seed: int, cwd: Path) -> dict[str, float]:
    """What a pickled evaluation answers in another process, in another folder."""
    run = subprocess.run(
        [sys.executable, "-c", WORKER, to_json(network), str(seed)],
        input=packed, capture_output=True, check=True,
        env=ENVIRONMENT, cwd=cwd, timeout=120,
    )  # fmt: skip
    answer: dict[str, float] = json.loads(run.stdout)
    return answer


def test_an_own_file_travels_as_text(own_folder: Path) -> None:
    """To a process that cannot see the file, with its lambda."""
    Path("own.py").write_text(OWN)
    network = SPACE.build(drawn(SPACE, 1)[0])
    made = plan(["./own.py", "deepmad"], SPACE)
    packed = pickle.dumps(made.evaluation, protocol=5)
    Path("own.py").unlink()
    (own_folder / "far").mkdir()
    answer = elsewhere(packed, network, 5, own_folder / "far")
    widest = max(node.shape.channels for node in network.trace().nodes()) + 5
    assert answer["widest"] == widest and answer["own"] == widest / cost(network).macs
    assert answer == evaluated(made, network, 5)


def test_an_error_in_an_own_file_is_told_by_its_line(own_folder: Path) -> None:
    Path("own.py").write_text(OWN.replace("+ seed", "/ seed"))
    made = plan(["./own.py"], SPACE)
    with pytest.raises(UserError) as told:
        evaluated(made, SPACE.build(drawn(SPACE, 1)[0]))
    assert str(told.value).startswith("objective widest failed: ")
    assert str(told.value).endswith("own.py, line 6: ZeroDivisionError: division by zero")


BLOCKS = """
from dataclasses import dataclass
from archsearch.block import Block, conv_norm_act
from archsearch.blocks.classifier import Classifier
from archsearch.operators.convolution import Convolution
from archsearch.space import SearchSpace, StageSpace, choice

@dataclass(frozen=True)
class OwnBlockOfAFile(Block):
    width: int

    def expand(self, g, x):
        conv = Convolution(kernel_size=3).with_(out_channels=self.width)
        return conv_norm_act(g, "conv", conv, x)

space = SearchSpace("own", None, (StageSpace(OwnBlockOfAFile(choice(8, 16))),), Classifier(10))
"""


def test_blocks_of_an_own_space_travel_too(own_folder: Path) -> None:
    """So that the worker can read a candidate's description."""
    Path("own.py").write_text(BLOCKS)
    space = find_space("./own.py").with_input((3, 8, 8))
    network = space.build(drawn(space, 1)[0])
    packed = pickle.dumps(plan(["receptive-field"], space).evaluation)
    answer = elsewhere(packed, network, 0, own_folder)
    assert answer["receptive-field"] == 3 and answer["params"] == cost(network).params


def test_what_cannot_travel_is_said_before_anything_begins() -> None:
    local = Score("own", lambda network, seed: 1.0)
    with pytest.raises(UserError, match="cannot be sent to workers .* give the file's path"):
        plan([local], SPACE)


# -- training ------------------------------------------------------------------------------------
def test_accuracy_is_that_of_the_same_training() -> None:
    """The loop, run by hand with the same seed, gives the same numbers, epoch by epoch."""
    import torch

    from archsearch.nets.build import build
    from archsearch.training.loop import Training
    from archsearch.training.recipe import Recipe

    source = Source("digits", limit=150)
    network = SMALL.build(drawn(SMALL, 1)[0])
    quick = Trained("accuracy", epochs=4, recipe={"batch_size": 32})
    made = plan([quick, "macs", "deepmad"], SMALL, source=source, epochs=2, device="cpu")
    assert made.epochs == 2 and made.watched == Goal("accuracy")
    rows: list[dict[str, float]] = []
    metrics = made.evaluation.prepare()(network, 3, lambda row: rows.append(dict(row)) is None)
    torch.manual_seed(3)
    training = Training(build(network), source.open(), Recipe(epochs=2, batch_size=32), 3)
    training.run()
    for row, own in zip(rows, training.history, strict=True):
        assert row["epoch"] == own["epoch"] and row["train_loss"] == own["train_loss"]
        assert row["accuracy"] == own["validation_accuracy"]
        assert row["loss"] == own["validation_loss"]
        assert row["macs"] == cost(network).macs
    assert metrics["accuracy"] == training.history[-1]["validation_accuracy"]
    assert metrics["epochs"] == 2 and metrics["params"] == cost(network).params
    assert made.values(metrics)[1] == cost(network).macs


def test_a_training_that_is_told_to_stop_stops(own_folder: Path) -> None:
    """And one that goes on is the same in another process."""
    network = SMALL.build(drawn(SMALL, 1)[0])
    Path("net.py").write_text(
        "from archsearch.objectives import Combination\n"
        "objective = Combination('net', ('accuracy', 'params'), lambda a, p: a - p / 1e6)\n"
    )
    made = plan(["./net.py"], SMALL, source=Source("digits", limit=150), epochs=3)
    assert made.watched == Goal("net")
    answers = iter([True, False])
    metrics = made.evaluation.prepare()(network, 0, lambda row: next(answers))
    assert metrics["epochs"] == 2
    assert metrics["net"] == metrics["accuracy"] - cost(network).params / 1e6
    short = plan(["./net.py"], SMALL, source=Source("digits", limit=150), epochs=1)
    packed = pickle.dumps(short.evaluation, protocol=5)
    here, there = evaluated(short, network), elsewhere(packed, network, 0, own_folder)
    drop = "training_seconds"
    assert {n: v for n, v in here.items() if n != drop} == {
        n: v for n, v in there.items() if n != drop
    }


def test_a_training_that_diverges_fails_with_its_reason() -> None:
    wild = {"optimizer": "sgd", "learning_rate": 1e30, "clip": None}
    made = plan(["accuracy"], SMALL, source=Source("digits", limit=150), epochs=2, recipe=wild)
    with pytest.raises(UserError, match="the loss became .*; a smaller learning rate"):
        evaluated(made, SMALL.build(drawn(SMALL, 1)[0]))


def test_what_training_cannot_be_is_refused() -> None:
    digits = Source("digits", limit=50).open()
    shipped: Any = find_objective("accuracy")
    others = replace(shipped, name="later", epochs=7)
    nothing = replace(digits, validation=digits.validation.select(np.empty(0, np.int64)))
    for objectives, space, data, words in (
        (["accuracy", others], SMALL, digits, "accuracy and later ask for different trainings"),
        (["accuracy"], SMALL, nothing, "no validation pictures to judge candidates by"),
        (["accuracy"], SPACE, digits, "gives pictures of 1x8x8 and the network takes 3x32x32"),
        (["accuracy"], SMALL.with_classes(7), digits, "has 10 classes and the network gives 7"),
    ):
        with pytest.raises(UserError, match=words):
            plan(objectives, space, data=data)
    with pytest.raises(UserError, match="'epoch' is no knob"):
        plan([Trained("own", recipe={"epoch": 3})], SMALL, data=digits)
    assert plan(["accuracy", others], SMALL, data=digits, epochs=2).epochs == 2
    with pytest.raises(ValueError, match="metric 'top5'"):
        Trained("own", metric="top5")  # type: ignore[arg-type]


@pytest.mark.parametrize(("limit", "size"), [(150, 16), (600, 16), (1290, 32)])
def test_a_small_set_is_trained_in_small_batches(limit: int, size: int) -> None:
    """So that an epoch has 32 steps; a recipe that says how many has the last word."""
    data = Source("digits", limit=limit).open()
    assert plan(["accuracy"], SMALL, data=data).judge.recipe.batch_size == size  # type: ignore[union-attr]
    made = plan(["accuracy"], SMALL, data=data, recipe={"batch_size": 64})
    assert made.judge.recipe is not None and made.judge.recipe.batch_size == 64


def test_loss_is_made_small() -> None:
    assert not Trained("own", metric="loss").higher_is_better
    with pytest.raises(ValueError, match="no cost that a budget can limit"):
        LowCost("receptive_field")


# -- data ----------------------------------------------------------------------------------------
def test_a_space_is_set_to_the_data() -> None:
    space, source, data = for_data(SPACE, Source("digits"))
    assert space.input == data.shape == (1, 8, 8) and source == Source("digits")
    network = space.build(drawn(space, 1)[0])
    assert network.trace().output.shape.channels == len(data.classes)
    assert point_of(space, network)


def a_set(images: Any, labels: Any) -> Data:
    everything = Split(images, labels)
    train, validation = np.arange(0, 6), np.arange(6, 9)
    select = everything.select
    return Data(
        "own", select(train), select(validation), select(np.arange(9, 12)), ("a", "b"),
        (0.5,), (0.2,), mirrored=False,
    )  # fmt: skip


def test_data_travel_without_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures in memory as arrays, those of files too where they are few, else as whole paths;
    nothing that was decoded, and no picture of the test."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 1, 4, 4), np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture[0]).save(f"{i}.png")
    files = Pictures(Paths(Path(), [f"{i}.png" for i in range(12)]), (1, 4, 4))
    labels = np.arange(12) % 2
    every = np.arange(12)
    for images in (Arrays(pixels), Selection(Arrays(pixels), every), files):
        own = a_set(images, labels)
        few = without_test(own)
        assert isinstance(few.train.images, Arrays) and len(few.test) == 0
        assert np.array_equal(few.train.images.pixels, pixels[:6])
        assert np.array_equal(few.validation.images.batch(np.arange(3)), pixels[6:9])
        assert np.array_equal(few.validation.labels, labels[6:9])
    coloured = without_test(a_set(Repeated(Arrays(pixels), 3), labels))
    assert np.array_equal(coloured.train.images.batch(np.arange(6))[:, 2], pixels[:6, 0])
    own = a_set(files, labels)
    own.train.images.batch(np.arange(6))
    monkeypatch.setattr("archsearch.data.ship.DECODED", 8)
    many = without_test(own)
    packed = pickle.dumps(many, protocol=5)
    assert b"2.png" in packed and b"9.png" not in packed
    assert all(bytes(picture) not in packed for picture in pixels)
    monkeypatch.chdir("/")
    there: Data = pickle.loads(packed)
    assert np.array_equal(there.train.images.batch(np.arange(6)), pixels[:6])
