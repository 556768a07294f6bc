"""Real data in: splits that never overlap, draws, statistics, and the record of what was read.

Draws are held against properties over drawn label lists.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import RANDOM, everything, refused, write_npz

from archsearch.data import Arrays, Split, find_data, subset
from archsearch.data.drawing import hold_back, sample, shuffled
from archsearch.errors import UserError

# -- drawing --------------------------------------------------------------------------------------
LABELS = st.lists(st.integers(0, 5), min_size=2, max_size=120).map(lambda x: np.array(x, np.int64))


def test_the_order_is_that_of_the_raw_stream() -> None:
    """Generator reaches the same 64-bit numbers by another way."""
    keys = np.random.Generator(np.random.PCG64(7)).integers(0, 2**64, 1000, np.uint64)
    assert shuffled(1000, 7).tolist() == sorted(range(1000), key=lambda i: keys[i])
    assert shuffled(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]


@given(LABELS, st.integers(1, 120), st.integers(0, 3))
def test_holding_back_keeps_proportions(labels: Any, count: int, seed: int) -> None:
    held, kept = hold_back(labels, count, seed)
    assert sorted([*held, *kept]) == list(range(len(labels)))
    assert held.tolist() == sorted(held)
    classes, members = np.unique(labels, return_counts=True)
    spare = members - 1
    assert len(held) == min(count, spare.sum())
    for label, rest in zip(classes, spare, strict=True):
        share = rest * len(held) / max(1, spare.sum())
        assert abs((labels[held] == label).sum() - share) < 1
        assert (labels[kept] == label).any()


@given(LABELS, st.data())
def test_samples_show_every_class(labels: Any, data: st.DataObject) -> None:
    classes = len(np.unique(labels))
    count = data.draw(st.integers(classes, len(labels)))
    rows = sample(labels, count, seed=1)
    assert len(set(rows.tolist())) == count
    assert len(np.unique(labels[rows])) == classes


def test_seeds_draw_different_rows() -> None:
    labels = np.arange(1000) % 10
    assert hold_back(labels, 100, 0)[0].tolist() != hold_back(labels, 100, 1)[0].tolist()


# -- digits, splits, statistics, record -----------------------------------------------------------
def test_digits_are_those_of_scikit_learn() -> None:
    """Counts of the classes and the first digit, as scikit-learn documents and prints them."""
    data = find_data("digits", validation=0.0)
    assert data.shape == (1, 8, 8)
    labels = np.concatenate([data.train.labels, data.test.labels])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    pixels = np.concatenate([everything(data.train), everything(data.test)])[:, 0]
    first = np.array(
        [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0], [0, 3, 15, 2, 0, 11, 8, 0],
         [0, 4, 12, 0, 0, 8, 8, 0], [0, 5, 8, 0, 0, 9, 8, 0], [0, 4, 11, 0, 1, 12, 7, 0],
         [0, 2, 14, 5, 10, 12, 0, 0], [0, 0, 6, 13, 10, 0, 0, 0]]
    )  # fmt: skip
    levels = np.round(pixels / 255 * 16).astype(int)
    assert set(np.unique(levels)) == set(range(17))
    places = np.flatnonzero((levels == first).all((1, 2)))
    assert labels[places].tolist() == [0]


def test_splits_never_overlap_and_no_seed_touches_the_test() -> None:
    """Pictures are told by their pixels; where digits are equal, by how often they occur."""
    everyone: list[bytes] | None = None
    tests = []
    for seed, part in ((0, None), (1, 0.25), (2, 0.0)):
        data = find_data("digits", validation=part, seed=seed)
        splits = [data.train, data.validation, data.test]
        pictures = sorted(picture.tobytes() for one in splits for picture in everything(one))
        everyone = everyone or pictures
        assert pictures == everyone
        tests.append(everything(data.test).tobytes())
        assert len(data.validation) == round(1438 * (0.1 if part is None else part))
        assert data.validation.images.shape == data.shape
    assert len(set(tests)) == 1


def test_the_same_seed_gives_the_same_data_and_another_does_not() -> None:
    one, same, other = (find_data("digits", seed=seed) for seed in (3, 3, 4))
    assert (everything(one.train) == everything(same.train)).all()
    assert not np.array_equal(everything(one.validation), everything(other.validation))
    assert one.record == same.record
    assert one.record["fingerprint"] == other.record["fingerprint"]


def test_default_validation_is_a_tenth_and_at_most_ten_thousand(tmp_path: Path) -> None:
    pixels = np.zeros((120_000, 1, 1, 2), np.uint8)
    pixels[:, 0, 0, 1] = np.arange(120_000) % 251
    labels = np.arange(120_000) % 3
    np.savez(tmp_path / "big.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    source = f"npz:{tmp_path / 'big.npz'}"
    assert len(find_data(source).validation) == 10_000
    assert len(find_data(source, validation=0.1).validation) == 12_000


def test_mean_and_deviation_are_those_of_numpy(tmp_path: Path) -> None:
    source = write_npz(tmp_path, RANDOM.integers(0, 256, (60, 3, 5, 4), np.uint8))
    data = find_data(source)
    values = everything(data.train) / 255
    np.testing.assert_allclose(data.mean, values.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(data.deviation, values.std((0, 2, 3)), rtol=1e-12)


def test_many_pictures_are_measured_by_a_part(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (12_000, 1, 2, 4), np.uint8)
    data = find_data(write_npz(tmp_path, pixels), validation=0.0)
    assert data.mean[0] != pytest.approx(pixels.mean() / 255, rel=1e-9)
    assert data.mean[0] == pytest.approx(pixels.mean() / 255, rel=0.02)


def test_a_constant_channel_can_still_be_divided_by(tmp_path: Path) -> None:
    data = find_data(write_npz(tmp_path, np.full((20, 3, 4, 5), 9, np.uint8)))
    assert data.deviation == (1 / 255,) * 3


def test_the_record_is_json_and_knows_changed_pictures(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (40, 6, 7), np.uint8)
    first = find_data(write_npz(tmp_path, pixels), seed=5).record
    assert json.loads(json.dumps(first)) == first
    assert first["train"] == 36 and first["validation"] == 4 and first["test"] == 40
    assert first["seed"] == 5 and first["shape"] == [1, 6, 7] and first["classes"] == 2
    pixels[17, 3, 3] ^= 1
    second = find_data(write_npz(tmp_path, pixels), seed=5).record
    assert first["fingerprint"] != second["fingerprint"]


def test_subsets_are_smaller_training_splits_alone() -> None:
    data = find_data("digits")
    small = subset(data, 100)
    assert np.bincount(small.train.labels).tolist() == [10] * 10
    assert (everything(small.train) == everything(subset(data, 100).train)).all()
    whole = {picture.tobytes() for picture in everything(data.train)}
    assert {picture.tobytes() for picture in everything(small.train)} <= whole
    assert small.validation is data.validation and small.test is data.test
    assert small.record["train"] == 100 and small.record["train_drawn_from"] == len(data.train)
    np.testing.assert_allclose(small.mean, everything(small.train).mean() / 255)
    assert subset(data, None) is data and subset(data, 10**6) is data
    with pytest.raises(UserError, match="9 training pictures cannot show 10 classes"):
        subset(data, 9)


def test_grey_pictures_repeat_to_three_channels_and_sizes_must_match() -> None:
    grey, colour = find_data("digits"), find_data("digits", shape=(3, 8, 8))
    assert colour.shape == (3, 8, 8) and len(colour.mean) == 3
    for split in ("train", "validation", "test"):
        one, three = everything(getattr(grey, split)), everything(getattr(colour, split))
        assert (np.concatenate([one, one, one], 1) == three).all()
        assert three.flags.c_contiguous
    refused("digits", "1x8x8", "1x32x32", "--input 1x8x8", shape=(1, 32, 32))


@pytest.mark.parametrize("part", [1.0, -0.1, 1.5, float("nan")])
def test_parts_outside_are_refused(part: float) -> None:
    refused("digits", "part of the training split", validation=part)


def test_splits_of_arrays_can_be_made_by_hand() -> None:
    split = Split(Arrays(np.zeros((3, 1, 2, 2), np.uint8)), np.arange(3))
    assert len(split.select(np.array([2, 0]))) == 2
    assert split.select(np.array([2, 0])).labels.tolist() == [2, 0]
