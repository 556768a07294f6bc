"""The user's own code as data, the names of sources, and what holds for data of every source."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from picture_files import GREY, everything, refused, small_idx, write_cifar, write_idx, write_npz

from archsearch.data import Arrays, Data, find_data
from archsearch.errors import BadFile


# -- the user's own code --------------------------------------------------------------------------
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


# -- every source ---------------------------------------------------------------------------------
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


# -- names of sources -----------------------------------------------------------------------------
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
