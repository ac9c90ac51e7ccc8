"""Make the embedded sample: ``python -m jaxlinear.data.fashion.make_sample DIRECTORY``.

DIRECTORY holds the four official files. The sample is the first 600 training images and the
first 100 test images of each class; they keep the order of the official files.
"""

import sys
from pathlib import Path

import numpy as np

from jaxlinear.data.fashion.files import CLASSES, Split, read
from jaxlinear.data.fashion.sample import PATH
from jaxlinear.files.atomic import replacing

PER_CLASS = {"train": 600, "test": 100}


def sample(directory: Path) -> dict[str, np.ndarray]:
    """Choose the sample from the official files in ``directory``: the arrays of the .npz file.

    Raises what ``files.read`` raises.
    """
    arrays = {}
    for name, split in read(directory).items():
        rows = first_of_each_class(split, PER_CLASS[name])
        arrays[f"x_{name}"], arrays[f"y_{name}"] = split.x[rows], split.y[rows]
    return arrays


def first_of_each_class(split: Split, count: int) -> np.ndarray:
    """The ascending indices of the first ``count`` examples of every class: (classes·count,)."""
    rows = [np.flatnonzero(split.y == label)[:count] for label in range(len(CLASSES))]
    return np.sort(np.concatenate(rows))


def main() -> None:
    """Write the sample where the package reads it."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with replacing(PATH) as file:
        np.savez_compressed(file, **sample(Path(sys.argv[1])))
    print(f"{PATH}: {PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
