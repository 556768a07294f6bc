"""Fitted objectives and points: sums against a plain second count, files, the way back to picks."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.blocks.classifier import Classifier
from archsearch.blocks.plain import ConvNormAct
from archsearch.errors import BadFile, UserError
from archsearch.fitted import (
    Evidence,
    Fitted,
    Link,
    Measure,
    Rank,
    Sum,
    Term,
    from_json,
    read_fitted,
    to_json,
)
from archsearch.loading import find_space, shipped_names
from archsearch.models import get
from archsearch.points import part_names, point_of, text_of, texts_of
from archsearch.recipes.squeeze_excitation import SqueezeExcitation
from archsearch.space import Pick, SearchSpace, StageSpace, choice

OBJECTIVES = Path(__file__).parents[1] / "objectives"

SPACE = SearchSpace(
    "small",
    ConvNormAct(choice(8, 16)),
    (
        StageSpace(ConvNormAct(choice(16, 24, 32)), (1, 2, 3), 2),
        StageSpace(ConvNormAct(choice(32, 48)), (1, 2), 2),
    ),
    Classifier(10),
    (3, 32, 32),
)

KNOWN = (
    {"width": ("8", "16"), "depth": ("1",)},
    {"width": ("16", "24", "32"), "depth": ("1", "2", "3")},
    {"width": ("32", "48"), "depth": ("1", "2")},
    {"depth": ("1",)},
)


def drawn_sum(seed: int) -> Sum:
    rng = np.random.default_rng(seed)
    return Sum(
        KNOWN,
        (
            Term(0, ("width",), rng.normal(size=2)),
            Term(1, ("width", "depth"), rng.normal(size=(3, 3))),
            Term(2, ("depth",), rng.normal(size=2)),
            Term(1, ("depth",), rng.normal(size=(2, 3)), ("width",)),
            Term(2, ("depth", "width"), rng.normal(size=(3, 2, 2)), ("width",)),
        ),
        float(rng.normal()),
    )


def drawn(seed: int) -> Fitted:
    rank = Rank(0.9, 0.95)
    evidence = Evidence(40, 10, 5, seed, rank, 0.3, 0.7, {"params": Rank(0.5, 0.6)}, "abc")
    return Fitted(
        name="drawn", space="small", target="top-1, %", higher_is_better=True,
        parts=part_names(SPACE), score=drawn_sum(seed), evidence=evidence,
        link=Link((-9.0, 0.0, 9.0), (1.0, 7.0, 8.0)), input=(3, 32, 32), classes=10,
        measures=(Measure("a100", "throughput", drawn_sum(seed + 1), evidence),), origin="a test",
    )  # fmt: skip


def counted(total: Sum, point: tuple[Pick, ...]) -> float:
    """The sum by looking every score up on its own."""
    value = total.intercept
    for term in total.terms:
        own = [(term.part - 1, path) for path in term.before]
        own += [(term.part, path) for path in term.choices]
        scores = term.scores.tolist()
        for part, path in own:
            chosen = point[part].depth if path == "depth" else point[part].mapping[path]
            scores = scores[KNOWN[part][path].index(str(chosen))]
        value += scores
    return value


@given(st.integers(0, 10**6))
def test_sums_are_those_of_their_scores(seed: int) -> None:
    total, point = drawn_sum(seed), SPACE.sample(random.Random(seed))
    expected = counted(total, point)
    assert total.value_of(point) == pytest.approx(expected, abs=1e-12)
    picks = [[pick] for pick in point]
    parts = sum(total.stage_scores(i, pick)[0] for i, pick in enumerate(picks))
    pairs = sum(total.pair_scores(i, *ab)[0, 0] for i, ab in enumerate(pairwise(picks), 1))
    assert total.intercept + parts + pairs == pytest.approx(expected, abs=1e-12)
    places = [total.places(i, pick) for i, pick in enumerate(picks)]
    assert total.totals(places)[0] == pytest.approx(expected, abs=1e-12)
    assert total.scaled(3).value_of(point) == pytest.approx(3 * expected, abs=1e-12)


def test_tables_of_pairs_have_a_row_per_pick() -> None:
    total = drawn_sum(0)
    before = [Pick((("width", w),), d) for w in (16, 24, 32) for d in (1, 2, 3)]
    picks = [Pick((("width", w),), d) for w in (32, 48) for d in (1, 2)]
    scores = total.pair_scores(2, before, picks)
    assert scores.shape == (4, 9)
    assert scores[3, 4] == total.pair_score(2, before[4], picks[3])


def test_what_was_not_seen_is_unknown() -> None:
    fitted = drawn(0)
    known, unknown = Pick((("width", 24),), 2), Pick((("width", 40),), 2)
    assert fitted.known(1, known) and fitted.stage_score(1, known) is not None
    assert not fitted.known(1, unknown) and fitted.stage_score(1, unknown) is None
    assert not fitted.known(1, Pick((("width", 24),), 4))
    assert not fitted.known(1, Pick((("width", 24), ("stride", 1)), 2))
    point = SPACE.sample(random.Random(0))
    assert np.isnan(fitted.value_of((point[0], unknown, *point[2:])))


@given(st.floats(-8.9, 8.9))
def test_links_interpolate(total: float) -> None:
    rising = Link((-9.0, 0.0, 9.0), (1.0, 7.0, 8.0))
    assert rising(total) == pytest.approx(np.interp(total, rising.sums, rising.values))
    assert rising.inverse(rising(total)) == pytest.approx(total)
    falling = Link((-9.0, 0.0, 9.0), (8.0, 3.0, 1.0))
    assert falling(total) == pytest.approx(np.interp(total, falling.sums, falling.values))
    assert falling.inverse(falling(total)) == pytest.approx(total)


def test_links_go_on_straight() -> None:
    link = Link((0.0, 1.0, 2.0), (0.0, 5.0, 6.0))
    assert (link(-1), link(4)) == (-5.0, 8.0)
    assert link.inverse(8.0) == 4.0


def test_a_file_says_what_was_fitted() -> None:
    fitted = drawn(3)
    text = to_json(fitted)
    again = from_json(text)
    assert to_json(again) == text
    for seed in range(20):
        point = SPACE.sample(random.Random(seed))
        assert again.predict(point) == pytest.approx(fitted.predict(point), abs=0.02)
        ours, theirs = fitted.measures[0].predict(point), again.measures[0].predict(point)
        assert 1 / theirs == pytest.approx(1 / ours, abs=0.02)
    assert again.evidence == fitted.evidence
    assert again.devices == {"a100": ("throughput",)}
    assert again.measure("a100", "throughput") is again.measures[0]
    assert again.measure("a100", "latency") is None


def changed(path: str, value: Any) -> str:
    """A file with one field changed."""
    document = json.loads(to_json(drawn(0)))
    inside, steps = document, path.split(".")
    for step in steps[:-1]:
        inside = inside[int(step) if step.isdigit() else step]
    inside[int(steps[-1]) if steps[-1].isdigit() else steps[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "nested deeper"),
        ("[]", "must be an object"),
        ("{}", '"format": 1'),
        (to_json(drawn(0))[:-20], "not JSON"),
        ('{"format": 1, "format": 1}', "twice"),
        (changed("format", 2), '"format": 1'),
        (changed("extra", 2), "extra is no field"),
        (changed("name", 2), "name is 2; it must be a text"),
        (changed("input", [3, -1]), "input must be"),
        (changed("classes", 10**400), "it must be a count"),
        (changed("classes", -1), "classes is -1"),
        (changed("link.values", [3, 2, 1]), "higher_is_better"),
        (changed("link.sums", [3, 2, 1]), "link.sums must increase"),
        (changed("link.sums", [1]), "at least two"),
        (changed("link.values", [1, float("nan"), 3]), "must be a number"),
        (changed("score.intercept", "0"), "score.intercept"),
        (changed("score.terms.0.part", 9), "there are 4 parts"),
        (changed("score.terms.0.choices", ["kernel"]), "'kernel', which part 0 has not"),
        (changed("score.terms.0.scores", [1, 2, 3]), "each of 2 values"),
        (changed("score.terms.0.scores", [1, None]), "must be a number"),
        (changed("measures.0.kind", "speed"), "throughput or latency"),
        (changed("evidence.rank", 1), "evidence.rank is 1"),
        (changed("parts.0.choices.width", ["8", "8"]), "different texts"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(BadFile) as refused:
        from_json(text, "mine.json")
    message = str(refused.value)
    assert message.startswith("mine.json") and said in message
    assert "\n" not in message and len(message) < 200


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be read"):
        read_fitted(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\x80\x81")
    with pytest.raises(BadFile, match="not text"):
        read_fitted(tmp_path / "binary.json")


@pytest.mark.parametrize("path", sorted(OBJECTIVES.glob("*.json")), ids=lambda p: p.stem)
def test_shipped_files_fit_their_space(path: Path) -> None:
    fitted = read_fitted(path)
    space = find_space(fitted.space)
    assert fitted.name == path.stem.replace("_", "-")
    assert fitted.parts == part_names(space)
    assert fitted.input == space.input
    assert to_json(fitted) == path.read_text(encoding="utf-8")
    assert path.stat().st_size <= 60_000
    assert fitted.evidence.beats_baselines
    rng = random.Random(0)
    points = [space.sample(rng) for _ in range(50)]
    seen = [p for p in points if all(fitted.known(i, pick) for i, pick in enumerate(p))]
    assert seen
    for point in seen:
        assert all(measure.predict(point) > 0 for measure in fitted.measures)


def test_the_shipped_objective_agrees_with_its_authors_surrogate() -> None:
    """Accel-NASBench's README queries its gradient-boosted surrogates for EfficientNet-B0: 65.74 %
    and, on a TPUv2, 883.5 images per second."""
    fitted = read_fitted(OBJECTIVES / "imagenet_mobile.json")
    point = point_of(find_space("mobile"), get("efficientnet_b0"))
    assert fitted.predict(point) == pytest.approx(65.74, abs=0.75)
    tpu = fitted.measure("tpuv2", "throughput")
    assert tpu is not None
    assert tpu.predict(point) == pytest.approx(883.5, rel=0.05)


@pytest.mark.parametrize("name", shipped_names("space"))
def test_points_are_found_again(name: str) -> None:
    space, rng = find_space(name), random.Random(7)
    for _ in range(3):
        point = space.sample(rng)
        architecture = space.build(point)
        found = point_of(space, architecture)
        assert space.build(found) == architecture
        assert [texts_of(pick) for pick in found] == [texts_of(pick) for pick in point]


def test_efficientnet_is_a_point_of_the_mobile_space() -> None:
    point = point_of(find_space("mobile"), get("efficientnet_b0"))
    assert [pick.depth for pick in point] == [1, 1, 2, 2, 3, 3, 4, 1, 1, 1]
    assert [pick.mapping.get("expansion") for pick in point[1:4]] == [1, 6, 6]


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("resnet50", "a stem and 4 stages, those of space mobile have a stem and 8"),
        ("mobilenetv2_140", "stem of the network"),
    ],
)
def test_networks_of_other_spaces_are_refused(network: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        point_of(find_space("mobile"), get(network))
    with pytest.raises(UserError, match="32x32"):
        point_of(find_space("mobile").with_input((3, 32, 32)), get("efficientnet_b0"))


def test_texts_tell_values_apart() -> None:
    values = [None, True, 3, (3, 5), SqueezeExcitation(), SqueezeExcitation(of_inner=True)]
    texts = [text_of(value) for value in values]
    assert texts == [
        "none", "true", "3", "(3, 5)", "SqueezeExcitation", "SqueezeExcitation(of_inner=true)"
    ]  # fmt: skip
