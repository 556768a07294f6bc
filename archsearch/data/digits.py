"""The data set that comes with the package: 1,797 handwritten digits of 8x8 pixels.

``digits.npz`` holds the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and
Kaynak 1998, UCI Machine Learning Repository, doi 10.24432/C50P49, CC BY 4.0) as scikit-learn 1.9.1
ships it (BSD 3-Clause), its 17 grey levels 0..16 stretched to 0..255.
"""

from __future__ import annotations

from pathlib import Path

from .archive import read_arrays
from .dataset import Arrays, Split
from .drawing import hold_back
from .parts import Parts

TEST = 0.2
"""Part held out for the test, always the same pictures: the set comes without a split."""

FILE = Path(__file__).with_name("digits.npz")


def read() -> Parts:
    """The digits, shape 1x8x8; a fifth of each class is the test split."""
    arrays = read_arrays(FILE)
    labels = arrays["labels"].astype("int64")
    everything = Split(Arrays(arrays["images"][:, None]), labels)
    test, train = hold_back(labels, round(TEST * len(labels)), seed=0)
    return Parts(
        "digits",
        everything.select(train),
        everything.select(test),
        tuple("0123456789"),
        mirrored=False,
    )
