"""IDX, CIFAR and npz: written here from the formats' own descriptions, and read back."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import RANDOM, everything, refused, small_idx, write_cifar, write_idx, write_npz
from PIL import Image

from archsearch.data import find_data, parts
from archsearch.errors import BadFile

SHARED = Path(__file__).parents[2] / "shared"


def shared(path: str) -> Path:
    if not (SHARED / path).is_file():
        pytest.skip(f"reference file {path} is not beside the repository")
    return SHARED / path


# -- IDX ------------------------------------------------------------------------------------------
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


def test_idx_splits_that_do_not_fit(tmp_path: Path) -> None:
    x, y, x2, y2 = small_idx()
    refused(f"mnist:{write_idx(tmp_path / 'a', (x, y[1:], x2, y2))}", "40 pictures but 39 labels")
    refused(f"mnist:{write_idx(tmp_path / 'b', (x, y + 1, x2, y2))}", "label 10 of training")
    refused(f"mnist:{write_idx(tmp_path / 'c', (x, y * 0, x2, y2))}", "class '0'")
    refused(f"mnist:{write_idx(tmp_path / 'd', (x, y, x2[:0], y2[:0]))}", "test split is empty")
    refused(f"mnist:{write_idx(tmp_path / 'e', (x, y, x2[:, 1:], y2))}", "1x6x5", "1x5x5")


# -- CIFAR ----------------------------------------------------------------------------------------
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


# -- npz ------------------------------------------------------------------------------------------
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
