"""Real data in: what each source reads, that splits never overlap, and what is refused and how.

Files are written here from the formats' own descriptions and read back; decoded pictures are held
against Pillow's plain operations, draws against properties over drawn label lists.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from archsearch.data import Arrays, Data, Split, find_data, parts, subset
from archsearch.data.drawing import hold_back, sample, shuffled
from archsearch.data.folder import read as read_folder
from archsearch.data.pictures import Paths, Pictures
from archsearch.errors import BadFile, UserError

SHARED = Path(__file__).parents[2] / "shared"
RANDOM = np.random.default_rng(0)


def shared(path: str) -> Path:
    if not (SHARED / path).is_file():
        pytest.skip(f"reference file {path} is not beside the repository")
    return SHARED / path


def everything(split: Split) -> Any:
    return split.images.batch(np.arange(len(split)))


def refused(source: str, *words: str, kind: type[UserError] = UserError, **options: Any) -> None:
    """It is refused in one line that holds these words."""
    with pytest.raises(kind) as caught:
        find_data(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


# --- drawing ---------------------------------------------------------------------------------

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


# --- digits, splits, statistics, record ------------------------------------------------------


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


# --- IDX -------------------------------------------------------------------------------------


def idx(array: Any) -> bytes:
    """The format as LeCun's page describes it: magic number, sizes big-endian, bytes."""
    magic = struct.pack(">BBBB", 0, 0, 0x08, array.ndim)
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.astype("u1").tobytes()


def write_idx(
    folder: Path, arrays: Any, name: str = "{}-{}-idx{}-ubyte", pack: Any = bytes
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, pixels, labels in (("train", *arrays[:2]), ("t10k", *arrays[2:])):
        (folder / name.format(split, "images", 3)).write_bytes(pack(idx(pixels)))
        (folder / name.format(split, "labels", 1)).write_bytes(pack(idx(labels)))
    return folder


def small_idx() -> Any:
    pixels = RANDOM.integers(0, 256, (2, 40, 6, 5), np.uint8)
    labels = np.arange(40, dtype=np.uint8) % 10
    return pixels[0], labels, pixels[1], labels[::-1]


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("name", ["{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte"])
@pytest.mark.parametrize("inside", ["", "raw", "MNIST/raw"])
def test_idx_files_are_found_as_they_are_spelled(
    tmp_path: Path, inside: str, name: str, ending: str
) -> None:
    arrays = small_idx()
    write_idx(tmp_path / inside, arrays, name + ending, gzip.compress if ending else bytes)
    data = find_data(f"mnist:{tmp_path}", validation=0.0)
    assert (everything(data.train) == arrays[0][:, None]).all()
    assert (everything(data.test) == arrays[2][:, None]).all()
    assert (data.train.labels == arrays[1]).all() and (data.test.labels == arrays[3]).all()
    assert not data.mirrored and data.classes == tuple("0123456789")
    fashion = tmp_path if inside != "MNIST/raw" else tmp_path / inside
    assert find_data(f"fashion-mnist:{fashion}").classes[9] == "Ankle boot"


def test_mnist_from_idx_files_is_mnist(tmp_path: Path) -> None:
    """The real set, written as IDX files and read back, byte for byte."""
    with np.load(shared("data/mnist_28x28_uint8.npz")) as held:
        arrays = [held[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    write_idx(tmp_path, arrays)
    data = find_data(f"mnist:{tmp_path}", validation=0.0)
    assert everything(data.train).tobytes() == arrays[0].tobytes()
    assert everything(data.test).tobytes() == arrays[2].tobytes()
    assert (data.train.labels == arrays[1]).all() and (data.test.labels == arrays[3]).all()
    # 0.1307 and 0.3081 are the constants everyone normalises MNIST by; measured on a part here.
    assert data.mean[0] == pytest.approx(0.1307, abs=0.001)
    assert data.deviation[0] == pytest.approx(0.3081, abs=0.001)


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


def test_pixels_can_be_written_to(tmp_path: Path, here: Path) -> None:
    """As torch.from_numpy asks, whatever they were read from."""
    (here / "mine_w.py").write_text(
        START + "x.flags.writeable = False\ndef load():\n    return x, y, x, y\n"
    )
    own = tmp_path / "npz"
    own.mkdir()
    write_cifar(tmp_path, "cifar100")
    for source in (
        f"mnist:{write_idx(tmp_path / 'idx', small_idx())}",
        f"cifar100:{tmp_path}",
        write_npz(own, GREY),
        "mine_w:load",
        "digits",
    ):
        data = find_data(source, validation=0.0)
        assert isinstance(data.train.images, Arrays)
        assert (
            data.train.images.pixels.flags.writeable and data.train.images.pixels.flags.c_contiguous
        )


@pytest.mark.parametrize("change", [cut, lambda x: x[:15], lambda x: b"no gzip" + x])
def test_broken_gzip(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    name = "{}-{}-idx{}-ubyte.gz"
    folder = write_idx(tmp_path, small_idx(), name, gzip.compress)
    broken = folder / name.format("t10k", "labels", 1)
    broken.write_bytes(change(broken.read_bytes()))
    refused(f"mnist:{folder}", str(broken), kind=BadFile)


def test_idx_splits_that_do_not_fit(tmp_path: Path) -> None:
    x, y, x2, y2 = small_idx()
    refused(f"mnist:{write_idx(tmp_path / 'a', (x, y[1:], x2, y2))}", "40 pictures but 39 labels")
    refused(f"mnist:{write_idx(tmp_path / 'b', (x, y + 1, x2, y2))}", "label 10 of training")
    refused(f"mnist:{write_idx(tmp_path / 'c', (x, y * 0, x2, y2))}", "class '0'")
    refused(f"mnist:{write_idx(tmp_path / 'd', (x, y, x2[:0], y2[:0]))}", "test split is empty")
    refused(f"mnist:{write_idx(tmp_path / 'e', (x, y, x2[:, 1:], y2))}", "1x6x5", "1x5x5")


# --- CIFAR -----------------------------------------------------------------------------------


def write_cifar(folder: Path, name: str) -> tuple[Any, Any]:
    """Records as the site describes them: label bytes, then 1,024 bytes of red, green and blue,
    row by row. Gives the first training file's pictures as (n, row, column, colour)."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = RANDOM.integers(0, 256, (20, 32, 32, 3), np.uint8)
    labels = np.arange(20) % 10
    files = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    for number, file in enumerate(files if name == "cifar10" else ["train.bin", "test.bin"]):
        content = bytearray()
        for picture, label in zip(np.roll(pixels, number, 0), np.roll(labels, number), strict=True):
            content += bytes([label] if name == "cifar10" else [99, label])
            for colour in range(3):
                content += bytes(picture[:, :, colour].ravel().tolist())
        (folder / file).write_bytes(content)
    return pixels, labels


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("inside", [False, True])
def test_cifar(tmp_path: Path, name: str, inside: bool) -> None:
    unpacked = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}[name]
    pixels, labels = write_cifar(tmp_path / unpacked if inside else tmp_path, name)
    data = find_data(f"{name}:{tmp_path}", validation=0.0)
    assert data.shape == (3, 32, 32) and data.mirrored
    assert len(data.train) == (100 if name == "cifar10" else 20)
    assert (everything(data.train)[:20].transpose(0, 2, 3, 1) == pixels).all()
    assert (data.train.labels[:20] == labels).all()
    shift = 5 if name == "cifar10" else 1
    assert (everything(data.test)[shift:].transpose(0, 2, 3, 1) == pixels[:-shift]).all()
    assert len(data.classes) == (10 if name == "cifar10" else 100)


def test_cifar_class_names(tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar10")
    names = tmp_path / "batches.meta.txt"
    names.write_text("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n")
    assert find_data(f"cifar10:{tmp_path}").classes[9] == "truck"
    names.write_text("airplane\n")
    refused(f"cifar10:{tmp_path}", "names 1 classes and the set has 10", kind=BadFile)


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


class Poison:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_the_pickled_cifar_is_not_opened(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Poison(mark)))
    refused(f"cifar10:{tmp_path}", "pickle", "binary version")
    (tmp_path / "cifar-100-python").mkdir()
    refused(f"cifar100:{tmp_path}", "pickle", "binary version")
    assert not mark.exists()


# --- npz -------------------------------------------------------------------------------------


def write_npz(folder: Path, pixels: Any, **more: Any) -> str:
    """The same pictures for training and test, of two classes."""
    labels = np.arange(len(pixels)) % 2
    arrays = {"x_train": pixels, "y_train": labels, "x_test": pixels, "y_test": labels} | more
    kept = {name: array for name, array in arrays.items() if array is not None}
    np.savez_compressed(folder / "set.npz", **kept)
    return f"npz:{folder / 'set.npz'}"


def test_npz_layouts(tmp_path: Path) -> None:
    picture = RANDOM.integers(0, 256, (12, 3, 6, 7), np.uint8)
    rows_first = picture.transpose(0, 2, 3, 1)
    for pixels in (picture, rows_first, np.ascontiguousarray(rows_first)):
        data = find_data(write_npz(tmp_path, pixels), validation=0.0)
        assert (everything(data.train) == picture).all()
        assert data.mirrored and everything(data.train).flags.c_contiguous
    for pixels in (picture[:, 0], picture[:, :1], rows_first[..., :1]):
        data = find_data(write_npz(tmp_path, pixels), validation=0.0)
        assert (everything(data.train) == picture[:, :1]).all()
        assert not data.mirrored


def test_npz_extras(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (12, 4, 5), np.uint8)
    labels = (np.arange(12) % 2)[:, None]
    extras = {"class_names": np.array(["cat", "dog", "newt"]), "mirrored": np.array(True)}
    own = {"x_val": pixels[:5], "y_val": labels[:5]}
    source = write_npz(tmp_path, pixels, y_train=labels, **extras, **own)
    data = find_data(source)
    assert data.classes == ("cat", "dog", "newt") and data.mirrored
    assert (everything(data.validation)[:, 0] == pixels[:5]).all() and len(data.train) == 12
    assert data.record["validation_from"] == "own"
    assert len(find_data(source, validation=0.0).validation) == 0
    refused(source, "validation split of its own", validation=0.1)


def test_medmnist_names(tmp_path: Path) -> None:
    pixels, labels = np.zeros((9, 4, 5), np.uint8), (np.arange(9) % 3).astype(np.uint8)[:, None]
    arrays = {
        f"{split}_{what}": array
        for split in ("train", "val", "test")
        for what, array in (("images", pixels), ("labels", labels))
    }
    np.savez(tmp_path / "med.npz", **arrays)
    data = find_data(f"npz:{tmp_path / 'med.npz'}")
    assert [len(data.train), len(data.validation), len(data.test)] == [9, 9, 9]


GREY = np.zeros((8, 4, 5), np.uint8)
LABEL = np.arange(8) % 2


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


def encoded(pictures: list[Image.Image], form: str = "JPEG") -> tuple[Any, Any]:
    files = []
    for picture in pictures:
        stream = io.BytesIO()
        picture.save(stream, form)
        files.append(stream.getvalue())
    offsets = np.cumsum([0, *map(len, files)])
    return np.frombuffer(b"".join(files), np.uint8), offsets


def test_npz_of_encoded_pictures(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (12, 8, 6, 3), np.uint8)
    content, offsets = encoded([Image.fromarray(x) for x in pixels], "PNG")
    labels = np.arange(12) % 2
    arrays = {
        f"{split}_{part}": array
        for split in ("train", "test")
        for part, array in (("jpeg", content), ("offsets", offsets), ("labels", labels))
    }
    file = tmp_path / "set.npz"
    np.savez(file, **arrays)
    data = find_data(f"npz:{file}", validation=0.0)
    assert data.shape == (3, 8, 6) and not data.resized and data.mirrored
    assert (everything(data.train).transpose(0, 2, 3, 1) == pixels).all()
    assert find_data(f"npz:{file}", shape=(1, 4, 4)).resized
    for change, words in (
        ({"train_offsets": offsets[::-1]}, "train_offsets do not ascend"),
        ({"train_offsets": offsets + 1}, "train_offsets do not ascend"),
        ({"train_offsets": offsets[:1]}, "train_offsets is int64 of shape (1,)"),
        ({"test_jpeg": content.astype(int)}, "test_jpeg is int64"),
        ({"test_jpeg": content[::-1]}, "set.npz: test picture 0: not a picture"),
        ({"train_labels": labels[1:]}, "12 pictures but 11 labels"),
    ):
        np.savez(file, **arrays | change)
        with pytest.raises(BadFile) as caught:
            everything(find_data(f"npz:{file}").test)
        assert words in str(caught.value)


def test_the_jpegs_of_cifar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channel means as ``SOURCES.md`` gives them, and a picture as Pillow alone decodes it."""
    path = shared("data/cifar10_jpeg.npz")
    monkeypatch.setattr(parts, "MOST_PICTURES", 1500)
    data = find_data(f"npz:{path}", validation=0.9)
    with np.load(path) as held:
        content, offsets = held["test_jpeg"], held["test_offsets"]
        assert (data.test.labels == held["test_labels"]).all()
    assert data.classes[:2] == ("airplane", "automobile")
    np.testing.assert_allclose(data.mean, (0.4913, 0.4821, 0.4465), atol=0.01)
    np.testing.assert_allclose(data.deviation, (0.2452, 0.2428, 0.2606), atol=0.01)
    file = io.BytesIO(content[offsets[7] : offsets[8]].tobytes())
    plain = np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1)
    assert (data.test.images.batch(np.array([7]))[0] == plain).all()


# --- folders of pictures ---------------------------------------------------------------------


def photograph(seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """A smooth picture, which JPEG and resizing leave nearly what it is."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def write_folder(folder: Path, counts: dict[str, int]) -> Path:
    """So many different pictures in each of these folders."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            photograph(1000 * number + index).save(folder / name / f"{index:03}.png")
    return folder


def pictures_of(split: Split) -> list[bytes]:
    return [picture.tobytes() for picture in everything(split)]


SMALL = (3, 8, 8)


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


# --- the user's own code ---------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, as a user's; modules found in it are forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


START = (
    "import numpy as np\nx = np.arange(16, dtype=np.uint8).reshape(8, 1, 2)\ny = np.arange(8) % 2\n"
)


def test_arrays_of_a_function(here: Path) -> None:
    (here / "mine_a.py").write_text(START + "def load():\n    return x, y, x[:4], y[:4].tolist()\n")
    data = find_data("mine_a:load", validation=0.0)
    assert (everything(data.train).ravel() == np.arange(16)).all()
    assert len(data.test) == 4 and data.name == "load" and data.record["source"] == "mine_a:load"


def test_data_of_a_function_in_a_package(here: Path) -> None:
    (here / "mine_b").mkdir()
    (here / "mine_b" / "sets.py").write_text(
        START + "from archsearch.data import Arrays, Data, Split\n"
        "def load():\n    s = Split(Arrays(x[:, None]), y)\n"
        "    return Data('own', s, s.select(y[:0]), s, ('a', 'b'), (0.0,), (1.0,), True)\n"
    )
    data = find_data("mine_b.sets:load")
    assert isinstance(data, Data)
    assert data.name == "own" and data.mirrored and data.classes == ("a", "b")
    assert len(data.train) == 7 and len(data.validation) == 1
    assert data.mean == pytest.approx((everything(data.train).mean() / 255,))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 3", "returned int; it is to return Data, or the arrays"),
        ("return x, y, x", "returned tuple of 3"),
        ("return x / 255, y, x, y", "x_train is float64"),
        ("return x, y, [[1], [2, 3]], y", "ValueError: setting an array"),
        ("return 1 / 0", "line 5: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "line 5: SystemExit"),
        ("return open('absent').read()", "line 5: FileNotFoundError"),
        ("return np.load('absent.npy')", "line 5: FileNotFoundError"),
        ("raise ValueError('several\\nlines')", "ValueError: several lines"),
    ],
)
def test_functions_that_fail_are_told_by_file_and_line(here: Path, body: str, words: str) -> None:
    (here / "mine_c.py").write_text(f"{START}def load():\n    {body}\n")
    refused("mine_c:load", "mine_c", words, kind=BadFile)


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("3", "train of its Data is a int, not a Split"),
        ("Split(Arrays(x[:, None]), y.astype(float))", "not an int64 array"),
        ("Split(Arrays(x[:, None] / 1), y)", "a batch of train is float64"),
        ("Split(Arrays(x[0, 0]), y)", "ValueError"),
        ("Split(None, y)", "AttributeError"),
    ],
)
def test_data_that_is_none(here: Path, split: str, words: str) -> None:
    (here / "mine_d.py").write_text(
        START + "from archsearch.data import Arrays, Data, Split\n"
        "def load():\n    s = Split(Arrays(x[:, None]), y)\n"
        f"    return Data('own', {split}, s, s, ('a', 'b'), (0.0,), (1.0,), True)\n"
    )
    refused("mine_d:load", "mine_d:load", words, kind=BadFile)


def test_modules_that_cannot_be_imported(here: Path) -> None:
    (here / "mine_e.py").write_text("x = 1\nraise OSError('no disk')\n")
    refused("mine_e:load", "mine_e.py, line 2: OSError: no disk", kind=BadFile)
    (here / "mine_f.py").write_text("def load(:\n")
    refused("mine_f:load", "mine_f.py, line 1: SyntaxError", kind=BadFile)
    (here / "mine_g.py").write_text("import absent_package\n")
    refused("mine_g:load", "mine_g.py, line 1", "absent_package", kind=BadFile)
    (here / "mine_h.py").write_text("load = 3\n")
    refused("mine_h:load", "the module mine_h has no function load")
    refused("mine_h:other", "the module mine_h has no function other")
    refused("mine_h.inner:load", "ModuleNotFoundError", kind=BadFile)


# --- names of sources ------------------------------------------------------------------------


def test_unknown_sources_are_told_the_way(here: Path) -> None:
    refused("mnits:/data", "did you mean mnist?")
    refused("mnits:data", "did you mean mnist?")
    refused("zzz", "known: cifar10")
    refused("", "known: cifar10")
    refused("mnist", "mnist:DIR")
    refused("npz:", "npz:FILE")
    refused("digits:here", "have no place")
    refused("mnist:/absent", "mnist:/absent: no such folder")
    refused("cifar10:/absent\0", "no such folder")
    refused("npz:" + "a" * 5000, "name too long")
    refused("digits", "a seed is 0 or more", seed=-1)
    (here / "photos").mkdir()
    refused("photos", "imagefolder:photos")
    refused("some/set.npz", "npz:some/set.npz")
    refused(f"mnist:{here}", "no file train-images-idx3-ubyte")


def test_splits_of_arrays_can_be_made_by_hand() -> None:
    split = Split(Arrays(np.zeros((3, 1, 2, 2), np.uint8)), np.arange(3))
    assert len(split.select(np.array([2, 0]))) == 2
    assert split.select(np.array([2, 0])).labels.tolist() == [2, 0]
