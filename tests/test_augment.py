"""Augmentation and mixing against slices, Pillow, scipy and closed formulas."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats
from torch.nn import functional

from archsearch.errors import UserError
from archsearch.training.augment import (
    CROPPED_RATIO,
    ERASED_AREA,
    Augment,
    Augmenter,
    Operation,
    displacement,
    recoloured,
    shifted,
    warped,
)
from archsearch.training.mix import mix


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator(seed))


def plain(augment: Augment, channels: int = 1, **settings: Any) -> Augmenter:
    """Augments, and normalises into what was given: 0 to 255."""
    return Augmenter(augment, (0.0,) * channels, (1 / 255,) * channels, **settings)


def ramps(n: int, size: int) -> torch.Tensor:
    """Pictures (n, 2, size, size) whose values say where they were read: column, then row. Linear
    in place, so interpolating them loses nothing."""
    row = torch.arange(size, dtype=torch.uint8).expand(size, size)
    return torch.stack([row, row.T]).expand(n, -1, -1, -1).contiguous()


# -- shifting and mirroring ----------------------------------------------------------------------
@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.booleans(), st.data())
def test_shifting_is_cutting_out_of_the_padded_picture(
    channels: int, height: int, width: int, reflect: bool, data: st.DataObject
) -> None:
    margin = data.draw(st.integers(0, min(height, width) - 1 if reflect else 9))
    offsets = range(-margin, margin + 1)
    cases = list(itertools.product(offsets, offsets, (False, True)))
    dy, dx, mirror = (torch.tensor(column) for column in zip(*cases, strict=True))
    batch = noise(len(cases), channels, height, width)
    pictures = shifted(batch, dy, dx, mirror, reflect)
    assert pictures.dtype == torch.uint8
    padding = ((0, 0), (margin, margin), (margin, margin))
    for picture, result, (y, x, mirrored) in zip(batch.numpy(), pictures, cases, strict=True):
        padded = np.pad(picture, padding, mode="reflect" if reflect else "constant")
        # A mirrored picture is cut out first and mirrored then.
        cut = padded[:, margin + y : margin + y + height, margin + x : margin + x + width]
        np.testing.assert_array_equal(result, cut[:, :, ::-1] if mirrored else cut)


def test_shifts_are_even_and_half_of_the_pictures_mirrored() -> None:
    n, margin = 4000, 2
    batch = ramps(n, 16) + 100
    out = plain(Augment(flip=True, crop=margin), 2)(batch, generator())
    column, row = (out[:, :, 8, 8] - 100 - 8).T
    mirrored = out[:, 0, 8, 8] > out[:, 0, 8, 9]
    column = torch.where(mirrored, column + 1, column)
    for offsets in (column, row):
        values, counts = np.unique(offsets.numpy(), return_counts=True)
        assert values.tolist() == list(range(-margin, margin + 1))
        assert stats.chisquare(counts).pvalue > 1e-3
    assert stats.binomtest(int(mirrored.sum()), n).pvalue > 1e-3
    assert abs(np.corrcoef(torch.stack([column, row, mirrored]))[np.triu_indices(3, 1)]).max() < 0.1


# -- turning, scaling, cropping ------------------------------------------------------------------
def test_a_quarter_turn_is_that_of_torch() -> None:
    pictures = noise(4, 3, 9, 9).float()
    choice, sign = torch.full((4,), Operation.ROTATE), torch.tensor([1.0, 1, -1, -1])
    quarter = displacement(choice, sign, 90 / 30, (9, 9))
    turned = warped(pictures, quarter, reflect=True)
    expected = torch.cat(
        [torch.rot90(pictures[:2], 1, (2, 3)), torch.rot90(pictures[2:], -1, (2, 3))]
    )
    torch.testing.assert_close(turned, expected, atol=1e-2, rtol=0)


def test_moving_and_shearing_are_slices() -> None:
    height, width = 9, 13
    picture = noise(1, 2, height, width)
    moved = 331 / 150 / width * 3  # the strength at which a picture moves by three columns
    maps = displacement(
        torch.tensor([Operation.TRANSLATE_X]), torch.ones(1), moved, (height, width)
    )
    expected = functional.pad(picture[:, :, :, 3:], (0, 3)).float()
    torch.testing.assert_close(warped(picture.float(), maps, False), expected, atol=1e-2, rtol=0)

    maps = displacement(torch.tensor([Operation.SHEAR_X]), torch.ones(1), 1 / 0.3, (height, width))
    sheared = warped(picture.float(), maps, False)
    for row in range(height):  # at shear 1 each row moves one column further than the one above
        shift = row - height // 2
        line = np.zeros((2, width))
        line[:, max(-shift, 0) : width - max(shift, 0)] = picture[
            0, :, row, max(shift, 0) : width + min(shift, 0)
        ]
        np.testing.assert_allclose(sheared[0, :, row], line, atol=1e-2)


@pytest.mark.parametrize("reflect", [False, True])
def test_interpolation_by_whole_pixels_is_shifting(reflect: bool) -> None:
    batch = noise(64, 3, 10, 8)
    whole = Augment(flip=True, crop=3, reflect=reflect)
    almost = replace(whole, rotate=1e-7)
    expected = plain(whole, 3)(batch, generator())
    torch.testing.assert_close(plain(almost, 3)(batch, generator()), expected, atol=0.02, rtol=0)


def test_angles_and_sizes_are_drawn_evenly() -> None:
    n, size = 2000, 33
    out = plain(Augment(rotate=25, scale=0.2), 2)(ramps(n, size), generator())
    centre = size // 2
    right, down = (
        (out[:, :, *stop] - out[:, :, centre, centre]) / 4
        for stop in ((centre, centre + 4), (centre + 4, centre))
    )
    assert torch.allclose(out[:, :, centre, centre], torch.tensor(float(centre)), atol=1e-3)
    assert torch.allclose((right * down).sum(1), torch.tensor(0.0), atol=1e-4)  # no shear
    angles = torch.rad2deg(torch.atan2(right[:, 1], right[:, 0]))
    assert stats.kstest(angles, stats.uniform(-25, 50).cdf).pvalue > 1e-3
    sizes = 1 / right.norm(dim=1)
    assert stats.kstest(sizes, stats.uniform(0.8, 0.4).cdf).pvalue > 1e-3


def test_a_resized_crop_is_a_window_of_the_picture() -> None:
    n, size, smallest = 2000, 64, 0.25
    out = plain(Augment(smallest_area=smallest), 2)(ramps(n, size), generator())
    first, last = out[:, :, 0, 0], out[:, :, -1, -1]
    assert first.min() >= -1e-3 and last.max() <= size - 1 + 1e-3
    wide, high = ((last - first) / (size - 1)).T
    area, ratio = wide * high, wide / high
    assert ratio.min() >= CROPPED_RATIO[0] - 1e-4 and ratio.max() <= CROPPED_RATIO[1] + 1e-4
    whole = (wide < 1 - 1e-4) & (high < 1 - 1e-4)  # not cut at the picture's edge
    assert area.min() >= smallest - 1e-4 and whole.float().mean() > 0.8
    centred = area < 0.7  # below, the ratio never meets the edge
    assert stats.kstest(area[centred], stats.uniform(smallest, 0.7 - smallest).cdf).pvalue > 1e-3
    place = first[centred] / (size - 1) / torch.stack([1 - wide, 1 - high], 1)[centred]
    for axis in place.T:
        assert stats.kstest(axis, "uniform").pvalue > 1e-3
    # Between its corners a window is read evenly.
    evenly = torch.lerp(first[:, 0, None], last[:, 0, None], torch.linspace(0, 1, size))
    torch.testing.assert_close(out[:, 0, 5], evenly, atol=1e-3, rtol=0)


# -- erasing -------------------------------------------------------------------------------------
def test_erasing_sets_one_rectangle_to_the_mean() -> None:
    n, height, width, probability = 3000, 40, 30, 0.4
    batch = noise(n, 3, height, width)
    make = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
    out = Augmenter(Augment(erase=probability), *make)(batch, generator())
    kept = Augmenter(Augment(), *make)(batch)
    erased = (out == 0).all(1)
    assert torch.equal(out, kept * ~erased[:, None])
    shares = erased.float().mean((1, 2))
    hit = shares > 0
    assert stats.binomtest(int(hit.sum()), n, probability).pvalue > 1e-3
    rows, columns = erased.any(2), erased.any(1)
    assert torch.equal(erased, rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):  # no gap: at most one beginning and one end
        assert (functional.pad(side.int(), (1, 1)).diff() != 0).sum(1).max() == 2
    low, high = ERASED_AREA
    assert shares[hit].mean() == pytest.approx((low + high) / 2, rel=0.03)
    assert shares[hit].std() == pytest.approx((high - low) / math.sqrt(12), rel=0.05)


# -- colours -------------------------------------------------------------------------------------
def pillow(picture: np.ndarray, operation: Operation, factor: float, strength: float) -> np.ndarray:
    """One picture (C, H, W) by Pillow's own operation."""
    image = Image.fromarray(picture.transpose(1, 2, 0).squeeze())
    match operation:
        case Operation.BRIGHTNESS:
            image = ImageEnhance.Brightness(image).enhance(factor)
        case Operation.CONTRAST:
            image = ImageEnhance.Contrast(image).enhance(factor)
        case Operation.COLOUR:
            image = ImageEnhance.Color(image).enhance(factor)
        case Operation.SHARPNESS:
            image = ImageEnhance.Sharpness(image).enhance(factor)
        case Operation.AUTOCONTRAST:
            image = ImageOps.autocontrast(image)
        case Operation.POSTERISE:
            image = ImageOps.posterize(image, 8 - round(4 * strength))
        case Operation.SOLARISE:
            image = ImageOps.solarize(image, math.ceil(256 * (1 - strength)))
    return np.asarray(image, dtype=float).reshape(*picture.shape[1:], -1).transpose(2, 0, 1)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_those_of_pillow(channels: int, strength: float) -> None:
    cases = list(itertools.product(Operation, (-1.0, 1.0)))
    # Half the range, so that there is something for autocontrast to stretch.
    batch = noise(len(cases), channels, 11, 14) // 2 + 30
    choice, sign = (torch.tensor(column) for column in zip(*cases, strict=True))
    out = recoloured(batch.float(), choice, sign, strength)
    assert out.min() >= 0 and out.max() <= 255
    for before, after, (operation, way) in zip(batch.numpy(), out, cases, strict=True):
        expected = pillow(before, operation, 1 + 0.9 * strength * way, strength)
        # Pillow rounds greys, the mean and the result to whole values.
        exact = operation in (Operation.POSTERISE, Operation.SOLARISE)
        np.testing.assert_allclose(
            after, expected, atol=1e-3 if exact else 2.01, err_msg=f"{operation.name} {way}"
        )


def test_pictures_without_an_operation_of_colour_are_left_exactly() -> None:
    pictures = noise(Operation.BRIGHTNESS, 3, 8, 8).float()
    choice = torch.arange(Operation.BRIGHTNESS)
    assert torch.equal(recoloured(pictures, choice, torch.ones(len(choice)), 0.3), pictures)


def test_every_operation_is_drawn_as_often_and_half_of_the_time_either_way() -> None:
    n = 26 * 150
    picture = noise(1, 3, 9, 9) // 2 + 30
    augmenter = plain(Augment(operations=1, magnitude=15), 3)
    out = augmenter(picture.expand(n, -1, -1, -1), generator())
    _, counts = np.unique(out.round().flatten(1), axis=0, return_counts=True)
    # Four operations have no direction: identity, autocontrast, posterise, solarise.
    expected = [n / 26] * 2 * (len(Operation) - 4) + [n / 13] * 4
    assert len(counts) == len(expected)
    assert stats.chisquare(np.sort(counts), expected).pvalue > 1e-3


def test_what_randaugment_draws_comes_on_top_of_the_rest() -> None:
    """At magnitude 0 only autocontrast changes anything, and shifts are there as without."""
    out = plain(Augment(crop=2, operations=2, magnitude=0), 2)(ramps(200, 16), generator())
    assert {6.0, 7.0, 8.0, 9.0, 10.0} <= set(out[:, 0, 8, 8].round().tolist())


# -- the whole -----------------------------------------------------------------------------------
augments = st.builds(
    Augment,
    flip=st.booleans(),
    crop=st.integers(0, 3),
    rotate=st.sampled_from([0.0, 15.0]),
    scale=st.sampled_from([0.0, 0.2]),
    smallest_area=st.sampled_from([1.0, 0.3]),
    reflect=st.booleans(),
    erase=st.sampled_from([0.0, 0.5]),
    operations=st.integers(0, 2),
    magnitude=st.integers(0, 30),
)


@settings(max_examples=60)
@given(augments, st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_any_augmentation_of_any_shape(
    augment: Augment, n: int, channels: int, height: int, width: int
) -> None:
    batch = noise(n, channels, height, width)
    before = batch.clone()
    augmenter = plain(augment, channels)
    out = augmenter(batch, generator(1))
    assert torch.equal(batch, before)
    assert out.shape == batch.shape and out.dtype == torch.float32
    assert out.min() >= -1e-2 and out.max() <= 255 + 1e-2
    state = torch.get_rng_state()
    assert torch.equal(augmenter(batch, generator(1)), out)
    assert torch.equal(torch.get_rng_state(), state)
    if augment == Augment():
        assert torch.equal(out, batch.float())


def test_another_seed_is_another_augmentation() -> None:
    batch = noise(8, 3, 32, 32)
    for mirrored, resized in itertools.product((False, True), repeat=2):
        augmenter = plain(Augment.standard((3, 32, 32), mirrored, resized), 3)
        assert not torch.equal(augmenter(batch, generator(1)), augmenter(batch, generator(2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_evaluation_normalises_and_nothing_else(dtype: torch.dtype) -> None:
    batch = noise(16, 3, 6, 5)
    mean, deviation = (0.1, 0.5, 0.9), (0.2, 0.3, 0.0)
    strong = Augment(flip=True, crop=2, rotate=90, erase=1, operations=3)
    augmenter = Augmenter(strong, mean, deviation, dtype=dtype, memory_format=torch.channels_last)
    out = augmenter(batch)
    assert out.dtype == dtype and out.is_contiguous(memory_format=torch.channels_last)
    unit = batch.numpy() / 255.0
    expected = (unit - np.reshape(mean, (3, 1, 1))) / np.reshape((0.2, 0.3, 1.0), (3, 1, 1))
    np.testing.assert_allclose(
        out.double(), expected, atol=1e-5 if dtype == torch.float32 else 0.03
    )


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("resized", [False, True])
@pytest.mark.parametrize("side", [1, 8, 28, 32, 64, 224])
def test_the_standard_mirrors_only_what_may_be_mirrored(
    side: int, resized: bool, mirrored: bool
) -> None:
    augment = Augment.standard((3, side, side), mirrored, resized)
    assert augment.flip == mirrored == augment.reflect
    assert augment.crop <= max(side // 8, 1)
    plain(augment, 3)(noise(2, 3, side, side), generator())


@pytest.mark.parametrize(
    ("field", "value"),
    [("crop", -1), ("rotate", -5), ("scale", 1.0), ("smallest_area", 0.0), ("smallest_area", 1.5),
     ("erase", 1.1), ("erase", math.nan), ("operations", -1), ("magnitude", 31)],
)  # fmt: skip
def test_what_is_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{field} is {value}"):
        Augment(**{field: value})


# -- mixing --------------------------------------------------------------------------------------
@settings(max_examples=60)
@given(
    st.integers(1, 6), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9),
    st.sampled_from([0.0, 0.05, 0.4, 1.0, 3.0]), st.sampled_from([0.0, 0.05, 1.0]),
)  # fmt: skip
def test_labels_are_mixed_in_the_shares_of_the_pictures(
    n: int, channels: int, height: int, width: int, mixup: float, cutmix: float
) -> None:
    """Each picture is of one value and a class of its own: the mean of a mixed picture is then the
    mean of the values under its target probabilities."""
    values = torch.linspace(1, 2, n)
    x = values[:, None, None, None].expand(-1, channels, height, width).contiguous()
    mixed, targets = mix(x, torch.arange(n), n, mixup, cutmix, 0.0, generator())
    assert mixed.shape == x.shape and targets.shape == (n, n) and targets.dtype == torch.float32
    assert targets.min() >= 0
    torch.testing.assert_close(targets.sum(1), torch.ones(n))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), targets @ values)
    again = mix(x, torch.arange(n), n, mixup, cutmix, 0.0, generator())
    assert torch.equal(again[0], mixed) and torch.equal(again[1], targets)


def test_cutmix_pastes_a_rectangle_of_the_next_picture() -> None:
    n, height, width = 4000, 20, 30
    x = torch.arange(n).float()[:, None, None, None].expand(-1, 1, height, width).contiguous()
    mixed, targets = mix(x, torch.arange(n), n, 0.0, 1.0, 0.0, generator())
    own = mixed == x
    pasted = (mixed != x)[:, 0]
    assert ((mixed == x.roll(1, 0)) | own).all()
    rows, columns = pasted.any(2), pasted.any(1)
    assert torch.equal(pasted, rows[:, :, None] & columns[:, None, :])
    share = targets[torch.arange(n), (torch.arange(n) - 1) % n]
    torch.testing.assert_close(share, pasted.float().mean((1, 2)))
    # The published algorithm, one picture at a time.
    random = np.random.default_rng(0)
    expected = []
    for _ in range(n):
        cut = math.sqrt(1 - random.beta(1.0, 1.0))
        sides = []
        for size in (width, height):
            length, centre = int(size * cut), int(random.integers(size))
            ends = np.clip([centre - length // 2, centre - length // 2 + length], 0, size)
            sides.append(ends[1] - ends[0])
        expected.append(sides[0] * sides[1] / (width * height))
    assert stats.ks_2samp(share, expected).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_of_mixup_follow_the_beta_distribution(alpha: float) -> None:
    n = 4000
    x = torch.zeros(n, 1, 1, 1)
    _, targets = mix(x, torch.arange(n) % 2, 2, alpha, 0.0, 0.0, generator())
    assert stats.kstest(targets[:, 0], stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_with_both_kinds_half_of_the_pictures_get_each() -> None:
    n = 2000
    x = torch.arange(n).float()[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    mixed, _ = mix(x, torch.arange(n), n, 1.0, 1.0, 0.0, generator())
    blended = ((mixed != x) & (mixed != x.roll(1, 0))).flatten(1).all(1)
    assert stats.binomtest(int(blended.sum()), n).pvalue > 1e-3


def test_smoothed_labels_are_those_of_torch() -> None:
    x, labels = torch.randn(32, 3, 4, 4, generator=generator()), torch.arange(32) % 7
    same, targets = mix(x, labels, 7, 0.0, 0.0, 0.1, generator())
    assert same is x
    logits = torch.randn(32, 7, generator=generator())
    torch.testing.assert_close(
        functional.cross_entropy(logits, targets),
        functional.cross_entropy(logits, labels, label_smoothing=0.1),
    )
    _, targets = mix(x, labels, 7, 0.4, 1.0, 0.1, generator())
    assert targets.min() >= 0.1 / 7 - 1e-7
    torch.testing.assert_close(targets.sum(1), torch.ones(32))
