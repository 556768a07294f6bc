"""Folders of pictures: which are read, in which split, and that they look as Pillow shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import SMALL, everything, photograph, refused, write_folder
from PIL import Image, ImageOps

from archsearch.data import Split, find_data
from archsearch.data.folder import read as read_folder
from archsearch.data.pictures import Paths, Pictures
from archsearch.errors import BadFile


# -- which are read -------------------------------------------------------------------------------
def pictures_of(split: Split) -> list[bytes]:
    return [picture.tobytes() for picture in everything(split)]


def test_class_folders_alone_are_split_the_same_way_always(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", {"dog": 40, "cat": 20})
    tests = set()
    for seed in (0, 1):
        data = find_data(f"imagefolder:{folder}", shape=SMALL, seed=seed)
        assert data.classes == ("cat", "dog") and data.name == "pets"
        assert [len(data.train), len(data.validation), len(data.test)] == [49, 5, 6]
        assert np.bincount(data.test.labels).tolist() == [2, 4]
        together = pictures_of(data.train) + pictures_of(data.validation) + pictures_of(data.test)
        assert len(set(together)) == 60
        assert data.resized and data.mirrored and data.record["test_from"] == "train"
        tests.add(b"".join(pictures_of(data.test)))
    assert len(tests) == 1


def test_named_folders_are_the_splits(tmp_path: Path) -> None:
    counts = {"train/a": 9, "train/b": 9, "valid/a": 4, "valid/b": 4, "test/a": 3, "test/b": 2}
    folder = write_folder(tmp_path, counts)
    data = find_data(f"imagefolder:{folder}", shape=SMALL)
    assert [len(data.train), len(data.validation), len(data.test)] == [18, 8, 5]
    expected = ImageOps.fit(photograph(4000), (8, 8), Image.Resampling.BICUBIC)
    assert (everything(data.test)[0].transpose(1, 2, 0) == np.asarray(expected)).all()
    assert data.test.labels.tolist() == [0, 0, 0, 1, 1]
    refused(f"imagefolder:{folder}", "validation split of its own", shape=SMALL, validation=0.2)


def test_without_a_test_folder_half_the_validation_is_kept_for_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"train/a": 9, "train/b": 9, "val/a": 6, "val/b": 6})
    data = find_data(f"imagefolder:{folder}", shape=SMALL)
    assert [len(data.train), len(data.validation), len(data.test)] == [18, 6, 6]
    assert not set(pictures_of(data.validation)) & set(pictures_of(data.test))
    assert data.record["test_from"] == "validation"


def test_without_a_validation_folder_it_is_drawn(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"train/a": 20, "train/b": 20, "test/a": 3, "test/b": 3})
    data = find_data(f"imagefolder:{folder}", shape=SMALL)
    assert [len(data.train), len(data.validation), len(data.test)] == [36, 4, 6]


def test_hidden_files_and_others_are_counted_and_left_out(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"a": 10, "b": 10, "a/deeper": 2, ".git": 3, "a/.thumbs": 1})
    for name in ("a/.hidden.png", "a/notes.txt", "b/Thumbs.db", "README.md", ".DS_Store"):
        (folder / name).write_text("no picture")
    data = find_data(f"imagefolder:{folder}", shape=SMALL)
    assert len(data.train) + len(data.validation) + len(data.test) == 22
    assert data.classes == ("a", "b")
    assert data.record["ignored_files"] == 5


# -- what they look like --------------------------------------------------------------------------
def one_picture(folder: Path, save: Callable[[Path], None], shape: Any, name: str = "x.png") -> Any:
    """What a folder's training picture that ``save`` writes becomes."""
    place = folder / "train" / "a" / name
    write_folder(folder, {"train/a": 0, "train/b": 1, "test/a": 1})
    save(place)
    data = find_data(f"imagefolder:{folder}", shape=shape, validation=0.0)
    return data.train.images.batch(np.array([0]))[0]


@pytest.mark.parametrize(
    ("mode", "form"),
    [("L", "png"), ("LA", "png"), ("RGBA", "png"), ("P", "png"), ("1", "png"), ("CMYK", "jpg"),
     ("L", "jpg"), ("P", "gif"), ("RGB", "bmp"), ("RGB", "webp"), ("RGB", "tiff"), ("L", "pgm")],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_modes_and_formats(tmp_path: Path, mode: str, form: str, channels: int) -> None:
    """Where nothing is resized, exactly what Pillow converts to."""
    picture = photograph(5, (12, 12)).convert(mode)
    found = one_picture(tmp_path, lambda p: picture.save(p), (channels, 12, 12), f"x.{form}")
    with Image.open(tmp_path / "train" / "a" / f"x.{form}") as opened:
        plain = np.asarray(opened.convert("RGB").convert("L" if channels == 1 else "RGB"))
    difference = np.abs(found.astype(int) - np.atleast_3d(plain).transpose(2, 0, 1))
    assert difference.max() <= 1


def test_sixteen_bit_greys_keep_their_upper_byte(tmp_path: Path) -> None:
    values = np.linspace(0, 65_535, 144).reshape(12, 12).astype(np.uint16)
    picture = Image.fromarray(values)
    found = one_picture(tmp_path, lambda place: picture.save(place), (1, 12, 12))
    assert (found[0] == values >> 8).all()


def test_transparent_palettes_are_read_in_silence(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    picture = photograph(6, (12, 12)).quantize(8)
    one_picture(
        tmp_path, lambda place: picture.save(place, transparency=bytes(range(8))), (3, 12, 12)
    )
    assert not recwarn.list


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["jpg", "png"])
def test_pictures_are_held_upright(tmp_path: Path, orientation: int, form: str) -> None:
    """Stored turned, with the tag that says so: decoded as the upright picture."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # transpositions that store it turned
    upright = photograph(7, (48, 32))
    stored = upright
    if orientation > 1:
        stored = upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = one_picture(
        tmp_path, lambda place: stored.save(place, exif=exif, quality=100), (3, 16, 24), f"x.{form}"
    )
    expected = np.asarray(ImageOps.fit(upright, (24, 16), Image.Resampling.BICUBIC))
    assert np.abs(found.transpose(1, 2, 0).astype(int) - expected).max() <= 12


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (97, 413), (20, 20)])
def test_large_jpegs_are_decoded_small_and_look_the_same(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """The decoder's own halving against decoding the whole and resizing it."""
    picture = photograph(8, size)
    found = one_picture(
        tmp_path, lambda place: picture.save(place, quality=95, subsampling=0), (3, 32, 48), "x.jpg"
    )
    expected = np.asarray(ImageOps.fit(picture, (48, 32), Image.Resampling.BICUBIC))
    difference = np.abs(found.transpose(1, 2, 0).astype(int) - expected)
    assert difference.max() <= 16 and difference.mean() < 2


def test_large_jpegs_on_their_side_are_not_decoded_too_small(tmp_path: Path) -> None:
    """Fine detail in a tall picture, stored lying, asked for wide."""
    detail = np.random.default_rng(1).integers(0, 256, (400, 48, 3), np.uint8)
    upright = Image.fromarray(detail).resize((192, 1600), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    found = one_picture(
        tmp_path,
        lambda place: stored.save(place, exif=exif, quality=95, subsampling=0),
        (3, 16, 96),
        "x.jpg",
    )
    expected = np.asarray(ImageOps.fit(upright, (96, 16), Image.Resampling.BICUBIC))
    assert np.abs(found.transpose(1, 2, 0).astype(int) - expected).mean() < 3


# -- what is kept of them -------------------------------------------------------------------------
def count_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Paths, list[int]]:
    names = sorted(path.name for path in folder.iterdir())
    opened: list[int] = []
    plain = Paths.open
    monkeypatch.setattr(Paths, "open", lambda self, i: (opened.append(i), plain(self, i))[1])
    return Paths(folder, names), opened


@pytest.mark.parametrize(("memory", "again"), [(10**6, 0), (4 * 192, 6), (0, 10)])
def test_pictures_that_fit_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, again: int
) -> None:
    files, opened = count_opened(write_folder(tmp_path, {"a": 10}) / "a", monkeypatch)
    pictures = Pictures(files, SMALL, memory)
    order = np.array([3, 3, 0, 9, 1, 2, 4, 5, 6, 7, 8])
    first = pictures.batch(order)
    assert sorted(opened) == list(range(10))
    assert (first[0] == first[1]).all()
    opened.clear()
    second = pictures.batch(order[::-1])
    assert len(opened) == again
    assert (second == first[::-1]).all() and second.flags.c_contiguous
    assert pictures.batch(np.empty(0, np.int64)).shape == (0, *SMALL)


def test_a_picture_that_goes_while_training_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"a": 10, "b": 10})
    data = find_data(f"imagefolder:{folder}", shape=SMALL)
    (folder / "a" / "003.png").unlink()
    files = Pictures(Paths(folder, ["a/002.png", "a/003.png"]), SMALL)
    with pytest.raises(BadFile, match=r"a/003.png: no such file"):
        files.batch(np.array([0, 1]))
    assert len(data.train)


def test_folders_of_another_layout(tmp_path: Path) -> None:
    source = f"imagefolder:{tmp_path}"
    refused(f"{source}/absent", "no such folder")
    refused(source, "no folders in it; there is one for each class")
    write_folder(tmp_path, {"a": 0, "b": 0})
    refused(source, "no pictures in its folders, 0 other files")
    write_folder(tmp_path, {"a": 9})
    refused(source, "every training picture is of class 'a'", kind=BadFile, shape=SMALL)
    write_folder(tmp_path / "c", {"val/a": 1})
    refused(f"{source}/c", "has a folder val and none named train")
    write_folder(tmp_path / "d", {"train/a": 2, "train/b": 2, "test/z": 1})
    refused(f"{source}/d", "class folder 'z' is not among those of train", kind=BadFile)
    write_folder(tmp_path / "e", {"a": 1, "b": 1})
    refused(f"{source}/e", "with one picture a class", "test")
    write_folder(tmp_path / "f", {"train/a": 1, "train/b": 1, "test/a": 1})
    refused(f"{source}/f", "none can be held back for validation", shape=SMALL)
    refused(source, "1 or 3 channels, not 4", shape=(4, 8, 8))


def test_the_fingerprint_of_a_folder_needs_no_decoding(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"a": 9, "b": 9})
    first = read_folder(folder, SMALL).identity
    assert first == read_folder(folder, (1, 4, 4)).identity
    (folder / "b" / "008.png").rename(folder / "b" / "z.png")  # still the last
    assert first != read_folder(folder, SMALL).identity
