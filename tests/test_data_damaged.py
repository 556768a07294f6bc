"""Damaged, poisoned and endless files of data: refused in one line, and nothing in them is run."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import (
    GREY,
    LABEL,
    SMALL,
    Poison,
    idx,
    photograph,
    refused,
    small_idx,
    write_cifar,
    write_folder,
    write_idx,
    write_npz,
)
from PIL import Image

from archsearch.data import find_data
from archsearch.errors import BadFile, UserError


# -- IDX ------------------------------------------------------------------------------------------
def cut(content: bytes) -> bytes:
    return content[:-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut, "only 1,199 follow"),
        (lambda content: content + b"x", "more follow"),
        (lambda content: content[:7], "cut off"),
        (lambda content: b"", "begins with"),
        (lambda content: b"\x00\x00\x08\x01" + content[4:], "begins with 00000801"),
        (lambda content: content[:4] + b"\xff" * 12 + content[16:], "cut off"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_broken_idx_files(
    tmp_path: Path, change: Callable[[bytes], bytes], words: str, pack: Any
) -> None:
    name = "{}-{}-idx{}-ubyte" + (".gz" if pack is gzip.compress else "")
    folder = write_idx(tmp_path, small_idx(), name, pack)
    broken = folder / name.format("train", "images", 3)
    broken.write_bytes(pack(change(idx(small_idx()[0]))))
    refused(f"mnist:{folder}", str(broken), words, kind=BadFile)


@pytest.mark.parametrize("change", [cut, lambda x: x[:15], lambda x: b"no gzip" + x])
def test_broken_gzip(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    name = "{}-{}-idx{}-ubyte.gz"
    folder = write_idx(tmp_path, small_idx(), name, gzip.compress)
    broken = folder / name.format("t10k", "labels", 1)
    broken.write_bytes(change(broken.read_bytes()))
    refused(f"mnist:{folder}", str(broken), kind=BadFile)


# -- CIFAR ----------------------------------------------------------------------------------------
def test_broken_cifar(tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar10")
    batch = tmp_path / "data_batch_3.bin"
    content = batch.read_bytes()
    batch.write_bytes(content[:-1])
    refused(f"cifar10:{tmp_path}", "data_batch_3.bin", "3073-byte records", kind=BadFile)
    batch.write_bytes(b"")
    refused(f"cifar10:{tmp_path}", "data_batch_3.bin", kind=BadFile)
    batch.write_bytes(b"\x0a" + content[1:])
    refused(f"cifar10:{tmp_path}", "label 10 of training picture 40", kind=BadFile)
    batch.unlink()
    refused(f"cifar10:{tmp_path}", "no file data_batch_3.bin")


def test_the_pickled_cifar_is_not_opened(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Poison(mark)))
    refused(f"cifar10:{tmp_path}", "pickle", "binary version")
    (tmp_path / "cifar-100-python").mkdir()
    refused(f"cifar100:{tmp_path}", "pickle", "binary version")
    assert not mark.exists()


# -- npz ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"x_train": GREY / 255}, "np.round(255 * x).astype(np.uint8)"),
        ({"x_train": GREY.astype(np.int64)}, "x_train is int64; save bytes"),
        ({"x_train": GREY[:, 0]}, "x_train has the shape (8, 5)"),
        ({"x_train": np.zeros((8, 4, 5, 4), np.uint8)}, "either 4 may be the channels"),
        ({"x_train": np.zeros((8, 0, 5), np.uint8)}, "shape (8, 0, 5)"),
        ({"x_train": GREY[:0], "y_train": LABEL[:0]}, "training split is empty"),
        ({"x_train": None}, "no array x_train (or train_images); it holds x_test"),
        ({"y_test": None}, "no array y_test"),
        ({"x_val": GREY}, "no array y_val"),
        ({"x_test": GREY[:, 1:]}, "different shapes"),
        ({"y_train": LABEL / 1}, "labels are one integer a picture"),
        ({"y_train": np.eye(8, dtype=int)}, "labels are one integer a picture"),
        ({"y_train": LABEL[1:]}, "8 pictures but 7 labels"),
        ({"y_train": LABEL * 0}, "every training picture is of class '0'"),
        ({"y_train": LABEL + 1}, "y_train has 1 and no 0"),
        ({"y_train": LABEL - 1}, "y_train has -1 and no 0"),
        ({"y_train": LABEL * 10**12}, "y_train has 1000000000000 and no 1"),
        ({"y_test": LABEL + 1}, "label 2 of test picture 1 is not one of 0..1"),
        ({"class_names": np.array(["one"])}, "label 1 of training picture 1"),
        ({"class_names": np.array([1, 2])}, "class_names is int64"),
        ({"mirrored": np.array([1, 2])}, "not one boolean"),
    ],
)
def test_npz_that_cannot_be_used(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    source = write_npz(tmp_path, GREY, **more)
    refused(source, words, str(tmp_path), kind=BadFile)


@pytest.mark.parametrize("name", ["x_train", "y_train", "class_names", "mirrored"])
def test_a_poisoned_array_is_never_unpickled(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "executed"
    poisoned = np.array([Poison(mark)] * 8, object)
    source = write_npz(tmp_path, GREY, **{name: poisoned})
    refused(source, f"{name}.npy holds Python objects", kind=BadFile)
    assert not mark.exists()
    with np.load(tmp_path / "set.npz", allow_pickle=True) as held:
        _ = held[name]
    assert mark.exists(), "the poison is none"


def test_other_files_under_the_name_of_an_npz(tmp_path: Path) -> None:
    file, mark = tmp_path / "set.npz", tmp_path / "executed"
    whole = Path(write_npz(tmp_path, GREY)[4:]).read_bytes()
    for content in (b"", b"text", pickle.dumps(Poison(mark)), whole[:-30], whole[30:]):
        file.write_bytes(content)
        refused(f"npz:{file}", str(file), kind=BadFile)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x_train.npy", pickle.dumps(Poison(mark)))
    refused(f"npz:{file}", "cannot be read", kind=BadFile)
    assert not mark.exists()
    refused(f"npz:{tmp_path / 'absent.npz'}", "no such file", kind=BadFile)
    refused(f"npz:{tmp_path}", str(tmp_path), kind=BadFile)


@pytest.mark.parametrize("place", range(40, 400, 24))
def test_flipped_bytes_end_in_one_line(tmp_path: Path, place: int) -> None:
    """A damaged archive is refused, or reads as before where the damage is in no used byte."""
    source = write_npz(tmp_path, GREY)
    file = Path(source[4:])
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)
    try:
        data = find_data(source)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert len(data.train) + len(data.validation) == 8


def header(shape: tuple[int, ...]) -> bytes:
    """An array's header without its array."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "bomb.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", header((10**15,)))
    refused(f"npz:{file}", "unpacks to", "this machine has", "imagefolder:DIR", kind=BadFile)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", header((2**28 + 1,)))
    refused(f"npz:{file}", "unpacks to", "which no pictures do", kind=BadFile)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x_train.npy", header((2, 4, -5)))
    refused(f"npz:{file}", str(file), kind=BadFile)


# -- pictures -------------------------------------------------------------------------------------
def broken_picture(folder: Path, content: bytes, name: str = "x.jpg") -> str:
    write_folder(folder, {"train/a": 1, "train/b": 1, "test/a": 1})
    (folder / "train" / "a" / name).write_bytes(content)
    return f"imagefolder:{folder}"


def saved(form: str) -> bytes:
    stream = io.BytesIO()
    photograph(9, (200, 200)).save(stream, form)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (saved("JPEG")[:-500], "truncated"),
        (saved("PNG")[:-500], "cannot be decoded"),
        (saved("WEBP")[:-300], "cannot be decoded"),
        (b"", "an empty file"),
        (b"text", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"P5\n99999 99999\n255\n", "pixels"),
    ],
)
def test_broken_pictures_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    source = broken_picture(tmp_path, content)
    refused(
        source,
        str(tmp_path / "train" / "a" / "x.jpg"),
        words,
        kind=BadFile,
        shape=SMALL,
        validation=0.0,
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pictures_of_too_many_pixels_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = broken_picture(tmp_path, saved("PNG"), "x.png")
    find_data(source, shape=SMALL)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 39_999)
    refused(source, "200x200 pixels are too many", kind=BadFile, shape=SMALL, validation=0.0)
